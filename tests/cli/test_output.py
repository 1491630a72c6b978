from __future__ import annotations

import io
import sys

import pytest

from vitrine.cli.output import print_pairs, print_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_is_drawn_on_a_terminal_and_keeps_what_looks_like_markup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    print_table(("id", "tags"), [("1", ["[red]", "a\nb"]), ("2", None)], right=("id",))
    text = terminal.getvalue()
    assert "[red], a b" in text and "─" in text


def test_a_table_is_tab_separated_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [(0.123456, None), ("x\ty", ["p", "q"])])
    assert capsys.readouterr().out == "a\tb\n0.1235\t\nx y\tp, q\n"


def test_pairs_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs({"a": 1, "long": "x"})
    assert capsys.readouterr().out == "a:    1\nlong: x\n"
