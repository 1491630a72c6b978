"""``--detach``: a command that is a kind of job is handed to whoever runs jobs, instead of being run here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from vitrine.cli.jobs.table import KINDS

if TYPE_CHECKING:
    from vitrine.services.jobs.kinds import Role

_DETACH: Final = "detach_"
_EVERY: Final = "every_"
_HELP: Final = "Run it as a job of the running server, and return at once: `vitrine jobs watch` follows it."
EVERY: Final = (
    "Start it again so long after each end, such as 30m, 6h or 1d, until the job that waits is cancelled."
)


def offer_detach(command: Any, words: str) -> None:
    """Give a command of these words, and those below it, the options ``--detach`` and ``--every`` where they
    are kinds of jobs."""
    if words in KINDS:
        _offer(command, words)
    for name, below in getattr(command, "commands", {}).items():
        offer_detach(below, f"{words} {name}")


def _offer(command: Any, words: str) -> None:
    of_typer = command.invoke

    def invoke(context: Any) -> Any:
        detach, every = context.params.pop(_DETACH), context.params.pop(_EVERY)
        if not detach and every is None:
            return of_typer(context)
        _hand_over(context, command, words, every)
        return None

    holder = typer.Typer()
    holder.command()(_template)
    template = typer.main.get_command(holder)
    command.params += [one for one in template.params if one.name in (_DETACH, _EVERY)]
    command.invoke = invoke


def _template(
    detach_: bool = typer.Option(False, "--detach", help=_HELP),
    every_: str | None = typer.Option(None, "--every", metavar="TIME", help=f"{EVERY} Implies --detach."),
) -> None:
    """Stands for the options in the form that Typer reads."""


def _hand_over(context: Any, command: Any, words: str, every: str | None) -> None:
    from vitrine.cli.jobs.commands import opened, submit, tell_started
    from vitrine.cli.jobs.kinds import kind_of, name_of

    kind = kind_of(words)
    roles = {one.name: one.role for one in kind.parameters}
    given: dict[str, Any] = {}
    for one in command.params:
        name, source = name_of(one), context.get_parameter_source(one.name)
        if name in roles and source is not None and not source.name.startswith("DEFAULT"):
            given[name] = _elsewhere(context.params[one.name], roles[name])
    with opened(context) as jobs:
        tell_started(submit(jobs, kind, given, every), as_json=bool(context.params.get("as_json")))


def _elsewhere(value: Any, role: Role) -> Any:
    """Return a value as it is understood in another working directory."""
    if isinstance(value, list | tuple):
        return [_elsewhere(each, role) for each in value]
    path = isinstance(value, Path) or role in ("file", "result", "trained")
    if path or (role in ("source", "encoder") and isinstance(value, str) and os.path.lexists(value)):
        return os.path.abspath(os.path.expanduser(value))
    return value
