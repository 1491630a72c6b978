"""The kinds of jobs are the commands: what a job is given comes out as their options."""

from __future__ import annotations

from typing import Any

import pytest

from vitrine.cli.jobs.kinds import all_kinds, command_line, find_command, find_kind_of, kind_of
from vitrine.cli.jobs.table import KINDS
from vitrine.services.errors import BadRequest
from vitrine.services.jobs.kinds import Kind, ask_for_kinds


@pytest.fixture(scope="module")
def kinds() -> dict[str, Kind]:
    return {kind.command: kind for kind in all_kinds()}


def test_every_kind_prints_json_and_names_only_its_own_parameters(kinds: dict[str, Kind]) -> None:
    for words, entry in KINDS.items():
        flags = {flag for one in find_command(words).params for flag in one.opts}
        assert {"--json", "--detach"} <= flags, words
        names = {one.name for one in kinds[words].parameters}
        stated = {*entry.source, *entry.encoder, *entry.result, *entry.trained, *entry.local}
        assert stated <= names, words
        assert kinds[words].title.endswith("."), words


def test_options_keep_type_default_range_and_help(kinds: dict[str, Kind]) -> None:
    found = {one.name: one for one in kinds["map make"].parameters}
    neighbours, method = found["neighbours"], found["method"]
    assert (neighbours.type, neighbours.default, neighbours.minimum, neighbours.maximum) == (
        "integer", 15, 2, 200,
    )  # fmt: skip
    assert (method.choices, method.default) == (("umap", "pca"), "umap")
    assert found["category"].role == "category" and found["category"].required
    grid = next(one for one in kinds["tagger train"].parameters if one.name == "grid")
    assert (grid.type, grid.several, grid.default[0]) == ("number", True, 0.1)


def test_a_process_tells_the_same_kinds(kinds: dict[str, Kind]) -> None:
    assert list(ask_for_kinds()) == list(kinds.values())


@pytest.mark.parametrize(
    ("words", "arguments", "line"),
    [
        (
            "map make",
            {"category": "shop", "min_dist": 0.2, "missing": False, "name": "-odd"},
            ["map", "make", "--category=shop", "--min-dist=0.2", "--json", "--", "-odd"],
        ),
        (
            "tagger train",
            {"category": "shop", "tag": ["a", "--b"], "balanced": False, "plots": True},
            [
                *("tagger", "train", "--category=shop", "--no-balanced", "--tag=a", "--tag=--b"),
                *("--plots", "--json", "--"),
            ],
        ),
        (
            "cluster delete",
            {"category": "shop", "run": "look"},
            ["cluster", "delete", "--category=shop", "--yes", "--json", "--", "look"],
        ),
        (
            "export folders",
            {"category": "shop", "by": "class", "class": ["dog"]},
            [
                *("export", "folders", "--category=shop", "--class=dog", "--to=<folders>"),
                *("--by=class", "--json", "--"),
            ],
        ),
        (
            "cluster run",
            {"category": "shop", "name": "look", "clusters": [4, 8], "words": "upload:w.txt"},
            [
                *("cluster", "run", "--category=shop", "--clusters=4", "--clusters=8"),
                *("--words=<upload:w.txt>", "--json", "--", "look"),
            ],
        ),
    ],
)  # fmt: skip
def test_arguments_become_the_command_line(words: str, arguments: dict[str, Any], line: list[str]) -> None:
    kind = kind_of(words)
    kind.checked(arguments, remote=True)
    found = command_line(
        kind, arguments, lambda one, text: f"<{text}>" if one.role in ("file", "result") else text
    )
    assert found == line


def test_what_this_version_does_not_know_is_named() -> None:
    with pytest.raises(BadRequest, match="is no kind of job"):
        find_kind_of("old-kind")
    with pytest.raises(BadRequest, match="any more"):
        command_line(kind_of("map make"), {"category": "shop", "old": 1}, lambda one, text: text)
