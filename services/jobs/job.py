"""A job: a piece of long work that was asked for, as the table has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]
Lane = Literal["heavy", "light"]
"""Where a job waits: one of each lane runs at a time. ``heavy``: what loads models or takes all cores."""
LANES: Final[tuple[Lane, ...]] = ("heavy", "light")
STATES: Final[tuple[State, ...]] = ("queued", "running", "done", "failed", "cancelled")
FINISHED: Final[frozenset[State]] = frozenset({"done", "failed", "cancelled"})
VARIABLE: Final = "VITRINE_JOB"
"""Names, in the process of a job, the data folder, the job and the number of the attempt."""
LEAST_EVERY: Final = 60
MOST_EVERY: Final = 366 * 86_400
"""How often a job may repeat itself, in seconds from the end of one to the start of the next."""
MOST_DEATHS: Final = 3
"""A job whose process ended so often without a word is not started again."""


@dataclass(frozen=True)
class Job:
    """One job. ``arguments``: by the names of its kind. ``who``: asked for it, ``remote``: over HTTP. Times
    are ISO 8601, UTC. ``every_seconds``: so long after its end another job is started with the same
    arguments, unless it was cancelled; ``due_at``: it waits until then at least.

    ``attempts``: how often it was started; ``deaths``: how often its process ended without a word since it
    was asked for. ``cancelling``: it was asked to end and has not yet. ``progress``: stage, done, total,
    refused, rate (a second) and seconds_left of the present stage, where they are known. ``exit_code`` and
    ``report``: the command's; ``error``: its code and sentence. ``file``: the name of what it made to be
    downloaded. ``change``: the number of its last change; numbers of a table only grow.
    """

    id: str
    kind: str
    arguments: Mapping[str, Any]
    lane: Lane
    state: State
    who: str
    remote: bool
    created_at: str
    started_at: str | None = None
    ended_at: str | None = None
    attempts: int = 0
    deaths: int = 0
    cancelling: bool = False
    progress: Mapping[str, Any] | None = None
    exit_code: int | None = None
    error: Mapping[str, Any] | None = None
    report: Any = None
    file: str | None = None
    file_bytes: int | None = None
    every_seconds: int | None = None
    due_at: str | None = None
    change: int = 0

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    def to_json(self, *, whole: bool = False) -> dict[str, Any]:
        """Return it as a JSON object, with its report where ``whole``: of an indexing run that is long."""
        tree = {name: value for name, value in vars(self).items() if whole or name != "report"}
        return tree | {"arguments": dict(self.arguments)}
