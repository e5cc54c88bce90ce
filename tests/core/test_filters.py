"""Filter rules: exact names, globs, escapes, positions of bad rules."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity_core.errors import InvalidInputError
from capacity_core.filters import MAX_RULES, FilterRules

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("rules", "name", "is_system", "expected"),
    [
        (FilterRules(), "shop", False, None),
        (FilterRules(), "template0", True, "system"),
        (FilterRules(include=("template*",)), "template0", True, None),
        (FilterRules(include=("shop",)), "stock", False, "not included"),
        (FilterRules(exclude=("tmp_*",)), "tmp_a", False, "exclude: tmp_*"),
        (FilterRules(exclude=("tmp_*",)), "tmpXa", False, None),
        (FilterRules(exclude=("pg_%",)), "pgbench", False, None),
        (FilterRules(exclude=("shop",)), "Shop", False, None),
        (FilterRules(exclude=("shop",), ignore_case=True), "Shop", False, "exclude: shop"),
        (FilterRules(exclude=("a?c",)), "abc", False, "exclude: a?c"),
        (FilterRules(exclude=("a?c",)), "ac", False, None),
        (FilterRules(exclude=(r"a\*c",)), "a*c", False, r"exclude: a\*c"),
        (FilterRules(exclude=(r"a\*c",)), "abc", False, None),
        (FilterRules(exclude=("a[b]c",)), "a[b]c", False, "exclude: a[b]c"),
        (FilterRules(exclude=("a[b]c",)), "abc", False, None),
        (FilterRules(exclude=(r"a\\",)), "a\\", False, r"exclude: a\\"),
        (FilterRules(include=("s*",), exclude=("*k",)), "stock", False, "exclude: *k"),
        (FilterRules(exclude=("shop",)), "shop\n", False, None),
        (FilterRules(exclude=(r"\!x",)), "!x", False, r"exclude: \!x"),
    ],
)
def test_the_rule_that_leaves_a_database_out_is_named(
    rules: FilterRules, name: str, is_system: bool, expected: str | None
) -> None:
    assert rules.rule_against(name, is_system=is_system) == expected


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\0b", "odd\\"])
@pytest.mark.parametrize("kind", ["exclude", "include"])
def test_a_bad_rule_is_refused_with_its_position(kind: str, bad: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        FilterRules(**{kind: ("fine", bad)})  # type: ignore[arg-type]  # kind is one of two names
    assert caught.value.field == f"filters.{kind}[1]"


def test_too_many_rules_are_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        FilterRules(exclude=("x",) * (MAX_RULES + 1))
    assert caught.value.field == "filters.exclude"


@given(st.text(min_size=1, max_size=60).filter(lambda name: "\0" not in name))
def test_a_name_with_its_special_characters_escaped_matches_itself_only(name: str) -> None:
    rule = re.sub(r"([*?\\])", r"\\\1", name)
    rules = FilterRules(exclude=(rule,))
    assert rules.rule_against(name, is_system=False) == f"exclude: {rule}"
    assert rules.rule_against(name + "x", is_system=False) is None


def test_many_stars_do_not_take_forever() -> None:
    rules = FilterRules(exclude=("*a" * 60 + "b",))
    assert rules.rule_against("a" * 255, is_system=False) is None
