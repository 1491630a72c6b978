"""Measure how times grow with the number of images: samples of one category's images, each task timed, and
how its time grows.

A sample lives in a store of its own in a temporary folder, so that clustering, map, tagger and search see so
many images and no others, and nothing of the category is changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.tree.tree import build_tree
from vitrine.indexer.enrich.maps.layout import lay_out
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.indexer.job.job import Job, Report
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.stored_images import FIELDS, embed_stored
from vitrine.services.category.catalog import Category
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import Embeddings, EncoderSpec, Payload, Point
from vitrine.services.errors import BadRequest, VitrineError
from vitrine.services.extras import load_extra
from vitrine.services.files import PLOTS, check_ending, make_folder, unwritable
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByVector

TASKS = ("embedding", "clustering", "map", "tagger", "search")
WARM = 60
"""Images of the runs before the first that is timed: libraries are loaded and compiled there."""
QUERIES = 50
"""Searches of which the median is taken."""
_SAMPLE, _PAGE = "sample", 500
_KEPT = ("tags", "class", "phash", "filename", "rejected_tags")
Task = Callable[["Sample"], float | None]
"""Does something with a sample; the seconds, where they are not those that the call took."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Some images of a category: ``ids`` and ``x`` (n, dim), of ``category`` in ``origin``; and a store that
    holds only these."""

    origin: Runtime
    category: str
    ids: tuple[str, ...]
    x: Embeddings
    scratch: Runtime
    own: Category


@dataclass(frozen=True)
class Timing:
    """``seconds`` of a task on ``size`` images (of search: of one query, the median); None, with a ``note``,
    where it failed."""

    task: str
    size: int
    seconds: float | None
    note: str = ""


@dataclass
class TimingReport(Report):
    """All timings, with what is to be known of them."""

    category: str
    using: str
    images: int
    sizes: list[int]
    rows: list[Timing] = field(default_factory=list)

    @property
    def exponents(self) -> dict[str, float | None]:
        """By task, the exponent of the size that fits its times best; None with fewer than two sizes."""
        return {
            task: exponent([row for row in self.rows if row.task == task])
            for task in dict.fromkeys(self.tasks)
        }

    @property
    def tasks(self) -> list[str]:
        return [row.task for row in self.rows]

    def timed(self, task: str, size: int) -> float | None:
        """Return the seconds of a task on so many images; None where there are none."""
        return next((row.seconds for row in self.rows if (row.task, row.size) == (task, size)), None)

    def to_json(self) -> dict[str, Any]:
        tasks = [
            {
                "task": task,
                "seconds": {str(size): self.timed(task, size) for size in self.sizes},
                "exponent": slope,
            }
            for task, slope in self.exponents.items()
        ]
        return super().to_json() | {"rows": [vars(row) for row in self.rows], "tasks": tasks}

    def summary(self) -> str:
        ended = ["Interrupted: what was not timed yet is missing."] if self.interrupted else []
        return "\n".join([*self.notes, *ended])


def exponent(rows: Sequence[Timing]) -> float | None:
    """Return the slope of the line through sizes and seconds, both as logarithms, by least squares; None with
    fewer than two.

    >>> exponent([Timing("x", 10, 0.5), Timing("x", 100, 5.0), Timing("x", 1000, 50.0)])
    1.0
    """
    known = [(row.size, row.seconds) for row in rows if row.seconds]
    if len({size for size, _ in known}) < 2:
        return None
    slope, _ = np.polyfit(np.log([size for size, _ in known]), np.log([seconds for _, seconds in known]), 1)
    return round(float(slope), 3) + 0.0


def time_tasks(
    runtime: Runtime,
    category: str,
    sizes: Sequence[int],
    tasks: Mapping[str, Task],
    *,
    using: str | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> TimingReport:
    """Time the tasks on samples of these sizes, each a part of the next; sizes above what the category has
    are cut, and said.

    ``stop`` or Ctrl-C ends it; what was timed by then is reported. ``NotFound``, ``UnknownVector``,
    ``BadRequest`` (no sizes, or fewer than three images).
    """
    cat = runtime.catalog.get(category)
    spec = cat.encoder(using)
    ids, x, payloads = _read(runtime, category, spec.name)
    if len(ids) < 3:
        raise BadRequest(
            f"Category {category!r} has {len(ids)} images with {spec.name!r}; it takes three to time "
            "anything."
        )
    if not sizes or min(sizes) < 3:
        raise BadRequest("Say sizes of three images and more, such as --sizes 1000,3000,10000.")
    kept = sorted({min(size, len(ids)) for size in sizes})
    report = TimingReport(category, spec.name, len(ids), kept)
    larger = sorted({size for size in sizes if size > len(ids)})
    if larger:
        said = ", ".join(map(str, larger))
        report.notes.append(
            f"The category has {len(ids)} images: {said} {'is' if len(larger) == 1 else 'are'} cut to that."
        )
    order = np.random.default_rng(seed).permutation(len(ids))

    def sample(size: int) -> AbstractContextManager[Sample]:
        rows = np.sort(order[:size]).tolist()
        return _sample(
            runtime, cat, spec, [ids[row] for row in rows], x[rows], [payloads[row] for row in rows]
        )

    job = Job(runtime, category, report, progress, stop)
    with job.running():
        with sample(min(WARM, kept[0])) as few:
            for name, task in tasks.items():
                with job.stage(f"{name}, warming up"):
                    _timed(name, task, few, clock)
        for size in kept:
            with sample(size) as one:
                for name, task in tasks.items():
                    with job.stage(f"{name}, {size} images"):
                        report.rows.append(_timed(name, task, one, clock))
    failed = {row.task: row.note for row in report.rows if row.note}
    report.notes += [f"{name}: {why}" for name, why in failed.items()]
    return report


def indexer_tasks(map_method: str = "umap") -> dict[str, Task]:
    """Return the tasks of this layer; cli/bench.py adds the training of a tagger."""
    options = MapOptions(map_method)  # type: ignore[arg-type]  # refused if there is no such method
    return {
        "embedding": _embed,
        "clustering": _cluster,
        "map": lambda sample: _lay_out(sample, options),
        "search": _search,
    }


def draw_timing(report: TimingReport, path: Path) -> None:
    """Draw seconds over sizes, both axes logarithmic, to a .png or .svg file. ``BadRequest``: the file, or no
    matplotlib."""
    check_ending(path, "a plot", PLOTS)
    figure = load_extra("matplotlib.figure", "cluster").Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for task, slope in report.exponents.items():
        known = [(row.size, row.seconds) for row in report.rows if row.task == task and row.seconds]
        if known:
            label = task if slope is None else f"{task}: n^{slope:.2f}"
            axes.plot(*zip(*known, strict=True), marker="o", label=label)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="images",
        ylabel="seconds",
        title=f"{report.category}: time over size",
    )
    axes.grid(which="both", alpha=0.3)
    if axes.lines:
        axes.legend()
    try:
        make_folder(path.parent)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise unwritable(path, error) from error


# Tasks
# ------------------------------------------------------------------------------------------------------------


def _embed(sample: Sample) -> None:
    """Read, decode and encode the pictures."""
    encoder = sample.origin.encoders.for_category(sample.own.encoder(None))
    for start in range(0, len(sample.ids), _PAGE):
        found = sample.origin.vectors.retrieve(
            sample.category, sample.ids[start : start + _PAGE], with_payload=FIELDS
        )
        for _ in embed_stored(sample.origin, encoder, [hit for hit in found if hit is not None]):
            pass


def _cluster(sample: Sample) -> None:
    build_tree(sample.x.copy(), TreeOptions())


def _lay_out(sample: Sample, options: MapOptions) -> None:
    lay_out(sample.scratch.vectors, sample.own, sample.own.encoder(None), options, lambda done, of: None)


def _search(sample: Sample) -> float:
    """Return the median time of a query for the ten nearest, once all are under the index."""
    sample.scratch.vectors.optimize(_SAMPLE)
    spent = []
    for row in np.linspace(0, len(sample.x) - 1, QUERIES).astype(int).tolist():
        started = time.perf_counter()
        sample.scratch.searcher.search(_SAMPLE, ByVector(sample.x[row].tolist()), SearchOptions(limit=10))
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))


def _timed(name: str, task: Task, sample: Sample, clock: Callable[[], float]) -> Timing:
    started = clock()
    try:
        given = task(sample)
    except VitrineError as error:
        return Timing(name, len(sample.ids), None, error.message)
    return Timing(name, len(sample.ids), round(clock() - started if given is None else given, 6))


# Samples
# ------------------------------------------------------------------------------------------------------------


def _read(runtime: Runtime, category: str, using: str) -> tuple[list[str], Embeddings, list[Payload]]:
    ids: list[str] = []
    rows: list[Embeddings] = []
    payloads: list[Payload] = []
    for batch in read_all(runtime.vectors, category, using, fields=_KEPT):
        ids += batch.ids
        rows.append(batch.embeddings)
        payloads += batch.payloads
    return ids, np.concatenate(rows) if rows else np.empty((0, 1), np.float32), payloads


@contextmanager
def _sample(
    runtime: Runtime,
    category: Category,
    spec: EncoderSpec,
    ids: list[str],
    x: Embeddings,
    payloads: list[Payload],
) -> Iterator[Sample]:
    with TemporaryDirectory(prefix="vitrine-timing-") as folder:
        own = {"data": Path(folder), "qdrant_url": None, "minio_endpoint": None}
        with open_runtime(runtime.settings.changed(**own), command="vitrine bench timing") as scratch:
            made = scratch.catalog.create(_SAMPLE, [spec])
            for start in range(0, len(ids), _PAGE):
                part = range(start, min(start + _PAGE, len(ids)))
                scratch.vectors.upsert(
                    _SAMPLE, [Point(ids[row], {spec.name: x[row]}, payloads[row]) for row in part]
                )
            yield Sample(runtime, category.name, tuple(ids), x, scratch, made)
