"""Taggers without examples: the text encoder of a CLIP-family model turns a list of words into heads.

A word's head is the mean embedding of its prompts, and its score ``sigmoid(scale * (cosine - centre) + log prior)``: each word by itself, since
an image may show several or none, and so that a score means the same whatever else is on the list. A softmax over the words is
offered for lists whose words exclude each other.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.domain import Embeddings, EncoderSpec
from services.encoders.base import TextEncoder
from services.errors import BadRequest
from services.payload import clean_name
from services.scan import scan
from services.tagging import TagHead
from services.vector_store.base import VectorStore

KIND = "zero-shot"
TEMPLATES = ("a photo of a {}.", "a picture of {}.", "an image of the {}.", "a close-up photo of a {}.", "{}")
SCALE = 100.0
"""CLIP's own temperature: it was trained with a softmax over 100 times the cosine (Radford et al., 2021)."""
_SAMPLE = 10_000
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class WordScores:
    """Scores (n, words) in 0..1 of some images."""

    ids: tuple[str, ...]
    scores: Floats


def read_words(path: Path) -> list[str]:
    """One word or phrase a line; empty lines and those that begin with # are passed over. ``BadRequest``."""
    words = list(dict.fromkeys(line.strip() for line in _lines(path) if line.strip() and not line.startswith("#")))
    if not words:
        raise BadRequest(f"{path} has no words: write one a line.")
    return [clean_name(word) for word in words]


def read_templates(path: Path) -> tuple[str, ...]:
    """One prompt a line, with ``{}`` where the word goes. ``BadRequest``."""
    templates = tuple(line.strip() for line in _lines(path) if line.strip())
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates:
        raise BadRequest(f"{path}: each template needs {{}} once, where the word goes" + (f", not {wrong[0]!r}." if wrong else "."))
    return templates


def embed_words(encoder: TextEncoder, words: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Embeddings:
    """(words, dim): of each word the mean of its prompts' embeddings, of unit length."""
    prompts = [template.replace("{}", word) for word in words for template in templates]
    rows = encoder.encode_texts(prompts).reshape(len(words), len(templates), -1).mean(axis=1)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def word_heads(
    spec: EncoderSpec, words: Sequence[str], rows: Embeddings, images: Embeddings, *, scale: float = SCALE, prior: float = 0.01
) -> list[TagHead]:
    """Heads of kind zero-shot from word embeddings (words, dim) and a sample of the category's embeddings (n, dim).

    Cosines of texts and images sit in a narrow band that differs by word; the sample says where. ``centre`` is the cosine that a
    share of ``prior`` of the images exceeds, where the score is 0.5. Such scores rank well, and compare between words; they are
    no probabilities, since no image was labelled.
    """
    if not 0 < prior < 1:
        raise BadRequest("The prior is the share of images that a word is to be proposed for: above 0 and below 1.")
    if not len(images):
        raise BadRequest("The category has no image with that vector yet: index some first.")
    centres = np.quantile(images @ rows.T, 1 - prior, axis=0)
    digest = f"sha256:{hashlib.sha256(rows.tobytes()).hexdigest()}"
    return [
        TagHead(
            tag=word, kind=KIND, using=spec.name, encoder_revision=spec.revision, weight=row, bias=-float(centre), slope=scale,
            fingerprint=digest, metrics={"prior": prior},
        )
        for word, row, centre in zip(words, rows, centres, strict=True)
    ]  # fmt: skip


def sample_embeddings(vectors: VectorStore, collection: str, using: str, most: int = _SAMPLE) -> Embeddings:
    """(n, dim): the first ``most`` images by id, which is as good as at random: ids come from a hash of the content."""
    rows: list[Embeddings] = []
    for batch in scan(vectors, collection, using):
        rows.append(batch.embeddings)
        if sum(map(len, rows)) >= most:
            break
    return np.concatenate(rows)[:most] if rows else np.empty((0, 0), np.float32)


def score_words(
    vectors: VectorStore, collection: str, heads: Sequence[TagHead], *, exclusive: bool = False
) -> Iterator[WordScores]:
    """Scores of every image, batch by batch. ``exclusive``: a softmax over the words, so that they sum to 1."""
    weight = np.stack([head.slope * head.weight for head in heads]).astype(np.float32)
    bias = np.array([head.slope * head.bias + head.offset for head in heads], np.float32)
    for batch in scan(vectors, collection, heads[0].using):
        margins = batch.embeddings @ weight.T
        yield WordScores(batch.ids, softmax(margins) if exclusive else 0.5 * (1.0 + np.tanh(0.5 * (margins + bias))))


def softmax(margins: Floats) -> Floats:
    """Each row in 0..1, summing to 1."""
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def write_scores(batches: Iterator[WordScores], words: Sequence[str], path: Path) -> int:
    """A CSV, or Parquet by the name's ending, of ``id`` and a column a word; how many images. Memory is that of one batch."""
    if path.suffix == ".parquet":
        return _write_parquet(batches, words, path)
    if path.suffix != ".csv":
        raise BadRequest(f"{path.name!r}: scores are written as .csv or .parquet.")
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *words])
        for batch in batches:
            writer.writerows([one, *(f"{score:.5f}" for score in row)] for one, row in zip(batch.ids, batch.scores, strict=True))
            count += len(batch.ids)
    return count


def _write_parquet(batches: Iterator[WordScores], words: Sequence[str], path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), *((word, pa.float32()) for word in words)])
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            columns = [pa.array(batch.ids, pa.string()), *(pa.array(column, pa.float32()) for column in batch.scores.T)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            count += len(batch.ids)
    return count


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} cannot be read as text: {error}.") from error
