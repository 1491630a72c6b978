"""The command line ``vitrine``. Commands import what they need when they run: ``vitrine --help`` must answer
at once."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vitrine.cli.command_list import COMMANDS, load, reflow
from vitrine.cli.context import GlobalFlags
from vitrine.cli.output import debugging, print_error
from vitrine.cli.parameters.light_help import import_renderer
from vitrine.cli.parameters.quick import quicken
from vitrine.services.errors import StoreLocked, VitrineError
from vitrine.services.files import any_error

AS_JSON = "vitrine.as_json"
ADDING = "vitrine.adding"
LISTING = "vitrine.listing"


class Listed(TyperCommand):
    """A command of the list that is not loaded yet."""


class VitrineGroup(TyperGroup):
    """The top of the command tree: here every error becomes one sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[AS_JSON] = "--json" in args
        ctx.meta[ADDING] = ("index", "add") in pairwise(args)
        reflow(self)
        quicken(self)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        ctx.meta[LISTING] = True
        import_renderer()
        super().format_help(ctx, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, loaded; for the list of all commands its summary will do."""
        found = super().get_command(ctx, cmd_name)
        return load(cmd_name) if isinstance(found, Listed) and not ctx.meta.get(LISTING) else found

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError, EOFError):
            raise  # Typer's own: usage, exit codes and closed pipes
        except KeyboardInterrupt:
            if ctx.meta[
                AS_JSON
            ]:  # a reader of JSON gets one document, also from a command that was stopped before its report
                print_error("interrupted", "Interrupted before there was a report.", {}, as_json=True)
            raise
        except Exception as error:
            if debugging():
                raise
            known = any_error(error)
            print_error(
                known.code,
                known.message + _advice(known, ctx.meta[ADDING]),
                known.details,
                as_json=ctx.meta[AS_JSON],
            )
        raise typer.Exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"vitrine {version('vitrine')}")
        raise typer.Exit


def _stand_in() -> None:
    """Never runs: the command itself is loaded first."""


app = typer.Typer(
    cls=VitrineGroup,
    name="vitrine",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some images were refused, 4 out of time, "
    "130 interrupted.",
)
for _name, _place in COMMANDS.items():
    app.command(_name, cls=Listed, help=_place.summary)(_stand_in)


def main() -> None:
    """Run the ``vitrine`` command."""
    _open_closed_streams()
    try:
        app()
    except OSError as error:  # of the help text: what commands raise is handled by the group
        known = any_error(error)
        print_error(known.code, known.message, known.details, as_json=False)
        sys.exit(1)
    finally:
        _let_go_what_cannot_be_written()


def _let_go_what_cannot_be_written() -> None:
    """Forget output that a full disk did not take, which was told of: some versions of Python try again when
    they end, and leave with a code of their own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _open_closed_streams() -> None:
    """Let a standard stream that was closed (``>&-``) take and give nothing, instead of failing where it is
    first used."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # lives as long as the process


@app.callback()
def _top(
    ctx: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FOLDER", help="Data folder; before VITRINE_DATA. [default: vitrine-data]"
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Index image collections and search them by picture, text, tag and score."""
    ctx.obj = GlobalFlags(data)


def _advice(error: VitrineError, adding: bool) -> str:
    """Return what the command line adds to an error: while a server has the data, use the server."""
    url = error.details.get("url") if isinstance(error, StoreLocked) else None
    if not url:
        return ""
    if adding:
        return f"\nAdd pictures there: curl -F file=@picture.jpg {url}/v1/categories/NAME/images"
    return f"\nWhat the server there can do, over HTTP: {url}/docs"
