"""``vitrine cluster threshold``: a threshold of similarity from pairs that a person accepts or rejects."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_pairs, print_table, telling
from vitrine.services.errors import BadRequest
from vitrine.services.files import make_folder, unwritable

if TYPE_CHECKING:
    from vitrine.indexer.enrich.clusters.threshold.answers import Answers, AskedPair
    from vitrine.indexer.enrich.clusters.threshold.pair_sample import SampleOptions
    from vitrine.indexer.enrich.clusters.threshold.threshold import Counts, Proposal
    from vitrine.services.runtime import Runtime

PAIRS = 60
TILE_SIZE = 300
MAX_ROWS = 20
"""Lines of the table on a terminal; --json has all."""
_KEYS = "y accept, n reject, s skip, u undo, q finish"


def threshold(
    ctx: typer.Context,
    category: CategoryOption,
    answers: Annotated[
        Path,
        typer.Option(
            "--answers",
            metavar="FILE",
            help="Keeps the pairs and what was answered; goes on where it was left.",
        ),
    ],
    measure: Annotated[
        str,
        typer.Option(
            "--measure", metavar="WORD", help="embedding, or by pixels: ssim, minhash, phash, orb ..."
        ),
    ] = "embedding",
    using: Annotated[
        str | None,
        typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's]"),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            "--pairs", min=10, max=2_000, help="Pairs to judge. [default: those of the file; 60 in a new one]"
        ),
    ] = None,
    low: Annotated[
        float | None,
        typer.Option(
            "--from",
            metavar="SIMILARITY",
            help="Only pairs from here on. [default: the top 1 % by embedding, else the upper half]",
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--images",
            metavar="N",
            min=2,
            help="Images drawn to find pairs. [default: 2,000 by embedding, else 300]",
        ),
    ] = None,
    neighbours: Annotated[
        int,
        typer.Option(
            "--neighbours", min=1, max=100, help="By pixels: nearest of each that it is compared with."
        ),
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn at random.")] = 0,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE", help="Write the pairs as a contact sheet.")
    ] = None,
    accept: Annotated[
        str, typer.Option("--accept", metavar="1,4,7-9", help="These pairs belong together.")
    ] = "",
    reject: Annotated[str, typer.Option("--reject", metavar="2,3", help="These do not.")] = "",
    ask: Annotated[
        bool | None, typer.Option("--ask/--no-ask", help="Ask pair by pair. [default: in a terminal]")
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            "--precision",
            min=0,
            max=1,
            help="The lowest threshold that is so precise. [default: the best F1]",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw precision and recall (.png or .svg).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a threshold by looking: pairs from the whole range are shown, you say which belong together.

    Precision and recall are estimated for all pairs of the range, of which those judged are a sample. Write a
    --sheet to look at, then answer in the terminal, or with --accept and --reject by the numbers on the
    sheet. Answers are kept one by one.

    Until there are three of either kind the command says what is missing, and fails only if --precision or
    --plot asks for more.
    """
    from vitrine.indexer.enrich.clusters.threshold.pair_sample import SampleOptions
    from vitrine.indexer.enrich.clusters.threshold.threshold import Counts, propose
    from vitrine.indexer.export.sheets import check_sheet_path

    options = SampleOptions(measure, using, pairs or PAIRS, images, neighbours, low, seed=seed)
    options.check()
    given = {True: numbers_of(accept), False: numbers_of(reject)}
    if given[True] & given[False]:
        raise BadRequest(f"Pair {min(given[True] & given[False])} is both accepted and rejected.")
    if sheet is not None:
        check_sheet_path(sheet)
    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise BadRequest(f"{plot} cannot be a plot: let its name end in .png or .svg.")
    with stores(ctx) as runtime:
        kept = _pairs(runtime, category, answers, options, pairs)
        if sheet is not None:
            _save_sheet(runtime, kept, sheet)
            note(f"Contact sheet: {sheet}")
    for accepted, numbers in given.items():
        kept.answer(numbers, accepted)
    kept.write()
    asking = sys.stdin.isatty() if ask is None else ask
    if asking and not any(given.values()):
        judge(kept, sheet, sys.stdin.readline)
    answered = sum(pair.accepted is not None for pair in kept.pairs)
    told = {
        "category": category, "measure": kept.measure, "using": kept.using, "population": kept.population,
        "answers": str(answers), "pairs": len(kept.pairs), "answered": answered,
    }  # fmt: skip
    counts = Counts.of(kept.judged())
    if not counts.enough and precision is None and plot is None:
        _tell_needs(kept, counts, told, sheet, as_json)
        return
    proposal = propose(kept.judged(), precision=precision, seed=seed)
    if plot is not None:
        from vitrine.indexer.enrich.clusters.threshold.threshold_plot import draw_threshold

        title = (
            f"{category}: {kept.measure}{f' of {kept.using}' if kept.measure == 'embedding' else ''}, "
            f"{answered} pairs judged"
        )
        try:
            make_folder(plot.parent)
            note(f"Plot: {draw_threshold(proposal, kept.judged(), plot, title=title)}")
        except OSError as error:
            raise unwritable(plot, error) from error
    commands = uses(kept.measure, kept.using, category, proposal.chosen.threshold)
    if as_json:
        print_json(
            {"status": "proposed", **told, **proposal.to_json(), "use": commands, "judged": kept.to_json()}
        )
    else:
        _print(told, proposal, commands)


def numbers_of(text: str) -> set[int]:
    """``1,4,7-9`` as numbers. ``BadRequest`` for what is none."""
    found: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or max(len(first), len(last)) > 6:
            raise BadRequest(f"{part[:80]!r} is no number of a pair: write such as 1,4,7-9.")
        if int(last or first) < int(first):
            raise BadRequest(f"{part!r} runs backwards: write {last}-{first}.")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def judge(kept: Answers, sheet: Path | None, read: Callable[[], str]) -> None:
    """Ask pair by pair, those that tell most first, until all are answered or the person has had enough."""
    skipped: set[int] = set()
    given: list[int] = []
    total = len(kept.pairs)
    note(f"Do the two belong together? {_KEYS}. What is answered is in {kept.path}.")
    if sheet is None:
        note("To see the pictures, write a contact sheet with --sheet FILE.")
    while pair := kept.next_pair(skipped):
        done = sum(one.accepted is not None for one in kept.pairs)
        typer.echo(f"[{done + 1}/{total}] {_described(pair, sheet)}? ", err=True, nl=False)
        line = read()
        word = line.strip().lower()[:1]
        if not line or word == "q":
            note("" if line else "\nNobody answered.")
            return
        if word == "s":
            skipped.add(pair.number)
        elif word == "u":
            if given:
                kept.answer([given.pop()], None)
                kept.write()
            else:
                note("There is nothing to undo.")
        elif word in ("y", "n"):
            kept.answer([pair.number], word == "y")
            kept.write()
            given.append(pair.number)
        else:
            note(_KEYS)


def uses(measure: str, using: str, category: str, value: float) -> list[str]:
    """Commands that take the threshold."""
    if measure == "embedding":
        return [
            f"vitrine duplicates find -c {category} --using {using} --similarity {value:.4f}",
            f"vitrine cluster run -c {category} --run NAME --using {using} --method dbscan --eps "
            f"{1 - value:.4f}",
            f"vitrine search -c {category} --using {using} --min-similarity {value:.4f} ...",
        ]
    return [f"vitrine cluster pixels -c {category} --run NAME --measure {measure} --threshold {value:.4f}"]


def _pairs(
    runtime: Runtime, category: str, path: Path, options: SampleOptions, wanted: int | None
) -> Answers:
    """The pairs of the file, with new ones where more or others are asked for."""
    from vitrine.indexer.enrich.clusters.threshold.answers import Answers
    from vitrine.indexer.enrich.clusters.threshold.pair_sample import object_keys, sample_pairs

    runtime.catalog.get(category)
    kept = Answers.read(path) if path.exists() else None
    if kept is not None:
        kept.check(
            category,
            options.measure,
            options.using and runtime.catalog.get(category).encoder(options.using).name,
        )
        if wanted is not None and wanted < len(kept.pairs):
            note(f"{path} holds {len(kept.pairs)} pairs, more than --pairs {wanted}: all of them stay.")
        if len(kept.pairs) >= (wanted or 0) and options.low in (None, kept.low):
            return kept
        low = kept.low if options.low is None else options.low
        options = replace(options, pairs=wanted or len(kept.pairs), low=low, seed=kept.seed)
    with telling("drawing pairs") as told:
        sample = sample_pairs(runtime, category, options, told)
    if not sample.pairs:
        raise BadRequest(
            f"No pair of {category!r} is as alike as that: give a lower --from, or more --images."
        )
    ids = list(dict.fromkeys(id for pair in sample.pairs for id in (pair.one, pair.other)))
    names = dict(zip(ids, object_keys(runtime, category, ids, "filename"), strict=True))
    if kept is None:
        kept = Answers(path, category, options.measure, sample.using, "", 0.0, options.seed, [])
    kept.take(sample, names)
    kept.write()
    return kept


def _described(pair: AskedPair, sheet: Path | None) -> str:
    place = f", number {pair.number} on {sheet}" if sheet else f", number {pair.number}"
    return f"{pair.similarity:.4f}  {pair.names[0]}  {pair.names[1]}{place}"


def _save_sheet(runtime: Runtime, kept: Answers, path: Path) -> None:
    """A tile for each pair, most similar first."""
    from vitrine.indexer.enrich.clusters.threshold.pair_sample import object_keys
    from vitrine.indexer.enrich.clusters.threshold.threshold_plot import side_by_side
    from vitrine.services.errors import NotFound
    from vitrine.services.images.contact_sheet import Tile, contact_sheet

    pairs = kept.by_similarity()
    ids = list(dict.fromkeys(id for pair in pairs for id in (pair.one, pair.other)))
    keys = dict(zip(ids, object_keys(runtime, kept.category, ids), strict=True))

    def data_of(id: str) -> bytes | None:
        try:
            return runtime.objects.get(keys[id]) if keys[id] else None
        except NotFound:
            return None

    words = {True: "accepted", False: "rejected", None: ""}
    tiles = [
        Tile(
            side_by_side(data_of(pair.one), data_of(pair.other), TILE_SIZE),
            (f"{pair.number}:  {pair.similarity:.4f}  {words[pair.accepted]}".rstrip(), *pair.names),
            highlighted=bool(pair.accepted),
        )
        for pair in pairs
    ]
    title = (
        f"{kept.category}: pairs by "
        f"{kept.measure}{f' of {kept.using}' if kept.measure == 'embedding' else ''}"
    )
    try:
        page = contact_sheet(tiles, columns=5 if len(tiles) <= 60 else 10, tile_size=TILE_SIZE, title=title)
        make_folder(path.parent)
        page.save(path)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    except OSError as error:
        raise unwritable(path, error) from error


def _tell_needs(
    kept: Answers, counts: Counts, told: dict[str, Any], sheet: Path | None, as_json: bool
) -> None:
    """How many answers there are, what is missing, and what to do next."""
    waiting = sum(pair.accepted is None for pair in kept.pairs)
    if waiting:
        look = f"Look at {sheet}" if sheet else "Write a contact sheet with --sheet FILE"
        do = f"{look}, then answer with --accept and --reject by number, or in a terminal"
        do += f": {counts.advice}." if counts.accepted + counts.rejected else "."
    else:
        do = f"All pairs are answered: judge more, {counts.advice}."
    if as_json:
        print_json(
            {
                "status": "needs answers",
                **told,
                "accepted": counts.accepted,
                "rejected": counts.rejected,
                "needed": counts.needed,
                "next": do,
                "judged": kept.to_json(),
            }
        )
        return
    print_pairs(
        told | {"answered": f"{told['answered']} ({counts.accepted} accepted, {counts.rejected} rejected)"}
    )
    missing = " and ".join(f"{number} more {kind}" for kind, number in counts.needed.items() if number)
    note(f"Before a threshold is proposed, {missing} are needed. {do}")


def _print(told: dict[str, Any], proposal: Proposal, commands: list[str]) -> None:
    chosen, spans = proposal.chosen, proposal.intervals
    shown = {
        name: f"{getattr(chosen, name):.4f}  ({spans[name][0]:.4f} to {spans[name][1]:.4f})"
        for name in ("threshold", "precision", "recall", "f1")
    }
    answers = f"{proposal.accepted} accepted, {proposal.rejected} rejected, of {told['pairs']} pairs"
    print_pairs({**shown, "answers": answers, "population": told["population"]})
    rows = proposal.rows
    step = max(1, -(-len(rows) // MAX_ROWS))
    listed = [row for at, row in enumerate(rows) if at % step == 0 or row == chosen]
    table = [
        [row.threshold, row.precision, row.recall, row.f1, "<-" if row == chosen else ""] for row in listed
    ]
    print_table(
        ("threshold", "precision", "recall", "F1", "proposed"),
        table,
        right=("threshold", "precision", "recall", "F1"),
    )
    note(
        "\n".join(
            [
                "Intervals are of 95 %, wide where there are few answers. Use it in:",
                *(f"  {line}" for line in commands),
            ]
        )
    )
    for line in proposal.notes:
        note(line)
