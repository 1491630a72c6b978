"""Count the files of a source that are not offered, and name them to whoever asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Literal

Reason = Literal["hidden", "no_picture"]
"""Why a file is not offered: it, or its folder, is hidden (a dot file, or what macOS adds); or it is no
picture."""
OnSkipped = Callable[[str, Reason], object]
"""Called with the name of each file that is not offered, and why; of a hidden folder once for all in it."""
_KINDS = 100


class Skipped:
    """What one source did not offer, by reason; of what is no picture also by extension."""

    def __init__(self, tell: OnSkipped | None = None) -> None:
        self._tell = tell
        self._reasons: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()

    def add(self, name: str, reason: Reason = "no_picture") -> None:
        """Count a file, by its name as it is shown."""
        self._reasons[reason] += 1
        if reason == "no_picture":
            suffix = PurePosixPath(name).suffix.lower()
            self._kinds[suffix if suffix in self._kinds or len(self._kinds) < _KINDS else "others"] += 1
        if self._tell:
            self._tell(name, reason)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there were so far, by reason."""
        return dict(self._reasons)

    def notes(self) -> list[str]:
        """Return sentences for people."""
        return [*self._no_pictures(), *self._hidden()]

    def _no_pictures(self) -> list[str]:
        if not self._kinds:
            return []
        kinds = ", ".join(
            f"{count} {suffix or 'without extension'}" for suffix, count in self._kinds.most_common(8)
        )
        count = self._kinds.total()
        subject = "1 file is no picture and was" if count == 1 else f"{count} files are no pictures and were"
        return [f"{subject} not offered: {kinds}."]

    def _hidden(self) -> list[str]:
        count = self._reasons["hidden"]
        if not count:
            return []
        subject = "1 hidden file or folder was" if count == 1 else f"{count} hidden files and folders were"
        return [f"{subject} not looked at."]
