"""Columns as bytes: codes by frequency, in the smallest integers that hold them."""

from __future__ import annotations

import numpy as np
import pytest

from vitrine.services.columns.building import Builder
from vitrine.services.columns.column import Column
from vitrine.services.columns.packing import (
    packed_colours,
    packed_mask,
    packed_numbers,
    packed_ratio,
    packed_words,
)
from vitrine.services.domain import IndexKind


def column(kind: IndexKind, *values: object) -> Column:
    builder = Builder("field", kind)
    builder.add([{} if value is None else {"field": value} for value in values])
    return builder.column()


def test_codes_go_by_frequency_and_then_by_value() -> None:
    packed = packed_words("class", column("keyword", "b", "c", "c", None, "a", "c", "a", "b", "d"))
    assert packed.values == ["c", "a", "b", "d"]
    assert packed.array.tolist() == [3, 1, 1, 0, 2, 1, 2, 3, 4] and packed.array.dtype == np.uint8


def test_of_several_words_the_first_or_last_stands_for_all() -> None:
    tags = column("keyword", ["b", "a"], [], None, ["c", "b"], "a")
    first, last = packed_words("tags", tags), packed_words("tags", tags, last=True)
    assert first.values == ["a", "b", "c"] and first.array.tolist() == [2, 0, 0, 3, 1]
    assert last.values == ["a", "b"] and last.array.tolist() == [1, 0, 0, 2, 1]


@pytest.mark.parametrize(("count", "kind"), [(255, np.uint8), (256, np.uint16), (65_536, np.uint32)])
def test_codes_take_the_smallest_integers_that_hold_them(count: int, kind: type) -> None:
    names = [f"n{number:06d}" for number in range(count)]
    packed = packed_words("name", column("keyword", *names))
    assert packed.array.dtype == kind
    assert packed.array.tolist() == list(range(1, count + 1)) and packed.values == names


def test_truths_are_words() -> None:
    packed = packed_words("sold", column("bool", True, False, None, False))
    assert packed.values == [False, True] and packed.array.tolist() == [2, 1, 0, 1]


def test_numbers_that_are_missing_or_do_not_count_are_nan() -> None:
    numbers = column("integer", 7, None, [3, 9], 5)
    packed = packed_numbers("n", numbers, np.array([True, True, True, False]))
    assert packed.array.dtype == np.float32
    assert packed.array[[0, 2]].tolist() == [7.0, 3.0] and np.isnan(packed.array[[1, 3]]).all()


def test_dates_keep_their_seconds() -> None:
    dates = column("datetime", "2024-05-01T10:30:07.250Z", None, "1969-12-31T23:59:59+00:00")
    packed = packed_numbers("at", dates)
    assert packed.array.dtype == np.float64
    assert packed.array[[0, 2]].tolist() == [1714559407.25, -1.0] and np.isnan(packed.array[1])


def test_a_ratio_needs_both_numbers() -> None:
    widths, heights = column("integer", 640, 3, None, 5), column("integer", 480, None, 4, 0)
    ratios = packed_ratio("aspect", widths, heights).array
    assert ratios[0] == np.float32(640 / 480) and np.isnan(ratios[1:]).all()


def test_colours_are_three_bytes() -> None:
    packed = packed_colours("colour", column("keyword", "#b04a2f", None, "#ffffff", "none"))
    assert packed.array.tolist() == [[0xB0, 0x4A, 0x2F], [0, 0, 0], [255, 255, 255], [0, 0, 0]]
    assert packed.width == 3


def test_a_mask_has_its_first_row_in_the_lowest_bit() -> None:
    assert packed_mask(np.array([True, False, False, True, False, False, False, False, False, True])) == (
        bytes([0b1001, 0b10])
    )


def test_nothing_at_all_is_packed_too() -> None:
    assert packed_words("class", column("keyword")).array.tolist() == []
    assert packed_words("class", column("keyword", None, None)).array.tolist() == [0, 0]
    assert np.isnan(packed_numbers("n", column("float", None)).array).all()
    assert packed_colours("colour", column("keyword", None)).array.tolist() == [[0, 0, 0]]
