"""A kind of job that opens no store, and jobs that know of it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.kinds import Kind, Parameter
from vitrine.services.settings import Settings

COUNTING = (
    Parameter("units", "integer", "How many.", minimum=0),
    Parameter("seconds", "number", "Of each.", maximum=60),
    Parameter("die", "integer", "How often it kills itself."),
    Parameter("code", "integer", "The exit code."),
    Parameter("deaf", "boolean", "Do not end when asked."),
)
COUNT = Kind("count", "count", "light", "Count.", "Count.", COUNTING)
HEAVY = Kind("heavy-count", "heavy count", "heavy", "Count.", "Count.", COUNTING)
READ = Kind(
    "read",
    "read",
    "light",
    "Read.",
    "Read.",
    (
        Parameter("source", "string", "Images.", "source", required=True),
        Parameter("words", "string", "Words.", "file", several=True),
        Parameter("form", "string", "Form.", choices=("a", "b")),
        Parameter("encoder", "string", "Encoder.", "encoder"),
        Parameter("to", "string", "File.", "result"),
        Parameter("refused", "string", "File.", remote=False),
    ),
)


LOCAL = Kind(
    "save",
    "save",
    "light",
    "Save.",
    "Save.",
    (Parameter("place", "string", "Where.", required=True, remote=False),),
)


def jobs_in(folder: Path, **settings: Any) -> Jobs:
    return Jobs(Settings(_env_file=None, data=folder, **settings), ask=lambda: (COUNT, HEAVY, READ, LOCAL))
