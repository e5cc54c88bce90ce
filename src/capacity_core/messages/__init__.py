"""Every text that people read, in Chinese and English, by key."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from capacity_core.messages.answers import ANSWERS
from capacity_core.messages.checks import CHECKS
from capacity_core.messages.fields import FIELDS
from capacity_core.messages.fleet import FLEET
from capacity_core.messages.hints import HINTS
from capacity_core.messages.imports import IMPORTS
from capacity_core.messages.language import Language, Translation
from capacity_core.messages.special import SPECIAL
from capacity_core.messages.store_faults import STORE_FAULTS

__all__ = ["CATALOGUE", "Language", "Text", "Translation", "render", "text"]

CATALOGUE: Final[Mapping[str, Translation]] = MappingProxyType(
    {**ANSWERS, **FIELDS, **HINTS, **FLEET, **CHECKS, **IMPORTS, **STORE_FAULTS, **SPECIAL}
)


@frozen
class Text:
    """A message not yet in any language: a key of the catalogue and what fills its blanks."""

    key: str
    params: Mapping[str, object] = field(factory=dict, hash=False)


def text(key: str, /, **params: object) -> Text:
    return Text(key, params)


def render(message: Text, language: Language) -> str:
    """Say it in that language. A free text (a key not in the catalogue) is said as it is."""
    row = CATALOGUE.get(message.key)
    if row is None:
        return message.key
    pattern = row.zh if language is Language.ZH else row.en
    return pattern.format(**{name: _say(value, language) for name, value in message.params.items()})


def _say(value: object, language: Language) -> object:
    return render(value, language) if isinstance(value, Text) else value
