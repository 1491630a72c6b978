"""``vitrine jobs``: look at jobs, start, stop and repeat them, and run them without a server."""

from __future__ import annotations

import getpass
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import read_settings
from vitrine.cli.jobs.detach import EVERY
from vitrine.cli.options import JsonOption
from vitrine.cli.output import note, print_json, print_pairs, print_table, show_progress
from vitrine.services.errors import BadRequest

if TYPE_CHECKING:
    from vitrine.services.jobs.job import Job
    from vitrine.services.jobs.jobs import Jobs
    from vitrine.services.jobs.kinds import Kind

app = typer.Typer(
    no_args_is_help=True, help="Look at jobs, start, stop and repeat them, and run them without a server."
)
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the beginning of it.")]
_WATCH_SECONDS = 0.25


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", metavar="STATE", help="queued, running, done, failed or cancelled; again: more."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the latest first. Those that ended more than 30 days ago are gone."""
    from vitrine.services.jobs.job import STATES

    for name in state or ():
        if name not in STATES:
            raise BadRequest(f"{name!r} is no state of a job: they are {', '.join(STATES)}.")
    with opened(ctx) as jobs:
        found = jobs.find(states=[one for one in STATES if one in (state or ())], limit=limit)
    if as_json:
        print_json({"jobs": [job.to_json() for job in found]})
        return
    columns = ("job", "kind", "state", "progress", "asked for", "by")
    print_table(columns, [(j.id, j.kind, j.state, how_far(j), j.created_at[:19], j.who) for j in found])
    if not found:
        note("None yet: vitrine jobs kinds names what can be started.")


@app.command()
def show(ctx: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Show a job: its arguments, how far it is, its report, and the end of its log."""
    with opened(ctx) as jobs:
        found = jobs.get(job)
        log = jobs.log(found.id)
    if as_json:
        print_json({**found.to_json(whole=True), "log": log})
        return
    _print(found)
    if found.report is not None:
        typer.echo(f"\nreport\n{json.dumps(found.report, ensure_ascii=False, indent=2)[:4_000]}")
    if log:
        typer.echo("\nlog\n" + "\n".join(log.splitlines()[-20:]))


@app.command()
def watch(ctx: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Follow a job to its end, and leave with its exit code. Ctrl-C leaves it running."""
    from vitrine.indexer.job.shown.following import follow

    with opened(ctx) as jobs:
        finish(follow(jobs, job, show_progress()), as_json=as_json)


@app.command()
def cancel(
    ctx: typer.Context,
    job: JobArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has ended.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End a job: it has 10 seconds for what it has under way. What it has stored stays. One that repeats
    itself does not any more."""
    from vitrine.indexer.job.shown.following import check_supervised

    with opened(ctx) as jobs:
        found = jobs.cancel(job)
        while wait and not found.finished:
            check_supervised(jobs.settings)
            time.sleep(0.05)
            found = jobs.get(found.id)
    if as_json:
        print_json(found.to_json())
        return
    note(f"The job {found.id} is {'being cancelled' if found.cancelling else found.state}.")


@app.command()
def retry(ctx: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Start a job that has ended again, with the same arguments."""
    with opened(ctx) as jobs:
        found = jobs.retry(job)
    if as_json:
        print_json(found.to_json())
        return
    note(f"The job {found.id} waits for its turn.")


@app.command()
def remove(ctx: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Forget a job that has ended, with its log and the file it made."""
    with opened(ctx) as jobs:
        found = jobs.get(job)
        jobs.remove(found.id)
    if as_json:
        print_json({"job": found.id, "removed": True})
        return
    note(f"Removed the job {found.id}.")


@app.command("kinds")
def list_kinds(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="Show what this one takes.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what can be a job, or the arguments of one kind: they are those of the command."""
    from vitrine.cli.jobs.kinds import all_kinds, find_kind_of

    kinds = all_kinds() if kind is None else (find_kind_of(kind),)
    if as_json:
        print_json({"kinds": [one.to_json(remote=False) for one in kinds]})
    elif kind is None:
        print_table(
            ("kind", "command", "lane", "does"), [(k.name, k.command, k.lane, k.title) for k in kinds]
        )
    else:
        rows = [
            (p.name, p.type + (" ..." if p.several else ""), "needed" if p.required else p.default, p.help)
            for p in kinds[0].parameters
        ]
        print_table(("argument", "type", "default", "help"), rows)


@app.command()
def start(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as map-make; `jobs kinds` lists them.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE...]", help="Its arguments, such as category=shop; again: lists."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    every: Annotated[str | None, typer.Option("--every", metavar="TIME", help=EVERY)] = None,
    as_json: JsonOption = False,
) -> None:
    """Start a job of the running server. `vitrine COMMAND ... --detach` does the same."""
    from vitrine.cli.jobs.kinds import find_kind_of
    from vitrine.indexer.job.shown.following import follow

    found = find_kind_of(kind)
    given = read_pairs(found, arguments or ())
    with opened(ctx) as jobs:
        job = submit(jobs, found, given, every)
        if wait:
            job = follow(jobs, job.id, show_progress())
            finish(job, as_json=as_json)
            return
    tell_started(job, as_json=as_json)


@app.command()
def run(
    ctx: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Leave when none runs, or waits for its turn, any more.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the jobs of the data folder until Ctrl-C, where no server does. What runs then waits for the next
    time."""
    from vitrine.services.jobs.supervisor import supervised

    with opened(ctx) as jobs:
        with supervised(jobs):
            note(f"Running the jobs of {jobs.settings.data}; Ctrl-C ends it.")
            try:
                while not once or jobs.table.busy():
                    time.sleep(_WATCH_SECONDS)
            except KeyboardInterrupt:
                note("Ending: what runs has 10 seconds, and goes on the next time.")
        counts = jobs.table.counts()
    if as_json:
        print_json({"jobs": counts})


# What other commands use of it
# ------------------------------------------------------------------------------------------------------------


@contextmanager
def opened(ctx: typer.Context) -> Iterator[Jobs]:
    """Yield the jobs of the data folder that the settings name."""
    from vitrine.services.jobs.jobs import Jobs

    jobs = Jobs(read_settings(ctx))
    try:
        yield jobs
    finally:
        jobs.close()


def submit(jobs: Jobs, kind: Kind, arguments: Mapping[str, Any], every: str | None) -> Job:
    """Let a job wait whose paths are this machine's; ``every``: how long after its end it is started again,
    as people write it. ``Unavailable`` where nobody would run it."""
    from vitrine.indexer.job.shown.following import check_supervised

    check_supervised(jobs.settings)
    who = f"command line ({_user()})"
    seconds = None if every is None else read_time(every)
    checked = kind.checked(arguments, remote=False)
    return jobs.table.add(kind.name, checked, kind.lane, who, every_seconds=seconds)


def read_time(text: str) -> int:
    """Return the seconds in a time such as 90s, 30m, 6h or 1d, after which a job may repeat itself.
    ``BadRequest``."""
    from vitrine.services.jobs.jobs import check_every

    match = re.fullmatch(r"(\d{1,8})([smhd])", text.strip())
    if match is None:
        raise BadRequest(f"{text[:80]!r} is no time: write a number and s, m, h or d, such as 30m or 6h.")
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]]
    check_every(seconds)
    return seconds


def tell_started(job: Job, *, as_json: bool) -> None:
    """Say how to follow a job that was started."""
    if as_json:
        print_json(job.to_json())
        return
    note(f"Job {job.id} ({job.kind}) waits for its turn. Follow it: vitrine jobs watch {job.id}")


def finish(job: Job, *, as_json: bool) -> None:
    """Print a job that has ended and leave as its command would have."""
    if as_json:
        print_json(job.to_json(whole=True))
    else:
        _print(job)
    code = job.exit_code or {"done": 0, "cancelled": 130}.get(job.state, 1)
    if code:
        raise typer.Exit(code)


def read_pairs(kind: Kind, texts: Sequence[str]) -> dict[str, Any]:
    """Return the arguments in ``name=value``, each of the type that its kind states. ``BadRequest``."""
    known = {one.name: one for one in kind.parameters}
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in known:
            raise BadRequest(
                f"{text!r} is no argument of {kind.name}: write NAME=VALUE with {', '.join(known)}."
            )
        one = known[name]
        read: Any = value
        if one.type != "string":
            try:
                read = json.loads(value.lower())
            except ValueError:
                raise BadRequest(f"{name}={value} should be of the type {one.type}.") from None
        found[name] = [*found.get(name, []), read] if one.several else read
    return found


def how_far(job: Job) -> str:
    """Return how far a job is, in a few words."""
    if job.state == "queued" and job.due_at is not None:
        return f"due at {job.due_at[:16]}"
    far = job.progress
    if not far or job.state not in ("running", "done"):
        return str(job.error["code"]) if job.error else ""
    of = f"/{far['total']}" if far["total"] else ""
    left = f", {far['seconds_left']:.0f} s left" if far["seconds_left"] and not job.finished else ""
    return f"{far['stage']} {far['done']}{of}{left}"


def _print(job: Job) -> None:
    about: dict[str, object] = {
        "job": job.id,
        "kind": job.kind,
        "arguments": " ".join(f"{name}={value}" for name, value in job.arguments.items()),
        "state": "running, to be cancelled" if job.cancelling else job.state,
        "progress": how_far(job),
        "asked for": f"{job.created_at[:19]} by {job.who}",
        "repeats": f"{job.every_seconds} s after its end" if job.every_seconds else "",
        "started": (job.started_at or "")[:19],
        "ended": (job.ended_at or "")[:19],
        "attempts": job.attempts,
        "error": f"{job.error['code']}: {job.error['message']}" if job.error else "",
        "file": f"{job.file} ({job.file_bytes} bytes)" if job.file else "",
    }
    print_pairs({name: value for name, value in about.items() if value != ""})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # of a user id without a name
        return "unknown"
