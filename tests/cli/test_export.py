from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.cli.conftest import Answer, Run, environment
from vitrine.cli import export
from vitrine.cli.main import VitrineGroup

app = typer.Typer(cls=VitrineGroup)
app.add_typer(export.app, name="export")


@pytest.fixture
def exporting(filled: Run, filled_data: Path) -> Run:
    """``vitrine export`` on the shared, filled data folder."""

    def run(*arguments: object) -> Answer:
        result = CliRunner().invoke(app, ["export", *map(str, arguments)], env=environment(filled_data))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


def test_folders_by_class_and_by_score(exporting: Run, tmp_path: Path) -> None:
    answer = exporting("folders", "-c", "shop", "--to", tmp_path / "out", "--by", "class", "--json")
    assert (answer.code, answer.json["folders"]) == (0, {"blue": 4, "green": 4, "red": 4})
    assert len(list((tmp_path / "out" / "red").iterdir())) == 4
    answer = exporting(
        "folders",
        "-c",
        "shop",
        "--to",
        tmp_path / "scores",
        "--by",
        "score:striped",
        "--bins",
        2,
        "--class",
        "red",
    )
    assert answer.code == 0 and "4 images exported" in answer.out
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {"0.00-0.50"}


def test_links_and_wrong_usage(exporting: Run, tmp_path: Path) -> None:
    answer = exporting("folders", "-c", "shop", "--to", "out", "--by", "tag", "--mode", "symlink", "--json")
    assert answer.code == 0 and all(path.is_symlink() for path in Path("out", "small").iterdir())
    answer = exporting("folders", "-c", "shop", "--to", "out", "--by", "score:nothing")
    assert answer.code == 1 and "unknown_field" in answer.err
    answer = exporting("folders", "-c", "nowhere", "--to", "out", "--by", "tag", "--json")
    assert answer.code == 1 and answer.json["error"]["code"] == "not_found"
    answer = exporting("folders", "-c", "shop", "--to", "out", "--by", "tag", "--mode", "move")
    assert answer.code == 2


def test_tables_in_three_formats(exporting: Run, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for ending in ("json", "csv", "parquet"):
        answer = exporting(
            "table", "-c", "shop", "--to", tmp_path / f"out.{ending}", "--class", "red", "--json"
        )
        assert (answer.code, answer.json["images"]) == (0, 4)
    rows = json.loads((tmp_path / "out.json").read_text())
    assert {row["class"] for row in rows} == {"red"} and all(row["scores"] for row in rows)
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [row["id"] for row in rows]
    answer = exporting("table", "-c", "shop", "--to", tmp_path / "out.txt", "--json")
    assert answer.code == 1 and answer.json["error"]["code"] == "bad_request"
