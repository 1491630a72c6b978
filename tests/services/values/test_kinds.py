from __future__ import annotations

import math
from typing import Any

import pytest

from vitrine.services.category.payload import settled
from vitrine.services.domain import IndexKind
from vitrine.services.errors import BadRequest
from vitrine.services.values.kinds import Cell, cast, column_kinds, is_missing, joined, value_kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Cell("7"), "integer"),
        (Cell("-7"), "integer"),
        (Cell("007"), "keyword"),
        (Cell("7.0"), "float"),
        (Cell("1e3"), "float"),
        (Cell("TRUE"), "bool"),
        (Cell("2024-05-01"), "datetime"),
        (Cell("2024-02-30"), "keyword"),
        (Cell("1" * 19), "keyword"),
        (Cell("inf"), "float"),
        (Cell("NA"), None),
        ("7", "keyword"),
        (True, "bool"),
        (7, "integer"),
        (7.5, "float"),
        (math.nan, None),
        (None, None),
        ([], None),
        ([1, 2.5], "float"),
        ([1, "a"], "keyword"),
        ([True, 1], "keyword"),
        ([None, "n/a", 3], "integer"),
        ({"a": 1}, None),
        (2**63 - 1, "integer"),
        (2**63, "keyword"),
    ],
)
def test_kinds_of_values(value: Any, kind: IndexKind | None) -> None:
    assert value_kind(value) == kind


@pytest.mark.parametrize(
    ("value", "kind", "held"),
    [
        (38, "keyword", "38"),
        (True, "keyword", "true"),
        (False, "keyword", "false"),
        (1.5, "keyword", "1.5"),
        (3.0, "keyword", "3"),
        (2**64, "keyword", str(2**64)),
        ([1, True, "x"], "keyword", ["1", "true", "x"]),
        ("NA", "keyword", "NA"),
        (None, "keyword", None),
        ("12.50", "float", 12.5),
        (3, "float", 3.0),
        ("+.5", "float", 0.5),
        ("nan", "float", None),
        (2**60 + 1, "float", 2**60 + 1),
        ("12.0", "integer", 12),
        (12.0, "integer", 12),
        ("n/a", "integer", None),
        ("1|2", "integer", [1, 2]),
        ("[1, null]", "integer", [1]),
        ("Yes", "bool", True),
        (0, "bool", False),
        ("2024-W18-3", "datetime", "2024-05-01T00:00:00+00:00"),
        (2022, "datetime", "2022-01-01T00:00:00+00:00"),
        ("NaT", "datetime", None),
        ([None], "float", None),
    ],
)
def test_values_become_what_their_column_holds(value: Any, kind: IndexKind, held: Any) -> None:
    found = cast("x", value, kind)
    assert found == held and type(found) is type(held)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("cheap", "float"),
        (math.inf, "float"),
        ("1e400", "float"),
        ("1_000", "float"),
        ("１２", "integer"),
        (True, "integer"),
        (12.5, "integer"),
        (2**63, "integer"),
        (1e300, "integer"),
        ("maybe", "bool"),
        (2, "bool"),
        ("last week", "datetime"),
        ({"a": 1}, "float"),
        ({"a": 1}, "keyword"),
        ([1, [2]], "integer"),
        ([["a"]], "keyword"),
        ("x" * 10_001, "keyword"),
    ],
)
def test_values_of_another_kind_are_refused_in_a_sentence(value: Any, kind: IndexKind) -> None:
    with pytest.raises(BadRequest) as caught:
        cast("price", value, kind)
    assert "'price'" in caught.value.message
    assert not any(word in caught.value.message for word in ("float", "int ", "str", "dict", "bool", "{'a'"))


@pytest.mark.parametrize(
    "mark", ["", " ", "n/a", "N/A", "NA", "#N/A", "<NA>", "nan", "NaN", "NaT", "NULL", "null", "None", "-"]
)
def test_marks_of_missing_values(mark: str) -> None:
    assert is_missing(mark) and cast("x", mark, "float") is None
    assert settled({"x": mark}, {}) == ({}, {})
    assert not is_missing(f"{mark}x") and not is_missing("none")


def test_whole_numbers_are_widened_but_where_a_user_named_the_kind() -> None:
    held: dict[str, IndexKind] = {"metadata.n": "integer"}
    assert settled({"n": 12.5}, held) == ({"n": 12.5}, {"metadata.n": "float"})
    assert settled({"n": "12.5"}, held) == ({"n": 12.5}, {"metadata.n": "float"})
    assert settled({"n": [1, 2.5]}, held) == ({"n": [1.0, 2.5]}, {"metadata.n": "float"})
    for value, fixed in ((12.5, ["metadata.n"]), ("cheap", [])):
        with pytest.raises(BadRequest):
            settled({"n": value}, held, fixed=fixed)


def test_kinds_as_users_name_them() -> None:
    assert column_kinds(["price:float", "EXIF:ISO:Integer", "note:text"]) == {
        "price": "float",
        "EXIF:ISO": "integer",
        "note": "keyword",
    }
    for texts in (["price"], ["price:"], [":float"], ["price:money"], ["a:int", "a:float"]):
        with pytest.raises(BadRequest):
            column_kinds(texts)


def test_kinds_of_several_tables_together() -> None:
    assert [
        joined(pair)
        for pair in (["integer", "float"], ["bool", "bool"], ["datetime", "integer"], [None, "bool"])
    ] == [
        "float",
        "bool",
        "keyword",
        "bool",
    ]
