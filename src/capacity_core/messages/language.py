"""The two languages, and a sentence in both."""

from enum import StrEnum

from attrs import frozen


class Language(StrEnum):
    ZH = "zh"
    EN = "en"


@frozen
class Translation:
    zh: str
    en: str
