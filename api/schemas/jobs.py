"""The bodies of the routes of jobs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from vitrine.api.schemas.common import Taken, example
from vitrine.services.jobs.job import LEAST_EVERY, MOST_EVERY, Lane, State
from vitrine.services.jobs.kinds import Role, Type

_ARGUMENTS = {"category": "pets", "method": "pca"}
_JOB = {
    "id": "5d01e8c2a7",
    "kind": "map-make",
    "arguments": _ARGUMENTS,
    "lane": "heavy",
    "state": "running",
    "who": "API key 1",
    "remote": True,
    "created_at": "2026-12-01T10:00:00.000+00:00",
    "started_at": "2026-12-01T10:00:00.104+00:00",
    "ended_at": None,
    "attempts": 1,
    "deaths": 0,
    "cancelling": False,
    "progress": {
        "stage": "writing",
        "done": 1200,
        "total": 3680,
        "refused": 0,
        "rate": 812.4,
        "seconds_left": 3.1,
        "said": "",
    },
    "exit_code": None,
    "error": None,
    "file": None,
    "file_bytes": None,
    "every_seconds": None,
    "due_at": None,
    "change": 4711,
}


class JobBody(Taken):
    """Work to be done. ``arguments`` are those of the command, by the names of its flags."""

    model_config = example({"kind": "map-make", "arguments": _ARGUMENTS}) | Taken.model_config

    kind: str = Field(max_length=100, description="One of `GET /v1/jobs/kinds`.")
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        max_length=200,
        description='By name. One that is a file may be `{"name": "words.txt", "text": "mug\\n..."}`.',
    )
    every_seconds: int | None = Field(
        default=None,
        ge=LEAST_EVERY,
        le=MOST_EVERY,
        description="Start it again so long after each end, done or failed, until it is cancelled.",
    )


class JobProgressOut(BaseModel):
    """How far the present stage is: ``done`` of ``total`` (null: unknown), ``rate`` a second."""

    stage: str
    done: int
    total: int | None
    refused: int
    rate: float
    seconds_left: float | None
    said: str = Field(description="What is waited for; empty where nothing is.")


class JobErrorOut(BaseModel):
    code: str
    message: str
    details: dict[str, Any] | None = None


class JobOut(BaseModel):
    """A job. ``attempts``: how often it was started; ``deaths``: how often its process ended without a word;
    ``file``: what it made can be downloaded; ``change``: the number of its last change."""

    model_config = example(_JOB)

    id: str
    kind: str
    arguments: dict[str, Any]
    lane: Lane
    state: State
    who: str
    remote: bool = Field(description="It was asked for over HTTP.")
    created_at: str
    started_at: str | None
    ended_at: str | None
    attempts: int
    deaths: int
    cancelling: bool
    progress: JobProgressOut | None
    exit_code: int | None = Field(description="Of the command: 0 done, 3 done but some images were refused.")
    error: JobErrorOut | None
    file: str | None = Field(description="The name of the file to download.")
    file_bytes: int | None
    every_seconds: int | None = Field(description="It is started again so long after its end.")
    due_at: str | None = Field(description="It waits until then at least.")
    change: int


class WholeJobOut(JobOut):
    """A job with its report: what its command prints with `--json`."""

    model_config = example({**_JOB, "report": None})

    report: Any = None


class JobsOut(BaseModel):
    """Jobs, the latest first. ``change``: the number of the table's last change, to follow it from there."""

    jobs: list[JobOut]
    counts: dict[State, int] = Field(description="How many there are in all, by state.")
    change: int


class ParameterOut(BaseModel):
    """One argument of a kind. ``several``: a list of values."""

    name: str
    type: Type
    help: str
    role: Role = Field(description="What a text means: see docs/http-api.md.")
    several: bool
    required: bool
    default: Any
    choices: list[str]
    minimum: float | None
    maximum: float | None
    group: str | None


class KindOut(BaseModel):
    """A kind of job: a command of the command line, with the arguments that may come over HTTP."""

    name: str
    command: str
    lane: Lane
    title: str
    help: str
    parameters: list[ParameterOut]


class KindsOut(BaseModel):
    kinds: list[KindOut]
    folders: list[str] = Field(description="What jobs may read on the server: `folder:NAME`.")


class LogOut(BaseModel):
    log: str = Field(description="The end of what its process said on standard error.")
