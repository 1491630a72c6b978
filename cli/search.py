"""``vitrine search``: search a category, or list it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import (
    CategoryOption,
    FiltersOption,
    JsonOption,
    LimitOption,
    read_picture,
    read_vector,
    to_example,
    to_order,
)
from vitrine.cli.output import note, print_json, print_table
from vitrine.cli.with_options import with_options
from vitrine.indexer.export.sheets import (
    example_tiles,
    hit_captions,
    query_tile,
    save_sheet,
)
from vitrine.services.files import SHEETS, check_ending

if TYPE_CHECKING:
    from vitrine.services.domain import Hit, OrderBy
    from vitrine.services.images.contact_sheet import Tile
    from vitrine.services.runtime import Runtime
    from vitrine.services.search.options import AnyConditions, SearchOptions, SearchResult

EXAMPLES = (
    "Examples: vitrine search -c shop --text 'a red striped mug' --to mugs.png;  "
    "vitrine search -c shop --image mug.jpg --tag sale;  "
    "vitrine search -c shop --score striped=0.5..1 --order-by scores.striped:desc"
)
_QUERY = "Search with one of (none: list)"
_SHAPE = "Results"


@dataclass(frozen=True)
class Question:
    """The query: at most one kind; none of them means a listing."""

    text: str | None
    image: Path | None
    id: str | None
    vector: Path | None
    like: tuple[str, ...]
    unlike: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Return text, image, id, vector, examples or listing. Wrong usage if it is more than one."""
        named = {
            "text": self.text,
            "image": self.image,
            "id": self.id,
            "vector": self.vector,
            "examples": self.like or None,
        }
        given = [kind for kind, value in named.items() if value is not None]
        if given == ["text", "examples"] or (given == ["text"] and self.unlike):
            return "examples"  # the text is one of them
        if len(given) > 1:
            raise typer.BadParameter("give only one of --text, --image, --id, --vector and --like.")
        if self.unlike and given != ["examples"]:
            raise typer.BadParameter("--unlike needs --like or --text.")
        return given[0] if given else "listing"


@with_options
def search(
    ctx: typer.Context,
    category: CategoryOption,
    filters: FiltersOption,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="WORDS",
            help="Words (a CLIP-family encoder). With --like or --unlike: one example more.",
            rich_help_panel=_QUERY,
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="FILE", help="A picture; - reads stdin.", rich_help_panel=_QUERY),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="ID", help="An image of the category, left out itself.", rich_help_panel=_QUERY
        ),
    ] = None,
    vector: Annotated[
        Path | None,
        typer.Option("--vector", metavar="FILE", help="A JSON list or .npy file.", rich_help_panel=_QUERY),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option("--like", metavar="ID|FILE", help="Like these; again: more.", rich_help_panel=_QUERY),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--unlike", metavar="ID|FILE", help="And unlike these.", rich_help_panel=_QUERY),
    ] = None,
    using: Annotated[
        list[str] | None,
        typer.Option(
            "--using",
            metavar="ENCODER",
            rich_help_panel=_QUERY,
            help="The encoder's vector. [default: the category's] Twice with --id: both, fused.",
        ),
    ] = None,
    limit: LimitOption = 10,
    offset: Annotated[
        int, typer.Option("--offset", min=0, help="Skip so many hits.", rich_help_panel=_SHAPE)
    ] = 0,
    min_similarity: Annotated[
        float | None,
        typer.Option(
            "--min-similarity",
            min=-1,
            max=1,
            help="Only hits so similar; 1: the same picture.",
            rich_help_panel=_SHAPE,
        ),
    ] = None,
    diversity: Annotated[
        float | None,
        typer.Option(
            "--diversity",
            min=0,
            max=1,
            help="0: the most similar; towards 1: fewer look-alikes.",
            rich_help_panel=_SHAPE,
        ),
    ] = None,
    collapse: Annotated[
        bool,
        typer.Option("--collapse", help="One hit for each group of near-duplicates.", rich_help_panel=_SHAPE),
    ] = False,
    order_by: Annotated[
        str | None,
        typer.Option(
            "--order-by",
            metavar="FIELD[:desc]",
            help="Listing: by a number or date, such as quality:desc.",
            rich_help_panel=_SHAPE,
        ),
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Listing: a random sample.", rich_help_panel=_SHAPE)
    ] = False,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Listing: the next page.", rich_help_panel=_SHAPE)
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE.png", help="Draw the hits as a contact sheet.", rich_help_panel=_SHAPE
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search a category by picture, text, id, vector or examples; without any of them list it."""
    question = Question(text, image, id, vector, tuple(like or ()), tuple(unlike or ()))
    names = tuple(using or ())
    _check_usage(question, names, order_by=order_by, random=random, cursor=cursor, offset=offset)
    if collapse and question.kind == "listing":
        raise typer.BadParameter("--collapse is for searches, not for listings.")
    if sheet is not None:
        check_ending(sheet, "a sheet", SHEETS)
    conditions = filters.asked
    with stores(ctx) as runtime:
        runtime.vectors.warm(category)  # while the modules and the encoder of the search are loaded
        order = to_order(runtime, category, order_by)
        if question.kind == "listing":
            similar: Mapping[str, int] = {}
            answer, hits = _listing(
                runtime, category, conditions, limit, order_by=order, random=random, cursor=cursor
            )
            queries: list[Tile] = []
        else:
            from vitrine.services.search.options import SearchOptions

            first = names[0] if names else None
            options = SearchOptions(
                first, conditions, limit, offset, min_similarity, diversity, collapse=collapse
            )
            result, queries = _ask(runtime, category, question, names, options, draw=sheet is not None)
            answer, hits = _result_json(category, question.kind, result, collapse), list(result.hits)
            similar = result.similar
        ordered = order.field if order else None
        if sheet is not None:
            captions = partial(_ordered_captions, ordered) if ordered else hit_captions
            save_sheet(
                runtime, sheet, queries, hits, title=_title(category, question, ordered), captions=captions
            )
            answer["sheet"] = str(sheet)
    if as_json:
        print_json(answer)
        return
    print_hits(hits, measure=ordered, similar=similar if collapse else None)
    _notes(answer, len(hits))


def print_hits(
    hits: Sequence[Hit], measure: str | None = None, similar: Mapping[str, int] | None = None
) -> None:
    """Print a line for each hit, with the value of the field ``measure`` or else its similarity, and how many
    near-duplicates were left out, by ``similar``."""
    from vitrine.services.values.field_paths import value_at

    compared = [measure or "similarity"] if measure or any(hit.similarity is not None for hit in hits) else []
    rows = []
    for number, hit in enumerate(hits, 1):
        value = value_at(hit.payload, measure) if measure else hit.similarity
        about = (hit.id, hit.payload.get("class"), hit.payload.get("tags", ()), hit.payload.get("filename"))
        more = [f"+{similar[hit.id]} similar" if hit.id in similar else ""] if similar is not None else []
        rows.append((number, *([value] if compared else []), *about, *more))
    columns = (
        "#",
        *compared,
        "id",
        "class",
        "tags",
        "filename",
        *(["others"] if similar is not None else []),
    )
    print_table(columns, rows, right=("#", *compared))


def hit_json(hit: Hit) -> dict[str, Any]:
    """Return a hit as ``--json`` prints it."""
    return {"id": hit.id, "similarity": hit.similarity, "payload": hit.payload}


def _ordered_captions(field: str, hit: Hit) -> tuple[str, ...]:
    from vitrine.services.values.field_paths import value_at

    value = value_at(hit.payload, field)
    first, *rest = hit_captions(hit, value if isinstance(value, float) else None)
    return (first if isinstance(value, float) else f"{value}  {first}", *rest)


def _check_usage(
    question: Question,
    using: tuple[str, ...],
    *,
    order_by: str | None,
    random: bool,
    cursor: str | None,
    offset: int,
) -> None:
    kind = question.kind
    if kind != "listing" and (order_by or random or cursor):
        raise typer.BadParameter("--order-by, --random and --cursor are for listings: leave out the query.")
    if kind == "listing" and offset:
        raise typer.BadParameter("a listing goes on by --cursor, not --offset.")
    if random and (order_by or cursor):
        raise typer.BadParameter("--random takes neither --order-by nor --cursor.")
    if len(using) > 1 and kind != "id":
        raise typer.BadParameter("several --using are fused for --id only.")


def _listing(
    runtime: Runtime,
    category: str,
    conditions: AnyConditions,
    limit: int,
    *,
    order_by: OrderBy | None,
    random: bool,
    cursor: str | None,
) -> tuple[dict[str, Any], list[Hit]]:
    if random:
        hits, following = runtime.searcher.random(category, conditions, limit=limit), None
    else:
        page = runtime.searcher.listing(category, conditions, order_by=order_by, limit=limit, cursor=cursor)
        hits, following = list(page.hits), page.cursor
    kind = "random" if random else "listing"
    trees = [hit_json(hit) for hit in hits]
    return {
        "category": category,
        "kind": kind,
        "hits": trees,
        "encoder": None,
        "cursor": following,
        "timing": None,
    }, hits


def _ask(
    runtime: Runtime,
    category: str,
    question: Question,
    using: tuple[str, ...],
    options: SearchOptions,
    *,
    draw: bool,
) -> tuple[SearchResult, list[Tile]]:
    """Return the answer, and the pictures of the query where a sheet is to show them."""
    from vitrine.services.search.questions import (
        ByExamples,
        ByFusion,
        ById,
        ByImage,
        ByText,
        ByVector,
        Text,
    )

    search = partial(runtime.searcher.search, category, options=options)
    if question.text is not None and question.kind == "text":
        return search(ByText(question.text)), []
    if question.vector is not None:
        return search(ByVector(read_vector(question.vector))), []
    if question.image is not None:
        data = read_picture(question.image)
        return search(ByImage(data)), [query_tile(data, question.image.name)]
    if question.id is not None:
        result = search(ByFusion(question.id, using) if len(using) > 1 else ById(question.id))
        return result, example_tiles(runtime, category, [question.id]) if draw else []
    likes, unlikes = tuple(map(to_example, question.like)), tuple(map(to_example, question.unlike))
    words = () if question.text is None else (Text(question.text),)
    result = search(ByExamples((*words, *likes), unlikes))
    tiles = []
    if draw:
        tiles = example_tiles(runtime, category, likes, [Path(text).name for text in question.like], "like")
        names = [Path(text).name for text in question.unlike]
        tiles += example_tiles(runtime, category, unlikes, names, "unlike")
    return result, tiles


def _result_json(category: str, kind: str, result: SearchResult, collapse: bool = False) -> dict[str, Any]:
    spec = result.encoder
    return {
        "category": category,
        "kind": kind,
        "hits": [hit_json(hit) for hit in result.hits],
        **({"similar": dict(result.similar)} if collapse else {}),
        "encoder": {"name": spec.name, "model": spec.model, "revision": spec.revision, "dim": spec.dim},
        "cursor": None,
        "timing": {"encode_ms": result.encode_ms, "search_ms": result.search_ms},
    }


def _title(category: str, question: Question, ordered: str | None) -> str:
    if question.text is not None:
        return f"“{question.text}” in {category}"
    if question.image is not None:
        return f"Like {question.image.name} in {category}"
    if question.kind == "listing":
        return f"{category}, by {ordered}" if ordered else category
    return f"By {question.kind} in {category}"


def _notes(answer: Mapping[str, Any], hits: int) -> None:
    if answer["encoder"]:
        encode_ms, search_ms = answer["timing"]["encode_ms"], answer["timing"]["search_ms"]
        took = (
            f"loading and encoding {encode_ms:.0f} ms, search {search_ms:.1f} ms"
            if encode_ms
            else f"search {search_ms:.1f} ms"
        )
        note(f"{hits} {'hit' if hits == 1 else 'hits'} by {answer['encoder']['name']}: {took}.")
    else:
        note(f"{hits} {'image' if hits == 1 else 'images'}.")
    if answer["cursor"]:
        note(f"More: --cursor {answer['cursor']}")
    if "sheet" in answer:
        note(f"Contact sheet: {answer['sheet']}")
