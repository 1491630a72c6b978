from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.cli.conftest import Kept, environment
from vitrine.cli.cluster.compare import compare, dendrogram
from vitrine.services.errors import BadRequest


@pytest.fixture
def cluster(filled_data: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs one of the two commands on ``shop`` and gives its stdout; errors rise as they
    are."""
    monkeypatch.setattr("vitrine.services.runtime.open_runtime", kept.open_runtime)
    app = typer.Typer()
    app.command()(compare)
    app.command()(dendrogram)

    def run(*arguments: object) -> str:
        words = [str(word) for word in (*arguments, "-c", "shop")]
        result = CliRunner().invoke(app, words, env=environment(filled_data))
        if result.exception is not None:
            raise result.exception
        return result.stdout

    return run


def test_methods_are_compared_with_grids_and_against_the_class(cluster: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    methods = ("--method", "kmeans", "--method", "agglomerative", "--clusters", "2,3", "--linkage", "ward")
    plot = tmp_path / "grid.png"
    found = json.loads(
        cluster("compare", *methods, "--against", "class", "--stability", 2, "--to", plot, "--json")
    )
    assert [row["parameters"] for row in found["rows"]] == [
        {"clusters": 2},
        {"clusters": 3},
        {"linkage": "ward", "clusters": 2},
        {"linkage": "ward", "clusters": 3},
    ]
    assert found["images"] == found["of"] == 12 and found["rows"][1]["ari"] == pytest.approx(1)
    assert found["stability"]["runs"] in (1, 3) and plot.stat().st_size > 1_000


def test_the_table_marks_the_best(cluster: Any) -> None:
    pytest.importorskip("sklearn")
    lines = cluster(
        "compare", "--method", "kmeans", "--clusters", "3,6", "--reduce", "pca", "--dim", 4
    ).splitlines()
    assert len(lines) == 3 and lines[0].split("\t")[:3] == ["#", "best", "method"]
    assert sum(line.split("\t")[1] == "*" for line in lines[1:]) == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--method", "spectral"), "no method"),
        (("--method", "kmeans", "--clusters", "few"), "clusters must be a whole number"),
        (("--method", "kmeans", "--eps", "0.1"), "eps means nothing to kmeans"),
        (("--method", "kmeans", "--clusters", "2", "--against", "nothing"), "class"),
        (("--using", "nothing"), "nothing"),
    ],
)
def test_wrong_options_are_explained(cluster: Any, options: tuple[str, ...], why: str) -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(Exception, match=why):
        cluster("compare", *options)


def test_a_dendrogram_is_exported_drawn_and_cut(cluster: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "tree.json"
    found = json.loads(
        cluster(
            "dendrogram",
            "--clusters",
            3,
            "--names",
            "filename",
            "--to",
            out,
            "--to",
            tmp_path / "tree.png",
            "--json",
        )
    )
    assert found["sizes"] == [4, 4, 4] and len(found["labels"]) == 12
    tree = json.loads(out.read_text())
    assert tree["count"] == 12 and len(tree["children"]) == 2 and (tmp_path / "tree.png").exists()
    assert "red/24.png" in out.read_text() or "24.png" in out.read_text()
    assert cluster("dendrogram", "--distance", 9).splitlines() == ["cluster\timages", "0\t12"]
    assert json.loads(cluster("dendrogram", "--sample", 5, "--json"))["images"] == 5
    with pytest.raises(BadRequest, match="not both"):
        cluster("dendrogram", "--distance", 1, "--clusters", 2)
