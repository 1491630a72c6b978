"""Check categories, one after the other: what one of them is like keeps no other from being looked at."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence

from vitrine.indexer.check.findings import CheckReport, Finding
from vitrine.indexer.check.look import look_at
from vitrine.indexer.check.repair import can_repair, repair
from vitrine.indexer.job.job import Job
from vitrine.indexer.job.progress import Progress
from vitrine.services.errors import NotFound, VitrineError
from vitrine.services.runtime import MB, Runtime


def check_categories(
    runtime: Runtime,
    names: Sequence[str] = (),
    *,
    deep: bool = False,
    mend: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> CheckReport:
    """Look at these categories (none named: at all), and tell what is wrong with them. ``mend`` repairs what
    can be repaired from the rest, and looks again whether it helped. Others may write meanwhile.

    ``NotFound`` for a name of nothing.
    """
    report = CheckReport(deep=deep)
    others = {each.name: each for each in runtime.catalog.remains()}
    known = [category.name for category in runtime.catalog.list()]
    every = sorted({*known, *(each.name for each in others.values() if each.state == "damaged")})
    for name in names:
        if name not in every and name not in others:
            raise NotFound(f"There is no category {name!r}: list the categories to see those there are.")
    if not names:
        report.findings += _of_all(runtime)
    job = Job(runtime, "", report, progress, stop)
    with job.running(keep_errors=True):
        for name in names or [*every, *(name for name in others if name not in every)]:
            report.categories.append(name)
            if (
                name in others
                and others[name].state == "leftover"
                and mend
                and runtime.catalog.restore_manifest(name)
            ):
                what = "Its manifest was gone; the copy is back."
                report.findings.append(Finding("leftover_category", name, what, "", repaired=True))
            elif name in others and others[name].state != "damaged":
                state = "deletion_unfinished" if others[name].state == "deleting" else "leftover_category"
                what, _, advice = others[name].message.partition(": ")
                report.findings.append(Finding(state, name, what + ".", advice))
                continue
            with job.stage(f"checking {name}") as advance:
                look = look_at(runtime, name, deep=deep, advance=advance)
            report.images += look.images
            report.read_bytes += look.read_bytes
            report.findings += _mended(runtime, name, look.findings, deep) if mend else look.findings
    return report


def _mended(runtime: Runtime, name: str, findings: list[Finding], deep: bool) -> list[Finding]:
    """Repair what was found, and look again: what is not found any more was repaired. What could not be seen
    before, since something else was in the way, is found then."""
    if not any(map(can_repair, findings)):
        return findings
    for _ in range(_ROUNDS):
        for finding in findings:
            if not finding.repaired:
                try:
                    repair(runtime, finding)
                except VitrineError as error:
                    finding.advice = f"The repair failed: {error.message}"
        left = {each.code: each for each in look_at(runtime, name, deep=deep).findings}
        for finding in findings:  # of a category that does not open nothing else is found any more
            finding.repaired = finding.code not in left and not left.keys() & _IN_THE_WAY
        new = [each for code, each in left.items() if code not in {known.code for known in findings}]
        findings = [*findings, *new]
        if not new:
            break
    return findings


_ROUNDS = 3
_IN_THE_WAY = frozenset({"manifest_damaged", "collection_missing", "collection_damaged"})


def _of_all(runtime: Runtime) -> list[Finding]:
    settings = runtime.settings
    if settings.qdrant_url and settings.minio_endpoint:
        return []
    free = shutil.disk_usage(settings.data).free // MB
    if free >= settings.min_free_mb:
        return []
    what = f"{free:,} MiB are free for {settings.data}, {settings.min_free_mb} MiB are kept free."
    return [Finding("space_low", "", what, "Free some space: nothing can be written meanwhile.")]
