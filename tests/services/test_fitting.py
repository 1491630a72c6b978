"""What is fitted without pydantic is what pydantic makes of it, and what pydantic refuses is never fitted."""

from __future__ import annotations

import math
import random
import string
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ConfigDict, Field, ValidationError, create_model

from vitrine.services.errors import BadRequest
from vitrine.services.fitting import UNSURE, fitted
from vitrine.services.settings import VARIABLES, Settings

KINDS: tuple[Any, ...] = (
    str, int, float, bool, Path, str | None, int | None, float | None, Path | None, int | str,
    Literal["auto", "1", "true"], Literal["a"] | None, tuple[str, ...], tuple[int, ...], tuple[float, ...],
    tuple[str, str], list[str], dict[str, int],
)  # fmt: skip
TEXTS = (
    "", "0", "1", "7", "-1", "+1", "007", " 1", "1 ", "1_000", "1.0", "0.5", ".5", "5.", "1e3", "0x10", "١",
    "nan", "inf", "-0", "true", "True", "TRUE", "false", "yes", "no", "on", "off", "t", "f", "auto", "a",
    "None", "null", "99999999999999999999", "123456789012345678", "0.1234567890123456789", "~/x", "a/../b",
    "read:a,write:b", "\x00", "1\n",
)  # fmt: skip
VALUES = (None, True, False, 0, 1, -1, 2**70, 0.5, 1.0, -0.0, math.nan, math.inf, b"1", Path("a/b"), (), [],
          ("a",), ["a", "b"], ("1", 2), (1, 2.5), {"a"}, {"a": 1}, object())  # fmt: skip
LIMITS: tuple[dict[str, Any], ...] = (
    {}, {"ge": 1}, {"gt": 0, "lt": 1}, {"ge": 0, "le": 65535}, {"max_length": 2},
)  # fmt: skip


def by_pydantic(kind: Any, value: object, limits: dict[str, Any], *, finite: bool = True) -> Any:
    """What pydantic makes of it; UNSURE where it refuses."""
    config = ConfigDict(allow_inf_nan=not finite)
    try:
        model = create_model("One", __config__=config, value=(kind, Field(**limits)))
        return model.model_validate({"value": value}).value  # type: ignore[attr-defined]
    except (ValidationError, TypeError):  # the second: such a limit is not for this kind
        return UNSURE


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_is_what_pydantic_makes_of_it(kind: Any) -> None:
    some = 0
    for limits in LIMITS:
        for value in (*TEXTS, *VALUES):
            found = fitted(kind, value, limits)
            if found is not UNSURE:
                expected = by_pydantic(kind, value, limits)
                assert (type(found), found) == (type(expected), expected), (value, limits)
                some += 1
    assert some or kind in (int | str, tuple[str, str], list[str], dict[str, int])


def test_random_texts() -> None:
    pick = random.Random(8)
    for _ in range(2_000):
        text = "".join(pick.choices(string.digits + ".-+_e ", k=pick.randrange(1, 8)))
        for kind in (int, float, bool):
            found = fitted(kind, text, {})
            if found is not UNSURE:
                expected = by_pydantic(kind, text, {})
                assert (type(found), found) == (type(expected), expected), text


@pytest.mark.parametrize("text", [text for text in TEXTS if text and "\x00" not in text])
def test_settings_are_what_pydantic_makes_of_the_environment(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each number and truth alone; what pydantic refuses the settings refuse by name."""
    monkeypatch.chdir(tmp_path)
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    for one in fields(Settings):
        kind, limits, variable = type(one.default), one.metadata["limits"], VARIABLES[one.name]
        if kind not in (int, float, bool):
            continue
        expected = by_pydantic(kind, text, limits, finite=False)
        monkeypatch.setenv(variable, text)
        if expected is UNSURE:
            with pytest.raises(BadRequest, match=f"The setting {variable} must be"):
                Settings()
        else:
            assert repr(getattr(Settings(), one.name)) == repr(expected)  # of which one is NaN
        monkeypatch.delenv(variable)
