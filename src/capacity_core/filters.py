"""Which databases count, and the rule that leaves one out."""

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

from attrs import frozen

from capacity_core.errors import InvalidInputError
from capacity_core.messages import text

MAX_RULES = 200
MAX_RULE_LENGTH = 255
SYSTEM_RULE = "system"
NOT_INCLUDED_RULE = "not included"

_ESCAPED_OR_BRACKET = re.compile(r"\\(.)|(\[)", re.DOTALL)


@frozen
class FilterRules:
    r"""Rules of one instance: exact names, or globs with `*` and `?` (`\*` is a plain star).

    A database counts if it matches `include` (when there is any) and not `exclude`. The
    engine's own databases count only when an include rule names them.
    """

    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    ignore_case: bool = False

    def __attrs_post_init__(self) -> None:
        for kind, rules in (("exclude", self.exclude), ("include", self.include)):
            _check(f"filters.{kind}", rules)

    def rule_against(self, name: str, *, is_system: bool) -> str | None:
        """Name the rule that leaves this database out, or None if it counts."""
        included = self._first_match(self.include, name)
        if is_system and included is None:
            return SYSTEM_RULE
        if self.include and included is None:
            return NOT_INCLUDED_RULE
        excluding = self._first_match(self.exclude, name)
        return None if excluding is None else f"exclude: {excluding}"

    def _first_match(self, rules: Iterable[str], name: str) -> str | None:
        return next((rule for rule in rules if _regex(rule, self.ignore_case).match(name)), None)


@lru_cache(maxsize=1024)
def _regex(rule: str, ignore_case: bool) -> re.Pattern[str]:  # noqa: FBT001 -- a cache key
    glob = _ESCAPED_OR_BRACKET.sub(lambda found: _literally(found[1] or found[2]), rule)
    return re.compile(translate(glob), re.IGNORECASE if ignore_case else 0)


def _literally(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character


def _check(where: str, rules: tuple[str, ...]) -> None:
    if len(rules) > MAX_RULES:
        raise InvalidInputError(where, text("field.rule", rule=f"#{MAX_RULES + 1}"))
    for position, rule in enumerate(rules):
        ends_in_escape = (len(rule) - len(rule.rstrip("\\"))) % 2 == 1
        if not 0 < len(rule) <= MAX_RULE_LENGTH or "\0" in rule or ends_in_escape:
            raise InvalidInputError(f"{where}[{position}]", text("field.rule", rule=repr(rule)))
