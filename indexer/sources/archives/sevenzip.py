"""Read the members of 7z archives one by one.

The library unfolds an archive into writers that it is given, one after the other: most of them are one stream
of many files. So it runs on a thread of its own, and waits before each file until that is asked for.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from typing import IO, Any

from vitrine.indexer.sources.archives.members import ENCRYPTED, Member, unread
from vitrine.indexer.sources.base import has_image_extension
from vitrine.services.errors import BadSource
from vitrine.services.extras import load_extra


def sevenzip_members(file: IO[bytes], max_bytes: int) -> Iterator[Member]:
    """Yield the files of a 7z archive. Of a file more than ``max_bytes`` are not kept. ``MissingExtra``;
    ``BadSource`` for one with a password.

    What is damaged ends it: the files of a stream cannot be read without those before them.
    """
    library = load_extra("py7zr", "archives")
    with library.SevenZipFile(file) as archive:
        if archive.needs_password():
            raise BadSource(ENCRYPTED)
        infos = _by_name(archive)
        unfolding = _Unfolding(library, archive, max_bytes)
        try:
            for name in unfolding.names():
                info = infos.get(name)
                when = info.creationtime.isoformat(timespec="seconds") if info and info.creationtime else None
                if info is not None and info.is_symlink:
                    if has_image_extension(name):
                        yield unread(name, when, "It is a link: links in 7z archives are not followed.")
                    continue
                size = info.uncompressed if info is not None else 0
                yield Member(name, size, when, partial(unfolding.open, name))
        finally:
            unfolding.end()


def _by_name(archive: Any) -> dict[str, Any]:
    """Return what is known of each file, by the name that its writer is asked for: the second one of a name
    gets another."""
    found: dict[str, Any] = {}
    seen: dict[str, int] = {}
    for info in archive.list():
        again = seen.get(info.filename)
        seen[info.filename] = 0 if again is None else again + 1
        found[info.filename if again is None else f"{info.filename}_{again}"] = info
    return found


class _Ended(Exception):
    """Nobody wants the rest of the archive."""


class _Unfolding:
    """An archive that unfolds on a thread, a file whenever one is asked for."""

    def __init__(self, library: Any, archive: Any, max_bytes: int) -> None:
        self._archive, self._max_bytes = archive, max_bytes
        self._wanted: SimpleQueue[bool | None] = SimpleQueue()
        """Whether the next file is kept; None: nothing is wanted any more."""
        self._done: SimpleQueue[tuple[str, bytes] | BaseException | None] = SimpleQueue()
        self._factory = _writers(library, self)
        self._thread = threading.Thread(target=self._run, name="7z", daemon=True)
        self._current = ""

    def names(self) -> Iterator[str]:
        """Yield the names of the files in their order. Raises what the library does."""
        self._thread.start()
        while (found := self._done.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            self._current = found[0]
            yield self._current
            if self._current:  # it was not opened
                self._wanted.put(False)

    def open(self, name: str) -> IO[bytes]:
        """Return the bytes of the file whose name came last; one more than ``max_bytes`` of a larger one."""
        if name != self._current:
            raise BadSource(f"{name} was passed over")
        self._current = ""
        self._wanted.put(True)
        found = self._done.get()
        if isinstance(found, BaseException):
            self._done.put(found)  # it ends the archive as well
            raise found
        assert found is not None
        return io.BytesIO(found[1])

    def end(self) -> None:
        """Let the thread end, wherever it is."""
        self._wanted.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def begin(self, name: str) -> bool:
        """Wait until a file is asked for, on the thread. Return whether its bytes are wanted."""
        self._done.put((name, b""))
        wanted = self._wanted.get()
        if wanted is None:
            raise _Ended
        return wanted

    def give(self, name: str, data: bytes) -> None:
        """Hand over the bytes of a file that was asked for, on the thread."""
        self._done.put((name, data))

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    def _run(self) -> None:
        try:
            self._archive.extractall(factory=self._factory)
            self._done.put(None)
        except _Ended:
            pass
        except BaseException as error:  # the thread that reads raises it
            self._done.put(error)


def _writers(library: Any, unfolding: _Unfolding) -> Any:
    """Return what the library asks for a writer for each file. Its base classes come with the library."""

    class Writer(library.io.Py7zIO):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self._name, self._kept = name, bytearray()
            self._wanted = unfolding.begin(name)

        def write(self, data: bytes | bytearray) -> int:
            if self._wanted:
                self._kept += data[: max(0, unfolding.max_bytes + 1 - len(self._kept))]
            return len(data)

        def close(self) -> None:
            if self._wanted:
                self._wanted = False
                unfolding.give(self._name, bytes(self._kept))
                self._kept = bytearray()

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            return None

        def size(self) -> int:
            return len(self._kept)

    class Factory(library.io.WriterFactory):  # type: ignore[misc]
        def create(self, filename: str) -> Any:
            return Writer(filename)

    return Factory()
