"""Clustering by pixels as a cluster run: ``pixels-ssim``, ``pixels-phash`` and so on.

Groups become the nodes of a tree of one level; an image that is alone, or cannot be read, is in
``root-noise``. A group's representative is its node's medoid. Images that come in later are not compared by
their pixels: as after a density-based method, they get the node whose centre, of the embeddings, is nearest,
if they are no farther from it than its images, and noise otherwise. Run it again, or ``--stage merge``, to
have them compared.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.options import PixelOptions
from vitrine.indexer.enrich.clusters.pixels.batches import Grouping
from vitrine.indexer.enrich.clusters.pixels.checkpoint import Checkpoints, State, fingerprint
from vitrine.indexer.enrich.clusters.pixels.grouping import Leaders
from vitrine.indexer.enrich.clusters.pixels.measures import DEFAULT_THRESHOLDS, Measure, measure
from vitrine.indexer.enrich.clusters.pixels.pictures import (
    SIGNATURE_SIDE,
    OutOfTime,
    Pictures,
    StoredPicture,
    read_sources,
)
from vitrine.indexer.enrich.clusters.pixels.report import PixelReport
from vitrine.indexer.enrich.clusters.report import ClusterReport
from vitrine.indexer.enrich.clusters.runs import Fitted, Images, cluster
from vitrine.indexer.enrich.clusters.tree.tree import Tree, flat_tree
from vitrine.indexer.enrich.duplicates.candidates import hash_pairs, near_in_memory
from vitrine.indexer.enrich.duplicates.options import Reach
from vitrine.indexer.job.job import Advance
from vitrine.indexer.job.progress import Progress, StageByStage
from vitrine.services.artifacts.clusters import NOISE, ClusterRun
from vitrine.services.errors import BadRequest
from vitrine.services.images.hashes import parse_hashes
from vitrine.services.runtime import Runtime

METHOD = "pixels-"
_MOST_WORKERS = 64


def cluster_pixels(
    runtime: Runtime,
    category: str,
    run: str,
    options: PixelOptions,
    *,
    using: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> PixelReport:
    """Group the images of a category by their pixels and write it back as ``run``.

    Every image of a group is at least ``threshold`` similar to the group's representative, see ``grouping``.
    Images are taken in order of id, so the same images give the same groups. Killed, interrupted or out of
    time, it goes on from its last checkpoint when it is called again with the same parameters for the same
    images, unless ``restart``; others begin anew. ``using``: the named vector whose centres give new images
    their node.

    ``NotFound`` (category; with the stage "merge", the run), ``UnknownVector``, ``BadRequest`` (options, or
    no images).
    """
    started = clock()
    runtime.clusters.check_name(run)
    options = _resolved(options)
    stop = stop or threading.Event()
    former = _former(runtime, category, run, options) if options.stage == "merge" else None
    checkpoints = Checkpoints(runtime.objects, category, run)
    if restart:
        runtime.catalog.get(category)
        checkpoints.remove()
    deadline = None if options.time_budget is None else started + options.time_budget
    fit = PixelFit(runtime, category, options, checkpoints, stop, former, progress, deadline, clock)
    found = cluster(runtime, category, run, fit, using=using, progress=progress, stop=stop)
    if found.in_service:
        checkpoints.remove()
    fit.report.cluster, fit.report.interrupted = found, found.interrupted
    return fit.report


def _resolved(options: PixelOptions) -> PixelOptions:
    """Return the options with the defaults of the measure and of this machine filled in. ``BadRequest`` for a
    scale that the measure cannot take."""
    return replace(
        options,
        scale=measure(options.measure, scale=options.scale).scale,
        threshold=options.threshold or DEFAULT_THRESHOLDS[options.measure],
        workers=options.workers or min(os.cpu_count() or 1, _MOST_WORKERS),
    )


@dataclass(eq=False)
class PixelFit:
    """A ``Fit`` by pixels, with checkpoints. ``former``: the run whose groups are merged. ``report``: how it
    went.

    ``deadline``: when to stop, on ``clock``.
    """

    runtime: Runtime
    category: str
    options: PixelOptions
    checkpoints: Checkpoints
    stop: threading.Event
    former: ClusterRun | None
    progress: Progress | None = None
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic
    report: PixelReport = field(default_factory=lambda: PixelReport(ClusterReport("", "", "")))

    def __call__(self, images: Images, advance: Advance) -> Fitted:
        """Group the images. ``InterruptedError`` if it was stopped or ran out of time."""
        options = self.options
        chosen = measure(options.measure, scale=options.scale)
        sources = read_sources(self.runtime, self.category, images.ids)
        pairs = self._proposed(images, sources)
        mark = fingerprint(self._decisive(pairs), images.ids)
        state = self._state(mark, images)
        pictures = Pictures(self.runtime, sources, chosen, self.stop)
        try:
            with closing(StageByStage(self.progress)) as shown:
                self._run(
                    state, pictures, chosen, pairs, lambda state: self.checkpoints.save(state, mark), shown
                )
        except OutOfTime:
            self.report.out_of_time = True
            raise
        finally:
            self._tell(state)
        labels = _labels(state)
        self.report.groups, self.report.grouped = int(labels.max(initial=-1)) + 1, int((labels >= 0).sum())
        tree = _with_representatives(flat_tree(images.x, labels), state.leaders, labels)
        return Fitted(METHOD + options.measure, tree, options.parameters, self._metrics(state))

    def _run(
        self,
        state: State,
        pictures: Pictures,
        chosen: Measure,
        pairs: NDArray[np.int64] | None,
        save: Callable[[State], None],
        advance: Callable[[str, int, int], None],
    ) -> None:
        options = self.options
        assert options.threshold is not None and options.workers is not None  # _resolved() filled them in
        grouping = Grouping(
            state,
            pictures,
            chosen,
            options.threshold,
            options.batch_size,
            options.workers,
            save,
            advance,
            self.deadline,
            self.clock,
        )
        if state.stage != "done":
            grouping.run(pairs, merging=options.stage != "batch")

    def _proposed(self, images: Images, sources: list[StoredPicture]) -> NDArray[np.int64] | None:
        """Return pairs of rows (m, 2), in order; None to compare all images of each batch."""
        options, stopped = self.options, self.stop.is_set
        if options.propose == "none":
            return None
        if options.propose == "hash":
            hashes = parse_hashes([source.phash or "0" for source in sources])
            return np.unique(hash_pairs(hashes, Reach(band=options.band))[:, 1:], axis=0)
        reach = Reach(similarity=options.similarity, neighbours=options.neighbours)
        return np.unique(near_in_memory(images.x, reach, stopped=stopped), axis=0)

    def _decisive(self, pairs: NDArray[np.int64] | None) -> dict[str, Any]:
        former = {"former": f"{self.former.key} {self.former.created_at}"} if self.former else {}
        proposed = (
            {} if pairs is None else {"pairs": sha256(np.ascontiguousarray(pairs).tobytes()).hexdigest()}
        )
        return self.options.parameters | former | proposed

    def _state(self, mark: str, images: Images) -> State:
        """Return the state of the checkpoint, or a new one."""
        known = self.checkpoints.load(mark)
        if known is not None:
            self.report.resumed = True
            known.sittings += 1
            return known
        count = len(images.ids)
        signatures = np.zeros((count, SIGNATURE_SIDE**2), np.uint8)
        if self.former is None:
            return State(np.arange(count, dtype=np.int32), np.ones(count, bool), signatures)
        leaders = former_leaders(self.runtime, self.category, self.former, images.ids)
        return State(leaders, np.ones(count, bool), signatures, stage="check")

    def _tell(self, state: State) -> None:
        report = self.report
        report.stage, report.done = state.stage, state.done
        report.comparisons, report.seconds = state.comparisons, state.seconds
        report.unreadable = int((~state.readable).sum())

    def _metrics(self, state: State) -> dict[str, Any]:
        report = self.report
        return {
            "groups": report.groups, "grouped": report.grouped, "alone": len(state.leaders) - report.grouped,
            "unreadable": report.unreadable, "comparisons": state.comparisons, "reads": state.reads,
            "rounds": state.round, "seconds": round(state.seconds, 3), "sittings": state.sittings,
        }  # fmt: skip


def former_leaders(runtime: Runtime, category: str, run: ClusterRun, ids: list[str]) -> Leaders:
    """Return the groups of a run by pixels as leaders; an image whose representative is gone, or that is in
    no group, is alone."""
    rows = {id: row for row, id in enumerate(ids)}
    leaders = np.arange(len(ids), dtype=np.int32)
    for start in range(0, len(ids), 500):
        for hit in runtime.vectors.retrieve(category, ids[start : start + 500], with_payload=("clusters",)):
            path = (hit.payload.get("clusters", {}).get(run.key) or {}).get("path") if hit else None
            node = run.nodes.get(path[-1]) if path else None
            if hit is not None and node is not None and node.id != NOISE:
                leaders[rows[hit.id]] = rows.get(node.medoid or hit.id, rows[hit.id])
    return leaders


def _former(runtime: Runtime, category: str, run: str, options: PixelOptions) -> ClusterRun:
    runtime.catalog.get(category)
    former = runtime.clusters.get(category, run)
    made = {"measure": former.parameters.get("measure"), "scale": former.parameters.get("scale")}
    if not former.method.startswith(METHOD) or made != {"measure": options.measure, "scale": options.scale}:
        raise BadRequest(
            f"The run {run!r} was made by {former.method}"
            + _at(made["scale"])
            + f", so its groups cannot be merged by {options.measure}{_at(options.scale)}: begin with "
            "--stage batch or all.",
            run=run,
        )
    return former


def _at(scale: int | None) -> str:
    return f" at scale {scale}" if scale else ""


def _labels(state: State) -> NDArray[np.int32]:
    """Number the groups of two and more images; -1 for images that are alone."""
    _, group, sizes = np.unique(state.leaders, return_inverse=True, return_counts=True)
    numbers = np.cumsum(sizes > 1) - 1
    return np.where(sizes[group] > 1, numbers[group], -1).astype(np.int32)


def _with_representatives(tree: Tree, leaders: Leaders, labels: NDArray[np.int32]) -> Tree:
    """Make the representative of each group its medoid, shown first."""
    nodes = dict(tree.nodes)
    for leader in np.unique(leaders[labels >= 0]).tolist():
        node = tree.leaf(leader)
        others = tuple(row for row in node.representatives if row != leader)
        nodes[node.id] = replace(
            node, medoid=leader, representatives=(leader, *others)[: max(1, len(node.representatives))]
        )
    return replace(tree, nodes=nodes)
