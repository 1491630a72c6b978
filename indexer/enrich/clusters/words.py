"""Name nodes by words from a list, with an encoder that reads text: for images without tags.

A word's similarity to a node is the mean cosine of the node's images to it, which is the product with their
mean. Alone it says little: a generic word ("picture") is near to everything, and some words are near to all
images of a category. So what counts is

    lift(node, word)  = (centre of the node - centre of the category) . word
    score(node, word) = lift(node, word) / sqrt(spread(word))

where the spread is the standard deviation over the leaves of their lifts, weighted by images: how far the
word takes the category apart at all. By the lift alone words win that take everything far apart ("dark"); by
lift / spread words that take nothing apart, as chance makes one node stand out. The score is the geometric
mean of the two. A word above the category's mean names the node.

Measured on the demo catalogue (1,200 pictures, encoder demo, a tree of 84 nodes), the share of a node's
images that its word is true of, with a list of the 20 kinds, and with 600 more words that are not kinds:
cosine 0.63, 0.36; lift 0.62, 0.62; lift / spread 0.62, 0.55; score 0.63, 0.61. With 300 pictures (20 nodes):
0.55, 0.13; 0.49, 0.49; 0.51, 0.35; 0.52, 0.52.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.job.job import Advance, Job, Report
from vitrine.indexer.job.progress import Progress
from vitrine.services.artifacts.clusters import NOISE, ROOT, ClusterRun, Node, leaf_of, path_of
from vitrine.services.category.catalog import Category
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime

PROMPT = "a photo of {}"
WORDS = "words"
"""What ``Node.named_by`` says of a name from a list."""
MAX_WORDS = 100_000
_TEXTS = 256
_LIFTS = 4_000_000
"""Pairs of a node and a word that are looked at together."""


@dataclass
class NamingReport(Report):
    """What became of the nodes. ``words``: by node id the word that fits it best and its lift, also where
    tags name it. ``named``: how many are named by a word of the list.

    ``by_tags``: nodes that have a name from their tags, or from people, which stays. ``images``: how many the
    centres are means of.
    """

    category: str
    run: str
    using: str
    prompt: str
    listed: int
    images: int = 0
    nodes: int = 0
    named: int = 0
    by_tags: int = 0
    words: dict[str, tuple[str, float]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        words = {id: {"word": word, "lift": round(lift, 5)} for id, (word, lift) in self.words.items()}
        return super().to_json() | {"words": words}

    def summary(self) -> str:
        if self.interrupted:
            return f"Interrupted: the nodes of {self.run} keep the names they have."
        unnamed = sum(not name for name in self.names.values())
        return (
            f"{self.run}: {self.named} of {self.nodes} nodes named by {self.listed} words ({self.using}), "
            f"{self.by_tags} by tags or people; without a name: {unnamed}."
        )


def check_words(
    category: Category, run_using: str, words: Sequence[str], prompt: str, using: str | None = None
) -> EncoderSpec:
    """Return the encoder that reads the words: the encoder of the run's vector, else the first that reads
    text. Raises ``BadRequest``, ``UnknownVector``."""
    if not words or len(words) > MAX_WORDS:
        raise BadRequest(f"{len(words)} words cannot name nodes: list 1 to {MAX_WORDS:,}.")
    if prompt.count("{}") != 1:
        raise BadRequest(f"The prompt {prompt!r} needs {{}} once, where the word goes.", prompt=prompt)
    if using is not None:
        spec = category.encoder(using)
        if "text" in spec.modalities:
            return spec
        raise BadRequest(
            f"The encoder of {spec.name!r} reads no text, so no words: name another vector.", using=spec.name
        )
    own = [spec for spec in category.encoders if spec.name == run_using]
    reading = [spec for spec in (*own, *category.active_encoders) if "text" in spec.modalities]
    if not reading:
        raise BadRequest(
            f"No encoder of category {category.name!r} reads text, so words cannot name its nodes: add "
            f"one of the CLIP family (vitrine category add-encoder {category.name} clip) and fill it "
            f"(vitrine category fill {category.name})."
        )
    return reading[0]


def name_by_words(
    runtime: Runtime,
    category: str,
    run: str,
    words: Sequence[str],
    prompt: str = PROMPT,
    *,
    using: str | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> NamingReport:
    """Name the nodes of a run in service that no tags name, by the words that fit them best; the run is
    rewritten in one step.

    Names of a former list go. The centres of the run decide if its encoder reads text; else the means of
    another named vector of its images (``using``, or the first that reads text), which takes a pass over the
    category. Where ``stop`` or Ctrl-C ends that, nothing is renamed. ``NotFound`` (category, run),
    ``BadRequest``.
    """
    cat, found = runtime.catalog.get(category), runtime.clusters.get(category, run)
    words = list(dict.fromkeys(words))
    spec = check_words(cat, found.using, words, prompt, using)
    report = NamingReport(category, run, spec.name, prompt, len(words), nodes=len(found.nodes))
    job = Job(runtime, category, report, progress, stop)
    with job.running():
        _rename(job, report, found, spec, words)
    return report


def _rename(
    job: Job, report: NamingReport, found: ClusterRun, spec: EncoderSpec, words: Sequence[str]
) -> None:
    runtime, category, prompt = job.runtime, job.category, report.prompt
    if (spec.name, spec.revision) == (found.using, found.encoder_revision):
        centres, counts = found.centres, np.array([node.count for node in found.nodes.values()])
    else:
        with job.stage("naming", found.images) as advance:
            centres, counts = _means(runtime, category, found, spec, advance)
    if not counts[0]:
        raise BadRequest(
            f"No image of the run {found.run!r} has a vector {spec.name!r}: fill it first (vitrine category "
            "fill)."
        )
    best = best_words(found.nodes, centres, counts, _embedded(runtime, spec, words, prompt))
    report.images = int(counts[0])
    report.words = {id: (words[number], lift) for id, (number, lift) in best.items()}
    nodes = {id: _named(node, report) for id, node in found.nodes.items()}
    report.names = {id: node.name for id, node in nodes.items()}
    report.named = sum(node.named_by == WORDS for node in nodes.values())
    report.by_tags = sum(bool(node.name) for node in nodes.values()) - report.named
    list_of = {"count": len(words), "prompt": prompt, "using": spec.name}
    runtime.clusters.rename(category, found, nodes, {**found.parameters, WORDS: list_of})


def best_words(
    nodes: Mapping[str, Node], centres: Embeddings, counts: NDArray[np.int64], words: Embeddings
) -> dict[str, tuple[int, float]]:
    """Return for each node that a word lifts above the category: the word's number and its lift.

    ``centres`` (nodes, dim): means in the order of ``nodes``, the root first; ``counts``: of how many images.
    ``words`` (w, dim). The root, noise and empty nodes get none.
    """
    off = centres - centres[0]
    leaves = np.array([not node.children for node in nodes.values()]) & (counts > 0)
    weights = counts[leaves] / max(1, counts[leaves].sum())
    number, lift, score = np.zeros(len(off), np.int64), np.zeros(len(off)), np.full(len(off), -np.inf)
    block = max(1, _LIFTS // len(off))  # a hundred thousand words of ten thousand nodes are not held at once
    for start in range(0, len(words), block):
        lifts = off @ words[start : start + block].T
        spread = np.sqrt(weights @ lifts[leaves].astype(np.float64) ** 2)
        scores = lifts / np.sqrt(np.maximum(spread, 1e-9))
        at = np.arange(len(off)), scores.argmax(axis=1)
        better = scores[at] > score  # of equal words the first
        number[better], lift[better], score[better] = (
            start + at[1][better],
            lifts[at][better],
            scores[at][better],
        )
    return {
        id: (int(number[row]), float(lift[row]))
        for row, id in enumerate(nodes)
        if id not in (ROOT, NOISE) and counts[row] and lift[row] > 0
    }


def _means(
    runtime: Runtime,
    category: str,
    run: ClusterRun,
    spec: EncoderSpec,
    advance: Advance,
) -> tuple[Embeddings, NDArray[np.int64]]:
    """Return the mean of another named vector over the images of each node as they are now, and of how many
    it is."""
    row_of = {id: row for row, id in enumerate(run.nodes)}
    sums, counts = np.zeros((len(row_of), spec.dim)), np.zeros(len(row_of), np.int64)
    seen = 0
    for batch in read_all(runtime.vectors, category, spec.name, fields=(run.payload_field,)):
        rows = np.array([row_of.get(leaf_of(payload, run.key), -1) for payload in batch.payloads])
        inside = rows >= 0
        np.add.at(sums, rows[inside], batch.embeddings[inside])
        np.add.at(counts, rows[inside], 1)
        seen += len(rows)
        advance(seen, run.images)
    for id in reversed(list(run.nodes)):  # children before their parents
        above = path_of(id)[:-1]
        if above:
            sums[row_of[above[-1]]] += sums[row_of[id]]
            counts[row_of[above[-1]]] += counts[row_of[id]]
    return np.asarray(sums / np.maximum(counts, 1)[:, None], np.float32), counts


def _embedded(runtime: Runtime, spec: EncoderSpec, words: Sequence[str], prompt: str) -> Embeddings:
    encoder = runtime.encoders.for_category(spec)
    texts = [prompt.replace("{}", word) for word in words]
    return np.concatenate(
        [encoder.encode_texts(texts[start : start + _TEXTS]) for start in range(0, len(texts), _TEXTS)]
    )


def _named(node: Node, report: NamingReport) -> Node:
    if node.name and node.named_by != WORDS:
        return node
    word = report.words[node.id][0] if node.id in report.words else ""
    return replace(node, name=word, named_by=WORDS if word else "")
