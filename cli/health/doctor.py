"""``vitrine doctor``: what is configured, and does it work."""

from __future__ import annotations

import typer

from vitrine.cli.context import given_flags, read_settings
from vitrine.cli.options import JsonOption
from vitrine.cli.output import print_json, print_pairs, print_table

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("FAILED", "red")}


def doctor(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Say what is configured and from where, what can be reached, and who holds the data; exit 1 if something
    is broken."""
    from vitrine.services.doctor import diagnose

    found = diagnose(read_settings(ctx), given_flags(ctx))
    if as_json:
        print_json(found.to_json())
    else:
        _heading("Settings")
        rows = [(row["variable"], row["value"], row["source"]) for row in found.settings]
        print_table(("setting", "value", "from"), rows)
        _heading("Encoders on this machine")
        print_pairs(found.models)
        _heading("Versions")
        print_pairs(found.versions)
        _heading("Checks")
        for check in found.checks:
            word, colour = _MARKS[check.state]
            typer.secho(f"{word:<8}", fg=colour, nl=False)
            typer.echo(f" {check.name}: {check.message}")
    if not found.healthy:
        raise typer.Exit(1)


def _heading(text: str) -> None:
    typer.secho(f"\n{text}", bold=True)
