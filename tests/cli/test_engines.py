"""`capacity engines`: ours, those of others, and what is broken of either."""

import pytest
from tests.cli.conftest import Cli
from tests.engines.distributions import GOOD, install

from capacity_adapters.engines import BUILT_IN

pytestmark = pytest.mark.unit

NO_DRIVER = """
from capacity_adapters.engines import EnginePlugin
from capacity_core.model import EngineFacts

def load():
    import driver_that_is_not_there

PLUGIN = EnginePlugin(EngineFacts("lost", (), 1), load, "lost-driver[tls]")
"""


def test_every_engine_of_ours_is_listed_with_its_driver(cli: Cli) -> None:
    said = cli("engines")
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(BUILT_IN)]] == list(BUILT_IN)
    assert " ".join(lines[1].split()).startswith("postgresql postgres, pg 5432 psycopg 3.")
    assert "\\n" not in said.out
    listed = cli("engines", "--json").data
    assert [each["db_type"] for each in listed["engines"]] == list(BUILT_IN)
    assert {each["source"] for each in listed["engines"]} == {"built in"}
    assert {each["problem"] for each in listed["engines"]} == {None}
    assert listed["broken"] == []


def test_engines_of_others_and_broken_ones_are_listed_apart(cli: Cli) -> None:
    install(cli.home, "tiny_engine", "tiny = tiny_engine:PLUGIN", GOOD)
    install(cli.home, "lost_engine", "lost = lost_engine:PLUGIN", NO_DRIVER)
    wrong = NO_DRIVER.replace('"lost"', '"wrong"').replace("load,", "lambda: 7,")
    install(cli.home, "wrong_engine", "wrong = wrong_engine:PLUGIN", wrong)
    install(cli.home, "bad_engine", "bad = bad_engine:PLUGIN", "raise ValueError('two\\nlines')")
    said = cli.process("engines", PYTHONPATH=str(cli.home))
    assert said.code == 0
    rows = [" ".join(line.split()) for line in said.out.splitlines()]
    assert any(
        row.startswith("tiny tiny db 4711 tiny-driver not installed ceiling") for row in rows
    )
    told = [line for line in said.out.splitlines() if line.startswith("not usable")]
    assert told == [
        (
            "not usable: lost: No module named 'driver_that_is_not_there'; "
            "pip install 'lost-driver[tls]'"
        ),
        "not usable: wrong: load() gives int, no Engine",
        "not usable: 'bad of bad_engine 1.2: ValueError: two\\nlines'",
    ]
    listed = cli.process("engines", "--json", PYTHONPATH=str(cli.home)).data
    (lost,) = [each for each in listed["engines"] if each["db_type"] == "lost"]
    assert lost["source"] == "lost_engine 1.2"
    assert lost["capabilities"] is None
    assert lost["driver"] == {"package": "lost-driver", "version": None}
    assert [each["db_type"] for each in listed["broken"]] == ["bad"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("capabilities=7", "its capabilities are int, no Capabilities"),
        ("capabilities=Capabilities(ceiling=None)", "its capability ceiling is NoneType, no bool"),
    ],
)
def test_capabilities_that_are_none_break_their_row_only(cli: Cli, wrong: str, told: str) -> None:
    module = GOOD.replace("capabilities=Capabilities(ceiling=True)", wrong)
    install(cli.home, "tiny_engine", "tiny = tiny_engine:PLUGIN", module)
    said = cli.process("engines", PYTHONPATH=str(cli.home))
    assert said.code == 0
    assert f"not usable: tiny: {told}" in said.out.splitlines()


@pytest.mark.parametrize("raised", ["SystemExit(3)", "GeneratorExit(3)", "BaseException(3)"])
@pytest.mark.parametrize("late", [False, True])
def test_nothing_that_foreign_code_raises_ends_the_list(cli: Cli, raised: str, late: bool) -> None:
    module = NO_DRIVER.replace("import driver_that_is_not_there", f"raise {raised}")
    install(
        cli.home, "lost_engine", "lost = lost_engine:PLUGIN", module if late else f"raise {raised}"
    )
    said = cli.process("engines", PYTHONPATH=str(cli.home))
    assert said.code == 0
    (told,) = [line for line in said.out.splitlines() if line.startswith("not usable: lost")]
    assert told.endswith(f"{raised.removesuffix('(3)')}: 3")
