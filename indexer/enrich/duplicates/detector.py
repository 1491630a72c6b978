"""One search for near-duplicates, stage by stage: read, propose, prefilter, compare, group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
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
from vitrine.indexer.enrich.duplicates.compare.comparison import Thresholds
from vitrine.indexer.enrich.duplicates.groups import arranged, complete_link, components, nearby
from vitrine.indexer.enrich.duplicates.keep import keep_first
from vitrine.indexer.enrich.duplicates.options import DuplicateOptions
from vitrine.indexer.enrich.duplicates.pair_cache import Pair, PairCache
from vitrine.indexer.enrich.duplicates.pictures import Pictures
from vitrine.indexer.enrich.duplicates.prefilter import comparing, prefilter
from vitrine.indexer.enrich.duplicates.report import DuplicateReport
from vitrine.indexer.job.job import Advance, Job
from vitrine.indexer.job.workers import in_order
from vitrine.services.artifacts.duplicates import Member
from vitrine.services.category.fields import SAID
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Payload
from vitrine.services.images.hashes import parse_hashes
from vitrine.services.runtime import Runtime

FIELDS = (
    "sha256", "phash", "object_key", "media_type", "width", "height", "bytes",
    "created_at", "tags", "metadata", *SAID,
)  # fmt: skip
_TOGETHER = 32

Group = tuple[Member, ...]
"""The one to keep first."""


@dataclass(eq=False)
class Detection:
    """One search, stage by stage; ``InterruptedError`` where the job is stopped. ``chosen``: images that
    people chose to keep."""

    job: Job
    options: DuplicateOptions
    using: str
    report: DuplicateReport
    chosen: Collection[str] = ()

    def run(self) -> list[Group]:
        """Return the groups."""
        runtime = self.job.runtime
        with self.job.stage("read"):
            images, payloads = read_images(runtime, self.job.category, self.using)
        self.report.images = len(images)
        with self.job.stage("candidates", len(images)) as advance:
            found = candidates(images, self._near(images, advance), self.options)
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
            if self.options.look:
                pool = stack.enter_context(comparing(runtime.settings.threads))
                pictures = Pictures(runtime, payloads)
                turns = self._glanced(pool, pictures, pairs)
                pairs = list(turns)
            else:
                pool = stack.enter_context(ThreadPoolExecutor(1))
            self.report.compared = len(pairs)
            cache = PairCache(images, pictures, Thresholds(), turns=turns, flips=self.options.flips)
            groups = self._grouped(pool, images, payloads, cache, pairs, dismissed)
            self.report.judged = cache.judged
            self.report.unreadable = len(pictures.unreadable) if pictures else 0
            self.report.failed = len(cache.failed)
        return groups

    def _near(self, images: Images, advance: Advance) -> NDArray[np.int64]:
        stopped, reach = self.job.stop.is_set, self.options

        def reached(done: int) -> None:
            advance(done, len(images))

        if len(images) <= IN_MEMORY:
            return near_in_memory(images.embeddings, reach, done=reached, stopped=stopped)
        vectors, category = self.job.runtime.vectors, self.job.category
        return near_by_engine(vectors, category, self.using, images, reach, done=reached, stopped=stopped)

    def _dismissed(self, images: Images) -> set[Pair]:
        pairs = self.job.runtime.duplicates.dismissed(self.job.category)
        places = {id: place for place, id in enumerate(images.ids)} if pairs else {}
        known = {(places[one], places[other]) for one, other in pairs if one in places and other in places}
        self.report.dismissed = len(known)
        return {(min(pair), max(pair)) for pair in known}

    def _glanced(self, pool: ThreadPoolExecutor, pictures: Pictures, pairs: list[Pair]) -> dict[Pair, str]:
        """Return the pairs that are worth a closer look, in their order, and how the second may be turned."""
        rows = np.array(pairs, np.int64).reshape(-1, 2)
        total = len(np.unique(rows)) + len(rows)
        with self.job.stage("glance", total) as advance:
            flips, stopped = self.options.flips, self.job.stop.is_set
            turns = prefilter(
                pool, pictures, rows, flips=flips, done=_adding(advance, total), stopped=stopped
            )
        return {pair: turn for pair, turn in zip(pairs, turns, strict=True) if turn is not None}

    def _grouped(
        self,
        pool: ThreadPoolExecutor,
        images: Images,
        payloads: Sequence[Payload],
        cache: PairCache,
        pairs: list[Pair],
        dismissed: set[Pair],
    ) -> list[Group]:
        with self.job.stage("verdicts", len(pairs)) as advance:
            same = self._same(pool, cache, pairs, _adding(advance, len(pairs)))

        def grouped(part: list[Pair]) -> list[Group]:
            linked = complete_link(
                part,
                lambda pair: not self.job.stop.is_set() and cache.compare(*pair).same,
                lambda pair: cache.may_share(*pair),
                lambda pair: cache.closeness(*pair),
                dismissed,
            )
            return [self._members(images, payloads, places, cache) for places in linked]

        parts = [[same[number] for number in part] for part in components(len(images), same)]
        groups: list[Group] = []
        with self.job.stage("groups", len(parts)) as advance:
            for number, found in enumerate(in_order(pool, grouped, parts, 16), 1):
                groups += found
                advance(number, len(parts))
        return groups

    def _same(
        self, pool: ThreadPoolExecutor, cache: PairCache, pairs: list[Pair], done: Callable[[int], None]
    ) -> list[Pair]:
        """Return the pairs that are copies, in their order; compared in an order in which the pairs of a
        picture are close together."""
        ordered = [pairs[number] for number in nearby(pairs)]
        parts = [ordered[start : start + _TOGETHER] for start in range(0, len(ordered), _TOGETHER)]

        def judged(part: list[Pair]) -> list[Pair]:
            return [pair for pair in part if not self.job.stop.is_set() and cache.compare(*pair).same]

        copies: set[Pair] = set()
        for part, found in zip(parts, in_order(pool, judged, parts, 16), strict=True):
            copies.update(found)
            done(len(part))
        return [pair for pair in pairs if pair in copies]

    def _members(
        self, images: Images, payloads: Sequence[Payload], places: list[int], cache: PairCache
    ) -> Group:
        by_id = {images.ids[place]: place for place in places}
        known = {id: payloads[place] | {"grey": cache.is_grey(place)} for id, place in by_id.items()}
        best = sorted(keep_first(known, self.options.policy), key=lambda id: id not in self.chosen)
        return arranged(images.ids, [by_id[id] for id in best], cache)


def _adding(advance: Advance, total: int) -> Callable[[int], None]:
    """Return what is called with how many more are done."""
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        advance(done, total)

    return add


def read_images(runtime: Runtime, category: str, using: str) -> tuple[Images, list[Payload]]:
    """Read every image of a category with its hash, its embedding and the payload fields that are needed.
    Images without a perceptual hash get one that matches no other."""
    dim, count = runtime.catalog.get(category).encoder(using).dim, runtime.vectors.count(category)
    dtype = np.float32 if count <= IN_MEMORY else np.float16
    ids: list[str] = []
    payloads: list[Payload] = []
    rows = [np.empty((0, dim), dtype)]
    for page in pages(runtime.vectors, category, fields=FIELDS, using=(using,)):
        part = np.zeros((len(page), dim), dtype)
        for row, hit in enumerate(page):
            if using in hit.vectors:
                part[row] = hit.vectors[using]
        rows.append(part)
        ids += [hit.id for hit in page]
        payloads += [hit.payload for hit in page]
    hashes = parse_hashes([str(payload.get("phash") or "0") for payload in payloads])
    return Images(tuple(ids), hashes, np.concatenate(rows)), payloads
