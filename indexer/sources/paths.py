"""Find the paths that a table names, below the folder of the images."""

from __future__ import annotations

import os
import re

from vitrine.services.values.words import spellings

_FOREIGN = re.compile(r"[A-Za-z]:/|//")
"""How an absolute path of Windows begins, with slashes."""


class ImagePaths:
    """Finds pictures below ``root``.

    A path may be relative, or absolute and lie below ``root``; it may have backslashes, and its letters may
    be composed or decomposed. One that begins with a drive is found by its end: what goes before is learnt
    from the first file that is there, and must be the same for all, so that two pictures are never taken for
    one.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._elsewhere: str | None = None

    def find(self, written: str) -> str | None:
        """Return the path of a file, or of where it would be; None if the path leads out of the folder."""
        if "\0" in written:
            return None
        slashed = written.replace("\\", "/")
        there = self._there(written)
        return (
            self._by_end(slashed)
            if there is None and _FOREIGN.match(slashed)
            else there or self._below(slashed)
        )

    def refusal(self, written: str) -> str:
        """Return why ``find`` gives nothing, as a sentence without its end."""
        if _FOREIGN.match(written.replace("\\", "/")):
            return (
                f"{written[:200]!r} is a path of another machine, and no end of it is below the folder "
                "of the images: give paths relative to that folder, and name it with --root"
            )
        return "the path leads out of the folder of the images (--root names another one)"

    def _there(self, path: str) -> str | None:
        """Return the file below the folder that has one of the spellings of a path."""
        return next(
            (found for text in spellings(path) if (found := self._below(text)) and os.path.lexists(found)),
            None,
        )

    def _below(self, path: str) -> str | None:
        whole = os.path.normpath(os.path.join(self.root, path))
        if os.path.isabs(path) and not _is_below(
            whole, self.root
        ):  # the root may be written by way of a link
            folder = os.path.realpath(os.path.dirname(whole))
            whole = os.path.join(
                self.root, os.path.relpath(os.path.join(folder, os.path.basename(whole)), self._real)
            )
            whole = os.path.normpath(whole)
        return whole if _is_below(whole, self.root) else None

    def _by_end(self, path: str) -> str | None:
        if self._elsewhere is None:
            ends = (path.split("/", slashes)[slashes] for slashes in range(1, path.count("/") + 1))
            end = next((end for end in ends if self._there(end)), None)
            self._elsewhere = None if end is None else path[: -len(end)]
        if self._elsewhere is None or path[: len(self._elsewhere)].lower() != self._elsewhere.lower():
            return None
        end = path[len(self._elsewhere) :]
        return self._there(end) or self._below(end)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
