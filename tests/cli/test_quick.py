"""What is taken from the command line as it is, is what Typer makes of it; the rest is left to Typer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from vitrine.cli.command_list import COMMANDS, load
from vitrine.cli.main import app
from vitrine.cli.parameters.quick import plain_value
from vitrine.services.fitting import UNSURE

VALUES = (
    None, "", " ", "a", "a,b", "7", "0", "-1", "007", "1_0", "1.5", "1e3", "nan", "true", "yes", "f", "none",
    "int8", "-", "there.txt", "folder", "missing/a", "a\0b", True, False, 0, 7, 0.5, b"a", [], (), ["a", "b"],
    ("1", "2"), ["7", 7], [None],
)  # fmt: skip


def below(command: Any) -> Iterator[Any]:
    yield command
    for one in getattr(command, "commands", {}).values():
        yield from below(one)


def by_typer(parameter: Any, context: Any, value: Any) -> Any:
    """What Typer makes of it before its callback; UNSURE where it refuses."""
    try:
        if parameter.type_descriptor.annotation is not bool or not isinstance(value, bool):
            value = parameter.get_runtime_param().coerce(value, param=parameter, ctx=context)
        return UNSURE if parameter.required and parameter.value_is_missing(value) else value
    except typer.BadParameter:
        return UNSURE


@pytest.mark.parametrize("name", [None, *COMMANDS], ids=str)
def test_plain_values_are_what_typer_makes_of_them(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.txt").touch()
    (tmp_path / "folder").mkdir()
    some = 0
    for command in below(typer.main.get_command(app) if name is None else load(name)):
        context = command.context_class(command)
        for parameter in command.get_params(context):
            for value in (*VALUES, parameter.default):
                found = plain_value(parameter, value)
                if found is not UNSURE:
                    expected = by_typer(parameter, context, value)
                    assert (type(found), found) == (type(expected), expected), (parameter.name, value)
                    some += 1
    assert some > 5


def test_what_is_not_given_needs_no_typer() -> None:
    """Nor do the defaults of any command, but for those that are required."""
    for name in COMMANDS:
        for command in below(load(name)):
            context = command.context_class(command)
            for parameter in command.get_params(context):
                default = parameter.get_default(context)
                assert parameter.required or plain_value(parameter, default) is not UNSURE, parameter.name
