"""Read lists of URLs: a text with one a line, or a single one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vitrine.indexer.sources.base import shown_name
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.indexer.sources.urls.named import url_record
from vitrine.services.download.downloader import Downloader
from vitrine.services.download.urls import is_url
from vitrine.services.values.delimited import open_text, readable

_HEAD_LINES = 100


class UrlSource(Source):
    """The image at one URL."""

    def __init__(self, url: str, downloads: Downloader | None, patience: Patience) -> None:
        self._record = url_record("web", url, downloads, patience.ended)
        self.name, self.indexes = "web", {}

    def __iter__(self) -> Iterator[ImageRecord]:
        yield self._record

    @property
    def total(self) -> int | None:
        return 1


class UrlListSource(Source):
    """The images that a text names by URL, one a line. Blank lines and lines that begin with ``#`` say
    nothing. A URL that is there again is left out; a line that is none is refused as ``bad_url``."""

    def __init__(self, path: Path, downloads: Downloader | None, patience: Patience) -> None:
        self._path = path
        self._downloads, self._patience = downloads, patience
        self._doubles = 0
        self._total = len({hash(line) for _, line in url_lines(path)})
        self.name, self.indexes = shown_name(path.name), {}

    def __iter__(self) -> Iterator[ImageRecord]:
        seen = set[int]()  # hashes alone: a list may have millions of lines
        self._doubles = 0
        for _, line in url_lines(self._path):
            record = url_record(self.name, line, self._downloads, self._patience.ended)
            double = hash(record.url or line)
            if double in seen:
                self._doubles += 1
                continue
            seen.add(double)
            yield record

    @property
    def total(self) -> int | None:
        return self._total

    @property
    def readers(self) -> int:
        return super().readers if self._downloads is None else self._downloads.readers

    def notes(self) -> list[str]:
        if not self._doubles:
            return []
        lines = "1 line names" if self._doubles == 1 else f"{self._doubles} lines name"
        return [f"{self.name}: {lines} a URL that is there before, and {_was(self._doubles)} left out."]


def url_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a list of URLs, trimmed, with their numbers from 1: those that are neither blank nor
    a comment. Raises ``BadSource`` if the file cannot be read as text."""
    with readable(path), open_text(path) as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield number, text


def is_url_list(path: Path) -> bool:
    """Return whether a file is a text that names a URL in one of its first lines. Raises ``OSError``."""
    try:
        with open_text(path) as file:
            lines = (file.readline(10_000) for _ in range(_HEAD_LINES))
            return any(is_url(line) for line in lines)
    except UnicodeError:
        return False


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
