"""Help looks as Typer draws it with all of rich."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

RUN = "import sys; sys.argv[0] = 'vitrine'; from vitrine.cli.main import main; "
ALL = RUN + "import rich.markdown, rich.traceback, typer.rich_utils; main()"
THEN = f"""{RUN}
try:
    main()
except SystemExit:
    pass
from rich.console import Console
from rich.markdown import Markdown
Console().print(Markdown("# Bold"))
"""


def shown(code: str, *arguments: str, width: int = 80) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--help"],
        env={**os.environ, "COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm-256color"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["images"], ["images", "list"], ["demo"], ["search"]], ids=" ".join
)
@pytest.mark.parametrize("width", [60, 140])
def test_help_looks_the_same(arguments: list[str], width: int) -> None:
    found = shown(RUN + "main()", *arguments, width=width)
    assert "\x1b[" in found
    assert found == shown(ALL, *arguments, width=width)


def test_all_of_rich_can_be_used_afterwards() -> None:
    assert "Bold" in "".join(shown(THEN).splitlines()[-3:])
