"""Clean a list of URLs: doubles, what is no URL, what must not be asked and, if asked for, what is dead or no
picture."""

from __future__ import annotations

import csv
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from vitrine.indexer.job.job import Report
from vitrine.indexer.job.workers import in_order, open_pool
from vitrine.indexer.sources.base import HEAD, looks_like_image
from vitrine.indexer.sources.records import Refusal
from vitrine.indexer.sources.urls.cleanable import UrlRow, open_rows
from vitrine.services.download.downloader import Downloader
from vitrine.services.download.urls import read_url, without_secrets
from vitrine.services.errors import BadRequest, ImageRefused
from vitrine.services.files import unwritable

DOUBLE = "double"
Tell = Callable[[str, int, int], None]
"""Called with the stage, and how many rows of how many are done."""


@dataclass
class CleanReport(Report):
    """What a clean-up kept and dropped. ``reasons``: how many rows were dropped for which: ``double``, or one
    of ``vitrine.services.errors.REFUSALS``. ``clean`` and ``table``: the files that were written."""

    clean: str
    table: str
    kept: int = 0
    dropped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        lines = [f"{self.kept} kept in {self.clean}.", f"{self.dropped} dropped, named in {self.table}"]
        return "\n".join([lines[0], f"{lines[1]}: {reasons}." if reasons else f"{lines[1]}.", *self.ending()])


@dataclass(frozen=True)
class _Judged:
    row: UrlRow
    refusal: Refusal | None


def clean_urls(
    source: Path,
    clean: Path,
    table: Path,
    downloads: Downloader,
    *,
    check: bool = False,
    column: str | None = None,
    tell: Tell = lambda stage, done, total: None,
) -> CleanReport:
    """Write the rows of a list that are worth downloading to ``clean``, as they were and in their order, and
    those that are not to the CSV ``table`` (line, url, reason, message). Both are there once all is done.

    ``check``: ask each URL for its first bytes, and drop those that do not answer with a picture; without it
    nothing is asked. ``column``: of a table, the one with the URLs. Raises ``BadSource``,
    ``BadRequest`` and ``StorageFull``.
    """
    if len({path.absolute() for path in (source, clean, table)}) < 3:
        raise BadRequest("The list, the clean list and the table of what is dropped are three files.")
    report = CleanReport(clean=str(clean), table=str(table))
    stopped, total = threading.Event(), _lines(source)
    with ExitStack() as stack:
        opened = stack.enter_context(open_rows(source, column))
        kept, dropped = stack.enter_context(_new(clean)), stack.enter_context(_new(table))
        threads = stack.enter_context(ExitStack())
        pool = open_pool(threads, "checks", downloads.readers if check else 1)
        look = partial(_checked, downloads, stopped) if check else lambda judged: judged
        threads.callback(stopped.set)  # before the threads are waited for
        rows = csv.writer(dropped, lineterminator="\n")
        rows.writerow(("line", "url", "reason", "message"))
        kept.write(opened.heading)
        for judged in in_order(pool, look, _judged(opened.rows, downloads), 2 * downloads.readers):
            row, refusal = judged.row, judged.refusal
            if refusal is None:
                kept.write(row.text)
                report.kept += 1
            else:
                rows.writerow((row.number, without_secrets(row.url), refusal.reason, refusal.message))
                report.dropped += 1
                report.reasons[refusal.reason] += 1
            tell("checking" if check else "reading", report.kept + report.dropped, total)
    return report


def _judged(rows: Iterator[UrlRow], downloads: Downloader) -> Iterator[_Judged]:
    """Judge each row by what it says: nothing is asked."""
    first: dict[int, int] = {}  # by hash: a list may have millions of rows
    for row in rows:
        refusal = None
        try:
            url = read_url(row.url)
            downloads.rules.check(url)
            line = first.setdefault(hash(str(url)), row.number)
            if line != row.number:
                refusal = Refusal(DOUBLE, f"Line {line} has it before.")
        except ImageRefused as error:
            refusal = Refusal(error.reason, error.message)
        yield _Judged(row, refusal)


def _checked(downloads: Downloader, stopped: threading.Event, judged: _Judged) -> _Judged:
    """Judge a row by what its server sends."""
    if judged.refusal is not None:
        return judged
    try:
        head = downloads.head(judged.row.url, HEAD, over=stopped.is_set)
    except ImageRefused as error:
        return _Judged(judged.row, Refusal(error.reason, error.message))
    if not head:
        return _Judged(judged.row, Refusal("empty_file", "The server sends a file without bytes."))
    if not looks_like_image(head):
        return _Judged(judged.row, Refusal("unsupported_format", "What the server sends is no picture."))
    return judged


def _lines(path: Path) -> int:
    """Return how many lines a file has, for whoever watches; 0 where it cannot be read, which is said
    later."""
    try:
        with open(path, "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(partial(file.read, 1 << 20), b"")) + 1
    except OSError:
        return 0


@contextmanager
def _new(path: Path) -> Iterator[IO[str]]:
    """Open a file beside ``path`` that takes its place once it is written whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)
