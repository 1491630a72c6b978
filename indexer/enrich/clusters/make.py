"""A cluster run by its options: the tree, or the best of a grid of a flat method, with names by words."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

from vitrine.indexer.enrich.clusters.flat.flat_run import FlatFit
from vitrine.indexer.enrich.clusters.options import ClusterOptions, TreeOptions
from vitrine.indexer.enrich.clusters.report import ClusterReport
from vitrine.indexer.enrich.clusters.runs import Again, Fit, cluster, fit_tree
from vitrine.indexer.enrich.clusters.words import PROMPT, WORDS, check_words, name_by_words
from vitrine.indexer.job.progress import Progress
from vitrine.services.errors import VitrineError
from vitrine.services.runtime import Runtime


def make_run(
    runtime: Runtime,
    category: str,
    run: str,
    options: ClusterOptions,
    *,
    using: str | None = None,
    words: Sequence[str] = (),
    prompt: str = PROMPT,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ClusterReport:
    """Cluster all images by the method of ``options`` and put the run in service, see `runs.cluster`.

    ``words`` name the nodes that no tags name, see `words.name_by_words`; if that fails the run stays, and a
    note says so. The grid of a flat method is in the report's metrics. Raises what these two do.
    """
    stop = stop or threading.Event()
    if words:
        found = runtime.catalog.get(category)
        check_words(found, found.encoder(using).name, words, prompt)
    named = has_word_names(runtime, category, run)
    fit, again = _fits(options, stop)
    report = cluster(
        runtime,
        category,
        run,
        fit,
        using=using,
        again=again if options.stability else None,
        progress=progress,
        stop=stop,
    )
    if isinstance(fit, FlatFit) and fit.result is not None:
        report.notes += fit.result.notes
    if report.in_service and not report.interrupted and words:
        _name(runtime, report, words, prompt, stop)
    elif report.in_service and not report.interrupted and named:
        report.notes.append(names_gone(run))
    return report


def has_word_names(runtime: Runtime, category: str, run: str) -> bool:
    """Return whether a run of that name is in service and has names from a list of words."""
    runs = [one for one in runtime.clusters.in_service(category) if one.run == run]
    return any(node.named_by == WORDS for one in runs for node in one.nodes.values())


def names_gone(run: str) -> str:
    """Return the note for a run that takes the place of one that was named by words."""
    return (
        f"The names that the former run had from words are gone: vitrine cluster name {run} --words FILE "
        "gives new ones."
    )


def _fits(options: ClusterOptions, stop: threading.Event) -> tuple[Fit, Again]:
    """Return the fit, and the same under the other seeds that are asked for."""
    seeds = [options.seed + 1 + number for number in range(options.stability)]
    if options.method == "tree":
        shape = partial(TreeOptions, options.branching, options.leaf_size, options.depth)
        return fit_tree(shape(options.seed)), Again(lambda seed: fit_tree(shape(seed)), seeds)
    flat = FlatFit(
        options.method, options.grid, options.reduce, options.dim, options.seed, options.choose, stop
    )
    return flat, Again(flat.reseeded, seeds if flat.draws else ())


def _name(
    runtime: Runtime, report: ClusterReport, words: Sequence[str], prompt: str, stop: threading.Event
) -> None:
    """Name the nodes of a run that is stored already, and note in its report what came of it."""
    try:
        named = name_by_words(runtime, report.category, report.run, words, prompt, stop=stop)
        report.notes.append(named.summary())
        report.interrupted = named.interrupted
    except VitrineError as error:
        report.notes.append(
            f"The run is stored, but not named by words: {error.message} Then: vitrine cluster name "
            f"{report.run} --words FILE"
        )
