from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from tests.cli.conftest import COLOURS, Answer, Run, environment
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.cli.main import VitrineGroup
from vitrine.cli.tagger.label import label, parse_numbers, rounds
from vitrine.indexer.ingest.upload import Upload, index_uploads
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.labelling import record

TAG = "warm colour"


@pytest.fixture
def shop(vitrine: Run, pictures: Path, empty_data: Path, tmp_path: Path) -> tuple[Any, dict[str, str]]:
    """``label`` on a category of twelve pictures, and their ids by file name."""
    name = (
        tmp_path.name
    )  # the engine stays open between tests: each has a category, and so taggers, of its own
    assert vitrine("index", "add", pictures, "-c", name, "--create").code == 0
    hits = vitrine("images", "list", "-c", name, "--json").json["hits"]
    app = typer.Typer(cls=VitrineGroup)
    app.callback()(lambda: None)
    app.command("label")(label)

    def run(*arguments: object) -> Answer:
        result = CliRunner().invoke(
            app,
            ["label", "-c", name, "--tag", TAG, *(str(a) for a in arguments)],
            env=environment(empty_data),
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run, {hit["payload"]["filename"]: hit["id"] for hit in hits}


def accepting(ids: dict[str, str]) -> list[str]:
    chosen = {name: id for name, id in ids.items() if "24" in name or "32" in name}
    return [
        word
        for name, id in chosen.items()
        for word in ("--accept" if name.startswith("red") else "--reject", id)
    ]


def test_labels_training_and_the_next_images_in_one_call(
    shop: tuple[Any, dict[str, str]], tmp_path: Path
) -> None:
    run, ids = shop
    answer = run(*accepting(ids), "--train", "--limit", 4, "--to", tmp_path / "next.png", "--json")
    assert answer.code == 0, answer.err
    tree = json.loads(answer.out)
    assert tree["labels"] == {"accepted": 2, "rejected": 4} and tree["tag"] == TAG
    assert (
        tree["trained"]["examples"]["positives"] == 2
        and 0 <= tree["trained"]["metrics"]["average_precision"] <= 1
    )
    assert [image["payload"]["filename"][:3] for image in tree["ranking"]] == ["red"] * 4
    judged = {id for name, id in ids.items() if "24" in name or "32" in name}
    assert len(tree["uncertain"]) == 4 and not judged & {image["id"] for image in tree["uncertain"]}
    assert Image.open(tmp_path / "next.png").width > 800
    again = json.loads(run(*accepting(ids), "--json").out)
    assert again["labels"] == tree["labels"] and again["trained"] is None
    plain = run("--limit", 3)
    assert plain.out.splitlines()[0].split("\t") == ["#", "score", "id", "tags", "filename"]
    assert len(plain.out.splitlines()) == 4 and "2 images accepted, 4 rejected" in plain.err
    assert "Ranked first" in run("--train").err


def test_what_is_wrong_is_said(shop: tuple[Any, dict[str, str]]) -> None:
    run, ids = shop
    nothing = run("--json")
    assert nothing.code == 1 and json.loads(nothing.out)["error"]["code"] == "too_few_examples"
    one = next(iter(ids.values()))
    rejected = run("--reject", one, "--json")
    assert rejected.code == 0 and json.loads(rejected.out)["uncertain"] == []
    assert "too_few_examples" in run("--accept", one, "--train").err
    assert "not_found" in run("--accept", "5b1f4a43-94e7-5d5c-8f4e-0a8f6f3c2b11").err
    assert "bad_request" in run("--accept", one, "--reject", one).err
    assert run("--to", "next.txt").code == 1
    assert run("--limit", 0).code == 2


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("1", {1}),
        ("1 3 5-8", {1, 3, 5, 6, 7, 8}),
        ("2,4", {2, 4}),
        (" 3, 3 ", {3}),
        ("all", set(range(1, 10))),
        ("none", set()),
    ],
)
def test_numbers_of_tiles(text: str, chosen: set[int]) -> None:
    assert parse_numbers(text, 9) == chosen


@pytest.mark.parametrize("text", ["0", "10", "3-2", "x", "1-", "-1", "1;2", ""])
def test_numbers_that_no_tile_has(text: str) -> None:
    with pytest.raises(BadRequest, match=r"1\.\.9"):
        parse_numbers(text, 9)


class Person:
    """Answers from a script; remembers what was asked."""

    def __init__(self, *answers: str) -> None:
        self._answers: Iterator[str] = iter(answers)
        self.asked: list[str] = []

    def __call__(self, question: str) -> str | None:
        self.asked.append(question)
        return next(self._answers, None)


@pytest.fixture
def runtime(tmp_path: Path, pictures: Path) -> Iterator[Runtime]:
    made = make_runtime(tmp_path)
    uploads = [
        Upload(f"{path.parent.name}-{path.name}", path.read_bytes())
        for path in sorted(pictures.rglob("*.png"))
    ]
    outcomes = index_uploads(made, CATEGORY, uploads)
    assert len(outcomes) == len(COLOURS) * 4
    yield made
    made.encoders.close()


def names(runtime: Runtime, field: str) -> set[str]:
    hits = runtime.vectors.scroll(CATEGORY, limit=100).hits
    return {str(hit.payload["filename"]) for hit in hits if TAG in hit.payload.get(field, [])}


def test_rounds_go_on_until_nothing_is_answered(
    runtime: Runtime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reds = [
        hit.id
        for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits
        if str(hit.payload["filename"]).startswith("red")
    ]
    record(runtime, CATEGORY, TAG, reds[:2])
    person = Person("20", "none", "y", "")
    sheet = tmp_path / "sheets" / "round.png"
    rounds(runtime, CATEGORY, TAG, 3, sheet, person)
    assert len(person.asked) == 4 and "1 3 5-8" in person.asked[1] and "[Y/n]" in person.asked[2]
    assert len(names(runtime, "rejected_tags")) == 3 and len(names(runtime, "tags")) == 2
    told = capsys.readouterr()
    assert "is not a tile" in told.err and "Trained on 2 accepted, 3 rejected" in told.err
    assert runtime.taggers.get(CATEGORY, TAG).examples["negatives"] == 3
    assert sheet.is_file()


def test_what_is_left_undecided_is_not_shown_again(
    runtime: Runtime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = runtime.vectors.scroll(CATEGORY, limit=1).hits[0].id
    record(runtime, CATEGORY, TAG, [first])
    person = Person("none", "n", "none", "n", "none", "n")
    rounds(runtime, CATEGORY, TAG, 4, tmp_path / "x.png", person)  # 4 + 4 + 3, and then there are none
    assert len(person.asked) == 6 and not names(runtime, "rejected_tags")
    told = capsys.readouterr().err
    assert "Every image is judged" in told and "Not trained yet" in told


def test_a_tag_without_examples_ends_the_rounds_with_advice(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(TooFewExamples, match="tag a few images first"):
        rounds(runtime, CATEGORY, TAG, 4, tmp_path / "x.png", Person())
