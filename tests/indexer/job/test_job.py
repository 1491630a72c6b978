"""A job: its stages are timed and shown, and however it ends its report says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.indexer.enrich.scores.heads import fill, stored
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.job.job import Job, Report
from vitrine.indexer.job.payload_writer import Change
from vitrine.indexer.job.progress import Counts, StageByStage, StageState, Tally
from vitrine.services.domain import Hit
from vitrine.services.errors import StorageFull
from vitrine.services.runtime import Runtime

IMAGES = 10


@dataclass
class Shouted(Report):
    """What an enrichment of one line did."""

    category: str
    images: int = 0
    written: int = 0

    def count(self, images: int, written: int) -> None:
        self.images += images
        self.written += written


class Watching:
    """Keeps what a progress is given; ``at`` the second page it calls ``then``."""

    def __init__(self, then: threading.Event | None = None, error: BaseException | None = None) -> None:
        self.seen: list[tuple[str, int | None]] = []
        self.done: list[int] = []
        self.then, self.error = then, error

    def start(self, stage: str, total: int | None) -> None:
        self.seen.append((stage, total))

    def update(self, report: Counts) -> None:
        self.done.append(report.done)
        if len(self.done) == 2 and self.then:
            self.then.set()
        if len(self.done) == 2 and self.error:
            raise self.error

    def say(self, text: str) -> None: ...

    def finish(self, report: Counts) -> None:
        self.seen.append(("end", report.done))


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    made = make_runtime(tmp_path)
    fill(made, IMAGES, {n: {"caption": f"picture {n}"} for n in range(IMAGES)})
    return made


def shout(runtime: Runtime, progress: Watching | None = None, stop: threading.Event | None = None) -> Shouted:
    """The smallest enrichment: captions in capitals."""
    report = Shouted(CATEGORY)
    job = Job(runtime, CATEGORY, report, progress, stop)

    def louder(hits: Sequence[Hit]) -> dict[str, Change]:
        return {
            hit.id: Change({"caption": hit.payload["caption"].upper()})
            for hit in hits
            if not hit.payload["caption"].isupper()
        }

    with job.running():
        job.revise("shouting", louder, fields=("caption",), page=4, wrote=report.count)
    return report


def test_a_revision_reads_writes_and_shows_page_by_page(runtime: Runtime) -> None:
    watching = Watching()
    report = shout(runtime, watching)
    assert (report.status, report.exit_code, report.images, report.written) == ("complete", 0, IMAGES, IMAGES)
    assert watching.seen == [("shouting", IMAGES), ("end", IMAGES)] and watching.done == [4, 8, 10]
    assert {payload["caption"] for payload, _ in stored(runtime).values()} == {
        f"PICTURE {n}" for n in range(IMAGES)
    }
    assert report.stages.keys() == {"shouting"} and report.seconds > 0
    assert json.loads(json.dumps(report.to_json())) == {
        "status": "complete", "category": CATEGORY, "images": IMAGES, "written": IMAGES,
        "seconds": round(report.seconds, 3), "notes": [],
    }  # fmt: skip
    assert shout(runtime).written == 0


@pytest.mark.parametrize("how", ["stop", "ctrl-c"])
def test_a_job_ends_after_the_page_under_way_and_again_goes_on(runtime: Runtime, how: str) -> None:
    stop = threading.Event()
    watching = Watching(then=stop) if how == "stop" else Watching(error=KeyboardInterrupt())
    report = shout(runtime, watching, stop)
    assert (report.status, report.exit_code, report.written) == ("interrupted", 130, 8)
    assert watching.seen[-1] == ("end", 8)
    assert shout(runtime).written == 2


def test_a_stop_before_the_beginning_writes_nothing_and_one_after_the_end_changes_nothing(
    runtime: Runtime,
) -> None:
    stop = threading.Event()
    stop.set()
    assert (shout(runtime, stop=stop).status, shout(runtime).written) == ("interrupted", IMAGES)
    last = threading.Event()
    job = Job(runtime, CATEGORY, Report(), stop=last)
    with job.running(), job.stage("fitting", 2) as advance:
        last.set()
        advance(2, 2)
        with pytest.raises(InterruptedError):
            advance(1, 2)
    assert job.report.status == "complete"


def test_errors_are_raised_or_kept(runtime: Runtime) -> None:
    job = Job(runtime, CATEGORY, Report())
    with pytest.raises(StorageFull), job.running():
        raise StorageFull("full")
    assert job.report.status == "complete" and job.report.error is None
    with job.running(keep_errors=True):
        raise StorageFull("full")
    assert (job.report.status, job.report.exit_code) == ("failed", 1)
    assert job.report.error_json() == {"code": "storage_full", "message": "full"}
    with job.running(keep_errors=True):
        raise ZeroDivisionError
    assert job.report.error is not None and isinstance(job.report.error.__cause__, ZeroDivisionError)


def test_the_state_of_a_stage_has_its_rate_and_the_time_that_is_left() -> None:
    state = StageState("embedding", 100)
    assert state.to_json() == {
        "stage": "embedding", "done": 0, "total": 100, "refused": 0, "rate": 0.0, "seconds_left": None,
    }  # fmt: skip
    for done, now in ((20, 0.0), (40, 10.0)):
        state.see(Tally(done, 3), now)
    assert state.to_json() == {
        "stage": "embedding", "done": 40, "total": 100, "refused": 3, "rate": 2.0, "seconds_left": 30.0,
    }  # fmt: skip


def test_work_that_names_its_stages_is_shown_stage_by_stage() -> None:
    watching = Watching()
    shown = StageByStage(watching)
    for stage, done in (("one", 1), ("one", 2), ("two", 1)):
        shown(stage, done, 2)
    shown.close()
    assert watching.seen == [("one", 2), ("end", 2), ("two", 2), ("end", 1)] and watching.done == [1, 2, 1]
    StageByStage(None)("one", 1, 2)
