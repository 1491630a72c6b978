"""Score every image of a category for a list of words, and write the scores to a table."""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import HeadSet, TagHead
from vitrine.services.category.catalog import Category
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import EncoderSpec
from vitrine.services.errors import UnsupportedQuery
from vitrine.services.extras import from_extra
from vitrine.services.files import check_ending, writing
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.saving import save_heads
from vitrine.services.vector_store.base import VectorStore
from vitrine.training.taggers.zero_shot import TEMPLATES, sample_embeddings, word_heads

TABLES = (".csv", ".parquet", ".json")
Batches = Iterator["WordScores"]


@dataclass(frozen=True)
class WordScores:
    """Scores (n, words) in 0..1 of some images."""

    ids: tuple[str, ...]
    scores: NDArray[np.float32]


class WordTally:
    """The scores so far: how many images reach the threshold for each word, and its best ``most`` images."""

    def __init__(self, words: Sequence[str], threshold: float = 0.5, most: int = 3) -> None:
        self.words = tuple(words)
        self.images = 0
        self.counts = np.zeros(len(words), np.int64)
        self._best: list[list[tuple[float, str]]] = [[] for _ in words]
        self._threshold, self._most = threshold, most

    def add(self, batch: WordScores) -> None:
        self.images += len(batch.ids)
        self.counts += (batch.scores >= self._threshold).sum(axis=0)
        for known, column in zip(self._best, batch.scores.T, strict=True):
            rows = np.argpartition(-column, min(self._most, len(column)) - 1)[: self._most]
            known += [(float(column[row]), batch.ids[row]) for row in rows]
            known.sort(key=lambda pair: (-pair[0], pair[1]))
            del known[self._most :]

    def best(self, word: int) -> list[tuple[str, float]]:
        """Return ids and scores of the best images of word number ``word``, highest first, whether or not
        they reach the threshold."""
        return [(id, score) for score, id in self._best[word]]


@dataclass(frozen=True)
class ZeroShot:
    """How a category scores for a list of words. ``words``: for each how many images reach 0.5, and the best.

    ``to``: the table that has all scores; ``heads``: the taggers that are in service now.
    """

    category: str
    using: str
    images: int
    words: list[dict[str, Any]]
    to: Path | None
    heads: list[TagHead]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it."""
        return {
            "category": self.category,
            "using": self.using,
            "images": self.images,
            "words": self.words,
            "to": str(self.to) if self.to else None,
            "trained_at": self.heads[0].trained_at if self.heads else None,
        }


def score_by_words(
    runtime: Runtime,
    category: str,
    words: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
    *,
    using: str | None = None,
    to: Path | None = None,
    keep: bool = False,
    tell: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> ZeroShot:
    """Score every image of a category for each word by its text encoder.

    ``using`` None: the default encoder, or else the first that reads text. ``to``: a table that gets all
    scores, see `write_scores`. ``keep``: put the words into service as taggers. ``UnsupportedQuery`` where no
    encoder reads text, ``TooFewExamples``, ``BadRequest``.
    """
    if to is not None:
        check_ending(to, "a table", TABLES)
    found = runtime.catalog.get(category)
    spec = _text_spec(found, using)
    encoder = runtime.encoders.for_category(spec)
    images = sample_embeddings(runtime.vectors, category, spec.name)
    heads = word_heads(encoder, words, templates, using=spec.name, revision=spec.revision, images=images)
    tally, total = WordTally(words), runtime.vectors.count(category)

    def tallied() -> Iterator[WordScores]:
        for batch in score_words(runtime.vectors, category, heads):
            tally.add(batch)
            tell("scoring", tally.images, total)
            yield batch

    if to is not None:
        write_scores(tallied(), words, to)
    else:
        for _ in tallied():
            pass
    rows = _best_images(runtime, category, tally)
    saved = save_heads(runtime, found, heads) if keep else []
    return ZeroShot(category, spec.name, tally.images, rows, to, saved)


def score_words(vectors: VectorStore, collection: str, heads: Sequence[TagHead]) -> Iterator[WordScores]:
    """Yield the scores of every image, batch by batch."""
    alike = HeadSet(heads)
    for batch in read_all(vectors, collection, alike.using):
        yield WordScores(batch.ids, alike.scores(batch.embeddings))


def write_scores(batches: Batches, words: Sequence[str], path: Path) -> int:
    """Write a row for each image with ``id`` and ``scores.<word>``, and return how many. Memory: one batch.

    An existing file is replaced at the end, in one step. ``BadRequest`` for an ending not in TABLES, or where
    nothing can be written.
    """
    check_ending(path, "a table", TABLES)
    write = {".csv": _write_csv, ".parquet": _write_parquet, ".json": _write_json}[path.suffix.lower()]
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    count = 0

    def counted() -> Batches:
        nonlocal count
        for batch in batches:
            count += len(batch.ids)
            yield batch

    try:
        with writing(path):
            write(counted(), words, temporary)
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    return count


def _text_spec(category: Category, using: str | None) -> EncoderSpec:
    """Return the encoder of ``using``, or else the first that reads text."""
    spec = category.encoder(using)
    able = [other for other in category.encoders if "text" in other.modalities]
    if "text" in spec.modalities:
        return spec
    if using is None and able:
        return able[0]
    raise UnsupportedQuery(
        f"The encoder {spec.name!r} reads no text: "
        + (f"say --using {able[0].name}." if able else "add one of the CLIP family to the category."),
        using=spec.name,
    )


def _best_images(runtime: Runtime, category: str, tally: WordTally) -> list[dict[str, Any]]:
    """Return for each word how many images reach the threshold, and the best with their file names."""
    best = [tally.best(number) for number in range(len(tally.words))]
    ids = list(dict.fromkeys(id for some in best for id, _ in some))
    hits = runtime.vectors.retrieve(category, ids, with_payload=("filename",), with_vectors=())
    names = {hit.id: hit.payload.get("filename") for hit in hits if hit is not None}
    return [
        {
            "word": word,
            "images": int(count),
            "best": [{"id": id, "filename": names.get(id), "score": round(score, 5)} for id, score in some],
        }
        for word, count, some in zip(tally.words, tally.counts, best, strict=True)
    ]


def _write_csv(batches: Batches, words: Sequence[str], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *(f"scores.{word}" for word in words)])
        for batch in batches:
            for one, row in zip(batch.ids, batch.scores, strict=True):
                writer.writerow([one, *(f"{score:.5f}" for score in row)])


def _write_json(batches: Batches, words: Sequence[str], path: Path) -> None:
    between = b"\n"
    with path.open("wb") as file:
        file.write(b"[")
        for batch in batches:
            for one, row in zip(batch.ids, batch.scores.tolist(), strict=True):
                scores = {word: round(score, 5) for word, score in zip(words, row, strict=True)}
                file.write(between + orjson.dumps({"id": one, "scores": scores}))
                between = b",\n"
        file.write(b"\n]\n")


def _write_parquet(batches: Batches, words: Sequence[str], path: Path) -> None:
    with from_extra("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), *((f"scores.{word}", pa.float32()) for word in words)])
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            scores = [pa.array(column, pa.float32()) for column in batch.scores.T]
            writer.write_batch(pa.record_batch([pa.array(batch.ids, pa.string()), *scores], schema=schema))
