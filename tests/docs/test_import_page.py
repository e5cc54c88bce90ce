"""The page on imports: its files are imported, and its columns are those that there are."""

import re
from pathlib import Path

import pytest
from tests.docs.test_pages import ROOT, blocks, run

from capacity_core.instance_csv import COLUMNS

pytestmark = pytest.mark.unit

PAGE = "docs/import.md"


def test_the_example_is_imported_and_its_mistakes_are_told(tmp_path: Path) -> None:
    good, faulty = blocks(PAGE, "csv")
    (tmp_path / "fleet.csv").write_text(good, encoding="utf-8")
    (tmp_path / "faulty.csv").write_text(faulty, encoding="utf-8")
    printed = run("\n".join(blocks(PAGE, "sh")), tmp_path, "sh", "-ec").splitlines()
    assert printed[:3] == [
        "Dry run: instances to add: 2, unchanged: 0",
        "Instances added: 2, unchanged: 0",
        "Instances added: 0, unchanged: 2",
    ]
    assert {line.split()[1] for line in printed[4:]} == {"shop", "billing"}
    refused = run("! capacity instance import faulty.csv 2>&1", tmp_path, "sh", "-c")
    assert refused == blocks(PAGE, "text")[0]


def test_every_column_is_on_the_page() -> None:
    table = re.findall(r"^\| (`.*?) \|", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(table))) == COLUMNS.keys()
