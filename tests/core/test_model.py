"""Small promises of the values."""

import copy
import pickle

import pytest

from capacity_core.access import Scope, hash_token, new_token
from capacity_core.errors import InvalidInputError
from capacity_core.model import Secret, Tls, TlsMode
from capacity_core.reads import Paging

pytestmark = pytest.mark.unit


def test_a_secret_is_neither_shown_nor_pickled() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret!r} {secret} {secret!s}"
    assert secret.reveal() == "hunter2"
    for spill in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            spill(secret)


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        (TlsMode.VERIFY_FULL, "verified"),
        (TlsMode.VERIFY_CA, "verified"),
        (TlsMode.REQUIRE, "unverified"),
        (TlsMode.PREFER, "unverified or none"),
        (TlsMode.INSECURE, "none"),
    ],
)
def test_a_tls_mode_says_what_it_is_worth(mode: TlsMode, state: str) -> None:
    assert Tls(mode).state == state


def test_scopes_cover_those_before_them() -> None:
    assert [[mine.covers(needed) for needed in Scope] for mine in Scope] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_tokens_are_long_random_and_kept_as_hashes() -> None:
    first, second = new_token(), new_token()
    assert first != second
    assert len(first) >= 43
    assert hash_token(first) != hash_token(second)
    assert first not in hash_token(first)


@pytest.mark.parametrize(
    ("page", "limit", "field"), [(0, 1, "page"), (1, 0, "limit"), (1, 201, "limit")]
)
def test_a_page_out_of_range_is_refused(page: int, limit: int, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Paging(page, limit)
    assert caught.value.field == field


def test_pages_are_counted_from_one() -> None:
    assert (Paging(1, 50).offset, Paging(3, 50).offset) == (0, 100)
