"""The kinds of jobs as the commands state them, and the command line of a job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

import orjson

from vitrine.cli.command_list import load
from vitrine.cli.jobs.table import KINDS, Entry
from vitrine.cli.with_options import option_behind
from vitrine.services.errors import BadRequest
from vitrine.services.jobs.kinds import Kind, Parameter, Role, Type

_NEVER: Final = ("help", "json", "yes", "detach", "every")
_TYPES: Final[Mapping[Any, Type]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    Path: "string",
}


def find_command(words: str) -> Any:
    """Return the command of these words, such as "cluster run"."""
    first, *rest = words.split()
    command = load(first)
    for word in rest:
        command = command.commands[word]
    return command


def kind_of(words: str) -> Kind:
    """Return the kind of job that a command is."""
    command, entry = find_command(words), KINDS[words]
    title = (command.help or "").split("\n\n")[0].strip()
    parameters = [
        _parameter(one, entry) for one in command.params if name_of(one) not in (*_NEVER, *entry.never)
    ]
    return Kind(words.replace(" ", "-"), words, entry.lane, title, command.help or "", tuple(parameters))


def find_kind_of(name: str) -> Kind:
    """Return the kind of that name, such as cluster-run, or of that command. ``BadRequest`` where there is
    none."""
    for words in KINDS:
        if name in (words, words.replace(" ", "-")):
            return kind_of(words)
    names = ", ".join(words.replace(" ", "-") for words in KINDS)
    raise BadRequest(f"{name[:80]!r} is no kind of job: there are {names}.", kind=name[:80])


def all_kinds() -> tuple[Kind, ...]:
    """Return all kinds of jobs."""
    return tuple(map(kind_of, KINDS))


def name_of(parameter: Any) -> str:
    """Return what an argument of a job is called: as its flag, or as the function of the command calls it."""
    flags = [flag for flag in parameter.opts if flag.startswith("--")]
    name = flags[0].removeprefix("--") if flags else parameter.name
    return str(name).replace("-", "_").strip("_")


def command_line(
    kind: Kind, arguments: Mapping[str, Any], place: Callable[[Parameter, str], str], *, resume: bool = False
) -> list[str]:
    """Return the command line of a job, after ``vitrine``. ``place`` gives the path that a text means;
    ``resume``: it goes on from a checkpoint."""
    command, entry = find_command(kind.command), KINDS[kind.command]
    known = {one.name: one for one in kind.parameters}
    given = {**entry.result, **arguments}
    flags, plain = ["--resume"] if resume else [], list[str]()
    for one in command.params:
        name = name_of(one)
        if name in ("yes", "json"):
            flags.append(f"--{name}")
            continue
        value = given.pop(name, None)
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            flags += [one.opts[0]] if value else list(one.secondary_opts[:1])
            continue
        values = [
            place(known[name], each) if isinstance(each, str) else str(each)
            for each in (value if isinstance(value, list) else [value])
        ]
        if one.param_type_name == "argument":
            plain += values
        else:
            flag = next(flag for flag in one.opts if flag.startswith("--"))
            flags += [f"{flag}={each}" for each in values]
    if given:
        raise BadRequest(f"{kind.name} has no argument {next(iter(given))!r} any more.")
    return [*kind.command.split(), *flags, "--", *plain]


def _parameter(one: Any, entry: Entry) -> Parameter:
    name = name_of(one)
    kind, default, limits = _stated(one)
    several = get_origin(kind) in (list, tuple)
    inner = get_args(kind)[0] if several else kind
    choices = get_args(inner) if get_origin(inner) is Literal else ()
    if name in entry.result:
        default = entry.result[name] or None
    return Parameter(
        name,
        _TYPES.get(inner, "string"),
        " ".join((one.help or "").replace("\\[", "[").split()),
        _role(name, inner, entry),
        several,
        bool(one.required) and name not in entry.result,
        list(default) if several else default,
        tuple(map(str, choices)),
        limits.get("ge"),
        limits.get("le"),
        getattr(one, "rich_help_panel", None),
        remote=name not in entry.local,
    )


def _stated(one: Any) -> tuple[Any, Any, Mapping[str, Any]]:
    """Return the type, the default and the range of a parameter: of an options dataclass's, as stated
    there."""
    option = option_behind(one)
    if option is None:
        limits = {name: bound for name, bound in (("ge", one.min), ("le", one.max)) if bound is not None}
        several = get_origin(one.type_descriptor.annotation) is list
        default = (one.default or ()) if several else one.default
        return one.type_descriptor.annotation, default, limits
    inner = [arg for arg in get_args(option.kind) if arg is not NoneType]
    optional = NoneType in get_args(option.kind)
    return (inner[0] if optional else option.kind), option.default, option.limits


def _role(name: str, kind: Any, entry: Entry) -> Role:
    if name in entry.source:
        return "source"
    if name in entry.result:
        return "result"
    if name in entry.trained:
        return "trained"
    if name in entry.encoder:
        return "encoder"
    if name == "category":
        return "category"
    return "file" if kind is Path else "value"


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps([asdict(kind) for kind in all_kinds()], default=str))
