"""Options of a command from a dataclass: default, help and range are stated there and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from vitrine.services.options import Option, Options, options_of

_OPTION = "vitrine_option"


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every field of the options dataclasses among its parameters.

    ``make(ctx, options: MapOptions)`` gets ``--neighbours``, ``--min-dist`` ... with the defaults, ranges and
    help that ``MapOptions`` states, and is called with a ``MapOptions``. ``Annotated[MapOptions, "Of UMAP"]``
    shows them under that heading.
    """
    parameters: list[Parameter] = []
    packed: dict[str, type[Options]] = {}
    for parameter in signature(command, eval_str=True).parameters.values():
        kind, *heading = get_args(parameter.annotation) or [parameter.annotation]
        if isinstance(kind, type) and issubclass(kind, Options):
            packed[parameter.name] = kind
            parameters += [_parameter(one, *heading) for one in options_of(kind)]
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(command)
    def expanded(**given: Any) -> None:
        for name, kind in packed.items():
            values = {one.name: _read(one, given.pop(one.name)) for one in options_of(kind)}
            given[name] = kind(**values)
        command(**given)

    expanded.__signature__ = signature(command).replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {one.name: one.annotation for one in parameters}
    return expanded


def _parameter(option: Option, heading: str | None = None) -> Parameter:
    """Return the parameter that makes typer offer this option.

    Choices and lists are read as text, so that the dataclass refuses what is wrong in them.
    """
    flag = f"--{option.name.strip('_').replace('_', '-')}"
    kind, default, metavar = option.kind, option.default, None
    inner = next((one for one in get_args(kind) if one is not NoneType), kind)
    if kind is bool and default:
        flag = f"{flag}/--no{flag[1:]}"
    elif inner is str:
        metavar = option.name.strip("_").split("_")[-1].upper()
        kind, default = (list[str], list(default)) if get_origin(kind) is tuple else (kind, default)
    elif get_origin(kind) is tuple:
        metavar = "A,B,..."
        kind, default = list[str], list(map(str, default))
    elif Literal in (get_origin(kind), get_origin(inner)):
        choices = get_args(inner) or get_args(kind)
        kind, metavar = str if default is not None else str | None, "|".join(map(str, choices))
    least, most = option.limits.get("ge"), option.limits.get("le")
    shown = typer.Option(
        flag, help=option.help, min=least, max=most, metavar=metavar, rich_help_panel=heading
    )
    setattr(shown, _OPTION, option)
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, shown])


def option_behind(parameter: Any) -> Option | None:
    """Return the field of an options dataclass that a parameter of a command was made of; None for others."""
    found: Option | None = getattr(parameter.type_descriptor.parameter_info, _OPTION, None)
    return found


def _read(option: Option, value: Any) -> Any:
    """Return the value; of a list of numbers or words that were written with commas, its parts."""
    if get_origin(option.kind) is not tuple or option.kind == tuple[str, ...]:
        return value
    return [part.strip() for text in value for part in text.split(",") if part.strip()]
