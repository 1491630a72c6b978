"""What people do with jobs: ask for them, look, stop and repeat them, fetch what they made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vitrine.services.errors import BadRequest, Forbidden, NotFound, Unavailable
from vitrine.services.files import make_folder, reason
from vitrine.services.jobs.job import LEAST_EVERY, MOST_EVERY, Job, State
from vitrine.services.jobs.kinds import Kind, Parameter, ask_for_kinds, find_kind
from vitrine.services.jobs.places import FOLDER, UPLOAD, JobFolder, check_plain, find_below
from vitrine.services.jobs.table import Changed, JobTable, new_id
from vitrine.services.read_only import check_writable, is_read_only
from vitrine.services.settings import Settings

OBJECTS: Final = "objects:"
_LEFT_SECONDS: Final = 86_400.0
MOST_SENT: Final = 4 << 20
"""Bytes of the files that come with a job, in the JSON that asks for it."""


class Jobs:
    """The jobs of the data folder of ``settings``. Thread-safe. The table is opened, and the kinds are asked
    for, when they are first needed.

    Where vectors and objects are on servers, the table is in the data folder of the machine that runs the
    jobs. Methods raise what `JobTable` does, and ``Unavailable`` where the folder cannot be written.
    """

    def __init__(self, settings: Settings, *, ask: Callable[[], tuple[Kind, ...]] = ask_for_kinds) -> None:
        self.settings = settings
        self._ask = ask
        self._mutex = threading.Lock()
        self._table: JobTable | None = None
        self._kinds: tuple[Kind, ...] = ()

    @property
    def files(self) -> Path:
        """The folder with a folder for each job."""
        return self.settings.data / "jobs"

    def folder(self, id: str) -> JobFolder:
        return JobFolder(self.files, id)

    @property
    def table(self) -> JobTable:
        with self._mutex:
            if self._table is None:
                data = self.settings.data
                if is_read_only(self.settings):
                    self._table = JobTable(data / "jobs.sqlite", read_only=True)
                    return self._table
                try:
                    make_folder(data)
                except OSError as error:
                    raise Unavailable(
                        f"The data folder {data} cannot be used for jobs: {reason(error)}. Give this user "
                        "write access, or choose another folder by --data or VITRINE_DATA."
                    ) from error
                self._table = JobTable(data / "jobs.sqlite")
            return self._table

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of jobs there are."""
        with self._mutex:
            self._kinds = self._kinds or self._ask()
            return self._kinds

    def close(self) -> None:
        with self._mutex:
            if self._table is not None:
                self._table.close()
                self._table = None

    # Asking for work
    # --------------------------------------------------------------------------------------------------------

    def start(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        *,
        who: str,
        remote: bool = True,
        every_seconds: int | None = None,
    ) -> Job:
        """Let a job of this kind wait for its turn. With ``every_seconds`` it is started again so long after
        each end, whether it was done or failed, until it is cancelled.

        ``remote``: it comes from elsewhere, so it reads nothing of this machine but what is below
        ``VITRINE_ROOTS``, what is in the object store, and the files that come with it: an argument that
        names a file may be ``{"name": ..., "text": ...}`` instead. ``BadRequest`` for what its kind does not
        take, ``Forbidden`` for other paths, ``Conflict`` where the same is repeated already, ``ReadOnly``.
        """
        check_writable(self.settings)
        wanted = find_kind(self.kinds, kind)
        if remote and not wanted.remote:
            raise Forbidden(f"{wanted.name} is for the command line of the server alone.", kind=wanted.name)
        named, sent = _without_files(wanted, arguments)
        checked = wanted.checked(named, remote=remote)
        if remote:
            for one in wanted.parameters:
                self._check_place(one, checked.get(one.name), sent)
        if every_seconds is not None:
            check_every(every_seconds)
            if sent:
                raise BadRequest(
                    "A job that repeats itself takes no files that are sent with it: put them below a folder "
                    "of VITRINE_ROOTS or into the object store.",
                    argument="every_seconds",
                )
        id = new_id()
        try:
            for name, text in sent.items():
                self.folder(id).send(name, text.encode())
            return self.table.add(
                wanted.name, checked, wanted.lane, who, remote=remote, id=id, every_seconds=every_seconds
            )
        except BaseException:  # no row would tell whose the files are
            self.folder(id).remove()
            raise

    def _check_place(self, one: Parameter, value: Any, sent: Mapping[str, str]) -> None:
        for text in value if isinstance(value, list) else [value]:
            if text is None:
                continue
            if one.role in ("result", "trained"):
                check_plain(text)
            elif one.role in ("source", "file"):
                if text.startswith(UPLOAD) and text.removeprefix(UPLOAD) in sent:
                    continue
                if text.startswith(FOLDER):
                    find_below(self.settings.roots, text)
                elif not (one.role == "source" and text.startswith(OBJECTS)):
                    ways = "objects:PREFIX, folder:NAME/..." if one.role == "source" else "folder:NAME/..."
                    raise Forbidden(
                        f"The argument {one.name!r} takes {ways} or a file that is sent: {text[:80]!r} is "
                        "none.",
                        argument=one.name,
                    )

    def retry(self, id: str) -> Job:
        """Let a finished job wait again. ``Conflict`` if it has not ended, ``NotFound``."""
        job = self.table.retry(id)
        self.folder(job.id).clear()  # or what it made before would be among what it makes now
        return job

    def cancel(self, id: str) -> Job:
        """Have a job end. A finished one stays as it is. ``NotFound``."""
        return self.table.cancel(id)

    def remove(self, id: str) -> None:
        """Forget a finished job and remove its files. ``Conflict`` if it has not ended, ``NotFound``."""
        id = self.table.get(id).id
        self.table.remove(id)
        self.folder(id).remove()

    def tidy(self) -> None:
        """Forget the jobs that ended long ago, and remove folders that belong to no job: a program that was
        killed while it took files for one leaves them."""
        for id in self.table.outdated():
            self.remove(id)
        if not self.files.is_dir():
            return
        before = time.time() - _LEFT_SECONDS  # the files of a job come before its row
        for path in self.files.iterdir():
            if path.stat().st_mtime < before and not self.table.has(path.name):
                self.folder(path.name).remove()

    # Looking
    # --------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Job:
        """Return a job with its report; ``id`` may be its beginning. ``NotFound``."""
        return self.table.get(id)

    def find(
        self, *, states: Sequence[State] = (), kinds: Sequence[str] = (), limit: int = 100, skip: int = 0
    ) -> list[Job]:
        """Return jobs of these states and kinds (none given: any), the latest first, without reports."""
        return self.table.find(states=states, kinds=kinds, limit=limit, skip=skip)

    def changed(self, since: int) -> Changed:
        """Return what has changed after the change of that number."""
        return self.table.changed(since)

    def log(self, id: str) -> str:
        """Return the end of what the process of a job said. ``NotFound``."""
        job = self.table.get(id)
        return self.folder(job.id).tail() or self.table.log(job.id) or ""

    def without_paths(self, text: str) -> str:
        """Return a text for people elsewhere: folders of this machine by the names they have for them."""
        names = {root: FOLDER + root.name for root in self.settings.roots} | {self.settings.data: "DATA"}
        for folder, name in names.items():
            for path in (folder.resolve(), folder.absolute()):  # which differ where a link leads there
                text = text.replace(str(path), name)
        return text

    def file(self, id: str) -> Path:
        """Return the file that a job made to be downloaded. ``NotFound`` where there is none."""
        job = self.table.get(id)
        path = self.folder(job.id).path / (job.file or "")
        if job.file is None or not path.is_file():
            raise NotFound(f"The job {job.id} has no file to download.", job=job.id)
        return path


def located(one: Parameter, text: str, folder: JobFolder, settings: Settings) -> str:
    """Return what the command of a job is given for a text: the path of what ``folder:``, ``upload:`` and the
    plain name of something that is made mean."""
    if one.role in ("source", "file"):
        if text.startswith(UPLOAD):
            return str(folder.sent / text.removeprefix(UPLOAD))
        if text.startswith(FOLDER):
            return str(find_below(settings.roots, text))
    if one.role == "result" and "/" not in text:
        return str(folder.made / text)
    if one.role == "trained" and "/" not in text:
        return str(settings.data / "encoders" / text)
    return text


def check_every(seconds: int) -> None:
    """Raise ``BadRequest`` for a time after which a job may not repeat itself."""
    if not LEAST_EVERY <= seconds <= MOST_EVERY:
        raise BadRequest(
            f"A job repeats itself after {LEAST_EVERY} to {MOST_EVERY} seconds, a year at most: not after "
            f"{seconds}.",
            argument="every_seconds",
        )


def _without_files(kind: Kind, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the arguments, with names for the files that come with them, and the texts of these by name."""
    roles = {one.name: one.role for one in kind.parameters}
    named, sent = dict(arguments), dict[str, str]()
    for name, value in arguments.items():
        if not isinstance(value, Mapping):
            continue
        file, text = value.get("name"), value.get("text")
        if (
            roles.get(name) not in ("file", "source")
            or not isinstance(file, str)
            or not isinstance(text, str)
        ):
            raise BadRequest(
                f"The argument {name[:80]!r} is no file: only one that is may be an object with name and "
                "text.",
                argument=name[:80],
            )
        check_plain(file)
        if file in sent:
            raise BadRequest(f"Two files are called {file!r}: give each a name of its own.", argument=name)
        sent[file] = text
        named[name] = UPLOAD + file
    if sum(map(len, sent.values())) > MOST_SENT:
        raise BadRequest(f"The files that come with a job have at most {MOST_SENT:,} characters in all.")
    return named, sent
