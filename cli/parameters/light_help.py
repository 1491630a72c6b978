"""Help texts without what only Markdown and tracebacks need. Typer imports both with what it draws help by,
uses neither here, and they take a third of the time of `vitrine --help`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import typer.core

_UNUSED: Final = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}


def lighten(command: Any) -> None:
    """Let the command, and those below it, draw their help without the parts of rich that it does not
    show."""
    by_typer = command.format_help

    def format_help(context: Any, formatter: Any) -> None:
        import_renderer()
        by_typer(context, formatter)

    command.format_help = format_help
    for below in getattr(command, "commands", {}).values():
        lighten(below)


def import_renderer() -> None:
    """Import what Typer draws help by, if it is not there yet."""
    if typer.core.HAS_RICH and "typer.rich_utils" not in sys.modules:
        with _stand_ins():
            import_module("typer.rich_utils")


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Have empty modules in the place of the unused ones while the block is run."""
    made = {}
    for name, member in _UNUSED.items():
        if name not in sys.modules:
            made[name] = sys.modules[name] = ModuleType(name)
            setattr(made[name], member, None)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]
