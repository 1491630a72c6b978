"""The command line ``vitrine``. Commands import what they need when they run: ``vitrine --help`` must answer
at once."""

from __future__ import annotations

import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vitrine.cli import (
    autoencoder,
    bench,
    category,
    doctor,
    duplicates,
    encoder,
    export,
    index,
    search,
    serve,
)
from vitrine.cli.cluster import commands as cluster
from vitrine.cli.context import GlobalFlags
from vitrine.cli.demo import commands as demo
from vitrine.cli.images import commands as images
from vitrine.cli.map import commands as maps
from vitrine.cli.metric import commands as metric
from vitrine.cli.output import debugging, print_error
from vitrine.cli.tagger import commands as tagger  # fmt: skip
from vitrine.services.errors import StoreLocked, VitrineError
from vitrine.services.files import any_error

AS_JSON = "vitrine.as_json"
ADDING = "vitrine.adding"
ORDER = (
    "demo",
    "category",
    "index",
    "search",
    "images",
    "tagger",
    "metric",
    "cluster",
    "map",
    "duplicates",
    "autoencoder",
    "export",
    "encoder",
    "serve",
    "doctor",
    "bench",
)
"""Commands as --help lists them: the way a newcomer goes."""


class VitrineGroup(TyperGroup):
    """The top of the command tree: here every error becomes one sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[AS_JSON] = "--json" in args
        ctx.meta[ADDING] = ("index", "add") in pairwise(args)
        _reflow(self)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(ORDER)

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


def _reflow(command: Any) -> None:
    """Join the lines of the help texts of a command and those below it, so that the terminal breaks them."""
    for parameter in getattr(command, "params", ()):
        if getattr(parameter, "help", None):  # brackets are text, such as [default: 512,128], and not markup
            parameter.help = re.sub(r"(?<!\\)\[", r"\\[", parameter.help)
    if command.help:
        command.help = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))
    for below in getattr(command, "commands", {}).values():
        _reflow(below)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"vitrine {version('vitrine')}")
        raise typer.Exit


app = typer.Typer(
    cls=VitrineGroup,
    name="vitrine",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some images were refused, 4 out of time, "
    "130 interrupted.",
)
app.add_typer(category.app, name="category")
app.add_typer(index.app, name="index")
app.command("search", epilog=search.EXAMPLES)(search.search)
app.add_typer(images.app, name="images")
app.add_typer(encoder.app, name="encoder")
app.add_typer(export.app, name="export")
app.add_typer(duplicates.app, name="duplicates")
app.add_typer(tagger.app, name="tagger")
app.add_typer(metric.app, name="metric")
app.add_typer(cluster.app, name="cluster")
app.add_typer(maps.app, name="map")
app.add_typer(autoencoder.app, name="autoencoder")
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the ``vitrine`` command."""
    _open_closed_streams()
    try:
        app()
    except OSError as error:  # of the help text: what commands raise is handled by the group
        known = any_error(error)
        print_error(known.code, known.message, known.details, as_json=False)
        sys.exit(1)


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
