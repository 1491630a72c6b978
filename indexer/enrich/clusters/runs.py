"""Cluster the stored vectors and write each image's node to its payload; safe to kill at any moment.

The order: fit, save the files, write every image's node under a new key, let the key answer for the run, take
the former key away. Until the switch no query sees the new key; a run that was killed before it leaves a key
that the next one of that name removes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.agreement import Leaves, former_agreement, seed_agreement
from vitrine.indexer.enrich.clusters.carried import Carried, carried_names
from vitrine.indexer.enrich.clusters.members import CLUSTERS, assign_lacking
from vitrine.indexer.enrich.clusters.naming import BY_FILE, BY_TAGS, FIELDS, Vocabulary, node_names
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.pixels.checkpoint import Checkpoints
from vitrine.indexer.enrich.clusters.report import ClusterReport
from vitrine.indexer.enrich.clusters.tree.tree import Tree, build_tree
from vitrine.indexer.job.job import Advance, Job
from vitrine.indexer.job.payload_writer import PAGE
from vitrine.indexer.job.progress import Progress
from vitrine.services.artifacts.cluster_changes import BY_PEOPLE
from vitrine.services.artifacts.clusters import (
    NOISE,
    ClusterRun,
    Node,
    leaf_of,
    membership,
    path_of,
)
from vitrine.services.category.catalog import Category
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import Embeddings, EncoderSpec, Payload
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.filters.conditions import Filter, HasVector
from vitrine.services.runtime import Runtime


@dataclass(frozen=True)
class Fitted:
    """A clustering of rows: the tree, and what the manifest says about how it was made.

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


Fit = Callable[[Images, Advance], Fitted]
"""Clusters images and reports how many of how many are done; the tree has the rows of ``x``."""


@dataclass(frozen=True)
class Again:
    """The same clustering under other seeds. ``fit`` makes one of a seed, once the first was called;
    ``seeds``: those to try."""

    fit: Callable[[int], Fit]
    seeds: Sequence[int]


def fit_tree(options: TreeOptions) -> Fit:
    """Return hierarchical k-means as a ``Fit``."""

    def fit(images: Images, advance: Advance) -> Fitted:
        parameters = {name: value for name, value in asdict(options).items() if name != "seed"}
        return Fitted("tree", build_tree(images.x, options, progress=advance), parameters, seed=options.seed)

    return fit


def cluster(
    runtime: Runtime,
    category: str,
    run: str,
    fit: Fit,
    *,
    using: str | None = None,
    again: Again | None = None,
    progress: Progress | None = None,
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
    runtime.check_writable()
    report = ClusterReport(category, run, spec.name)
    job = Job(runtime, category, report, progress, stop)
    with job.running():
        _Clustering(job, cat, spec, report).run(fit, again)
    return report


def assign_missing(
    runtime: Runtime,
    category: str,
    runs: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> list[ClusterReport]:
    """Give images that have no node in these runs (None: all in service) theirs, and return a report for each
    run.

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
        report = _described(ClusterReport(category, run.run, run.using), run)
        reports.append(report)
        if cat.encoder_at(run.using, run.encoder_revision, run.centres.shape[1]) is None:
            message = (
                f"The run {run.run!r} was made on {run.using!r} as the category has it no more: run the "
                "clustering again."
            )
            if runs is not None:
                raise BadRequest(message, run=run.run)
            report.notes.append(message)
            continue
        job = Job(runtime, category, report, progress, stop)
        with job.running(), job.stage("writing") as advance:
            job.apart(lambda: _complete(job, report, run, advance))  # noqa: B023  # it ends with this turn
        if report.interrupted:
            break
    return reports


def delete_run(runtime: Runtime, category: str, run: str, *, stop: threading.Event | None = None) -> None:
    """Withdraw a run, remove it from the images, then remove its files; also what killed runs of that name
    left.

    ``NotFound`` if there is nothing of that name.
    """
    checkpoints = Checkpoints(runtime.objects, category, run)
    begun = checkpoints.exists
    checkpoints.remove()
    try:
        CLUSTERS.delete(runtime, category, run, stop=stop)
    except NotFound:
        runtime.catalog.get(category)
        if not begun:
            raise


def read_images(
    runtime: Runtime, category: str, spec: EncoderSpec, former: ClusterRun | None = None
) -> Images:
    """Read all images with the vector, in order of id, except those that come in meanwhile. Raises
    ``BadRequest`` if there are none.

    ``former``: a run whose leaves are read as well.
    """
    has = Filter(must=(HasVector(spec.name),))
    total = runtime.vectors.count(category, has)
    x = np.empty((total, spec.dim), np.float32)
    ids: list[str] = []
    words: list[tuple[int, ...]] = []
    vocabulary = Vocabulary()
    leaves: list[str] = []
    fields = FIELDS if former is None else (*FIELDS, former.payload_field)
    for batch in read_all(runtime.vectors, category, spec.name, fields=fields):
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


def to_run(
    report: ClusterReport,
    spec: EncoderSpec,
    images: Images,
    fitted: Fitted,
    by_people: Mapping[str, str],
) -> ClusterRun:
    """Return a fitted tree by image ids, with names for its nodes; ``by_people``: of those that have one of
    theirs."""
    by_tags = node_names(fitted.tree, images.words, images.vocabulary)
    names = {**by_tags, **by_people, **fitted.names}
    sources = {
        **{id: BY_TAGS for id, name in by_tags.items() if name},
        **dict.fromkeys(by_people, BY_PEOPLE),
        **dict.fromkeys(fitted.names, BY_FILE),
    }
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
            named_by=sources.get(one.id, ""),
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
class _Clustering:
    """The stages of one run of one category."""

    job: Job
    category: Category
    spec: EncoderSpec
    report: ClusterReport

    def run(self, fit: Fit, again: Again | None = None) -> None:
        """Go through all stages. Raises ``InterruptedError`` where the job is stopped in between."""
        job, report, runtime, name = self.job, self.report, self.job.runtime, self.category.name
        CLUSTERS.remove_leftovers(job, report.run)
        former = next((run for run in runtime.clusters.in_service(name) if run.run == report.run), None)
        with job.stage("reading"):
            images = read_images(runtime, name, self.spec, former)
        with job.stage("clustering", len(images.ids)) as advance:
            fitted = fit(images, advance)
        if former is not None and (agreed := former_agreement(images.former, fitted.tree)):
            found = {"key": former.key, "seed": former.seed, **agreed}
            fitted = replace(fitted, metrics={**fitted.metrics, "former": found})
        carried = Carried({}, []) if former is None else carried_names(former, images.former, fitted.tree)
        report.notes += filter(None, [carried.note(report.run)])
        if again is not None:
            fitted = self._tried_again(images, fitted, again)
        run = runtime.clusters.save(name, to_run(report, self.spec, images, fitted, carried.names))
        _described(report, run)
        runtime.catalog.ensure_indexes(name, {run.payload_field: "keyword"})
        with job.stage("writing", len(images.ids)) as advance:
            pages = _pages(images.ids, fitted.tree)
            job.apart(lambda: CLUSTERS.write(job, report, run.key, pages, advance))
            job.apart(lambda: self._switch(run))
        CLUSTERS.remove_leftovers(job, report.run)

    def _tried_again(self, images: Images, fitted: Fitted, again: Again) -> Fitted:
        """Return the clustering with its agreement with those under other seeds."""
        total = len(images.ids)
        trees = [Leaves.of(fitted.tree)]
        with self.job.stage("other seeds", total * len(again.seeds)) as advance:
            for number, seed in enumerate(again.seeds):

                def one_of(done: int, of: int, before: int = number * total) -> None:
                    advance(before + done, of)

                trees.append(Leaves.of(again.fit(seed)(images, one_of).tree))
        stability = seed_agreement(trees, [fitted.seed, *again.seeds])
        return replace(fitted, metrics={**fitted.metrics, "stability": stability})

    def _switch(self, run: ClusterRun) -> None:
        """Put the run in service. Nobody indexes between the last look for images without a node and the
        switch: whoever comes after finds the run."""
        _complete(self.job, self.report, run)
        with self.job.runtime.catalog.writing(self.category.name):
            _complete(self.job, self.report, run)
            self.job.runtime.clusters.put_in_service(self.category.name, run.key)
        self.report.in_service = True


def _pages(ids: list[str], tree: Tree) -> Iterator[dict[str, Payload]]:
    """Yield images and what is stored of each, leaf by leaf: equal values are written in one operation."""
    order = np.argsort(tree.leaves, kind="stable").tolist()
    said = [membership(path_of(id)) for id in tree.leaf_ids]
    for start in range(0, len(order), PAGE):
        yield {ids[row]: said[tree.leaves[row]] for row in order[start : start + PAGE]}


def _complete(job: Job, report: ClusterReport, run: ClusterRun, advance: Advance | None = None) -> None:
    """Write the nodes of the images that lack one."""
    for written in assign_lacking(job, run):
        report.written += written
        if advance:
            advance(report.written, report.written)


def _described(report: ClusterReport, run: ClusterRun) -> ClusterReport:
    report.key, report.method, report.images = run.key, run.method, run.images
    report.nodes, report.leaves, report.depth = len(run.nodes), len(run.leaves), run.depth
    report.parameters, report.metrics = dict(run.parameters), dict(run.metrics)
    return report
