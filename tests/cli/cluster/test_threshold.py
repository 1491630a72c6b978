"""``vitrine cluster threshold``, as a person and as a program would use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Answer, Fill, runner
from vitrine.cli.cluster.threshold import judge, numbers_of
from vitrine.indexer.enrich.clusters.threshold.answers import Answers
from vitrine.services.domain import Point
from vitrine.services.errors import BadRequest
from vitrine.services.images.contact_sheet import Tile, contact_sheet
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime

NAME = "pairs"
IMAGES, EACH = 60, 3


@pytest.fixture
def data(filled_by: Callable[[Fill], Path]) -> Path:
    """A category of twenty groups of three, which is what belongs together."""
    return filled_by(fill)


def fill(runtime: Runtime) -> None:
    spec = runtime.encoders.get("colour").spec
    runtime.catalog.create(NAME, [spec])
    draw = np.random.default_rng(1)
    rows = np.repeat(draw.normal(size=(IMAGES // EACH, spec.dim)), EACH, axis=0) + 0.5 * draw.normal(
        size=(IMAGES, spec.dim)
    )
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    points = [
        Point(point_id(f"{n:064x}"), {spec.name: rows[n]}, {"filename": f"{n}.png"}) for n in range(IMAGES)
    ]
    runtime.vectors.upsert(NAME, points)


def ask(data: Path, *more: object, input: str | None = None) -> Answer:
    return runner(data)(
        "cluster", "threshold", "-c", NAME, "--answers", "a.json", "--low", "0.2", *more, input=input
    )


def pairs() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(Path("a.json").read_text())["pairs"]
    return found


def belong(pair: dict[str, object]) -> bool:
    one, other = (int(str(name).partition(".")[0]) // EACH for name in pair["names"])  # type: ignore[attr-defined]
    return one == other


def test_a_sheet_first_and_then_answers_by_number(data: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = ask(data, "--pairs", 40, "--to", "out/sheet.png", "--json")
    assert (
        drawn.code == 0
        and drawn.json["status"] == "needs answers"
        and len(drawn.json["judged"]) == 40 == drawn.json["pairs"]
    )
    page = Image.open("out/sheet.png")
    assert (
        page.size
        == contact_sheet([Tile(None, ("", "", ""))] * 40, columns=5, tile_size=300, title="pairs").size
    )
    yes = ",".join(str(pair["number"]) for pair in pairs() if belong(pair))
    no = ",".join(str(pair["number"]) for pair in pairs() if not belong(pair))
    made = ask(data, "--accept", yes, "--reject", no, "--plot", "out/plot.png", "--json")
    assert made.code == 0 and made.json["status"] == "proposed" and made.json["answered"] == 40
    assert (
        made.json["f1"] > 0.9
        and 0.3 < made.json["threshold"] < 0.95
        and Path("out/plot.png").stat().st_size > 5_000
    )
    assert (
        "--similarity" in made.json["use"][0]
        and f"--eps {1 - made.json['threshold']:.4f}" in made.json["use"][1]
    )
    again = ask(data, "--precision", "0.9")  # complete answers: no terminal is needed
    assert again.code == 0 and "population" in again.out and "threshold\tprecision\trecall\tF1" in again.out
    assert "duplicates find" in again.err
    more = ask(data, "--pairs", 50, "--json").json
    assert (more["pairs"], more["answered"]) == (50, 40)


def test_pair_by_pair_with_undo_and_going_on(data: Path) -> None:
    few = ask(data, "--pairs", 30, "--ask", "--json", input="y\nn\nu\ns\nwhat\nq\n")
    assert (
        few.code == 0
        and few.json["status"] == "needs answers"
        and few.json["needed"] == {"accepted": 2, "rejected": 3}
    )
    assert "[1/30]" in few.err and ".png" in few.err and "u undo" in few.err
    answered = {pair["number"]: pair["accepted"] for pair in pairs() if pair["accepted"] is not None}
    assert list(answered.values()) == [True]  # the second answer was taken back
    file, asked = Answers.read(Path("a.json")), list[int]()

    def person() -> str:
        """Looks at the pair that is asked about."""
        pair = file.next_pair()
        assert pair is not None and pair.accepted is None and Answers.read(Path("a.json")).pairs == file.pairs
        asked.append(pair.number)
        return "y\n" if belong(vars(pair)) else "n\n"

    judge(file, None, person)
    assert sorted([*asked, *answered]) == list(range(1, 31))  # each once, and none that was answered before
    made = ask(data, "--pairs", 30, "--json")
    assert made.code == 0 and made.json["answered"] == 30


def test_the_end_of_the_input_ends_the_questions(data: Path) -> None:
    ended = ask(data, "--ask", input="y\n")
    assert (
        ended.code == 0
        and "Nobody answered" in ended.err
        and sum(pair["accepted"] is not None for pair in pairs()) == 1
    )
    assert ask(data, "--ask", input="u\nq\n").err.count("nothing to undo") == 1


def test_too_few_answers_are_no_failure_unless_the_proposal_is_asked_for(data: Path) -> None:
    first = ask(data, "--pairs", 30, "--no-ask")
    assert (
        first.code == 0
        and "3 more accepted and 3 more rejected are needed" in first.err
        and "--to FILE" in first.err
    )
    again = ask(data, "--no-ask", "--accept", "1,2,3", "--to", "s.png")
    assert again.code == 0 and "3 accepted, 0 rejected" in again.out and "needed. Look at s.png" in again.err
    assert "pairs of lower similarity first" in again.err and "3 more accepted" not in again.err
    for asked in (("--precision", "0.9"), ("--plot", "p.png")):
        refused = ask(data, "--no-ask", "--json", *asked)
        assert refused.code == 1 and refused.json["error"]["code"] == "too_few_examples"
    all_of_them = ask(data, "--no-ask", "--accept", "1-30", "--json").json
    assert all_of_them["needed"] == {"accepted": 0, "rejected": 3} and "lower --low" in all_of_them["next"]


def test_fewer_pairs_than_the_file_holds_are_told_of(data: Path) -> None:
    ask(data, "--pairs", 30, "--no-ask")
    fewer = ask(data, "--pairs", 20, "--no-ask")
    assert "holds 30 pairs, more than --pairs 20" in fewer.err and len(pairs()) == 30
    assert "holds" not in ask(data, "--pairs", 30, "--no-ask").err


@pytest.mark.parametrize(
    "more",
    [
        ("--accept", "1,x"),
        ("--accept", "1-3", "--reject", "3"),
        ("--accept", "999"),
        ("--to", "a.txt"),
        ("--plot", "a.txt"),
        ("--measure", "cosine"),
        ("--using", "nothing"),
        ("--low", "1"),
    ],
)
def test_what_is_refused(data: Path, more: tuple[str, ...]) -> None:
    assert ask(data, "--no-ask", *more).code == 1
    assert not Path("a.json").exists() or all(pair["accepted"] is None for pair in pairs())


def test_answers_of_another_category_are_refused(data: Path) -> None:
    ask(data, "--no-ask")
    refused = ask(data, "--measure", "phash", "--json")
    assert refused.code == 1 and "another file" in refused.json["error"]["message"]


def test_numbers() -> None:
    assert numbers_of("1, 4,7-9") == {1, 4, 7, 8, 9} and numbers_of("") == set()
    for text in ("a", "1-", "-3", "1-2-3", "99999999999999", "1-999999999", "9-7", "²"):
        with pytest.raises(BadRequest):
            numbers_of(text)
