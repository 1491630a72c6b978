"""The search for near-duplicates of a category: candidates by hash and embedding, verdicts on the pictures, groups."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from indexer.duplicates.candidates import IN_MEMORY, Candidates, Images, Reach, candidates, near_by_engine, near_in_memory
from indexer.duplicates.groups import complete_link, components
from indexer.duplicates.judge import Judge
from indexer.duplicates.keep import POLICY, Criterion, keep_first
from indexer.duplicates.store import commit
from indexer.duplicates.verdict import Thresholds
from indexer.progress import Progress
from indexer.workers import in_order
from services.domain import Payload
from services.duplicates import DuplicateGroup, DuplicateRun, Member, Pair, ordered
from services.errors import BadRequest
from services.perceptual_hashes import MAX_BAND, parse_hashes
from services.runtime import Runtime

FIELDS = (
    "sha256", "phash", "object_key", "media_type", "width", "height", "bytes",
    "created_at", "tags", "class", "caption", "metadata",
)  # fmt: skip
_PAGE = 2_000


@dataclass(frozen=True)
class Search:
    """How to look for duplicates. ``look``: judge by the pictures; otherwise by hashes and embeddings alone, much nearer ones."""

    using: str | None = None
    reach: Reach = field(default_factory=Reach)
    thresholds: Thresholds = field(default_factory=Thresholds)
    policy: tuple[Criterion, ...] = POLICY
    look: bool = True


@dataclass
class DuplicateReport:
    """What a search did. Images with the same bytes are one image from the start, so none of those is among them.

    ``duplicates``: images in groups beside the one of each that is kept. ``kinds`` counts them by verdict. ``unreadable``:
    pictures that could not be compared. ``seconds`` by stage. ``groups`` are there after a dry run as well.
    """

    category: str
    images: int = 0
    candidates: int = 0
    judged: int = 0
    duplicates: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    dismissed: int = 0
    groups: tuple[DuplicateGroup, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    dry_run: bool = False
    interrupted: bool = False
    done: int = 0

    @property
    def refused(self) -> int:
        return self.unreadable

    @property
    def exit_code(self) -> int:
        """0 complete, 130 interrupted."""
        return 130 if self.interrupted else 0

    def to_json(self) -> dict[str, Any]:
        tree = asdict(self) | {"groups": len(self.groups), "kinds": dict(self.kinds)}
        tree["status"] = "interrupted" if tree.pop("interrupted") else "complete"
        return {name: value for name, value in tree.items() if name != "done"}

    def summary(self) -> str:
        if self.interrupted:
            return f"{self.category}: interrupted; nothing was written."
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
        found = f"{len(self.groups)} groups, {self.duplicates} images beside those to keep" + (f" ({kinds})" if kinds else "")
        looked = f"{self.images} images, {self.candidates} pairs looked at in {sum(self.seconds.values()):.1f} s"
        notes = [f"{self.unreadable} pictures could not be read"] if self.unreadable else []
        notes += ["nothing was written (dry run)"] if self.dry_run else []
        known = "Files with the same bytes are one image already."
        return "; ".join([f"{self.category}: {looked}: {found}", *notes]) + f". {known}"


def find_duplicates(
    runtime: Runtime,
    category: str,
    search: Search | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> DuplicateReport:
    """Find the near-duplicates of a category and put the groups in service; those of the run before are replaced.

    Interrupted or killed, the groups before stay in service, and the next run makes up for it. ``NotFound`` (category),
    ``UnknownVector``, ``BadRequest`` (options out of range, or the extra ``clustering`` is not installed).
    """
    search, stop = search or Search(), stop or threading.Event()
    _check(search)
    using = runtime.catalog.get(category).encoder(search.using).name
    work = _Work(runtime, category, search, using, DuplicateReport(category, dry_run=dry_run), stop, progress)
    try:
        groups = work.run()
    except KeyboardInterrupt:
        stop.set()
        groups = []
    report = work.report
    report.interrupted = stop.is_set()
    if progress:
        progress.finish(report)
    if report.interrupted:
        return report
    run = _named(runtime, category, using, search, groups, report.images)
    report.groups = run.groups
    report.duplicates = sum(len(group.others) for group in run.groups)
    report.kinds = Counter(member.kind for group in run.groups for member in group.members[1:])
    if not dry_run:
        started = time.perf_counter()
        commit(runtime, category, run)
        report.seconds["write"] = time.perf_counter() - started
    return report


@dataclass(eq=False)
class _Work:
    """The stages of one search, and what they share."""

    runtime: Runtime
    category: str
    search: Search
    using: str
    report: DuplicateReport
    stop: threading.Event
    progress: Progress | None

    def run(self) -> list[tuple[Member, ...]]:
        with self._timed("read"):
            images, payloads = read_images(self.runtime, self.category, self.using)
        self.report.images = len(images)
        with self._timed("candidates"):
            pairs = candidates(images, self._near(images), self.search.reach)
            dismissed = self._dismissed(images)
        self.report.candidates = len(pairs)
        if self.progress:
            self.progress.start(len(pairs))
        with self._timed("verdicts"):
            return list(self._groups(images, payloads, pairs, dismissed))

    def _near(self, images: Images) -> np.ndarray[Any, np.dtype[np.int64]]:
        stopped = self.stop.is_set
        if len(images) <= IN_MEMORY:
            return near_in_memory(images.embeddings, self.search.reach, stopped=stopped)
        vectors, reach = self.runtime.vectors, self.search.reach
        return near_by_engine(vectors, self.category, self.using, images, reach, stopped=stopped)

    def _dismissed(self, images: Images) -> set[tuple[int, int]]:
        pairs = self.runtime.duplicates.dismissed(self.category)
        places = {id: place for place, id in enumerate(images.ids)} if pairs else {}
        known = {(places[one], places[other]) for one, other in pairs if one in places and other in places}
        self.report.dismissed = len(known)
        return {(min(pair), max(pair)) for pair in known}

    def _groups(
        self, images: Images, payloads: Sequence[Payload], pairs: Candidates, dismissed: set[tuple[int, int]]
    ) -> Iterator[tuple[Member, ...]]:
        # nearest first: a copy proposed by its hash alone comes after those proposed by their embeddings
        every = [pair for pair in zip(pairs.one.tolist(), pairs.other.tolist(), strict=True) if pair not in dismissed]
        parts = [[every[number] for number in part] for part in components(len(images), every)]
        by_place = dict(enumerate(payloads))

        def grouped(part: list[tuple[int, int]]) -> tuple[list[tuple[Member, ...]], Judge, int]:
            thresholds, reach = self.search.thresholds, self.search.reach
            judge = Judge(self.runtime, images, by_place, thresholds, flips=reach.flips, look=self.search.look)
            return self._group(images, by_place, part, judge, dismissed), judge, len(part)

        with ExitStack() as stack:
            threads = self.runtime.settings.threads or os.cpu_count() or 1
            pool = ThreadPoolExecutor(threads, "duplicates")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            for found, judge, looked in in_order(pool, grouped, parts, 4 * threads):
                self.report.done += looked
                self.report.judged += judge.judged
                self.report.unreadable += len(judge.unreadable)
                if self.progress:
                    self.progress.update(self.report)
                if self.stop.is_set():
                    return
                yield from found

    def _group(
        self,
        images: Images,
        payloads: dict[int, Payload],
        part: list[tuple[int, int]],
        judge: Judge,
        dismissed: set[tuple[int, int]],
    ) -> list[tuple[Member, ...]]:
        """The groups of images that hang together, each with the one to keep first."""
        linked = complete_link(
            part,
            lambda pair: not self.stop.is_set() and judge.verdict(*pair).same,
            lambda pair: judge.may_share(*pair),
            lambda pair: judge.closeness(*pair),
            dismissed,
        )
        return [self._members(images, payloads, members, judge) for members in linked]

    def _members(self, images: Images, payloads: dict[int, Payload], places: list[int], judge: Judge) -> tuple[Member, ...]:
        by_id = {images.ids[place]: place for place in places}
        keep, *others = keep_first({id: payloads[place] for id, place in by_id.items()}, self.search.policy)
        members = [Member(keep, "keep", 1.0)]
        for id in others:
            verdict = judge.verdict(by_id[keep], by_id[id])
            kind = verdict.kind if self.search.look else "unseen"
            members.append(Member(id, kind, round(verdict.similarity, 4), verdict.turn))
        return tuple(members)

    def _timed(self, stage: str) -> _Timed:
        return _Timed(self.report.seconds, stage)


class _Timed:
    """Adds to the seconds of a stage."""

    def __init__(self, seconds: dict[str, float], stage: str) -> None:
        self._seconds, self._stage = seconds, stage

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._stage] = round(time.perf_counter() - self._started, 3)


def read_images(runtime: Runtime, category: str, using: str) -> tuple[Images, list[Payload]]:
    """Every image of a category with its hash, its embedding and the payload fields that are needed. Images without a perceptual
    hash have one that tells nothing."""
    dim, count = runtime.catalog.get(category).encoder(using).dim, runtime.vectors.count(category)
    dtype = np.float32 if count <= IN_MEMORY else np.float16
    ids: list[str] = []
    payloads: list[Payload] = []
    rows = [np.empty((0, dim), dtype)]
    cursor: str | None = None
    while True:
        page = runtime.vectors.scroll(category, limit=_PAGE, cursor=cursor, with_payload=FIELDS, with_vectors=(using,))
        part = np.zeros((len(page.hits), dim), dtype)
        for row, hit in enumerate(page.hits):
            if using in hit.vectors:
                part[row] = hit.vectors[using]
        rows.append(part)
        ids += [hit.id for hit in page.hits]
        payloads += [hit.payload for hit in page.hits]
        cursor = page.cursor
        if cursor is None:
            break
    hashes = parse_hashes([str(payload.get("phash") or "0") for payload in payloads])
    return Images(tuple(ids), hashes, np.concatenate(rows)), payloads


def _named(
    runtime: Runtime, category: str, using: str, search: Search, groups: list[tuple[Member, ...]], images: int
) -> DuplicateRun:
    """The run, the largest groups first; what people chose to keep in the run before is kept again."""
    key = runtime.duplicates.next_key(category)
    before = runtime.duplicates.current(category)
    chosen = {group.keep for group in before.groups if group.chosen} if before else set[str]()
    named = []
    for number, members in enumerate(sorted(groups, key=lambda members: (-len(members), members[0].id)), 1):
        group = DuplicateGroup(f"{key}-{number}", members)
        said = [id for id in group.ids if id in chosen]
        named.append(kept_instead(group, said[0]) if said else group)
    parameters = {**asdict(search.reach), **asdict(search.thresholds), "policy": list(search.policy), "look": search.look}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return DuplicateRun(key, now, using, images, tuple(named), parameters)


def kept_instead(group: DuplicateGroup, id: str) -> DuplicateGroup:
    """The group with another image to keep, as a person chose; verdicts stay those against the one that was kept before."""
    first = next((member for member in group.members if member.id == id), None)
    if first is None:
        raise BadRequest(f"Image {id} is not in group {group.id}.", group=group.id, id=id)
    if first is group.members[0]:
        return replace(group, chosen=True)
    former = replace(first, id=group.keep)  # the same verdict, seen from the other side
    rest = [member for member in group.members[1:] if member.id != id]
    return DuplicateGroup(group.id, (Member(id, "keep", 1.0), former, *rest), chosen=True)


def pairs_of(group: DuplicateGroup, ids: Sequence[str] = ()) -> list[Pair]:
    """All pairs of a group, or those between ``ids`` and the rest of it. ``BadRequest`` for an image that is not in it."""
    for id in ids:
        if id not in group.ids:
            raise BadRequest(f"Image {id} is not in group {group.id}.", group=group.id, id=id)
    chosen = set(ids)
    return [
        ordered(one, other)
        for number, one in enumerate(group.ids)
        for other in group.ids[number + 1 :]
        if not chosen or (one in chosen) or (other in chosen)
    ]


def _check(search: Search) -> None:
    reach = search.reach
    if not 0 <= reach.band <= MAX_BAND:
        raise BadRequest(f"The band must be in 0..{MAX_BAND} bits, not {reach.band}.")
    if not 0 < reach.similarity <= 1:
        raise BadRequest(f"The similarity must be above 0 and at most 1, not {reach.similarity}.")
    if not 1 <= reach.neighbours <= 1_000:
        raise BadRequest(f"The neighbours must be in 1..1000, not {reach.neighbours}.")
