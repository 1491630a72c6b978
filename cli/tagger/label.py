"""``vitrine tagger label``: judge the images that teach a tagger most, train it again, and see what it ranks
first."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_table
from vitrine.indexer.export.sheets import save_sheet
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.services.files import SHEETS, check_ending

if TYPE_CHECKING:
    from vitrine.services.runtime import Runtime
    from vitrine.services.taggers.labelling import Candidate

Ask = Callable[[str], str | None]
"""Puts a question to the person and gives the answer without spaces around it; None at the end of the
input."""
_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")
_BEST = 5


def label(
    ctx: typer.Context,
    category: CategoryOption,
    tag: Annotated[str, typer.Option("--tag", "-t", metavar="TAG", help="The tag to judge images for.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="Images of one round.")] = 20,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE.png", help="Where the contact sheet goes. On a terminal: label-TAG.png."
        ),
    ] = None,
    accept: Annotated[
        list[str] | None, typer.Option("--accept", metavar="ID", help="This image has the tag; again: more.")
    ] = None,
    reject: Annotated[
        list[str] | None,
        typer.Option("--reject", metavar="ID", help="This image does not have it; again: more."),
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Train the tagger from all that was said.")] = False,
    using: Annotated[
        str | None, typer.Option("--using", metavar="ENCODER", help="The encoder of a tag without a tagger.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the images that the tagger is least sure of and ask which have the tag; train; again, until you
    stop. With --accept, --reject, --train or --json nothing is asked: they are carried out, and the next
    uncertain images are listed."""
    if sheet is not None:
        check_ending(sheet, "a sheet", SHEETS)
    asking = sys.stdin.isatty() and not (accept or reject or train or as_json)
    with stores(ctx) as runtime:
        if asking:
            rounds(runtime, category, tag, limit, sheet or _sheet_for(tag), _ask, using)
            return
        answer = _carry_out(
            runtime, category, tag, limit, sheet, accept or (), reject or (), train=train, using=using
        )
    if as_json:
        print_json(answer)
        return
    _print(answer)


def rounds(
    runtime: Runtime, category: str, tag: str, limit: int, sheet: Path, ask: Ask, using: str | None = None
) -> None:
    """Run round after round until nothing is answered: a numbered contact sheet, the person's judgement, a
    new tagger."""
    from vitrine.services.taggers.labelling import record, uncertain

    undecided: list[str] = []
    while found := uncertain(runtime, category, tag, limit, using=using, exclude=undecided):
        _draw(runtime, sheet, tag, found)
        why = "like those accepted so far" if found[0].score is None else "of which the tagger is least sure"
        note(f"{len(found)} images {why}: {sheet}")
        right = _which(ask, tag, len(found))
        if right is None:
            break
        others = [one.hit.id for number, one in enumerate(found, 1) if number not in right]
        judged = bool(others) and (
            ask(f"Are the other {len(others)} not {tag!r}? [Y/n] ") or "y"
        ).lower() not in ("n", "no")
        undecided += [] if judged else others
        accepted = [one.hit.id for number, one in enumerate(found, 1) if number in right]
        counts = record(runtime, category, tag, accepted, others if judged else ()).counts
        note(f"{counts.accepted} accepted and {counts.rejected} rejected so far.")
        _train_and_print(runtime, category, tag, using)
    else:
        note("Every image is judged.")


def parse_numbers(text: str, count: int) -> set[int]:
    """Return the numbers in ``1 3 5-8``, with commas or spaces; also ``all`` and ``none``. ``BadRequest`` for
    numbers outside of 1..count.

    >>> sorted(parse_numbers("1, 3 5-7", 8))
    [1, 3, 5, 6, 7]
    """
    if text.lower() in ("all", "none"):
        return set(range(1, count + 1)) if text.lower() == "all" else set()
    chosen: set[int] = set()
    for part in re.split(r"[\s,]+", text.strip()):
        match = _NUMBERS.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= count:
            raise BadRequest(
                f"{part!r} is not a tile: write numbers of 1..{count} such as 1 3 5-8, 'all' or 'none'."
            )
        chosen |= set(range(first, last + 1))
    return chosen


def _which(ask: Ask, tag: str, count: int) -> set[int] | None:
    """Return the tiles that have the tag; None to stop. A mistyped answer is asked again."""
    while True:
        answer = ask(f"Which are {tag!r}? (1 3 5-8, all, none; Enter stops) ")
        if not answer or answer.lower() in ("q", "quit"):
            return None
        try:
            return parse_numbers(answer, count)
        except BadRequest as error:
            note(error.message)


def _ask(question: str) -> str | None:
    typer.echo(question, err=True, nl=False)
    answer = sys.stdin.readline()  # not typer.prompt: Ctrl-C must stay Ctrl-C, and exit with 130
    return answer.strip() if answer else None


def _train_and_print(runtime: Runtime, category: str, tag: str, using: str | None) -> None:
    from vitrine.services.taggers.labelling import ranking, refit

    try:
        done = refit(runtime, category, tag, using=using)
    except TooFewExamples as error:
        note(f"Not trained yet. {error.message}")
        return
    _note_training(done.to_json())
    note("What it ranks first:")
    _print_rows([one.to_json() for one in ranking(runtime, category, done.head, _BEST)])


def _carry_out(
    runtime: Runtime,
    category: str,
    tag: str,
    limit: int,
    sheet: Path | None,
    accept: Sequence[str],
    reject: Sequence[str],
    *,
    train: bool,
    using: str | None,
) -> dict[str, Any]:
    from vitrine.services.category.changes.entries import undo_json
    from vitrine.services.taggers.labelling import ranking, record, refit, uncertain

    said = record(runtime, category, tag, accept, reject)
    done = refit(runtime, category, tag, using=using) if train else None
    best = ranking(runtime, category, done.head, limit) if done else []
    try:
        found = uncertain(runtime, category, tag, limit, using=using)
    except TooFewExamples:
        if not reject:
            raise
        found = []  # what was asked for is done; there is only nothing to go on with
    if sheet is not None:
        _draw(runtime, sheet, tag, found)
    return {
        "category": category,
        "tag": tag,
        "labels": {"accepted": said.counts.accepted, "rejected": said.counts.rejected},
        "undo": undo_json(said.undo),
        "trained": done.to_json() if done else None,
        "ranking": [one.to_json() for one in best],
        "uncertain": [one.to_json() for one in found],
        "sheet": str(sheet) if sheet else None,
    }


def _draw(runtime: Runtime, sheet: Path, tag: str, found: Sequence[Candidate]) -> None:
    captions = {
        one.hit.id: (f"{number}   {_measure(one):.3f}", str(one.hit.payload.get("filename", "")))
        for number, one in enumerate(found, 1)
    }
    title = f"Which are “{tag}”?"
    save_sheet(
        runtime, sheet, [], [one.hit for one in found], title=title, captions=lambda hit: captions[hit.id]
    )


def _measure(one: Candidate) -> float:
    return (one.hit.similarity or 0.0) if one.score is None else one.score


def _print(answer: dict[str, Any]) -> None:
    labels, trained = answer["labels"], answer["trained"]
    rows = answer["ranking"] if trained else answer["uncertain"]
    if trained:
        _note_training(trained)
    _print_rows(rows)
    note(
        f"{'Ranked first' if trained else 'To judge next'}: {len(rows)}. {labels['accepted']} images "
        f"accepted, {labels['rejected']} rejected."
        + (f" Contact sheet: {answer['sheet']}" if answer["sheet"] else "")
    )


def _note_training(trained: dict[str, Any]) -> None:
    examples, seconds = trained["examples"], sum(trained["seconds"].values())
    note(
        f"Trained on {examples['positives']} accepted, {examples['negatives']} rejected and "
        f"{examples['background']} other images in {seconds:.2f} s: average precision "
        f"{trained['metrics']['average_precision']:.3f} on judged images, out of fold."
    )


def _print_rows(rows: Sequence[dict[str, Any]]) -> None:
    lines = []
    for number, row in enumerate(rows, 1):
        measure = row["similarity"] if row["score"] is None else row["score"]
        payload = row["payload"]
        lines.append((number, measure, row["id"], payload.get("tags", ()), payload.get("filename")))
    print_table(("#", "score", "id", "tags", "filename"), lines)


def _sheet_for(tag: str) -> Path:
    return Path(f"label-{re.sub(r'[^A-Za-z0-9_-]+', '-', tag).strip('-') or 'tag'}.png")
