"""Another Python of a test, which finds the modules of the tests as well as Vitrine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """That of this process; the folder that ``tests`` lies in comes first where modules are looked for."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start_python(*arguments: object, stdin: int | None = None) -> subprocess.Popen[str]:
    """Start Python with these arguments; its output is read line by line from ``stdout``."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
