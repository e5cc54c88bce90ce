"""Every text exists in both languages and every key that the code uses exists."""

import re
import string
from pathlib import Path

import pytest

import capacity_core
from capacity_core.decisions import DECISIONS
from capacity_core.messages import CATALOGUE, Language, Text, render, text
from capacity_core.messages.answers import ANSWERS
from capacity_core.messages.checks import CHECKS
from capacity_core.messages.fields import FIELDS
from capacity_core.messages.fleet import FLEET
from capacity_core.messages.hints import HINTS
from capacity_core.messages.imports import IMPORTS
from capacity_core.messages.special import SPECIAL
from capacity_core.messages.store_faults import STORE_FAULTS
from capacity_core.model import CollectFailed, Failure, Outcome, Reason, Unmeasured, sql_cure

pytestmark = pytest.mark.unit

SOURCES = Path(capacity_core.__file__).parents[1]


@pytest.mark.parametrize("key", CATALOGUE)
def test_both_languages_have_the_same_blanks(key: str) -> None:
    blanks = [
        {name for _, name, _, _ in string.Formatter().parse(said) if name is not None}
        for said in (CATALOGUE[key].zh, CATALOGUE[key].en)
    ]
    assert blanks[0] == blanks[1]
    assert CATALOGUE[key].zh
    assert CATALOGUE[key].en


def test_every_key_in_the_code_is_in_the_catalogue() -> None:
    used = {
        key
        for path in SOURCES.rglob("capacity_*/**/*.py")
        for key in re.findall(r'\btext\(\s*"([a-z_.]+)"', path.read_text())
    }
    assert used
    assert {key for key in used if "." in key} <= CATALOGUE.keys()
    assert {decision.message for decision in DECISIONS.values()} <= CATALOGUE.keys()


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_hint(reason: Reason, language: Language) -> None:
    assert "{" not in render(Failure.of(reason).hint, language)


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("outcome", list(Outcome)[1:])
def test_every_outcome_without_a_size_has_a_hint(outcome: Outcome, language: Language) -> None:
    hint = Unmeasured.of("x", outcome, sql_cure("GRANT it")).hint
    assert "{" not in render(hint, language)


def test_a_cure_is_said_in_the_readers_language() -> None:
    hint = Unmeasured.of("x", Outcome.DENIED, sql_cure("GRANT it")).hint
    assert render(hint, Language.EN).endswith("As an administrator, run: GRANT it")
    assert render(hint, Language.ZH).endswith("请管理员执行: GRANT it")


def test_a_free_text_is_said_as_it_is() -> None:
    assert render(Text("50 {percent"), Language.EN) == "50 {percent"


def test_braces_in_a_blank_do_no_harm() -> None:
    assert "{name}" in render(text("sync.succeeded", name="{name}"), Language.EN)


def test_a_coordinator_may_give_its_own_hint_or_none() -> None:
    assert CollectFailed(Reason.TLS, "own words").failure.hint == Text("own words")
    assert CollectFailed(Reason.TLS).failure == Failure.of(Reason.TLS)
    assert CollectFailed(Reason.TLS, text("hint.other")).failure.hint == text("hint.other")


def test_no_key_is_in_two_catalogues() -> None:
    parts = (ANSWERS, FIELDS, HINTS, FLEET, CHECKS, IMPORTS, STORE_FAULTS, SPECIAL)
    assert sum(map(len, parts)) == len(CATALOGUE)
