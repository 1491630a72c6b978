"""The process of one attempt at a job: the command of its kind, with ``--json``."""

from __future__ import annotations

import sys
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import orjson

from vitrine.services.jobs.attempt import INTERRUPTED, Outcome, run_attempt
from vitrine.services.jobs.job import Job
from vitrine.services.jobs.places import JobFolder

PACKED: Final = "result.zip"


def run_command(job: Job, folder: JobFolder) -> Outcome:
    """Run the command of a job in this process, pack what it made, and return how it ended."""
    from vitrine.cli.jobs.kinds import command_line, find_kind_of
    from vitrine.cli.jobs.table import KINDS
    from vitrine.services.files import any_error
    from vitrine.services.jobs.jobs import located
    from vitrine.services.settings import Settings

    settings = Settings()
    try:
        kind = find_kind_of(job.kind)
        checkpoint = KINDS[kind.command].checkpoint.format_map(defaultdict(str, job.arguments))
        arguments = command_line(
            kind,
            job.arguments,
            lambda one, text: located(one, text, folder, settings),
            resume=job.attempts > 1 and bool(checkpoint) and (settings.data / checkpoint).is_file(),
        )
        code = _run(arguments)
        answer = _answer(folder)
        file = _packed(folder) if code in (0, 3) else None
    except Exception as raised:  # without a word of ours the job would be begun again
        error = any_error(raised)
        return Outcome(1, {"error": {"code": error.code, "message": error.message, "details": error.details}})
    return Outcome(code, answer, file)


def _run(arguments: list[str]) -> int:
    """Return the exit code of a command, as the shell would see it."""
    from vitrine.cli.main import app

    print(f"$ vitrine {' '.join(arguments)}", file=sys.stderr, flush=True)
    try:
        app(arguments, prog_name="vitrine")
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _answer(folder: JobFolder) -> Any:
    """Return the JSON document that the command printed; None where it printed none."""
    try:
        return orjson.loads(folder.answer.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


def _packed(folder: JobFolder) -> tuple[str, int] | None:
    """Return the file to be downloaded and its size: the one that was made, or a zip of several."""
    made = sorted(path for path in folder.made.rglob("*") if path.is_file())
    if not made:
        return None
    file = made[0] if made == [folder.made / made[0].name] else _zipped(folder, made)
    return str(file.relative_to(folder.path)), file.stat().st_size


def _zipped(folder: JobFolder, files: list[Path]) -> Path:
    from vitrine.indexer.job.progress import StageByStage, make_progress

    packed = folder.path / PACKED
    shown = StageByStage(make_progress())
    with zipfile.ZipFile(packed.with_suffix(".part"), "w", zipfile.ZIP_STORED) as archive:
        for number, path in enumerate(files, 1):
            archive.write(path, path.relative_to(folder.made))
            shown("packing", number, len(files))
    packed.with_suffix(".part").replace(packed)
    folder.clear()
    return packed


if __name__ == "__main__":
    run_attempt(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), run_command)
