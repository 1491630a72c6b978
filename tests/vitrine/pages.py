"""Runs the examples of a page: its blocks of Python in order, in one namespace, against the output shown."""

from __future__ import annotations

import ast
import doctest
import io
import re
from contextlib import redirect_stdout
from typing import Any

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHECKER = doctest.OutputChecker()


def evaluate(code: str, namespace: dict[str, Any]) -> tuple[str, object]:
    """Run a block as a notebook runs a cell. Returns what it prints, and the value of a last line that is an
    expression."""
    *body, last = ast.parse(code).body
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(body, []), "example", "exec"), namespace)
            value = eval(compile(ast.Expression(last.value), "example", "eval"), namespace)
        else:
            exec(compile(ast.Module([*body, last], []), "example", "exec"), namespace)
    return printed.getvalue(), value


def run_page(text: str, namespace: dict[str, Any]) -> int:
    """Run every block of Python and return how many there are. A block of text after one is what it gives,
    with `...` for anything."""
    count, given = 0, ""
    for match in BLOCK.finditer(text):
        language, code = match.groups()
        if language == "python":
            printed, value = evaluate(code, namespace)
            given = printed + ("" if value is None else f"{value!r}\n")
            count += 1
        elif language == "text":
            assert CHECKER.check_output(code, given, doctest.ELLIPSIS), (
                f"the page shows\n{code}\nnot\n{given}"
            )
    return count
