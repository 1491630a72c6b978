"""What commands print: results on stdout, as JSON or tables; notes, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import typer

if TYPE_CHECKING:
    from vitrine.indexer.job.progress import Progress, StageByStage
    from vitrine.services.category.changes.entries import Undo


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print a table on a terminal; elsewhere tab-separated lines under a heading. ``right``: columns that are
    set flush right."""
    lines = [[_cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        typer.echo("\n".join("\t".join(line) for line in [list(columns), *lines]))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name in (*right, "id", "#"),
            overflow="fold",
        )
    for line in lines:
        table.add_row(*(cell.replace("[", r"\[") for cell in line))
    Console().print(table)


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print one ``name: value`` a line, aligned."""
    width = max(map(len, pairs), default=0) + 1
    for name, value in pairs.items():
        typer.echo(f"{name + ':':<{width}} {_cell(value)}")


class Report(Protocol):
    """What a command prints at its end."""

    @property
    def exit_code(self) -> int: ...

    def to_json(self) -> dict[str, Any]: ...

    def summary(self) -> str: ...


def finish(report: Report, *, as_json: bool) -> None:
    """Print the report and leave with its exit code, if that is not 0."""
    if as_json:
        print_json(report.to_json())
    else:
        typer.echo(report.summary())
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def debugging() -> bool:
    """Return whether errors are shown with the place in the code where they came up."""
    return os.environ.get("VITRINE_DEBUG", "") not in ("", "0")


def show_progress() -> Progress | None:
    """Return what shows how far a job is: a bar on a terminal, lines elsewhere."""
    from vitrine.indexer.job.progress import make_progress

    return make_progress()


@contextmanager
def telling(quiet: bool = False) -> Iterator[StageByStage]:
    """Yield a function that shows progress: it takes the stage, and how much of how much is done."""
    from vitrine.indexer.job.progress import StageByStage, make_progress

    with closing(StageByStage(make_progress(quiet=quiet))) as shown:
        yield shown


def note(text: str) -> None:
    """Print a line for people on stderr, above a bar if there is one; an error while writing it does not end
    the work."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # which a bar redirects, unlike typer's echo


def tell_undo(undo: Undo | None) -> None:
    """Say by which command a change is taken back, if something was changed."""
    if undo is not None:
        note(f"Undo within 24 hours: vitrine undo {undo.token}")


def print_error(code: str, message: str, details: Mapping[str, object], *, as_json: bool) -> None:
    """Print an error's sentence and code on stderr; or as JSON on stdout, where the result would have been,
    if that can be written."""
    if as_json:
        with suppress(OSError):
            print_json({"error": {"code": code, "message": message, "details": dict(details)}})
            return
    with suppress(OSError):
        typer.secho("Error", fg="red", bold=True, err=True, nl=False)
        typer.echo(f" ({code}): {message}", err=True)


def confirm(question: str, yes: bool) -> None:
    """Go on with ``yes``, or when the person at the terminal agrees; else leave with exit code 1. No answer
    means no."""
    if yes:
        return
    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    answer = sys.stdin.readline()  # not typer.confirm: Ctrl-C must stay Ctrl-C, and exit with 130
    if answer.strip().lower() in ("y", "yes"):
        return
    note(
        "Nothing was deleted."
        if answer
        else "\nNobody answered, so nothing was deleted: --yes deletes without asking."
    )
    raise typer.Exit(1)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    text = ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
    return " ".join(text.split())
