"""Pairs to judge and their answers, in a file that is complete after every answer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from vitrine.indexer.enrich.clusters.threshold.pair_sample import Bin, PairSample
from vitrine.indexer.enrich.clusters.threshold.threshold import Judged, most_telling
from vitrine.services.errors import BadRequest
from vitrine.services.files import unreadable, writing

FORMAT = 1


@dataclass
class AskedPair:
    """A pair with its permanent ``number``; ``names``: of the files. ``accepted`` None: not answered."""

    number: int
    one: str
    other: str
    names: tuple[str, str]
    similarity: float
    bin: int
    accepted: bool | None = None


@dataclass
class Answers:
    """A file of answers. ``low`` is where the range of the population begins."""

    path: Path
    category: str
    measure: str
    using: str
    population: str
    low: float
    seed: int
    bins: list[Bin]
    pairs: list[AskedPair] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Answers:
        """Read the file. ``BadRequest`` if it is not a file of answers."""
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            if tree.pop("format") != FORMAT:
                raise BadRequest(f"{path} was written by a newer Vitrine: update this one.")
            bins = [Bin(**one) for one in tree.pop("bins")]
            pairs = [AskedPair(**one | {"names": tuple(one["names"])}) for one in tree.pop("pairs")]
            return cls(path, bins=bins, pairs=pairs, **tree)
        except OSError as error:
            raise unreadable(path, error) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadRequest(
                f"{path} holds no answers to pairs: name another file, or one that is not there yet."
            ) from error

    def write(self) -> None:
        """Replace the file in one step. ``BadRequest`` if it cannot be written."""
        tree = {name: value for name, value in vars(self).items() if name not in ("path", "bins", "pairs")}
        tree |= {"bins": [asdict(one) for one in self.bins], "pairs": [asdict(one) for one in self.pairs]}
        part = self.path.with_name(f"{self.path.name}.part")
        text = json.dumps({"format": FORMAT, **tree}, ensure_ascii=False, indent=1)
        with writing(self.path):
            part.write_text(text, encoding="utf-8")
            os.replace(part, self.path)

    def check(self, category: str, measure: str, using: str | None) -> None:
        """Raise ``BadRequest`` unless the answers are about this category, measure and vector."""
        if (self.category, self.measure) != (category, measure) or using not in (None, self.using):
            raise BadRequest(
                f"{self.path} has answers on {self.category!r} by {self.measure} ({self.using}): name "
                "another file.",
                file=str(self.path),
            )

    def take(self, sample: PairSample, names: dict[str, str]) -> int:
        """Add the new pairs, with numbers after those there are, and return how many; answers stay.

        The bins come from the new sample; known pairs are put into them by their similarity.
        """
        known = {(pair.one, pair.other) for pair in self.pairs}
        new = [pair for pair in sample.pairs if (pair.one, pair.other) not in known]
        first = max((pair.number for pair in self.pairs), default=0) + 1
        self.bins, self.population, self.low = list(sample.bins), sample.population, sample.bins[0].low
        inner = [one.high for one in self.bins[:-1]]
        for pair in self.pairs:
            pair.bin = int(np.searchsorted(inner, pair.similarity, side="right"))
        self.pairs += [
            AskedPair(
                number, pair.one, pair.other, (names[pair.one], names[pair.other]), pair.similarity, pair.bin
            )
            for number, pair in enumerate(new, first)
        ]
        return len(new)

    def answer(self, numbers: Iterable[int], accepted: bool | None) -> None:
        """Answer pairs by number (None: take the answer back). ``BadRequest`` for an unknown number; then
        nothing changes."""
        by_number = {pair.number: pair for pair in self.pairs}
        wanted = list(numbers)
        unknown = [number for number in wanted if number not in by_number]
        if unknown:
            raise BadRequest(
                f"There is no pair {unknown[0]}: the numbers go from 1 to {max(by_number, default=0)}.",
                pair=unknown[0],
            )
        for number in wanted:
            by_number[number].accepted = accepted

    @property
    def by(self) -> str:
        """What the similarity is of, for people: "embedding of clip", or a measure of the pixels."""
        return f"{self.measure} of {self.using}" if self.measure == "embedding" else self.measure

    def by_similarity(self) -> list[AskedPair]:
        """Return the pairs, most similar first."""
        return sorted(self.pairs, key=lambda pair: (-pair.similarity, pair.number))

    def judged(self) -> Judged:
        """Return the answered pairs."""
        done = [pair for pair in self.pairs if pair.accepted is not None and pair.similarity >= self.low]
        return Judged(
            np.array([pair.similarity for pair in done], float),
            np.array([bool(pair.accepted) for pair in done], bool),
            np.array([pair.bin for pair in done], np.int64),
            np.array([one.pairs for one in self.bins], np.int64),
            self.low,
        )

    def next_pair(self, skipped: Iterable[int] = ()) -> AskedPair | None:
        """Return the unanswered pair whose answer would say most; None if all are answered."""
        left_out = set(skipped)
        waiting = [pair for pair in self.pairs if pair.accepted is None and pair.number not in left_out]
        if not waiting:
            return None
        counts = np.bincount([pair.bin for pair in waiting], minlength=len(self.bins))
        chosen = most_telling(self.judged(), counts)
        # in no order of similarity, or the part of a bin that was asked about would not stand for all of it
        return min(
            (pair for pair in waiting if pair.bin == chosen),
            key=lambda pair: crc32(f"{pair.one}{pair.other}".encode()),
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Return the pairs, most similar first."""
        return [asdict(pair) for pair in self.by_similarity()]
