"""The stages of one search for near-duplicates: read, propose, glance, judge, group."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.candidates import (
    IN_MEMORY,
    Images,
    candidates,
    near_by_engine,
    near_in_memory,
)
from vitrine.indexer.enrich.duplicates.groups import Pair, complete_link, components, nearby
from vitrine.indexer.enrich.duplicates.keep import keep_first
from vitrine.indexer.enrich.duplicates.members import arranged
from vitrine.indexer.enrich.duplicates.pair_cache import Judge
from vitrine.indexer.enrich.duplicates.pictures import Pictures
from vitrine.indexer.enrich.duplicates.prefilter import comparing, glance
from vitrine.indexer.enrich.duplicates.search import DuplicateReport, Search
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.workers import in_order
from vitrine.services.artifacts.duplicates import Member
from vitrine.services.category.fields import SAID
from vitrine.services.domain import Payload
from vitrine.services.images.hashes import parse_hashes
from vitrine.services.runtime import Runtime

FIELDS = (
    "sha256", "phash", "object_key", "media_type", "width", "height", "bytes",
    "created_at", "tags", "metadata", *SAID,
)  # fmt: skip
_PAGE = 2_000
_TOGETHER = 32

Group = tuple[Member, ...]
"""The one to keep first."""


@dataclass(eq=False)
class Stages:
    """One search, stage by stage; ``report`` says how far it is."""

    runtime: Runtime
    category: str
    search: Search
    using: str
    report: DuplicateReport
    stop: threading.Event
    progress: Progress | None
    chosen: Collection[str] = ()
    """Images that people chose to keep."""

    def run(self) -> list[Group]:
        """The groups; none where ``stop`` was set."""
        with self._stage("read"):
            images, payloads = read_images(self.runtime, self.category, self.using)
        self.report.images = len(images)
        with self._stage("candidates", len(images)):
            found = candidates(images, self._near(images), self.search.reach)
            dismissed = self._dismissed(images)
        self.report.candidates = len(found)
        # most similar first: a copy proposed by its hash alone comes after those proposed by their embeddings
        pairs = [
            pair
            for pair in zip(found.one.tolist(), found.other.tolist(), strict=True)
            if pair not in dismissed
        ]
        with ExitStack() as stack:
            pictures, turns = None, dict[Pair, str]()
            if self.search.look:
                pool = stack.enter_context(comparing(self.runtime.settings.threads))
                pictures = Pictures(self.runtime, payloads)
                turns = self._glanced(pool, pictures, pairs)
                pairs = list(turns)
            else:
                pool = stack.enter_context(ThreadPoolExecutor(1))
            self.report.compared = len(pairs)
            judge = Judge(
                images, pictures, self.search.thresholds, turns=turns, flips=self.search.reach.flips
            )
            groups = self._grouped(pool, images, payloads, judge, pairs, dismissed)
            self.report.judged = judge.judged
            self.report.unreadable = len(pictures.unreadable) if pictures else 0
            self.report.failed = len(judge.failed)
        return groups

    def _near(self, images: Images) -> NDArray[np.int64]:
        stopped, reach = self.stop.is_set, self.search.reach
        if len(images) <= IN_MEMORY:
            return near_in_memory(images.embeddings, reach, told=self._reached, stopped=stopped)
        vectors = self.runtime.vectors
        return near_by_engine(
            vectors, self.category, self.using, images, reach, told=self._reached, stopped=stopped
        )

    def _dismissed(self, images: Images) -> set[Pair]:
        pairs = self.runtime.duplicates.dismissed(self.category)
        places = {id: place for place, id in enumerate(images.ids)} if pairs else {}
        known = {(places[one], places[other]) for one, other in pairs if one in places and other in places}
        self.report.dismissed = len(known)
        return {(min(pair), max(pair)) for pair in known}

    def _glanced(self, pool: ThreadPoolExecutor, pictures: Pictures, pairs: list[Pair]) -> dict[Pair, str]:
        """The pairs that are worth a closer look, in their order, and how the second may lie in the first."""
        rows = np.array(pairs, np.int64).reshape(-1, 2)
        with self._stage("glance", len(np.unique(rows)) + len(rows)):
            flips, stopped = self.search.reach.flips, self.stop.is_set
            turns = glance(pool, pictures, rows, flips=flips, told=self._advanced, stopped=stopped)
        return {pair: turn for pair, turn in zip(pairs, turns, strict=True) if turn is not None}

    def _grouped(
        self,
        pool: ThreadPoolExecutor,
        images: Images,
        payloads: Sequence[Payload],
        judge: Judge,
        pairs: list[Pair],
        dismissed: set[Pair],
    ) -> list[Group]:
        with self._stage("verdicts", len(pairs)):
            same = self._same(pool, judge, pairs)

        def grouped(part: list[Pair]) -> list[Group]:
            linked = complete_link(
                part,
                lambda pair: not self.stop.is_set() and judge.verdict(*pair).same,
                lambda pair: judge.may_share(*pair),
                lambda pair: judge.closeness(*pair),
                dismissed,
            )
            return [self._members(images, payloads, places, judge) for places in linked]

        parts = [[same[number] for number in part] for part in components(len(images), same)]
        groups: list[Group] = []
        with self._stage("groups", len(parts)):
            for found in in_order(pool, grouped, parts, 16):
                self._advanced(1)
                groups += found
        return [] if self.stop.is_set() else groups

    def _same(self, pool: ThreadPoolExecutor, judge: Judge, pairs: list[Pair]) -> list[Pair]:
        """The pairs that are copies, in their order; looked at in one in which those of a picture are near
        each other."""
        ordered = [pairs[number] for number in nearby(pairs)]
        parts = [ordered[start : start + _TOGETHER] for start in range(0, len(ordered), _TOGETHER)]

        def judged(part: list[Pair]) -> list[Pair]:
            return [pair for pair in part if not self.stop.is_set() and judge.verdict(*pair).same]

        copies: set[Pair] = set()
        for part, found in zip(parts, in_order(pool, judged, parts, 16), strict=True):
            copies.update(found)
            self._advanced(len(part))
        return [pair for pair in pairs if pair in copies]

    def _members(self, images: Images, payloads: Sequence[Payload], places: list[int], judge: Judge) -> Group:
        by_id = {images.ids[place]: place for place in places}
        known = {id: payloads[place] | {"grey": judge.is_grey(place)} for id, place in by_id.items()}
        best = sorted(keep_first(known, self.search.policy), key=lambda id: id not in self.chosen)
        return arranged(images.ids, [by_id[id] for id in best], judge)

    def _advanced(self, count: int) -> None:
        self._reached(self.report.done + count)

    def _reached(self, done: int) -> None:
        self.report.done = done
        if self.progress:
            self.progress.update(self.report)

    @contextmanager
    def _stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Times a stage and shows how far it is, of ``total`` images or pairs."""
        started, self.report.done = time.perf_counter(), 0
        if self.progress and total is not None:
            self.progress.start(total)
        try:
            yield
        finally:
            self.report.seconds[name] = round(time.perf_counter() - started, 3)
            if self.progress and total is not None:
                self.progress.finish(self.report)


def read_images(runtime: Runtime, category: str, using: str) -> tuple[Images, list[Payload]]:
    """Every image of a category with its hash, its embedding and the payload fields that are needed. Images
    without a perceptual hash have one that tells nothing."""
    dim, count = runtime.catalog.get(category).encoder(using).dim, runtime.vectors.count(category)
    dtype = np.float32 if count <= IN_MEMORY else np.float16
    ids: list[str] = []
    payloads: list[Payload] = []
    rows = [np.empty((0, dim), dtype)]
    cursor: str | None = None
    while True:
        page = runtime.vectors.scroll(
            category, limit=_PAGE, cursor=cursor, with_payload=FIELDS, with_vectors=(using,)
        )
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
