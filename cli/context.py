"""What every command starts from: the settings with its flags applied, and the stores opened on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vitrine.services.runtime import Runtime
    from vitrine.services.settings import Settings


@dataclass(frozen=True)
class GlobalFlags:
    """Options given before the command."""

    data: Path | None = None


def read_settings(ctx: typer.Context, flags: Mapping[str, object] | None = None) -> Settings:
    """Return the settings, with ``--data`` and the command's own flags (None: not given) before the
    environment and ``.env``."""
    from vitrine.services.settings import read_settings as read

    return read(given_flags(ctx, flags))


def given_flags(ctx: typer.Context, flags: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the settings that are given on the command line, by field name."""
    top = ctx.find_object(GlobalFlags) or GlobalFlags()
    return {name: value for name, value in {"data": top.data, **(flags or {})}.items() if value is not None}


@contextmanager
def stores(ctx: typer.Context, *, make_data: bool = False, start: bool = True) -> Iterator[Runtime]:
    """Open the stores on the settings, and close them at the end. Another program that finds the data folder
    taken is given this command's name.

    ``make_data`` is for commands that begin a collection: the others do not make a data folder where a path
    is mistyped. ``start`` is False for those whose questions the files of a closed data folder answer.
    """
    from vitrine.services.runtime import open_runtime

    settings, path = read_settings(ctx), ctx.command_path
    with open_runtime(settings, command=path, make_data=make_data, start=start) as runtime:
        yield runtime
