"""The table of jobs: a SQLite file in the data folder, which any number of programs have open at once."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from vitrine.services.errors import Conflict, NotFound, OtherFormat, StorageFull, StoreDamaged, Unavailable
from vitrine.services.jobs.job import FINISHED, MOST_DEATHS, Job, Lane, State
from vitrine.services.read_only import read_only_error

FORMAT: Final = 1
BUSY_SECONDS: Final = 20.0
KEPT_DAYS: Final = 30
"""Finished jobs are removed this long after their end."""
KEPT_REPEATED: Final = 50
"""Of a job that repeats itself no more than this many are kept that have ended."""
LOG_BYTES: Final = 16_384
"""How much of the end of its log a finished job keeps in the table."""
_JSON: Final = ("arguments", "progress", "error", "report")
_COLUMNS: Final = (
    "id, kind, arguments, lane, state, who, remote, created_at, started_at, ended_at, attempts, deaths, "
    "cancelling, progress, exit_code, error, file, file_bytes, every_seconds, due_at, change"
)
_SCHEMA: Final = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, arguments TEXT NOT NULL,
    lane TEXT NOT NULL, state TEXT NOT NULL, who TEXT NOT NULL,
    remote INTEGER NOT NULL, created_at TEXT NOT NULL, started_at TEXT,
    ended_at TEXT, attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
    cancelling INTEGER NOT NULL DEFAULT 0, progress TEXT, exit_code INTEGER, error TEXT, report TEXT,
    file TEXT, file_bytes INTEGER, log TEXT, every_seconds INTEGER, due_at TEXT,
    queued INTEGER NOT NULL, change INTEGER NOT NULL
);
CREATE INDEX jobs_waiting ON jobs (state, lane, queued);
CREATE INDEX jobs_changes ON jobs (change);
CREATE TABLE removed (change INTEGER PRIMARY KEY, id TEXT NOT NULL, removed_at TEXT NOT NULL);
CREATE TABLE clock (change INTEGER NOT NULL);
INSERT INTO clock VALUES (0);
"""


@dataclass(frozen=True)
class Changed:
    """What has changed in the table since a change: the jobs as they are now, and the ids of those that were
    removed, each with its number."""

    jobs: tuple[Job, ...]
    removed: tuple[tuple[int, str], ...]


class JobTable:
    """The jobs of one data folder, in ``<data>/jobs.sqlite``. Thread-safe; what it says is durable when a
    call returns, but for progress.

    ``StoreDamaged`` and ``OtherFormat`` where the file is not such a table, ``StorageFull`` and
    ``Unavailable`` where it cannot be written. ``read_only``: what is in the file now is read, without a byte
    written next to it; changes are ``ReadOnly``.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._read_only = False
        with self._explained():
            self._base = _connected(":memory:" if read_only else path)
            try:
                if read_only:
                    self._copy_file()
                self._open()
            except BaseException:
                self._base.close()
                raise
        self._read_only = read_only

    def _copy_file(self) -> None:
        """Read the file with its log into memory: SQLite itself writes next to a file that it reads."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / self.path.name
            for suffix in ("", "-wal"):
                if (file := self.path.with_name(self.path.name + suffix)).is_file():
                    shutil.copyfile(file, copy.with_name(file.name))
            if copy.is_file():
                base = _connected(copy)
                try:
                    base.backup(self._base)
                finally:
                    base.close()

    def close(self) -> None:
        with self._mutex:
            self._base.close()

    def _open(self) -> None:
        self._base.row_factory = sqlite3.Row
        self._base.execute("PRAGMA journal_mode = WAL")
        with self._transaction(durable=True):
            found = self._base.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                for statement in _SCHEMA.strip().split(";\n"):
                    self._base.execute(statement)
                self._base.execute(f"PRAGMA user_version = {FORMAT}")
            elif found != FORMAT:
                raise OtherFormat(
                    f"The table of jobs {self.path} was written by another version of Vitrine (format "
                    f"{found}; this one reads {FORMAT}). Move it away: jobs are then forgotten, and nothing "
                    "else.",
                    file=str(self.path),
                )

    # Asking
    # --------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Job:
        """Return a job with its report; ``id`` may be its beginning. ``NotFound``."""
        rows = self._rows(
            f"SELECT {_COLUMNS}, report FROM jobs WHERE id >= ? AND id < ? LIMIT 2", (id, f"{id}~")
        )
        if len(rows) != 1 or not id:
            raise NotFound(
                f"There is no job {id[:80]!r}: `vitrine jobs list` names them."
                if not rows
                else f"Several jobs begin with {id!r}: give more of it.",
                job=id[:80],
            )
        return _job(rows[0])

    def has(self, id: str) -> bool:
        """Return whether there is a job of exactly this id."""
        return bool(self._rows("SELECT 1 FROM jobs WHERE id = ?", (id,)))

    def find(
        self, *, states: Sequence[State] = (), kinds: Sequence[str] = (), limit: int = 100, skip: int = 0
    ) -> list[Job]:
        """Return jobs of these states and kinds (none given: any), the latest first, without reports."""
        where, values = ["1"], list[object]()
        for column, wanted in (("state", states), ("kind", kinds)):
            if wanted:
                where.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values += wanted
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM jobs WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ? OFFSET ?",
            (*values, limit, skip),
        )
        return [_job(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are by state."""
        return {row[0]: row[1] for row in self._rows("SELECT state, count(*) FROM jobs GROUP BY state")}

    def changed(self, since: int) -> Changed:
        """Return what has changed after the change of that number."""
        jobs = self._rows(f"SELECT {_COLUMNS} FROM jobs WHERE change > ? ORDER BY change", (since,))
        removed = self._rows("SELECT change, id FROM removed WHERE change > ? ORDER BY change", (since,))
        return Changed(tuple(map(_job, jobs)), tuple((row[0], row[1]) for row in removed))

    def latest(self) -> int:
        """Return the number of the last change."""
        return int(self._rows("SELECT change FROM clock")[0][0])

    def log(self, id: str) -> str | None:
        """Return the end of a finished job's log; None while it has not ended."""
        rows = self._rows("SELECT log FROM jobs WHERE id = ?", (id,))
        return rows[0][0] if rows else None  # it may have been removed meanwhile

    # What people ask for
    # --------------------------------------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        lane: Lane,
        who: str,
        *,
        remote: bool = False,
        id: str | None = None,
        every_seconds: int | None = None,
    ) -> Job:
        """Let a job wait in its lane. ``Conflict`` where it is to repeat itself and one like it does."""
        id, given = id or new_id(), _dumped(arguments)
        with self._write() as change:
            if every_seconds is not None and (other := self._repeated(kind, given)):
                raise Conflict(
                    f"The job {other} does the same again and again: cancel it first, to change how often.",
                    job=other,
                )
            self._insert(change, id, kind, given, lane, who, remote, every_seconds)
        return self.get(id)

    def _insert(self, change: int, *asked: object, due_at: str | None = None) -> None:
        """Write a row that waits. ``asked``: id, kind, arguments, lane, who, remote and every_seconds."""
        self._base.execute(
            "INSERT INTO jobs (id, kind, arguments, lane, who, remote, every_seconds, state, created_at, "
            "due_at, queued, change) VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?)",
            (*asked, now(), due_at, change, change),
        )

    def _repeated(self, kind: str, arguments: str | None) -> str | None:
        """Return the job that repeats itself with these arguments, and waits or runs."""
        found = self._base.execute(
            "SELECT id FROM jobs WHERE kind = ? AND arguments = ? AND every_seconds IS NOT NULL AND state IN "
            "('queued', 'running')",
            (kind, arguments),
        ).fetchone()
        return found[0] if found else None

    def _repeat(self, id: str) -> None:
        """Let the next one wait, where a job has ended that repeats itself."""
        job = self._base.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone()
        if job["every_seconds"] is None or self._repeated(job["kind"], job["arguments"]):
            return
        same = (job[name] for name in ("kind", "arguments", "lane", "who", "remote", "every_seconds"))
        self._insert(self._next_change(), new_id(), *same, due_at=now(job["every_seconds"]))

    def cancel(self, id: str) -> Job:
        """Have a job end: at once if it waits; else whoever runs it is told. A finished one stays as it
        is."""
        id = self.get(id).id
        with self._write() as change:
            self._base.execute(
                "UPDATE jobs SET state = 'cancelled', ended_at = ?, change = ? WHERE id = ? AND state = "
                "'queued'",
                (now(), change, id),
            )
            self._base.execute(
                "UPDATE jobs SET cancelling = 1, change = ? WHERE id = ? AND state = 'running'", (change, id)
            )
        return self.get(id)

    def retry(self, id: str) -> Job:
        """Let a finished job wait again, as new. ``Conflict`` if it has not ended."""
        job = self.get(id)
        with self._write() as change:
            done = self._base.execute(
                "UPDATE jobs SET state = 'queued', started_at = NULL, ended_at = NULL, deaths = 0, "
                "cancelling = 0, progress = NULL, exit_code = NULL, error = NULL, report = NULL, file = "
                "NULL, file_bytes = NULL, log = NULL, due_at = NULL, "
                "queued = ?, change = ? WHERE id = ? AND "
                "state NOT IN ('queued', 'running')",
                (change, change, job.id),
            ).rowcount
        if not done:
            raise Conflict(f"The job {job.id} is {job.state}: only one that has ended is started again.")
        return self.get(job.id)

    def remove(self, id: str) -> None:
        """Forget a finished job. ``Conflict`` if it has not ended."""
        job = self.get(id)
        with self._write() as change:
            done = self._base.execute(
                "DELETE FROM jobs WHERE id = ? AND state NOT IN ('queued', 'running')", (job.id,)
            ).rowcount
            if done:
                self._base.execute("INSERT INTO removed VALUES (?, ?, ?)", (change, job.id, now()))
        if not done:
            raise Conflict(f"The job {job.id} is {job.state}: cancel it first.")

    def outdated(self, days: float = KEPT_DAYS) -> list[str]:
        """Return the ids of the jobs that ended longer ago, and of those that have repeated themselves often
        since; what was said of those removed then is forgotten."""
        before = now(-days * 86_400)
        with self._write():
            self._base.execute("DELETE FROM removed WHERE removed_at < ?", (before,))
        ended = self._rows(
            "SELECT id FROM (SELECT id, ended_at, every_seconds, row_number() OVER (PARTITION BY kind, "
            "arguments, every_seconds IS NULL ORDER BY number DESC) AS place FROM jobs WHERE ended_at IS NOT "
            "NULL) WHERE ended_at < ? OR (every_seconds IS NOT NULL AND place > ?)",
            (before, KEPT_REPEATED),
        )
        return [row[0] for row in ended]

    def busy(self) -> bool:
        """Return whether a job runs, or waits for nothing but its turn."""
        query = (
            "SELECT 1 FROM jobs WHERE state = 'running' OR (state = 'queued' AND coalesce(due_at, '') <= ?)"
        )
        return bool(self._rows(f"{query} LIMIT 1", (now(),)))

    # Running
    # --------------------------------------------------------------------------------------------------------

    def claim(self, lane: Lane) -> Job | None:
        """Take the job that has waited longest in a lane: it is running now. None if none waits, or is
        due."""
        waiting = (
            "SELECT id FROM jobs WHERE state = 'queued' AND lane = ? AND coalesce(due_at, '') <= ? ORDER BY "
            "queued LIMIT 1"
        )
        if not self._rows(waiting, (lane, now())):
            return None
        with self._write() as change:
            row = self._base.execute(waiting, (lane, now())).fetchone()
            if row is None:
                return None
            self._base.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_at = ?, progress = "
                "NULL, change = ? WHERE id = ?",
                (now(), change, row[0]),
            )
        return self.get(row[0])

    def progress(self, id: str, attempt: int, progress: Mapping[str, Any]) -> None:
        """Say how far an attempt is. A power cut may lose it."""
        with self._write(durable=False) as change:
            self._base.execute(
                "UPDATE jobs SET progress = ?, change = ? WHERE id = ? AND attempts = ? AND state = "
                "'running'",
                (_dumped(progress), change, id, attempt),
            )

    def finish(
        self,
        id: str,
        attempt: int,
        state: State,
        *,
        exit_code: int | None = None,
        error: Mapping[str, Any] | None = None,
        report: Any = None,
        file: tuple[str, int] | None = None,
    ) -> bool:
        """Say how an attempt has ended, once. False if it is not the attempt that runs. Another one waits
        where the job repeats itself and was not cancelled."""
        name, size = file or (None, None)
        with self._write() as change:
            done = self._base.execute(
                "UPDATE jobs SET state = ?, ended_at = ?, cancelling = 0, exit_code = ?, error = ?, report "
                "= ?, "
                "file = ?, file_bytes = ?, change = ? WHERE id = ? AND attempts = ? AND state = 'running'",
                (
                    *(
                        state,
                        now() if state in FINISHED else None,
                        exit_code,
                        _dumped(error),
                        _dumped(report),
                    ),
                    *(name, size, change, id, attempt),
                ),
            ).rowcount
            if done and state in ("done", "failed"):
                self._repeat(id)
        return bool(done)

    def interrupted(self, id: str, attempt: int, *, report: Any = None) -> None:
        """Say that an attempt was stopped: it is cancelled where somebody asked for that, and waits again at
        the head of its lane where it was stopped by the end of the program that runs it."""
        with self._write() as change:
            ended = (id, attempt)
            self._base.execute(
                "UPDATE jobs SET state = 'cancelled', cancelling = 0, ended_at = ?, report = ?, change = ? "
                "WHERE id = ? AND attempts = ? AND state = 'running' AND cancelling",
                (now(), _dumped(report), change, *ended),
            )
            self._base.execute(
                "UPDATE jobs SET state = 'queued', progress = NULL, change = ? "
                "WHERE id = ? AND attempts = ? AND state = 'running'",
                (change, *ended),
            )

    def died(self, id: str, attempt: int, why: str) -> None:
        """Say that the process of an attempt ended without a word. The job starts again; the third time, it
        has failed. One that was to be cancelled is."""
        message = (
            f"Its process ended {MOST_DEATHS} times without a word. {why} Its log has what it said before; "
            f"`vitrine jobs retry {id}` starts it again."
        )
        running = "WHERE id = ? AND attempts = ? AND state = 'running'"
        with self._write() as change:
            self._base.execute(
                f"UPDATE jobs SET state = 'cancelled', cancelling = 0, ended_at = ?, change = ? {running} "
                "AND cancelling",
                (now(), change, id, attempt),
            )
            failed = self._base.execute(
                f"UPDATE jobs SET state = 'failed', deaths = deaths + 1, ended_at = ?, error = ?, change = ? "
                f"{running} AND deaths + 1 >= ?",
                (now(), _dumped({"code": "died", "message": message}), change, id, attempt, MOST_DEATHS),
            ).rowcount
            if failed:
                self._repeat(id)
            self._base.execute(
                "UPDATE jobs SET state = 'queued', deaths = deaths + 1, progress = NULL, change = ? "
                f"{running}",
                (change, id, attempt),
            )

    def keep_log(self, id: str, text: str) -> None:
        """Keep the end of the log of a job that has ended."""
        with self._write(durable=False):
            self._base.execute("UPDATE jobs SET log = ? WHERE id = ?", (text[-LOG_BYTES:], id))

    # SQLite
    # --------------------------------------------------------------------------------------------------------

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self._mutex, self._explained():
            return self._base.execute(query, values).fetchall()

    @contextmanager
    def _write(self, *, durable: bool = True) -> Iterator[int]:
        """Yield the number of the change that is made in this block, which is written whole or not at all."""
        if self._read_only:
            raise read_only_error()
        with self._mutex, self._explained(), self._transaction(durable):
            yield self._next_change()

    def _next_change(self) -> int:
        self._base.execute("UPDATE clock SET change = change + 1")
        return int(self._base.execute("SELECT change FROM clock").fetchone()[0])

    @contextmanager
    def _transaction(self, durable: bool) -> Iterator[None]:
        self._base.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "disk is full" in str(error):
                raise StorageFull(
                    f"The table of jobs cannot be written: {error}. Free some space."
                ) from error
            raise Unavailable(
                f"The table of jobs {self.path} cannot be used: {error}. Check that this user may write "
                "there.",
                file=str(self.path),
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(
                f"The table of jobs {self.path} is damaged: {error}. Move it away: jobs are then forgotten, "
                "and nothing else.",
                file=str(self.path),
            ) from error


def _connected(where: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(where, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def now(after: float = 0) -> str:
    """Return the time, or that so many seconds later, as the table writes it."""
    return (datetime.now(UTC) + timedelta(seconds=after)).isoformat(timespec="milliseconds")


def new_id() -> str:
    """Return an id for a job: ten characters, drawn at random."""
    return secrets.token_hex(5)


def _dumped(value: Any) -> str | None:
    if value is None:
        return None
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _job(row: sqlite3.Row) -> Job:
    found = dict(row)
    for name in _JSON:
        if found.get(name) is not None:
            found[name] = orjson.loads(found[name])
    return Job(**found | {name: bool(found[name]) for name in ("cancelling", "remote")})
