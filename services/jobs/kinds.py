"""The kinds of jobs, and what each takes. The command line knows them; whoever else has to ask is told as
JSON, so that neither the API nor Python imports what trains."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

import vitrine
from vitrine.services.errors import BadRequest, Unavailable
from vitrine.services.jobs.job import Lane

MODULE: Final = "vitrine.cli.jobs.kinds"
"""Prints the kinds as JSON when it is run."""
Type = Literal["string", "integer", "number", "boolean"]
Role = Literal["value", "category", "source", "file", "encoder", "trained", "result"]
"""What a text means. ``source``: images, by `objects:`, `folder:` or `upload:`; ``file``: a file, by the
last two; ``encoder``: one that the server knows by its name; ``trained``: the plain name of one that is made;
``result``: that of the file that is made."""
_ENCODER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}(/[0-9]{1,6})?")
_FITS: Final[Mapping[Type, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


@dataclass(frozen=True)
class Parameter:
    """One option or argument of a kind of job, as its command states it. ``several``: a list of values;
    ``choices``: of text; ``minimum`` and ``maximum``: of numbers; ``group``: its heading. ``remote`` is False
    for what only the command line may say, since it names a file of this machine to be written."""

    name: str
    type: Type
    help: str
    role: Role = "value"
    several: bool = False
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    group: str | None = None
    remote: bool = True


@dataclass(frozen=True)
class Kind:
    """A kind of job: a command of the command line. ``name``: its words with dashes, such as cluster-run."""

    name: str
    command: str
    lane: Lane
    title: str
    help: str
    parameters: tuple[Parameter, ...]

    @property
    def remote(self) -> bool:
        """Whether it can be asked for over HTTP: nothing that it needs is the command line's alone."""
        return all(one.remote for one in self.parameters if one.required)

    def checked(self, arguments: Mapping[str, Any], *, remote: bool) -> dict[str, Any]:
        """Return the arguments that are given (null is not). ``BadRequest`` names the first that is unknown,
        missing, or not of its type or range; with ``remote`` also one that a client may not say."""
        known = {one.name: one for one in self.parameters if one.remote or not remote}
        given = {name: value for name, value in arguments.items() if value is not None}
        for name in given:
            if name not in known:
                there = ", ".join(known)
                raise BadRequest(
                    f"{self.name} has no argument {name[:80]!r}: it has {there}.", argument=name[:80]
                )
        for one in known.values():
            if one.required and one.name not in given:
                raise BadRequest(
                    f"{self.name} needs the argument {one.name!r}: {one.help}", argument=one.name
                )
        return {name: _checked(known[name], value, remote) for name, value in given.items()}

    def to_json(self, *, remote: bool = True) -> dict[str, Any]:
        """Return it as a JSON object, with the parameters that clients may give."""
        shown = [one for one in self.parameters if one.remote or not remote]
        return {**asdict(self), "parameters": [asdict(one) for one in shown]}


def find_kind(kinds: Iterable[Kind], name: str) -> Kind:
    """Return the kind of that name, or of that command. ``BadRequest``."""
    listed = list(kinds)
    for kind in listed:
        if name in (kind.name, kind.command):
            return kind
    names = ", ".join(kind.name for kind in listed)
    raise BadRequest(f"{name[:80]!r} is no kind of job: there are {names}.", kind=name[:80])


def kinds_from_json(trees: Sequence[Mapping[str, Any]]) -> tuple[Kind, ...]:
    """Return the kinds that were written as JSON, all parameters included."""
    return tuple(
        Kind(
            **{
                **tree,
                "parameters": tuple(
                    Parameter(**{**one, "choices": tuple(one["choices"])}) for one in tree["parameters"]
                ),
            }
        )
        for tree in trees
    )


def ask_for_kinds() -> tuple[Kind, ...]:
    """Return the kinds, as a process of the command line says them: it takes half a second.
    ``Unavailable``."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", MODULE],
        env=python_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    if done.returncode:
        raise Unavailable(
            f"The kinds of jobs cannot be listed: {done.stderr.decode('utf-8', 'replace')[-300:].strip()}"
        )
    return kinds_from_json(orjson.loads(done.stdout))


def python_environment() -> dict[str, str]:
    """Return the environment for a process of the same Python that finds the same packages."""
    root = str(Path(vitrine.__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


def _checked(one: Parameter, value: Any, remote: bool) -> Any:
    if not one.several:
        return _fitting(one, value, remote)
    if not isinstance(value, list | tuple):
        raise BadRequest(f"The argument {one.name!r} is a list.", argument=one.name)
    return [_fitting(one, each, remote) for each in value]


def _fitting(one: Parameter, value: Any, remote: bool) -> Any:
    if type(value) not in _FITS[one.type]:
        raise BadRequest(f"The argument {one.name!r} should be of the type {one.type}.", argument=one.name)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest(f"The argument {one.name!r} should be a finite number.", argument=one.name)
    if one.choices and value not in one.choices:
        raise BadRequest(
            f"The argument {one.name!r} should be one of {', '.join(one.choices)}.", argument=one.name
        )
    if one.type in ("integer", "number"):
        low, high = one.minimum, one.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            span = (
                f"at least {low:g}" if high is None else f"in {'' if low is None else f'{low:g}'}..{high:g}"
            )
            raise BadRequest(f"The argument {one.name!r} should be {span}.", argument=one.name)
    if one.type == "string" and "\0" in value:
        raise BadRequest(f"The argument {one.name!r} has a character that no text has.", argument=one.name)
    if remote and one.role == "encoder" and not _ENCODER.fullmatch(value):
        raise BadRequest(
            f"{value[:80]!r} is not the name of an encoder: over HTTP they go by their names, such as clip "
            "or look/2.",
            argument=one.name,
        )
    return value
