"""The report of an indexing run: outcomes, counts, examples and times."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import orjson

from vitrine.indexer.job.conflicts import FILENAME, Conflict
from vitrine.indexer.job.job import Report, first_few
from vitrine.services.category.payload import unindexed_note
from vitrine.services.files import unwritable

Outcome = Literal["added", "known", "updated", "duplicate", "refused"]
NearDuplicates = Literal["ignore", "tell", "skip"]
"""What to do about near-duplicates: nothing is looked up; they are indexed, and their outcome says so; they
are not indexed."""
MAX_REFUSALS = 10_000
"""How many refusals are kept in memory; ``RefusedFile`` keeps all."""
_SHOWN = 10


@dataclass(frozen=True)
class NearDuplicate:
    """The image that another is a copy or a version of. ``kind``: identical pixels, resized, or edited (a
    version); ``similarity``: structural, in -1..1."""

    id: str
    kind: str
    similarity: float


@dataclass(frozen=True)
class ItemOutcome:
    """What became of one file. ``id`` is there if it is in the category; ``reason`` (of ``REFUSALS``) and
    ``message`` if it was refused. ``near``: the image that it is a near-duplicate of, where that was asked
    for; ``duplicate``: so it was not indexed. ``conflicts``: where it says something else than the image of
    the same bytes, which stays as it is.
    """

    filename: str
    outcome: Outcome
    id: str | None = None
    reason: str | None = None
    message: str | None = None
    near: NearDuplicate | None = None
    conflicts: tuple[Conflict, ...] = ()


@dataclass
class IndexReport(Report):
    """What became of the files of an indexing run, complete or not. Only what is durable is counted as added,
    known or updated.

    ``duplicate``: near-duplicates that were not indexed; ``near``: those that were. ``copies``: the first
    10,000 of both (name, id of the image they are a copy of). ``images``: how many the category holds at the
    end. ``stages``: seconds of work by stage, summed over threads, which overlap. ``refusals``: the first
    10,000 (name, reason, message). ``unindexed``: the fields of columns that no filter finds. ``skipped``:
    how many files the source did not offer, by reason (hidden, no_picture). ``first_frames``: files of
    several frames or pages of which the first was added. ``error``: what ended the run.

    ``conflicting``: files that say something else than the image of the same bytes, such as another class;
    ``other_names``: files that have its bytes under another name; ``conflicts``: the first 10,000 of both
    (name, what it disagrees in). The image is there, so they change neither status nor exit code.
    """

    category: str
    added: int = 0
    known: int = 0
    updated: int = 0
    duplicate: int = 0
    refused: int = 0
    near: int = 0
    copies: list[tuple[str, str]] = field(default_factory=list)
    conflicting: int = 0
    other_names: int = 0
    conflicts: list[tuple[str, Conflict]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    refusals: list[tuple[str, str, str]] = field(default_factory=list)
    unindexed: set[str] = field(default_factory=set)
    skipped: dict[str, int] = field(default_factory=dict)
    images: int | None = None
    first_frames: int = 0

    @property
    def done(self) -> int:
        """Return how many files have an outcome."""
        return self.added + self.known + self.updated + self.duplicate + self.refused

    @property
    def rate(self) -> float:
        """Return images a second."""
        return self.done / self.seconds if self.seconds else 0.0

    def count(self, outcome: ItemOutcome) -> None:
        setattr(self, outcome.outcome, getattr(self, outcome.outcome) + 1)
        if outcome.near is not None:
            self.near += outcome.outcome != "duplicate"
            self.copies += [(outcome.filename, outcome.near.id)] if len(self.copies) < MAX_REFUSALS else []
        self._count_conflicts(outcome)
        if outcome.outcome == "refused":
            reason = outcome.reason or ""
            self.reasons[reason] += 1
            if len(self.refusals) < MAX_REFUSALS:
                self.refusals.append((outcome.filename, reason, outcome.message or ""))

    def _count_conflicts(self, outcome: ItemOutcome) -> None:
        fields = [conflict.field for conflict in outcome.conflicts]
        self.other_names += FILENAME in fields
        self.conflicting += any(field != FILENAME for field in fields)
        if len(self.conflicts) < MAX_REFUSALS:
            self.conflicts += [(outcome.filename, conflict) for conflict in outcome.conflicts]

    def to_json(self) -> dict[str, Any]:
        tree = super().to_json()
        copies = tree.pop("copies")
        del tree["near"]
        return tree | {
            "near_duplicates": [{"filename": name, "of": id} for name, id in copies],
            "conflicts": [{"filename": name, **conflict.to_json()} for name, conflict in self.conflicts],
            "reasons": dict(self.reasons),
            "refusals": [
                {"filename": name, "reason": why, "message": text} for name, why, text in self.refusals
            ],
            "images_per_second": round(self.rate, 1),
            "stages": {stage: round(seconds, 3) for stage, seconds in self.stages.items()},
            "unindexed": sorted(self.unindexed),
            "error": self.error_json(),
        }

    def summary(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield (
            f"{self.added} added, {self.updated} updated, {self.known} known, {self.refused} refused "
            f"in {self.seconds:.1f} s ({self.rate:.1f} images/s)"
        )
        yield from self._near_lines()
        yield from self._conflict_lines()
        yield from (f"  {count} {reason}" for reason, count in self.reasons.most_common())
        refusals = [f"{name}: {message}" for name, _, message in self.refusals[:_SHOWN]]
        yield from first_few(refusals, self.refused, "--refused FILE lists all")
        if self.first_frames:
            yield (
                f"{self.first_frames} have several frames or pages, of which the first is indexed "
                "(--frames all: each as an image of its own)."
            )
        yield from self.notes
        if self.unindexed:
            yield unindexed_note(self.unindexed)
        if self.stages:
            yield "Work by stage: " + ", ".join(
                f"{stage} {seconds:.1f} s" for stage, seconds in self.stages.items()
            )
        if self.images is not None:
            yield f"{self.category} holds {self.images} images."
        yield from self.ending()

    def _near_lines(self) -> Iterator[str]:
        if self.duplicate:
            yield f"  {self.duplicate} near-duplicates of images that are there were not indexed"
        if self.near:
            yield (
                f"  {self.near} are near-duplicates of images that are there (`vitrine duplicates find` "
                "groups them)"
            )
        copies = [f"{name}: of {id}" for name, id in self.copies[:_SHOWN]]
        yield from first_few(copies, len(self.copies), "--json lists them")

    def _conflict_lines(self) -> Iterator[str]:
        values = [(name, conflict) for name, conflict in self.conflicts if conflict.field != FILENAME]
        names = [(name, conflict) for name, conflict in self.conflicts if conflict.field == FILENAME]
        if values:
            yield (
                f"  {_files(self.conflicting)} something else than the image of the same bytes, which "
                "stays as it is:"
            )
            yield from (f"    {name}: {conflict}" for name, conflict in values[:_SHOWN])
        if names:
            yield (
                f"  {_files(self.other_names, 'has', 'have')} the bytes of an image of another name, which "
                "it keeps:"
            )
            yield from (f"    {name}: is {conflict.kept}" for name, conflict in names[:_SHOWN])
        if max(len(values), len(names)) > _SHOWN:
            yield "    ... and more (--json lists them)"


def _files(count: int, one: str = "says", many: str = "say") -> str:
    return f"1 file {one}" if count == 1 else f"{count} files {many}"


class StageClock:
    """Counts seconds of work by stage, from any thread. Those in which several threads are at a stage count
    once each, or once for all where the stage is one of ``shared``: they wait for the same model."""

    def __init__(
        self,
        stages: tuple[str, ...],
        shared: Container[str] = (),
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.seconds = dict.fromkeys(stages, 0.0)
        self._now = now
        self._shared = shared
        self._ended = dict.fromkeys(stages, 0.0)
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        started = self._now()
        try:
            yield
        finally:
            with self._lock:
                ended = self._now()
                since = max(started, self._ended[stage]) if stage in self._shared else started
                self.seconds[stage] += ended - since
                self._ended[stage] = ended


class LinesFile:
    """A file of JSON objects, one a line, each on the disk's way as it comes; one file a run.

    ``BadRequest`` or ``StorageFull`` if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115  # closed by __exit__
        except OSError as error:
            raise unwritable(path, error) from error

    def write(self, row: Mapping[str, object]) -> None:
        try:
            os.write(self._file.fileno(), orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise unwritable(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class RefusedFile(LinesFile):
    """Writes every refusal; an ``on_outcome`` of ``index_images``."""

    def __call__(self, outcome: ItemOutcome) -> None:
        if outcome.outcome == "refused":
            self.write({"filename": outcome.filename, "reason": outcome.reason, "message": outcome.message})


class SkippedFile(LinesFile):
    """Writes every file that a source does not offer; an ``on_skipped`` of ``SourceOptions``."""

    def __call__(self, name: str, reason: str) -> None:
        self.write({"filename": name, "reason": reason})


@contextmanager
def skipped_file(path: Path | None) -> Iterator[SkippedFile | None]:
    """Open a file for what a source does not offer; None where nobody wants one."""
    if path is None:
        yield None
        return
    with SkippedFile(path) as file:
        yield file
