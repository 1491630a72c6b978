"""A program that is killed at a point that is counted, not timed, as often as a test likes, and is loaded
once."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.program import start_python

_FORKING = '''
import os, sys
import qdrant_client.models  # what every child needs, once

def serve(work):
    """Run ``work`` in a child for each line that comes in, and say when it is gone, however it went."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            work(*line.split())
            os._exit(0)
        os.waitpid(child, 0)
        print("gone", flush=True)

class Teller:
    """A sign of life for every step."""
    def start(self, stage, total): print("stage", flush=True)
    def update(self, report): print(report.done, flush=True)
    def finish(self, report): ...

'''


class Program:
    """``code`` ends with ``serve(work)``; ``work(*words)`` prints the process id of its engine first, and
    tells its progress."""

    def __init__(self, folder: Path, code: str) -> None:
        script = folder / "program.py"
        script.write_text(_FORKING + code)
        self._process = start_python(script, stdin=subprocess.PIPE)

    def kill(self, *words: object, after: int, engine: bool) -> None:
        """Start ``work`` and kill it after so many signs of life, with its engine or not."""
        child, its_engine = self._start(words)
        for _ in range(after):
            if self._line() == "gone":
                return
        if engine:
            os.kill(its_engine, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        self._rest()

    def finish(self, *words: object) -> str:
        """Start ``work`` and let it end; the last line it prints."""
        self._start(words)
        return self._rest()[-1]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _start(self, words: tuple[object, ...]) -> tuple[int, int]:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        return int(self._line()), int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the program has ended"
        return line.strip()

    def _rest(self) -> list[str]:
        lines = []
        while (line := self._line()) != "gone":
            lines.append(line)
        return lines


@contextmanager
def program(folder: Path, code: str) -> Iterator[Program]:
    """The program, until the test is done with it."""
    made = Program(folder, code)
    try:
        yield made
    finally:
        made.close()
