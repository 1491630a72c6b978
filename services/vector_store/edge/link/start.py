"""The start of an engine process, by the program that is the first to need one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import orjson

import vitrine
from vitrine.services.errors import Unavailable
from vitrine.services.vector_store.edge.errors import from_plain
from vitrine.services.vector_store.edge.link.lock import ENDING_WAIT_S

LOG: Final = "engine.log"
_LOG_BYTES: Final = 1 << 20
_MODULE: Final = "vitrine.services.vector_store.edge.process"
_READY_S: Final = ENDING_WAIT_S + 30.0
_END_S: Final = 60.0


class Starting:
    """An engine process that was started and gets ready meanwhile.

    It lives for as long as a program is connected to it, or until ``done`` is called where none ever was. Its
    messages go into ``engine.log`` in the data folder: it may live longer than the program that starts it,
    and must keep none of its files open.
    """

    def __init__(self, data: Path, settings: list[str]) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self._ready, theirs = socket.socketpair()
        root = str(Path(vitrine.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        log = data / LOG
        try:
            fresh = "wb" if log.exists() and log.stat().st_size > _LOG_BYTES else "ab"
            with log.open(fresh) as messages:
                self.process = subprocess.Popen(
                    # -P: what lies in the working directory must not be taken for our packages
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        _MODULE,
                        str(data.resolve()),
                        str(theirs.fileno()),
                        *settings,
                    ],
                    env={**os.environ, "PYTHONPATH": path},
                    cwd=data,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=messages,
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C goes to the terminal's group: each program decides for itself what it means
                    start_new_session=True,
                )
        except OSError as error:
            self._ready.close()
            raise Unavailable(
                f"The engine of {str(data)!r} cannot be started ({error.strerror}): free memory or space, "
                "and try again.",
                folder=str(data),
            ) from error
        finally:
            theirs.close()

    def wait(self) -> None:
        """Return once an engine listens, this one or another program's. ``StoreLocked`` where something else
        has the folder, ``Unavailable`` where the process ends."""
        self._ready.settimeout(_READY_S)
        try:
            said = self._ready.recv(1 << 16)
        except TimeoutError:
            self.process.kill()
            said = b""
        if not said:
            raise Unavailable(
                f"The engine process ended ({reason(self.ended())}) while it was started: see {LOG} in "
                "the data folder, and try again."
            )
        error = orjson.loads(said).get("error")
        if error is not None:
            raise from_plain(error)

    def done(self) -> None:
        """Have the engine live by its connections alone."""
        self._ready.close()

    def ended(self, within: float = _END_S) -> int | None:
        """Wait for the process, which is about to end, and return its exit code; None if it goes on."""
        self.done()
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            return None


def reason(code: int | None) -> str:
    """Return what an exit code of the engine process says; None: it is not known."""
    if code is None:
        return "why is not known"
    if code >= 0:
        return f"exit status {code}"
    hints = {signal.SIGBUS: ": is the disk full?", signal.SIGKILL: ": out of memory?"}
    return f"signal {-code}{hints.get(signal.Signals(-code), '')}"
