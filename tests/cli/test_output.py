"""What people and programs read."""

import json

import pytest
from tests.builders import an_instance

from capacity_adapters.cli.doctor import report_of
from capacity_adapters.cli.output import Report, Table, done, every, human_size, say, shown
from capacity_core.diagnosis import Check, CheckState, Diagnosis
from capacity_core.messages import Language, render
from capacity_core.model import sql_cure
from capacity_core.reads import Page, Paging


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (None, "-"),
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_048_524, "1023.9 KiB"),
        (1_048_575, "1.0 MiB"),
        (1_572_864, "1.5 MiB"),
        (2**63 - 1, "8.0 EiB"),
    ],
)
def test_sizes_are_said_in_binary_units_and_no_size_is_no_zero(size: int | None, said: str) -> None:
    assert human_size(size) == said


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("shop", "shop"),
        ("订单 2", "订单 2"),
        (" shop ", "' shop '"),
        ("", "''"),
        ("a\x1b[31mb", r"'a\x1b[31mb'"),
        ("a\nb", r"'a\nb'"),
        ("left\u202eright", r"'left\u202eright'"),
    ],
)
def test_a_name_cannot_draw_on_the_terminal(name: str, seen: str) -> None:
    assert shown(name) == seen


NASTY = "a\nb\x1b[31m\u202ec"


def test_no_hint_of_a_server_draws_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cure = render(sql_cure(f"GRANT PROCESS ON *.* TO `{NASTY}`"), Language.EN)
    say(Report({}, (cure, Table(("NAME",), [[NASTY]]))), json_wanted=False)
    hint, _, cell = capsys.readouterr().out.splitlines()
    assert hint.endswith(r"TO `a\nb\x1b[31m\u202ec`")
    assert cell == r"a\nb\x1b[31m\u202ec"


@pytest.mark.parametrize("state", list(CheckState))
def test_no_login_or_database_draws_on_the_terminal_of_the_doctor(
    capsys: pytest.CaptureFixture[str], state: CheckState
) -> None:
    check = Check("enter", state, sql_cure(NASTY), (NASTY,), sql_cure(f"USE [{NASTY}]"))
    instance = an_instance(name=NASTY)
    found = Diagnosis(instance, (check,), complete=False, unseen=(NASTY,))
    report = report_of(found)
    say(report, json_wanted=False)
    said = "".join(capsys.readouterr())
    assert all(line.isprintable() for line in said.split("\n"))
    assert not any(line.startswith("b") for line in said.split("\n"))
    say(report, json_wanted=True)
    assert json.dumps(NASTY) in capsys.readouterr().out


def test_columns_line_up_under_wide_and_combining_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("订单", "1 B"), ("cafe\u0301", "10 B"), ("shop", "-")]
    say(Report({}, (Table(("NAME", "SIZE"), rows),)), json_wanted=False)
    assert capsys.readouterr().out.splitlines() == [
        "NAME  SIZE",
        "订单   1 B",
        "cafe\u0301  10 B",
        "shop     -",
    ]


def test_programs_get_one_document_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    say(done({"name": "订单\udcff"}, "for people"), json_wanted=True)
    out, err = capsys.readouterr()
    assert out.isascii()
    assert json.loads(out)["data"] == {"name": "订单\udcff"}
    assert err == ""


def test_people_find_what_failed_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say(Report({}, ("error: no",), exit_code=1), json_wanted=False)
    assert capsys.readouterr() == ("", "error: no\n")


@pytest.mark.parametrize("total", [0, 1, 199, 200, 201, 400, 450])
def test_all_pages_are_read(total: int) -> None:
    def page_of(paging: Paging) -> Page[int]:
        rows = tuple(range(total)[paging.offset : paging.offset + paging.limit])
        return Page(rows, total, paging)

    assert every(page_of) == list(range(total))
