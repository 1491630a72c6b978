"""`v.jobs`: work that a running server does, in processes of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitrine.library import Library
    from vitrine.services.jobs.job import Job
    from vitrine.services.jobs.jobs import Jobs


class LibraryJobs:
    """The jobs of an open library: whoever serves its data folder runs them, `vitrine serve` or `vitrine jobs
    run`.

    A `Job` has ``state`` (queued, running, done, failed, cancelled), ``progress``, ``report``, ``error``.
    """

    def __init__(self, library: Library, jobs: Jobs) -> None:
        self._library = library
        self._jobs = jobs

    def start(self, kind: str, *, every_seconds: int | None = None, **arguments: Any) -> Job:
        """Let a job wait for its turn: ``v.jobs.start("map-make", category="shop", method="pca")``. With
        ``every_seconds`` it is started again so long after each end, until it is cancelled.

        ``arguments``: those of the command, by the names of its flags, with _ for -, and a _ behind the words
        of Python (``class_``, ``from_``). ``BadRequest`` for what the kind does not take, ``Conflict`` where
        the same is repeated already.
        """
        named = {name.removesuffix("_"): value for name, value in arguments.items()}
        return self._jobs.start(kind, named, who="Python", remote=False, every_seconds=every_seconds)

    def wait(self, job: Job | str) -> Job:
        """Show how far a job is, as work of this process is shown, and return it once it has ended.
        ``Unavailable`` where nobody runs it."""
        from vitrine.indexer.job.progress import make_progress
        from vitrine.indexer.job.shown.following import follow

        id = job if isinstance(job, str) else job.id
        return follow(self._jobs, id, make_progress(quiet=not self._library.progress))

    def find(self, *, limit: int = 100) -> list[Job]:
        """Return the jobs, the latest first, without their reports."""
        return self._jobs.find(limit=limit)

    def get(self, id: str) -> Job:
        """Return a job with its report. ``NotFound``."""
        return self._jobs.get(id)

    def log(self, id: str) -> str:
        """Return the end of its log. ``NotFound``."""
        return self._jobs.log(id)

    def cancel(self, id: str) -> Job:
        """Have a job end, and not repeat itself; it is ``cancelled`` once it has. ``NotFound``."""
        return self._jobs.cancel(id)

    def retry(self, id: str) -> Job:
        """Start a job that has ended again. ``Conflict`` if it has not, ``NotFound``."""
        return self._jobs.retry(id)

    def close(self) -> None:
        """Close the table of jobs."""
        self._jobs.close()

    def kinds(self) -> dict[str, str]:
        """Return what can be a job, and what it does."""
        return {kind.name: kind.title for kind in self._jobs.kinds}
