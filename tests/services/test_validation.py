"""What is wrong with a value is said in words, never in Python's types."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vitrine.services.validation import first_mistake, mistakes


class Inner(BaseModel):
    name: str


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: Annotated[int, Field(ge=1, le=9)] = 1
    share: Annotated[float, Field(allow_inf_nan=False)] = 0.5
    on: bool = False
    tags: tuple[str, ...] = ()
    inner: Inner | None = None
    when: datetime | None = None
    mode: Literal["fast", "exact"] = "fast"
    value: bool | int | float | str | list[str] | None = None
    columns: dict[str, int] = {}  # a model's default is copied


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"count": "x"}, "count must be a whole number"),
        ({"count": 1.5}, "count must be a whole number"),
        ({"count": 0}, "count must be at least 1"),
        ({"count": 10}, "count must be at most 9"),
        ({"share": "x"}, "share must be a number"),
        ({"share": float("nan")}, "share must be a finite number"),
        ({"on": "maybe"}, "on must be true or false"),
        ({"tags": 5}, "tags must be a list"),
        ({"tags": [5]}, "tags.0 must be text"),
        ({"inner": 5}, "inner must be an object with names and values"),
        ({"inner": {}}, "inner.name is missing"),
        ({"when": "last week"}, "when must be a date such as 2024-05-01 or 2024-05-01T10:30:00Z"),
        ({"mode": "slow"}, "mode must be 'fast' or 'exact'"),
        ({"value": {}}, "value must be true or false or a whole number or a number or text or a list"),
        ({"columns": {"int": "x"}}, "columns.int must be a whole number"),
        ({"colour": 1}, "colour is not known here"),
        (5, "it must be an object with names and values"),
    ],
)
def test_a_mistake_in_words(given: Any, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(given)
    assert first_mistake(caught.value) == said


def test_every_field_is_named_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"count": "x", "value": {}, "nope": 1})
    assert [found["field"] for found in mistakes(caught.value)] == ["count", "value", "nope"]


@pytest.mark.parametrize(
    "wanted", [int, float, bool, str, list[int], dict[str, int], datetime, Path, Literal["a"], bytes, Inner]
)
def test_no_message_names_a_python_type(wanted: Any) -> None:
    for given in (object(), {}, [], "x", 5, None, b"\xff", 1.5):
        try:
            TypeAdapter(wanted).validate_python(given)
        except ValidationError as error:
            for word in ("Input should", "integer", "dict", "instance", "NoneType", "tuple", "parse"):
                assert word not in first_mistake(error)
