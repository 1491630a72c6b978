"""``vitrine cluster threshold``: a threshold of similarity from pairs that a person accepts or rejects."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_pairs, print_table, telling
from vitrine.cli.with_options import with_options
from vitrine.indexer.enrich.clusters.options import PairOptions
from vitrine.services.errors import BadRequest
from vitrine.services.files import PLOTS, SHEETS, check_ending

if TYPE_CHECKING:
    from vitrine.indexer.enrich.clusters.threshold.answers import Answers, AskedPair
    from vitrine.indexer.enrich.clusters.threshold.threshold import Counts, Proposal

MAX_ROWS = 20
"""Lines of the table on a terminal; --json has all."""
_KEYS = "y accept, n reject, s skip, u undo, q finish"


@with_options
def threshold(
    ctx: typer.Context,
    category: CategoryOption,
    options: PairOptions,
    answers: Annotated[
        Path,
        typer.Option(
            "--answers", metavar="FILE", help="Keeps the pairs and their answers; goes on where it was left."
        ),
    ],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write the pairs as a contact sheet.")
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
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw precision and recall (.png, .svg, .pdf)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a threshold by looking: pairs from the whole range are shown, you say which belong together.

    Precision and recall are estimated for all pairs of the range, of which those judged are a sample. Write a
    sheet to look at with --to, then answer in the terminal, or with --accept and --reject by the numbers on
    the sheet. Answers are kept one by one.

    Until there are three of either kind the command says what is missing, and fails only if --precision or
    --plot asks for more.
    """
    from vitrine.indexer.enrich.clusters.threshold.judging import pairs_to_judge, uses, write_pair_sheet
    from vitrine.indexer.enrich.clusters.threshold.threshold import Counts, propose
    from vitrine.indexer.export.clusters.plots import draw_threshold

    given = {True: numbers_of(accept), False: numbers_of(reject)}
    if given[True] & given[False]:
        raise BadRequest(f"Pair {min(given[True] & given[False])} is both accepted and rejected.")
    if to is not None:
        check_ending(to, "a sheet", SHEETS)
    if plot is not None:
        check_ending(plot, "a plot", PLOTS)
    with stores(ctx) as runtime:
        with telling() as tell:
            kept = pairs_to_judge(
                runtime, category, answers, options, note=note, advance=partial(tell, "drawing pairs")
            )
        if to is not None:
            write_pair_sheet(runtime, kept, to)
            note(f"Written: {to}")
    for accepted, numbers in given.items():
        kept.answer(numbers, accepted)
    kept.write()
    asking = sys.stdin.isatty() if ask is None else ask
    if asking and not any(given.values()):
        judge(kept, to, sys.stdin.readline)
    answered = sum(pair.accepted is not None for pair in kept.pairs)
    about = {
        "category": category,
        "measure": kept.measure,
        "using": kept.using,
        "population": kept.population,
        "answers": str(answers),
        "pairs": len(kept.pairs),
        "answered": answered,
    }
    counts = Counts.of(kept.judged())
    if not counts.enough and precision is None and plot is None:
        _print_needs(kept, counts, about, to, as_json)
        return
    proposal = propose(kept.judged(), precision=precision, seed=options.seed)
    if plot is not None:
        title = f"{category}: {kept.by}, {answered} pairs judged"
        note(f"Written: {draw_threshold(proposal, kept.judged(), plot, title=title)}")
    commands = uses(kept, proposal.chosen.threshold)
    if as_json:
        print_json(
            {"status": "proposed", **about, **proposal.to_json(), "use": commands, "judged": kept.to_json()}
        )
    else:
        _print(about, proposal, commands)


def numbers_of(text: str) -> set[int]:
    """Read ``1,4,7-9`` as numbers. ``BadRequest`` for anything else."""
    found: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or max(len(first), len(last)) > 6:
            raise BadRequest(f"{part[:80]!r} is not the number of a pair: write such as 1,4,7-9.")
        if int(last or first) < int(first):
            raise BadRequest(f"{part!r} runs backwards: write {last}-{first}.")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def judge(kept: Answers, sheet: Path | None, read: Callable[[], str]) -> None:
    """Ask pair by pair, those that tell most first, until all are answered or the person has had enough."""
    skipped: set[int] = set()
    given: list[int] = []
    note(f"Do the two belong together? {_KEYS}. Answers are kept in {kept.path}.")
    if sheet is None:
        note("To see the pictures, write a contact sheet with --to FILE.")
    while pair := kept.next_pair(skipped):
        done = sum(one.accepted is not None for one in kept.pairs)
        typer.echo(f"[{done + 1}/{len(kept.pairs)}] {_described(pair, sheet)}? ", err=True, nl=False)
        line = read()
        word = line.strip().lower()[:1]
        if not line or word == "q":
            note("" if line else "\nNobody answered.")
            return
        if word == "s":
            skipped.add(pair.number)
        elif word == "u" and not given:
            note("There is nothing to undo.")
        elif word == "u":
            kept.answer([given.pop()], None)
            kept.write()
        elif word in ("y", "n"):
            kept.answer([pair.number], word == "y")
            kept.write()
            given.append(pair.number)
        else:
            note(_KEYS)


def _described(pair: AskedPair, sheet: Path | None) -> str:
    place = f", number {pair.number} on {sheet}" if sheet else f", number {pair.number}"
    return f"{pair.similarity:.4f}  {pair.names[0]}  {pair.names[1]}{place}"


def _print_needs(
    kept: Answers, counts: Counts, about: dict[str, Any], sheet: Path | None, as_json: bool
) -> None:
    """Print how many answers there are, what is missing, and what to do next."""
    waiting = sum(pair.accepted is None for pair in kept.pairs)
    if waiting:
        look = f"Look at {sheet}" if sheet else "Write a contact sheet with --to FILE"
        do = f"{look}, then answer with --accept and --reject by number, or in a terminal"
        do += f": {counts.advice}." if counts.accepted + counts.rejected else "."
    else:
        do = f"All pairs are answered: judge more, {counts.advice}."
    if as_json:
        needs = {"accepted": counts.accepted, "rejected": counts.rejected, "needed": counts.needed}
        print_json({"status": "needs answers", **about, **needs, "next": do, "judged": kept.to_json()})
        return
    print_pairs(
        about | {"answered": f"{about['answered']} ({counts.accepted} accepted, {counts.rejected} rejected)"}
    )
    missing = " and ".join(f"{number} more {kind}" for kind, number in counts.needed.items() if number)
    note(f"Before a threshold is proposed, {missing} are needed. {do}")


def _print(about: dict[str, Any], proposal: Proposal, commands: list[str]) -> None:
    chosen, spans = proposal.chosen, proposal.intervals
    columns = ("threshold", "precision", "recall", "f1")
    shown = {
        name: f"{getattr(chosen, name):.4f}  ({spans[name][0]:.4f} to {spans[name][1]:.4f})"
        for name in columns
    }
    answers = f"{proposal.accepted} accepted, {proposal.rejected} rejected, of {about['pairs']} pairs"
    print_pairs({**shown, "answers": answers, "population": about["population"]})
    step = max(1, -(-len(proposal.rows) // MAX_ROWS))
    table = [
        [*(getattr(row, name) for name in columns), "<-" if row == chosen else ""]
        for at, row in enumerate(proposal.rows)
        if at % step == 0 or row == chosen
    ]
    names = ("threshold", "precision", "recall", "F1")
    print_table((*names, "proposed"), table, right=names)
    note("Intervals are of 95 %, wide where there are few answers. Use it in:")
    for line in [*(f"  {command}" for command in commands), *proposal.notes]:
        note(line)
