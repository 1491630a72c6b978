"""Find near-duplicates in a category: candidates by hash and embedding, comparisons of the pictures,
groups."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict

from vitrine.indexer.enrich.duplicates.compare.comparison import Thresholds
from vitrine.indexer.enrich.duplicates.detector import Detection
from vitrine.indexer.enrich.duplicates.options import DuplicateOptions
from vitrine.indexer.enrich.duplicates.report import DuplicateReport
from vitrine.indexer.enrich.duplicates.store import commit
from vitrine.indexer.job.job import Job
from vitrine.indexer.job.progress import Progress
from vitrine.services.artifacts.duplicates import DuplicateGroup, DuplicateRun, Member
from vitrine.services.runtime import Runtime


def find_duplicates(
    runtime: Runtime,
    category: str,
    options: DuplicateOptions | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> DuplicateReport:
    """Find the near-duplicates of a category and put the groups in service, in place of the groups of
    the run before.

    Interrupted or killed, the groups before stay in service, and the next run makes up for it. ``NotFound``
    (category), ``UnknownVector``, ``BadRequest`` (options out of range).
    """
    options = options or DuplicateOptions()
    using = runtime.catalog.get(category).encoder(options.using).name
    before = runtime.duplicates.current(category)
    chosen = {group.keep for group in before.groups if group.chosen} if before else set[str]()
    report = DuplicateReport(category, dry_run=dry_run)
    job = Job(runtime, category, report, progress, stop)
    with job.running():
        groups = Detection(job, options, using, report, chosen).run()
        job.check()
    if report.interrupted:
        return report
    run = _described(report, options, using, groups, chosen)
    if dry_run:
        run = run.numbered(runtime.duplicates.next_key(category))
    else:
        started = time.perf_counter()
        run = commit(runtime, category, run)
        report.stages["write"] = round(time.perf_counter() - started, 3)
    report.groups = run.groups
    report.duplicates = sum(len(group.others) for group in run.groups)
    report.kinds = Counter(member.kind for group in run.groups for member in group.members[1:])
    return report


def _described(
    report: DuplicateReport,
    options: DuplicateOptions,
    using: str,
    groups: list[tuple[Member, ...]],
    chosen: Collection[str],
) -> DuplicateRun:
    """Return the run, the largest groups first."""
    ranked = sorted(groups, key=lambda members: (-len(members), members[0].id))
    found = tuple(DuplicateGroup("", members, chosen=members[0].id in chosen) for members in ranked)
    parameters = {
        **{name: getattr(options, name) for name in ("band", "similarity", "neighbours", "flips")},
        **asdict(Thresholds()),
        "policy": list(options.policy),
        "look": options.look,
    }
    return DuplicateRun(using, report.images, found, parameters)
