"""``vitrine demo``: a catalogue, an index, five searches, what is learned and what is found, to see what
Vitrine does."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.demo.learning import LOOK, learn, print_learned
from vitrine.cli.demo.structure import find_structure, print_structure
from vitrine.cli.options import JsonOption
from vitrine.cli.output import note, print_json, print_table, show_progress, telling
from vitrine.indexer.export.sheets import hit_captions, query_tile, save_sheet
from vitrine.services.errors import EncoderMismatch

if TYPE_CHECKING:
    from vitrine.data.catalogue import CatalogueSummary
    from vitrine.indexer.job.report import IndexReport
    from vitrine.services.domain import Hit
    from vitrine.services.images.contact_sheet import Tile
    from vitrine.services.runtime import Runtime

CATEGORY = "demo"
TEXT = "a blue car"
TAG, SCORE, LEAST = "red", "close_up", 0.3
RANGES = ("blue", "large")
"""The tags whose taggers' scores are asked for together."""
_HITS = 9
_SEARCHES_BEFORE = 3
"""Searches that need nothing learned."""


@dataclass(frozen=True)
class Shown:
    """One search of the demo. ``score``: the score that its hits are ordered by."""

    kind: str
    query: str
    hits: Sequence[Hit]
    queries: Sequence[Tile] = ()
    score: str | None = None


def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the catalogue and the contact sheets go.")
    ] = Path("demo-output"),
    count: Annotated[
        int, typer.Option("--count", min=50, max=100_000, help="How many pictures are drawn.")
    ] = 1200,
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", metavar="REF", help="Any that reads texts, such as clip.")
    ] = "demo",
    as_json: JsonOption = False,
) -> None:
    """Draw a catalogue, index it as category "demo", search it, learn an encoder and taggers from it, and
    search by those.

    Then put it into a tree of clusters, and find the copies that the catalogue holds.
    """
    from vitrine.data.catalogue import draw_catalogue

    with telling() as tell:
        drawn = draw_catalogue(folder / "catalogue", count=count, progress=partial(tell, "drawing"))
    note(
        f"{'Drew' if drawn.drawn else 'Found'} {drawn.pictures} pictures of {drawn.designs} designs in "
        f"{drawn.folder}."
    )
    with stores(ctx, make_data=True) as runtime:
        using = _ensure_category(runtime, encoder)
        report = _index(runtime, drawn)
        if report.exit_code:
            note(report.summary())
            raise typer.Exit(report.exit_code)
        searches = [
            _by_picture(runtime, using, drawn.manifest),
            _by_text(runtime, using),
            _by_tag_and_score(runtime),
        ]
        learned = learn(runtime, CATEGORY, using)
        looks = LOOK if learned and learned["encoder"] else using
        if looks == LOOK:
            searches.append(_by_picture(runtime, LOOK, drawn.manifest))
        if learned:
            searches.append(_by_scores(runtime))
        sheets = [folder / f"by-{shown.kind.replace(' ', '-')}.png" for shown in searches]
        for shown, sheet in zip(searches, sheets, strict=True):
            title = f"By {shown.kind}: {shown.query}"
            save_sheet(
                runtime, sheet, shown.queries, shown.hits, title=title, captions=partial(_captions, shown)
            )
        found = find_structure(runtime, CATEGORY, looks, using, folder, drawn.manifest)
        address = f"http://{runtime.settings.host}:{runtime.settings.port}"
    if as_json:
        trees = [_search_json(shown, sheet) for shown, sheet in zip(searches, sheets, strict=True)]
        tree = {"category": CATEGORY, "index": report.to_json(), "searches": trees}
        print_json(tree | {"learned": learned, "found": found})
        return
    for number, (shown, sheet) in enumerate(zip(searches, sheets, strict=True), 1):
        if learned and number == _SEARCHES_BEFORE + 1:
            print_learned(learned)
        _print_search(number, shown, sheet)
    print_structure(found)
    _print_next(ctx, address)


def _ensure_category(runtime: Runtime, encoder: str) -> str:
    """Make the category, or add this encoder to it; return the name of its vector."""
    if CATEGORY not in [category.name for category in runtime.catalog.list()]:
        made = runtime.create_category(CATEGORY, [encoder], "Drawn pictures of everyday things.", note=note)
        return made.encoders[0].name
    spec = runtime.encoders.get(encoder).spec
    try:
        runtime.catalog.add_encoder(CATEGORY, spec)
    except EncoderMismatch as error:
        message = (
            f"Category {CATEGORY!r} was filled by another revision of {spec.name!r}: `vitrine category "
            f"delete {CATEGORY}` first."
        )
        raise EncoderMismatch(message, **error.details) from error
    return spec.name


def _index(runtime: Runtime, drawn: CatalogueSummary) -> IndexReport:
    from vitrine.indexer.ingest.add import add_images
    from vitrine.indexer.sources.open import open_source

    source = open_source(drawn.manifest)
    report = add_images(runtime, CATEGORY, source, progress=show_progress(), note=note)
    if report.added or report.updated:
        note(
            f"Indexed {report.added + report.updated} pictures in {report.seconds:.1f} s: "
            f"{report.rate:.0f} a second."
        )
    else:
        note(
            f"All {report.known} pictures are indexed already: nothing was encoded again "
            f"({report.seconds:.1f} s)."
        )
    return report


def _by_picture(runtime: Runtime, using: str, manifest: Path) -> Shown:
    """Search by the picture whose design has the most other pictures; it is left out itself."""
    from vitrine.services.images.open import content_hash, point_id
    from vitrine.services.search.options import SearchOptions
    from vitrine.services.search.questions import ById

    with manifest.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["duplicate_of"]]
    designs = Counter(row["design"] for row in rows)
    chosen = max(rows, key=lambda row: designs[row["design"]])
    path = manifest.parent / chosen["path"]
    data = path.read_bytes()
    asked = ById(point_id(content_hash(data)))
    result = runtime.searcher.search(CATEGORY, asked, SearchOptions(using, limit=_HITS))
    kind = "picture and class" if using == LOOK else "picture"
    return Shown(
        kind,
        f"{path.name}, a {chosen['class']} of {chosen['design']}",
        result.hits,
        [query_tile(data, path.name)],
    )


def _by_text(runtime: Runtime, using: str) -> Shown:
    from vitrine.services.search.options import SearchOptions
    from vitrine.services.search.questions import ByText

    found = runtime.searcher.search(CATEGORY, ByText(TEXT), SearchOptions(using, limit=_HITS + 1))
    return Shown("text", f"“{TEXT}”", found.hits)


def _by_tag_and_score(runtime: Runtime) -> Shown:
    asked = [("tag", TAG), (f"score.{SCORE}.gte", str(LEAST)), (f"score.{SCORE}.lte", "1")]
    query = f"tagged {TAG}, {SCORE} in {LEAST}..1, highest first"
    return Shown("tag and score", query, _highest(runtime, asked, SCORE), score=SCORE)


def _by_scores(runtime: Runtime) -> Shown:
    """Show what two taggers agree on, whether people tagged it or not."""
    first = RANGES[0]
    hits = _highest(runtime, [(f"score.{tag}.gte", "0.5") for tag in RANGES], first)
    return Shown("taggers", f"{' and '.join(RANGES)} scored 0.5..1, by {first}", hits, score=first)


def _highest(runtime: Runtime, asked: Sequence[tuple[str, str]], score: str) -> tuple[Hit, ...]:
    """Return the images with the highest score among those that meet the conditions."""
    from vitrine.services.category.filters import conditions_from_pairs
    from vitrine.services.domain import OrderBy

    order = OrderBy(f"scores.{score}", descending=True)
    chosen = conditions_from_pairs(asked)
    return runtime.searcher.listing(CATEGORY, chosen, order_by=order, limit=_HITS + 1).hits


def _print_search(number: int, shown: Shown, sheet: Path) -> None:
    typer.secho(f"\n{number}. By {shown.kind}: {shown.query}", bold=True)
    measure = shown.score or "similarity"
    rows = [
        (_measure(shown, hit), hit.payload.get("class"), _design(hit), hit.payload.get("caption"))
        for hit in shown.hits
    ]
    print_table((measure, "class", "design", "caption"), rows, right=(measure,))
    typer.echo(f"Contact sheet: {sheet}")


def _print_next(ctx: typer.Context, address: str) -> None:
    data = ctx.find_root().params.get("data")
    vitrine = f"vitrine --data {data}" if data else "vitrine"
    typer.secho("\nNext", bold=True)
    typer.echo(f"  {vitrine} search -c {CATEGORY} --text 'a blue fish' --to fish.png")
    typer.echo(f"  {vitrine} cluster show look -c {CATEGORY} --by class")
    typer.echo(f"  make serve                  # then open {address}/docs")
    body = '{"text": "a blue fish", "limit": 3}'
    typer.echo(
        f"  curl -s {address}/v1/categories/{CATEGORY}/search -H 'Content-Type: application/json' -d '{body}'"
    )


def _search_json(shown: Shown, sheet: Path) -> dict[str, Any]:
    hits = [
        {
            "id": hit.id,
            "similarity": hit.similarity,
            "class": hit.payload.get("class"),
            "design": _design(hit),
        }
        for hit in shown.hits
    ]
    return {"kind": shown.kind, "query": shown.query, "hits": hits, "sheet": str(sheet)}


def _captions(shown: Shown, hit: Hit) -> tuple[str, ...]:
    return hit_captions(hit, _measure(shown, hit))[0], _design(hit)


def _measure(shown: Shown, hit: Hit) -> float | None:
    return hit.payload.get("scores", {}).get(shown.score) if shown.score else hit.similarity


def _design(hit: Hit) -> str:
    return str(hit.payload.get("metadata", {}).get("design", ""))
