"""A cluster run from the stored vectors to the images' payload, safe to kill at any moment.

The order: fit, save the files, write every image's node under a new key, let the key answer for the run, take
the former key away. Until the switch no query sees the new key; a run that was killed before it leaves a key
that the next one of that name removes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.arrivals import fits
from vitrine.indexer.enrich.clusters.flat.steadiness import Leaves, former_agreement, seed_agreement
from vitrine.indexer.enrich.clusters.members import MemberWriter, erase
from vitrine.indexer.enrich.clusters.naming import BY_FILE, BY_TAGS, FIELDS, Vocabulary, node_names
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.pixels.checkpoint import Checkpoints
from vitrine.indexer.enrich.clusters.report import ClusterReport
from vitrine.indexer.enrich.clusters.tree.tree import Tree, build_tree
from vitrine.indexer.job.payload_writer import PAGE
from vitrine.indexer.job.stages import Stages, Told, Watch
from vitrine.services.artifacts.clusters import NOISE, ClusterRun, Node, leaf_of, path_of
from vitrine.services.category.catalog import Category
from vitrine.services.category.read_all import scan
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.runtime import Runtime


@dataclass(frozen=True)
class Fitted:
    """A clustering of rows, before it is anybody's: the tree, and what the manifest is to say of how it was
    made.

    ``names``: of nodes that have one already.
    """

    method: str
    tree: Tree
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Images:
    """What is clustered: ``ids``, ``x`` (n, dim) and the numbers of their words in ``vocabulary``, aligned.

    ``former``: of each the leaf in the run that is to be replaced; "" where it has none, empty where there is
    no such run.
    """

    ids: list[str]
    x: Embeddings
    words: list[tuple[int, ...]]
    vocabulary: list[str]
    former: list[str] = field(default_factory=list)


Fit = Callable[[Images, Told], Fitted]
"""Clusters images, telling how many of how many are done; rows of the tree are those of ``x``."""


@dataclass(frozen=True)
class Again:
    """The same clustering under other seeds: ``fit`` makes one of a seed, once the first was called;
    ``seeds``: those to try."""

    fit: Callable[[int], Fit]
    seeds: Sequence[int]


def fit_tree(options: TreeOptions) -> Fit:
    """Hierarchical k-means as a ``Fit``."""

    def fit(images: Images, told: Told) -> Fitted:
        parameters = {name: value for name, value in asdict(options).items() if name != "seed"}
        return Fitted("tree", build_tree(images.x, options, progress=told), parameters, seed=options.seed)

    return fit


def cluster(
    runtime: Runtime,
    category: str,
    run: str,
    fit: Fit,
    *,
    using: str | None = None,
    again: Again | None = None,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> ClusterReport:
    """Cluster all images that have the named vector ``using`` (None: the category's default) and write it
    back as ``run``.

    Replaces the run of that name in one step once every image has its node; images that come in meanwhile get
    theirs too. ``stop`` or Ctrl-C ends it, and nothing has changed for queries; the same call again begins
    anew, with the same result for the same images. Memory: the vectors, and a quarter as much.

    The metrics say how far it agrees with the run that it replaces (``former``) and, with ``again``, with
    itself under other seeds (``stability``); each of these takes as long as the first.

    ``NotFound`` (category), ``UnknownVector``, ``BadRequest`` (the run's name, or no images).
    """
    runtime.clusters.check_name(run)
    cat = runtime.catalog.get(category)
    spec = cat.encoder(using)
    report = ClusterReport(category, run, spec.name)
    job = _Job(runtime, cat, spec, report, Stages(report.seconds, watch, stop or threading.Event()))
    try:
        job.run(fit, again)
    except (KeyboardInterrupt, InterruptedError):
        report.interrupted = True
    return report


def assign_missing(
    runtime: Runtime,
    category: str,
    runs: Sequence[str] | None = None,
    *,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> list[ClusterReport]:
    """Give the images that have none their nodes in these runs (None: all in service). A report for each.

    ``NotFound`` (category or run); ``BadRequest`` for a named run whose vector the category has no more.
    """
    cat = runtime.catalog.get(category)
    found = (
        runtime.clusters.in_service(category)
        if runs is None
        else [runtime.clusters.get(category, run) for run in runs]
    )
    reports = []
    for run in found:
        spec = next((spec for spec in cat.encoders if spec.name == run.using), None)
        report = _described(ClusterReport(category, run.run, run.using), run)
        reports.append(report)
        if spec is None or not fits(cat, run):
            message = (
                f"The run {run.run!r} was made on {run.using!r} as the category has it no more: run the "
                "clustering again."
            )
            if runs is not None:
                raise BadRequest(message, run=run.run)
            report.notes.append(message)
            continue
        job = _Job(runtime, cat, spec, report, Stages(report.seconds, watch, stop or threading.Event()))
        try:
            job.complete(run)
        except (KeyboardInterrupt, InterruptedError):
            report.interrupted = True
            break
    return reports


def delete_run(runtime: Runtime, category: str, run: str, *, stop: threading.Event | None = None) -> None:
    """Withdraw a run, take it away from the images, then remove its files; also what runs of that name left
    that never ended.

    ``NotFound`` if there is nothing of that name.
    """
    runtime.catalog.get(category)
    checkpoints = Checkpoints(runtime.objects, category, run)
    try:
        runtime.clusters.withdraw(category, run)
    except NotFound:
        if not runtime.clusters.leftovers(category, run) and not checkpoints.exists:
            raise
    checkpoints.remove()
    for key in runtime.clusters.leftovers(category, run):
        erase(runtime, category, key, stop=stop)


def read_images(
    runtime: Runtime, category: str, spec: EncoderSpec, former: ClusterRun | None = None
) -> Images:
    """All images with the vector, in order of id; of those that come in meanwhile, none. ``BadRequest`` if
    there are none.

    ``former``: a run whose leaves are read as well.
    """
    from qdrant_client import models

    has = models.Filter(must=[models.HasVectorCondition(has_vector=spec.name)])
    total = runtime.vectors.count(category, has)
    x = np.empty((total, spec.dim), np.float32)
    ids: list[str] = []
    words: list[tuple[int, ...]] = []
    vocabulary = Vocabulary()
    leaves: list[str] = []
    fields = FIELDS if former is None else (*FIELDS, former.payload_field)
    for batch in scan(runtime.vectors, category, spec.name, fields=fields):
        room = min(total - len(ids), len(batch.ids))
        x[len(ids) : len(ids) + room] = batch.embeddings[:room]
        ids += batch.ids[:room]
        words += [vocabulary.numbers(payload) for payload in batch.payloads[:room]]
        if former is not None:
            leaves += [leaf_of(payload, former.key) for payload in batch.payloads[:room]]
    if not ids:
        raise BadRequest(
            f"Category {category!r} has no images with the vector {spec.name!r}: index some first.",
            using=spec.name,
        )
    return Images(ids, x[: len(ids)], words, vocabulary.words, leaves)


def to_run(report: ClusterReport, spec: EncoderSpec, images: Images, fitted: Fitted) -> ClusterRun:
    """A fitted tree by image ids, with names."""
    by_tags = node_names(fitted.tree, images.words, images.vocabulary)
    names = {**by_tags, **fitted.names}
    ids = images.ids
    nodes = {
        one.id: Node(
            id=one.id,
            parent=one.parent,
            depth=one.depth,
            count=one.count,
            medoid=ids[one.medoid],
            representatives=tuple(ids[row] for row in one.representatives),
            radius=None if one.id == NOISE else round(one.radius, 6),
            name=names[one.id],
            children=one.children,
            named_by=BY_FILE if one.id in fitted.names else BY_TAGS if names[one.id] else "",
        )
        for one in fitted.tree.nodes.values()
    }
    return ClusterRun(
        report.run,
        fitted.method,
        spec.name,
        spec.revision,
        nodes,
        fitted.tree.centres,
        len(ids),
        fitted.seed,
        dict(fitted.parameters),
        dict(fitted.metrics),
    )


@dataclass(eq=False)
class _Job:
    """One run of one category."""

    runtime: Runtime
    category: Category
    spec: EncoderSpec
    report: ClusterReport
    stages: Stages

    def run(self, fit: Fit, again: Again | None = None) -> None:
        """All stages; ``InterruptedError`` where ``stop`` came in between."""
        self._remove_leftovers()
        former = self._former()
        with self.stages.stage("reading"):
            images = read_images(self.runtime, self.category.name, self.spec, former)
        with self.stages.stage("clustering", len(images.ids)) as told:
            fitted = fit(images, told)
        if former is not None and (agreed := former_agreement(images.former, fitted.tree)):
            fitted = replace(
                fitted,
                metrics={**fitted.metrics, "former": {"key": former.key, "seed": former.seed, **agreed}},
            )
        if again is not None:
            fitted = self._tried_again(images, fitted, again)
        run = to_run(self.report, self.spec, images, fitted)
        run = self.runtime.clusters.save(self.category.name, run)
        _described(self.report, run)
        self.runtime.catalog.ensure_indexes(self.category.name, {run.payload_field: "keyword"})
        writer = MemberWriter(self.runtime, self.category.name, run)
        with self.stages.stage("writing", len(images.ids)) as told:
            self.stages.apart(lambda: self._write(writer, images.ids, fitted.tree, told))
            self.stages.apart(lambda: self._switch(writer, run))
        self._remove_leftovers()

    def _former(self) -> ClusterRun | None:
        """The run in service that this one is to replace."""
        runs = self.runtime.clusters.in_service(self.category.name)
        return next((run for run in runs if run.run == self.report.run), None)

    def _tried_again(self, images: Images, fitted: Fitted, again: Again) -> Fitted:
        """With what the same clustering gives under other seeds, each of which is judged and let go."""
        total = len(images.ids)
        trees = [Leaves.of(fitted.tree)]
        with self.stages.stage("other seeds", total * len(again.seeds)) as told:
            for number, seed in enumerate(again.seeds):
                before = number * total
                tree = again.fit(seed)(images, lambda done, of, before=before: told(before + done, of)).tree  # type: ignore[misc]
                trees.append(Leaves.of(tree))
        return replace(
            fitted,
            metrics={**fitted.metrics, "stability": seed_agreement(trees, [fitted.seed, *again.seeds])},
        )

    def complete(self, run: ClusterRun) -> None:
        """Only what lacks a node."""
        writer = MemberWriter(self.runtime, self.category.name, run)
        with self.stages.stage("writing") as told:
            self.stages.apart(lambda: self._complete(writer, told))

    def _write(self, writer: MemberWriter, ids: list[str], tree: Tree, told: Told) -> None:
        order = np.argsort(tree.leaves, kind="stable").tolist()  # what is alike is written in one operation
        paths = [path_of(id) for id in tree.leaf_ids]
        for start in range(0, len(order), PAGE):
            self.stages.check()
            page = {ids[row]: paths[tree.leaves[row]] for row in order[start : start + PAGE]}
            self.report.written += writer.write(page)
            told(self.report.written, len(ids))
        writer.flush()

    def _complete(self, writer: MemberWriter, told: Told) -> None:
        while written := writer.complete():
            self.stages.check()
            self.report.written += written
            told(self.report.written, self.report.written)
        writer.flush()

    def _switch(self, writer: MemberWriter, run: ClusterRun) -> None:
        """Nobody indexes between the last look for images without a node and the switch: whoever comes after
        finds it made."""
        self._complete(writer, lambda done, total: None)
        with self.runtime.catalog.writing(self.category.name):
            self._complete(writer, lambda done, total: None)
            self.runtime.clusters.put_in_service(self.category.name, run.key)
        self.report.in_service = True

    def _remove_leftovers(self) -> None:
        for key in self.runtime.clusters.leftovers(self.category.name, self.report.run):
            self.stages.apart(partial(erase, self.runtime, self.category.name, key, stop=self.stages.stop))
            self.stages.check()


def _described(report: ClusterReport, run: ClusterRun) -> ClusterReport:
    report.key, report.method, report.images = run.key, run.method, run.images
    report.nodes, report.leaves, report.depth = len(run.nodes), len(run.leaves), run.depth
    report.parameters, report.metrics = dict(run.parameters), dict(run.metrics)
    return report
