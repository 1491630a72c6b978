"""The stages of a clustering by pixels, in batches that are compared on threads and put together in order.

batch    images in order of id, a batch at a time, by the leader algorithm
check    of groups that were found before: is each image near enough to its representative
merge    rounds over the representatives: those near each other by a tiny grey version of the picture
         come into one batch; for hashes and MinHash an index proposes the pairs instead
verify   instead of all these: only the pairs that embeddings or stored hashes propose
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.pixels.checkpoint import State
from vitrine.indexer.enrich.clusters.pixels.grouping import (
    Rows,
    blocks,
    lead,
    members_of,
    merge,
    merge_pairs,
    stars,
)
from vitrine.indexer.enrich.clusters.pixels.measures import (
    MINHASH_SEED,
    PERMUTATIONS,
    Hash,
    Measure,
    Patterns,
)
from vitrine.indexer.enrich.clusters.pixels.pictures import Pictures
from vitrine.indexer.job.workers import in_order
from vitrine.services.extras import load_extra
from vitrine.services.images.hashes import close_pairs

ROUNDS = 8
"""Rounds of merging at most."""
_QUIET = 2
"""Merging ends after this many rounds in a row without a merger."""
_INDEXED_BITS = 10
"""Bits up to which hashes are merged by their index; farther apart, too many pairs share a piece."""
_CHECKPOINT_SECONDS = 30.0
_VERIFIED = 1_000
"""Proposed pairs that are one batch."""
_HELD = 2 * _VERIFIED
"""Pictures that a batch holds: of 64 x 64 pixels some 50 KB each, with what comparing leaves in them."""

Batch = TypeVar("Batch")
Made = TypeVar("Made")
StageAdvance = Callable[[str, int, int], None]
"""Called with a stage's name, and how many of how many images (or pairs) are done."""


@dataclass(eq=False)
class Grouping:
    """A clustering in progress. ``save`` writes a checkpoint; ``deadline`` is on ``clock``.

    The time is checked before each picture is read and each pair is compared. When it is over, the checkpoint
    holds the finished batches and what the others had compared, so that nothing is done twice.
    """

    state: State
    pictures: Pictures
    measure: Measure
    threshold: float
    batch_size: int
    workers: int
    save: Callable[[State], None]
    advance: StageAdvance
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._saved = self._counted = self.clock()
        self._members: dict[int, list[int]] = {}
        self._under_way: list[_Compared] = []
        state, pictures = self.state, self.pictures
        pictures.readable[:] = state.readable
        pictures.signatures[:] = state.signatures
        if len(state.seen):
            pictures.seen[:], pictures.kept[:] = state.seen, state.kept
        pictures.expired = lambda: self.deadline is not None and self.clock() >= self.deadline
        self._known = dict(zip(map(tuple, state.known.tolist()), state.known_similar.tolist(), strict=True))

    def run(self, pairs: NDArray[np.int64] | None = None, *, merging: bool = True) -> None:
        """Do the stages that are left, from ``state.stage`` on; with ``pairs`` (m, 2) only compare these, and
        group by those that are alike. ``InterruptedError`` (``OutOfTime`` is one), with a checkpoint."""
        try:
            if pairs is not None:
                self._verify(pairs)
            if self.state.stage == "batch":
                self._batch()
            if self.state.stage == "check":
                self._check()
            if self.state.stage == "merge" and merging:
                self._merge()
            self._enter("done")
        except (KeyboardInterrupt, InterruptedError):
            self._save(ended=True)
            raise

    # Stages
    # --------------------------------------------------------------------------------------------------------

    def _verify(self, pairs: NDArray[np.int64]) -> None:
        self.state.stage = "verify"
        chunks = [pairs[start : start + _VERIFIED] for start in range(0, len(pairs), _VERIFIED)]
        for similar in self._each("comparing", chunks, self._verified, len):
            known = self.state.similar[: self.state.done * _VERIFIED]
            self.state.similar = np.concatenate([known, similar])
        alike = pairs[self.state.similar >= self.threshold]
        self.state.leaders = stars(len(self.state.leaders), alike[:, 0], alike[:, 1])

    def _batch(self) -> None:
        rows = np.arange(len(self.state.leaders))
        for found in self._each("grouping", self._cut(rows), self._led, len):
            self.state.leaders[list(found)] = list(found.values())
        self._enter("merge")

    def _check(self) -> None:
        """Put an image that is not near enough to its representative into a group of its own, and one whose
        representative is gone."""
        rows = np.arange(len(self.state.leaders))
        for alone in self._each("checking", self._cut(rows), self._strangers, len):
            self.state.leaders[alone] = alone
        self._enter("merge")

    def _merge(self) -> None:
        if self.state.done == 0 and self.state.round == 0 and self._indexed():
            self._apply(self._merge_by_index())
            return
        while self.state.round < ROUNDS and self.state.quiet < _QUIET:
            if self.state.done == 0:
                self.state.began = self.state.leaders.copy()
            representatives = self._representatives(self.state.began)
            self._members = members_of(self.state.began)
            cut = blocks(self.pictures.normal_signatures(representatives), self.batch_size, self.state.round)
            title = f"merging, round {self.state.round + 1}"
            for changed in self._each(title, [representatives[rows] for rows in cut], self._merged, len):
                self._apply(changed)
            same = np.array_equal(self.state.leaders, self.state.began)
            self.state.quiet = self.state.quiet + 1 if same else 0
            self.state.done = 0
            self.state.round += 1
            if len(cut) <= 1:
                return

    def _merge_by_index(self) -> dict[int, int]:
        representatives = self._representatives(self.state.leaders)
        self.advance("merging", 0, len(representatives))
        values = self.pictures.values(representatives.tolist())
        members = members_of(self.state.leaders)
        compared = self._compared(values)
        pairs = (
            hash_pairs(values, self._bits())
            if isinstance(self.measure, Hash)
            else minhash_pairs(values, self.threshold)
        )
        changed = merge_pairs(pairs, members, compared.same)
        self.state.comparisons += compared.count
        self.advance("merging", len(representatives), len(representatives))
        return changed

    # Batches, on threads
    # ------------------------------------------------------------------------------------------------------

    def _led(self, rows: Rows) -> tuple[dict[int, int], _Compared]:
        compared = self._compared()
        return lead(filter(self.pictures.can_read, rows.tolist()), compared.same), compared

    def _merged(self, rows: Rows) -> tuple[dict[int, int], _Compared]:
        compared = self._compared()
        return merge(
            list(filter(self.pictures.can_read, rows.tolist())), self._members, compared.same
        ), compared

    def _strangers(self, rows: Rows) -> tuple[list[int], _Compared]:
        compared = self._compared()
        pairs = [(row, int(self.state.leaders[row])) for row in rows.tolist()]
        seen = [(row, leader) for row, leader in pairs if self.pictures.can_read(row)]
        apart = [row for row, leader in seen if row != leader and not compared.same(row, leader)]
        return apart + [
            row for row, leader in pairs if row != leader and not self.pictures.readable[row]
        ], compared

    def _verified(self, pairs: NDArray[np.int64]) -> tuple[NDArray[np.float32], _Compared]:
        compared = self._compared()
        similar = [compared.similarity(one, other) for one, other in pairs.tolist()]
        return np.array(similar, np.float32), compared

    def _compared(self, values: dict[int, Any] | None = None) -> _Compared:
        made = _Compared(self.measure, self.threshold, self.pictures, self._known, values)
        self._under_way.append(made)
        return made

    def _each(
        self,
        title: str,
        batches: Sequence[Batch],
        work: Callable[[Batch], tuple[Made, _Compared]],
        size: Callable[[Batch], int],
    ) -> Any:
        """Yield what ``work`` makes of the batches that are left, in order; each counts as done once the
        caller has taken it."""
        total, left = sum(map(size, batches)), batches[self.state.done :]
        done = total - sum(map(size, left))
        self.advance(title, done, total)
        with ThreadPoolExecutor(self.workers, "pixels") as pool:
            try:
                for batch, (made, compared) in zip(
                    left, in_order(pool, work, left, self.workers + 1), strict=True
                ):
                    yield made
                    done += size(batch)
                    self.state.done += 1
                    self.state.comparisons += compared.count
                    self._finish(compared)
                    self.advance(title, done, total)
                    if self.clock() - self._saved >= _CHECKPOINT_SECONDS:
                        self._save()
            except BaseException:
                # the batches under way are given up, or the pool would wait for them
                self.pictures.stop.set()
                raise

    # Bookkeeping
    # --------------------------------------------------------------------------------------------------------

    def _apply(self, changed: Mapping[int, int]) -> None:
        self.state.leaders[list(changed)] = list(changed.values())

    def _representatives(self, leaders: NDArray[np.int32]) -> Rows:
        return np.flatnonzero((leaders == np.arange(len(leaders))) & self.pictures.readable)

    def _cut(self, rows: Rows) -> list[Rows]:
        return [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]

    def _bits(self) -> int:
        bits = self.measure.bits if isinstance(self.measure, Hash) else 64
        return int((1 - self.threshold) * bits + 1e-9)

    def _indexed(self) -> bool:
        return isinstance(self.measure, Patterns) or (
            isinstance(self.measure, Hash) and self._bits() <= _INDEXED_BITS
        )

    def _enter(self, stage: str) -> None:
        self.state.stage, self.state.done = stage, 0
        self._known, self._under_way = {}, []
        self._save()

    def _finish(self, compared: _Compared) -> None:
        """Forget what was compared in a finished batch."""
        self._under_way.remove(compared)
        for pair in compared.made:
            self._known.pop(pair, None)

    def _save(self, *, ended: bool = False) -> None:
        """Write a checkpoint; once all threads have ended, with what they had compared of unfinished
        batches."""
        now, state, pictures = self.clock(), self.state, self.pictures
        state.seconds += now - self._counted
        state.readable, state.signatures = pictures.readable.copy(), pictures.signatures.copy()
        state.seen, state.kept = pictures.seen.copy(), pictures.kept.copy()
        state.reads, pictures.reads = state.reads + pictures.reads, 0
        if ended:
            known = self._known | {
                pair: value for compared in self._under_way for pair, value in compared.made.items()
            }
            state.known = np.array(list(known), np.int64).reshape(-1, 2)
            state.known_similar = np.array(list(known.values()), np.float64)
        self._saved = self._counted = now
        self.save(state)


class _Compared:
    """Compares rows of one batch, each pair once; rows are read when they are needed. ``count``: comparisons
    so far.

    ``known``: similarities by pair that an earlier call found.
    """

    def __init__(
        self,
        measure: Measure,
        threshold: float,
        pictures: Pictures,
        known: Mapping[tuple[int, int], float],
        values: dict[int, Any] | None = None,
    ) -> None:
        self.made: dict[tuple[int, int], float] = {}
        self._measure, self._threshold, self._pictures, self._known = measure, threshold, pictures, known
        self._values = {} if values is None else values
        self._bounded = values is None

    @property
    def count(self) -> int:
        return len(self.made)

    def similarity(self, one: int, other: int) -> float:
        """Return the similarity, 0 if one of the rows cannot be read."""
        if not self._pictures.can_read(one) or not self._pictures.can_read(other):
            return 0.0
        pair = (one, other)
        if pair not in self.made:
            known = self._known.get(pair)
            self.made[pair] = self._similarity(one, other) if known is None else known
        return self.made[pair]

    def same(self, one: int, other: int) -> bool:
        return self.similarity(one, other) >= self._threshold

    def _similarity(self, one: int, other: int) -> float:
        self._pictures.check()
        first, second = self._value(one), self._value(other)
        return 0.0 if first is None or second is None else self._measure.similarity(first, second)

    def _value(self, row: int) -> Any:
        if row not in self._values:
            if self._bounded and len(self._values) >= _HELD:  # a group may be as large as the category
                self._values.clear()
            self._values[row] = self._pictures.value(row)
        return self._values[row]


def hash_pairs(values: Mapping[int, int], bits: int) -> list[tuple[int, int]]:
    """Return pairs of rows whose hashes differ in at most ``bits``, nearest first. Of many equal ones each is
    paired with the first."""
    rows = np.array(list(values), np.int64)
    distinct, first, group = np.unique(
        np.array(list(values.values()), np.uint64), return_index=True, return_inverse=True
    )
    equal = [(int(rows[first[number]]), int(row)) for number, row in zip(group.tolist(), rows, strict=True)]
    near = close_pairs(distinct, bits)
    return [(one, other) for one, other in equal if one != other] + [
        (int(rows[first[one]]), int(rows[first[other]])) for _, one, other in near.tolist()
    ]


def minhash_pairs(values: Mapping[int, NDArray[np.uint64]], threshold: float) -> list[tuple[int, int]]:
    """Return pairs of rows that share a band of their MinHash, nearest first. The bands miss few pairs above
    the threshold."""
    datasketch = load_extra("datasketch", "cluster")
    index = datasketch.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=(0.1, 0.9))
    found: list[tuple[float, int, int]] = []
    equal: dict[bytes, int] = {}
    for row, value in values.items():
        sketch = datasketch.MinHash(hashvalues=value, seed=MINHASH_SEED, scheme="affine32")
        if (first := equal.setdefault(value.tobytes(), row)) != row:
            found.append((-1.0, first, row))
            continue
        for other in index.query(sketch):
            found.append((-float(np.mean(value == values[other])), other, row))
        index.insert(row, sketch)
    return [(one, other) for similarity, one, other in sorted(found) if -similarity >= threshold]
