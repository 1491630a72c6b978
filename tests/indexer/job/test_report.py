from __future__ import annotations

import io
import json
import sys
from contextlib import ExitStack
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from vitrine.indexer.job.conflicts import Conflict
from vitrine.indexer.job.progress import BarProgress, LineProgress, Tally, make_progress
from vitrine.indexer.job.report import MAX_REFUSALS, IndexReport, ItemOutcome, RefusedFile, StageClock
from vitrine.services.errors import StorageFull

REFUSED = ItemOutcome("a/x.svg", "refused", reason="unsupported_format", message="It is an SVG.")


def report(*outcomes: ItemOutcome) -> IndexReport:
    made = IndexReport("c", seconds=2.0)
    for outcome in outcomes:
        made.count(outcome)
    return made


@pytest.mark.parametrize(
    ("made", "status", "code"),
    [
        (report(ItemOutcome("1", "added", "id")), "complete", 0),
        (report(ItemOutcome("1", "known", "id"), REFUSED), "refused", 3),
        (IndexReport("c", interrupted=True, refused=1), "interrupted", 130),
        (IndexReport("c", interrupted=True, error=StorageFull("full")), "failed", 1),
    ],
)
def test_status_and_exit_code(made: IndexReport, status: str, code: int) -> None:
    assert (made.status, made.exit_code, made.to_json()["status"]) == (status, code, status)


def test_json_and_summary_tell_all_of_it() -> None:
    made = report(ItemOutcome("1", "added", "id"), ItemOutcome("2", "updated", "id"), *[REFUSED] * 12)
    made.error, made.images, made.notes, made.stages = (
        StorageFull("The disk is full."),
        2,
        ["A note."],
        {"read": 1.0},
    )
    tree = json.loads(json.dumps(made.to_json()))
    assert (tree["added"], tree["updated"], tree["refused"], tree["images_per_second"]) == (1, 1, 12, 7.0)
    assert tree["refusals"][0] == {
        "filename": "a/x.svg",
        "reason": "unsupported_format",
        "message": "It is an SVG.",
    }
    assert tree["error"] == {"code": "storage_full", "message": "The disk is full."}
    text = made.summary()
    for part in (
        "1 added, 1 updated",
        "12 unsupported_format",
        "a/x.svg: It is an SVG.",
        "2 more",
        "A note.",
        "storage_full",
    ):
        assert part in text


def test_refusals_in_memory_are_bounded_and_the_file_has_all(tmp_path: Path) -> None:
    made = IndexReport("c")
    with RefusedFile(tmp_path / "refused.jsonl") as file:
        for _ in range(MAX_REFUSALS + 5):
            made.count(REFUSED)
            file(REFUSED)
        file(ItemOutcome("1", "added", "id"))
    assert (made.refused, len(made.refusals)) == (MAX_REFUSALS + 5, MAX_REFUSALS)
    lines = (tmp_path / "refused.jsonl").read_bytes().splitlines()
    assert len(lines) == MAX_REFUSALS + 5
    assert json.loads(lines[-1]) == {
        "filename": "a/x.svg",
        "reason": "unsupported_format",
        "message": "It is an SVG.",
    }


def test_lines_come_every_ten_seconds_and_every_tenth() -> None:
    now, stream = [0.0], io.StringIO()
    progress = LineProgress(stream, clock=lambda: now[0])
    progress.start("indexing", 1000)
    for seconds, done in ((1, 50), (2, 100), (3, 150), (12, 160), (13, 199)):
        now[0] = seconds
        progress.update(IndexReport("c", added=done))
    progress.finish(IndexReport("c"))
    assert stream.getvalue().splitlines() == [
        "indexing: 100 of 1000 (10%) images, 50.0 images/s, 18 s left",
        "indexing: 160 of 1000 (16%) images, 10.0 images/s, 84 s left",
    ]


def test_quick_stages_print_next_to_nothing_and_what_was_done_before_is_no_speed() -> None:
    now, stream = [0.0], io.StringIO()
    progress = LineProgress(stream, clock=lambda: now[0])
    for _ in range(5):  # stages of 1.9 s, a tenth each time
        progress.start("grouping", 20)
        for done in range(1, 20):
            now[0] += 0.1
            progress.update(Tally(done))
    assert stream.getvalue() == ""
    progress.start("grouping", 1000)
    for tenths in range(1, 70):  # 900 were done in an earlier run
        now[0] += 0.1
        progress.update(Tally(900 + tenths))
    progress.start("grouping", None)
    for done in (1, 2):
        now[0] += 11
        progress.update(Tally(done))
    assert stream.getvalue().splitlines() == [
        "grouping: 921 of 1000 (92%) images, 10.0 images/s, 8 s left",
        "grouping: 1 images",
        "grouping: 2 images, 0.1 images/s",
    ]


def test_a_total_that_turns_out_too_small_grows() -> None:
    now, stream = [0.0], io.StringIO()
    progress = LineProgress(stream, clock=lambda: now[0])
    progress.start("indexing", 6)
    for done in (3, 10):
        now[0] += 20
        progress.update(IndexReport("c", added=done))
    progress.say("The store does not answer.")
    assert stream.getvalue().splitlines() == [
        "indexing: 3 of 6 (50%) images",
        "indexing: 10 of 10 (100%) images, 0.3 images/s, 0 s left",
        "indexing: The store does not answer.",
    ]


def test_conflicts_are_counted_and_named() -> None:
    kept = ItemOutcome(
        "b/1.png",
        "known",
        "id",
        conflicts=(Conflict("filename", "a/1.png", "b/1.png"), Conflict("class", "a", "b")),
    )
    made = report(
        ItemOutcome("a/1.png", "added", "id"),
        kept,
        ItemOutcome("c.png", "known", "id", conflicts=kept.conflicts[:1]),
    )
    assert (made.conflicting, made.other_names, made.status, made.exit_code) == (1, 2, "complete", 0)
    assert made.to_json()["conflicts"][1] == {
        "filename": "b/1.png",
        "field": "class",
        "kept": "a",
        "said": "b",
    }
    text = made.summary()
    for part in (
        "1 file says something else",
        "b/1.png: class 'b', kept 'a'",
        "2 files have the bytes",
        "c.png: is a/1.png",
    ):
        assert part in text


def test_progress_fits_its_stream(capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert make_progress(quiet=True) is None
    assert isinstance(make_progress(), LineProgress)
    terminal = Terminal()
    bar = make_progress(stream=terminal)
    assert isinstance(bar, BarProgress)
    bar.start("indexing", None)
    bar.update(IndexReport("c", added=3, refused=1))
    bar.update(IndexReport("c", added=4, refused=1))
    bar.say("The store is away.")
    bar.finish(IndexReport("c"))
    assert "images/s" in terminal.getvalue() and "?" not in terminal.getvalue().replace("[?", "")
    assert capsys.readouterr().out == ""


def test_a_notebook_has_a_bar_where_it_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    for name in ("ipykernel", "ipywidgets"):
        assert isinstance(make_progress(), LineProgress)
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    assert isinstance(make_progress(), BarProgress)


def test_stage_times_add_up() -> None:
    clock = StageClock(("a", "b"))
    for _ in range(2):
        with clock.measure("a"):
            pass
    assert clock.seconds["a"] > 0 and clock.seconds["b"] == 0


def test_threads_that_wait_for_one_model_count_once() -> None:
    times = iter([0.0, 1.0, 5.0, 7.0, 8.0, 9.0] * 2)
    for shared, seconds in ((("encode",), 8.0), ((), 12.0)):
        clock = StageClock(("encode",), shared, lambda: next(times))
        with ExitStack() as first, ExitStack() as second:
            first.enter_context(clock.measure("encode"))  # from 0
            second.enter_context(clock.measure("encode"))  # from 1
            first.close()  # to 5
            second.close()  # to 7
        with clock.measure("encode"):  # from 8 to 9
            pass
        assert clock.seconds["encode"] == seconds
