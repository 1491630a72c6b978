"""``vitrine cluster name``: names for the nodes of a run from a list of words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.cluster.show import NameArgument
from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_table, show_progress

if TYPE_CHECKING:
    from vitrine.indexer.enrich.clusters.words import NamingReport
    from vitrine.services.artifacts.clusters import ClusterRun
    from vitrine.services.runtime import Runtime

WORDS_HELP = (
    "A file of words, one a line: nodes that no tags name get the one that fits. Needs a CLIP-family encoder."
)
PROMPT = "a photo of {}"
PROMPT_HELP = "What is said of a word, with {} in its place."
_SHOWN = 40


def name(
    ctx: typer.Context,
    run: NameArgument,
    category: CategoryOption,
    words: Annotated[Path, typer.Option("--words", metavar="FILE", help=WORDS_HELP)],
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help=PROMPT_HELP)] = PROMPT,
    using: Annotated[
        str | None,
        typer.Option(
            "--using",
            metavar="VECTOR",
            help="The vector whose encoder reads them. [default: the run's, or another]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name the nodes of a run by a list of words. Names that come from tags stay; those of a former list are
    replaced.

    A word names the node that it lifts most above the category's mean similarity to it, in terms of how far
    it takes the category apart; so generic words do not win everywhere.
    """
    with stores(ctx) as runtime:
        report = name_nodes(runtime, category, run, words, prompt, using, quiet=as_json)
        found = runtime.clusters.get(category, run)
    if as_json:
        print_json(report.to_json())
    else:
        print_names(report, found)


def name_nodes(
    runtime: Runtime, category: str, run: str, words: Path, prompt: str, using: str | None, *, quiet: bool
) -> NamingReport:
    """Read the list and name the nodes, with progress on stderr."""
    from vitrine.indexer.enrich.clusters.words import name_by_words
    from vitrine.training.taggers.zero_shot import read_words

    progress = None if quiet else show_progress()
    return name_by_words(runtime, category, run, read_words(words), prompt, using=using, progress=progress)


def has_word_names(runtime: Runtime, category: str, run: str) -> bool:
    """Whether a run of that name is there and has names from a list of words."""
    from vitrine.indexer.enrich.clusters.words import WORDS

    runs = (found for found in runtime.clusters.in_service(category) if found.run == run)
    return any(node.named_by == WORDS for found in runs for node in found.nodes.values())


def names_gone(run: str) -> str:
    """What is said where a run takes the place of one that was named by words."""
    return (
        f"The names that the former run had from words are gone: vitrine cluster name {run} --words FILE "
        "gives new ones."
    )


def check_list(runtime: Runtime, category: str, words: Path, prompt: str, using: str | None) -> None:
    """Raise before any work what ``name_nodes`` would raise after a run on the vector ``using``."""
    from vitrine.indexer.enrich.clusters.words import check_words
    from vitrine.training.taggers.zero_shot import read_words

    found = runtime.catalog.get(category)
    check_words(found, found.encoder(using).name, read_words(words), prompt)


def print_names(report: NamingReport, run: ClusterRun) -> None:
    """The first level, or what of it is shown."""
    first = [node for node in run.nodes.values() if node.depth == 1]
    rows = [
        [
            node.id,
            node.count,
            node.name,
            node.named_by or ("tags" if node.name else ""),
            *report.words.get(node.id, ("", None)),
        ]
        for node in first[:_SHOWN]
    ]
    print_table(("id", "images", "name", "by", "word", "lift"), rows, right=("images", "lift"))
    note(report.summary())
