"""Values of the command line that need no converting. Typer makes a pydantic adapter for every parameter of a
command, given or not, which with pydantic's import takes 70 ms of each command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

from vitrine.services.fitting import UNSURE, fitted


def quicken(command: Any) -> None:
    """Let the parameters of a command, and of those below it, take plain values as they are. All others are
    for Typer to convert or refuse."""
    of_typer = command.get_params

    def get_params(context: Any) -> list[Any]:
        parameters: list[Any] = of_typer(context)  # and --help, which is made for the context
        for parameter in parameters:
            parameter.process_value = _quick(parameter)
        return parameters

    command.get_params = get_params
    for below in getattr(command, "commands", {}).values():
        quicken(below)


def _quick(parameter: Any) -> Callable[[Any, Any], Any]:
    by_typer = type(parameter).process_value

    def process(context: Any, value: Any) -> Any:
        found = plain_value(parameter, value)
        if found is UNSURE:
            return by_typer(parameter, context, value)
        return found if parameter.callback is None else parameter.callback(context, parameter, found)

    return process


def plain_value(parameter: Any, value: Any) -> Any:
    """Return what Typer makes of the value of a parameter; ``UNSURE`` where that is not plain to see."""
    several = parameter.multiple or parameter.nargs == -1
    if value is None:
        return UNSURE if parameter.required else () if several else None
    kind, info = parameter.type_descriptor.annotation, parameter.type_descriptor.parameter_info
    if info.parser is not None or info.clamp or several != (get_origin(kind) is list):
        return UNSURE
    limits = {"ge": info.min, "le": info.max}
    limits = {name: bound for name, bound in limits.items() if bound is not None}
    if not several:
        return _plain(kind, value, limits, info)
    if not isinstance(value, list | tuple) or (parameter.required and not value):
        return UNSURE
    found = [_plain(get_args(kind)[0], one, limits, info) for one in value]
    return UNSURE if any(one is UNSURE for one in found) else found


def _plain(kind: Any, value: Any, limits: dict[str, Any], info: Any) -> Any:
    if kind is Path:
        return Path(value) if isinstance(value, str | Path) and _any_file(str(value), info) else UNSURE
    if kind is bool and type(value) is not bool:  # Typer reads more words, and blanks
        return UNSURE
    return fitted(kind, value, limits)


def _any_file(path: str, info: Any) -> bool:
    """Return whether the path is all that is asked for: any name that can be read if it is there."""
    asked = info.exists or info.resolve_path or info.writable or info.path_type is not None
    free = info.file_okay and info.dir_okay and not info.allow_dash and not asked
    return bool(free) and "\0" not in path and (os.access(path, os.R_OK) or not os.path.exists(path))
