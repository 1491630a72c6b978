"""Read the examples that taggers are trained on: stored embeddings, and which image has, or lacks, which tag.
No pixels are read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.category.catalog import Category
from vitrine.services.category.field_names import find_field
from vitrine.services.category.payload import clean_name, clean_tags
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import Embeddings, EncoderSpec, Payload
from vitrine.services.errors import BadRequest, NotFound, TooFewExamples, VitrineError
from vitrine.services.values.delimited import Cells, open_text, readable
from vitrine.services.values.field_paths import value_at
from vitrine.services.values.words import composed
from vitrine.services.vector_store.base import VectorStore

Bools = NDArray[np.bool_]
REJECTED = "rejected"
MIN_EXAMPLES = 2


@dataclass(frozen=True)
class Negatives:
    """Which images are counterexamples of a tag. Images that people rejected a tag for always are.

    ``explicit``: only those that are named as such (rejected, ``pairs`` of (id or file name, tag), or
    carrying one of ``tags``); otherwise every image without the tag: one versus the rest. ``background`` adds
    that many random images without the tag to the explicit ones, or takes that many of the rest.
    """

    explicit: bool = False
    pairs: frozenset[tuple[str, str]] = frozenset()
    tags: tuple[str, ...] = ()
    background: int | None = None


@dataclass(frozen=True, eq=False)
class TagExamples:
    """n images and t tags: ``x`` (n, dim), ``targets`` (n, t), ``known`` (n, t): whether an image is an
    example of a tag at all.

    ``groups`` (n,): pictures of one perceptual hash share one, and are never on both sides of a split.
    ``prevalence`` (t,): the share of images with the tag, where the rest was at least sampled; NaN where only
    explicit negatives are known.
    """

    encoder: EncoderSpec
    ids: tuple[str, ...]
    x: Embeddings
    tags: tuple[str, ...]
    targets: Bools
    known: Bools
    groups: NDArray[np.int64]
    prevalence: NDArray[np.float64]
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Why tags were left out, by tag."""

    def weights_of(self, tag: int) -> NDArray[np.float64]:
        """Return (n,): how many images of the category an example of tag number ``tag`` stands for; 0 for
        images that are no example."""
        positives, negatives = self.counts(tag)
        share = float(self.prevalence[tag])
        scale = 1.0 if np.isnan(share) else positives * (1 - share) / (share * max(negatives, 1))
        return np.asarray(np.where(self.known[:, tag], np.where(self.targets[:, tag], 1.0, scale), 0.0))

    def counts(self, tag: int) -> tuple[int, int]:
        """Count the positives and negatives of tag number ``tag``."""
        known = self.known[:, tag]
        return int((self.targets[:, tag] & known).sum()), int((~self.targets[:, tag] & known).sum())

    def fingerprint(self, tag: int) -> str:
        """Return a digest of which images are positive and negative."""
        positive = self.targets[:, tag]
        digest = hashlib.sha256(f"{self.encoder.name} {self.encoder.revision}".encode())
        for side in (positive & self.known[:, tag], ~positive & self.known[:, tag]):
            digest.update("\n".join(self.ids[row] for row in np.flatnonzero(side)).encode() + b"\n\n")
        return f"sha256:{digest.hexdigest()}"

    def only(self, chosen: Sequence[int], skipped: Mapping[str, str] | None = None) -> TagExamples:
        """Return the examples of some tags only."""
        columns = np.asarray(chosen, np.intp)
        return replace(
            self,
            tags=tuple(self.tags[tag] for tag in chosen),
            targets=self.targets[:, columns],
            known=self.known[:, columns],
            prevalence=self.prevalence[columns],
            skipped={**self.skipped, **(skipped or {})},
        )


def read_examples(
    vectors: VectorStore,
    category: Category,
    using: str | None = None,
    *,
    tags: Sequence[str] | None = None,
    field: str = "tags",
    negatives: Negatives | None = None,
    least: int = MIN_EXAMPLES,
    seed: int = 0,
) -> TagExamples:
    """Read all images of a category that have the named vector, with their tags (or the values of ``class``
    or ``metadata.x``).

    ``tags`` None: all that at least ``least`` images have; others are skipped and say why. Memory is
    one float32 matrix and two flags for each image and tag. ``TooFewExamples``, ``UnknownVector``,
    ``BadRequest``.
    """
    spec = category.encoder(using)
    field = find_field(field, category.indexes)
    tags = None if tags is None else [clean_name(tag) for tag in tags]
    x = np.empty((vectors.count(category.name), spec.dim), np.float32)
    ids: list[str] = []
    said: list[tuple[str, ...]] = []
    rejected: list[tuple[str, ...]] = []
    hashes: list[str] = []
    names: dict[str, str] = {}
    by_name = negatives is not None and bool(negatives.pairs)
    fields = tuple(dict.fromkeys((field, "rejected_tags", "phash", *(("filename",) if by_name else ()))))
    for batch in read_all(vectors, category.name, spec.name, fields=fields):
        kept = min(
            len(batch.ids), len(x) - len(ids)
        )  # what is added meanwhile does not fit: it is for the next training
        x[len(ids) : len(ids) + kept] = batch.embeddings[:kept]
        ids += batch.ids[:kept]
        for one, payload in zip(batch.ids[:kept], batch.payloads[:kept], strict=True):
            said.append(_values(payload, field))
            rejected.append(tuple(payload.get("rejected_tags") or ()))
            hashes.append(str(payload.get("phash") or one))
            if by_name:
                names[one] = str(payload.get("filename") or "")
    return make_examples(
        spec,
        ids,
        x[: len(ids)],
        said,
        rejected,
        hashes,
        names=names,
        tags=tags,
        negatives=negatives,
        least=least,
        seed=seed,
    )


def read_columns(
    vectors: VectorStore, category: Category, using: str | None, paths: Sequence[str]
) -> tuple[list[str], Embeddings, list[tuple[Any, ...]]]:
    """Return ids, embeddings (n, dim) and, by image, the payload's values at paths such as metadata.rating
    (None where absent)."""
    spec = category.encoder(using)
    ids: list[str] = []
    rows = [np.empty((0, spec.dim), np.float32)]
    values: list[tuple[Any, ...]] = []
    fields = tuple(find_field(path, category.indexes) for path in paths)
    for batch in read_all(vectors, category.name, spec.name, fields=fields):
        ids += batch.ids
        rows.append(batch.embeddings)
        values += [tuple(value_at(payload, path) for path in fields) for payload in batch.payloads]
    return ids, np.concatenate(rows), values


def make_examples(
    spec: EncoderSpec,
    ids: Sequence[str],
    x: Embeddings,
    said: Sequence[Iterable[str]],
    rejected: Sequence[Iterable[str]] | None = None,
    hashes: Sequence[str] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    tags: Sequence[str] | None = None,
    negatives: Negatives | None = None,
    least: int = MIN_EXAMPLES,
    seed: int = 0,
) -> TagExamples:
    """Make examples from embeddings (n, dim) and, by row, the tags that people gave and rejected. See
    ``read_examples``."""
    counts = Counter(tag for some in said for tag in set(some))
    wanted, skipped = _choose(counts, tags, least)
    column = {tag: number for number, tag in enumerate(wanted)}
    targets = _flags(said, column)
    refused = _flags(rejected or [()] * len(ids), column) & ~targets
    rules = negatives or Negatives()
    explicit = refused | _named(rules, ids, said, names or {}, column)
    explicit &= ~targets
    known, prevalence = _known(targets, explicit, rules, np.random.default_rng(seed))
    _, groups = np.unique(np.asarray(hashes if hashes is not None else ids), return_inverse=True)
    found = TagExamples(
        spec, tuple(ids), x, tuple(wanted), targets, known, groups.astype(np.int64), prevalence, skipped
    )
    return _with_negatives(found, named=tags is not None, least=least)


def read_negatives(text: str, background: int | None) -> Negatives:
    """Read the option ``--negatives``: nothing (the rest), ``rejected``, a CSV of ``id or file name,tag``, or
    ``tag:other,...``."""
    if not text:
        return Negatives(background=background)
    if text == REJECTED:
        return Negatives(explicit=True, background=background)
    if text.startswith("tag:"):
        others = tuple(clean_tags(text[4:].split(",")))
        return Negatives(explicit=True, tags=others, background=background)
    path = Path(text)
    if not path.is_file():
        raise BadRequest(
            f"--negatives takes {REJECTED}, tag:NAME,... or a CSV file with id,tag, not {text!r}."
        )
    with readable(path), open_text(path) as file:
        cells = Cells(file)
        rows = [cells.header, *cells]
    if any(len(row) < 2 for row in rows):
        raise BadRequest(
            f"{path} needs two columns: an image's id or file name, and the tag that it does not have."
        )
    return Negatives(
        explicit=True,
        pairs=frozenset((composed(row[0].strip()), composed(row[1].strip())) for row in rows),
        background=background,
    )


def too_few(tag: str, positives: int, negatives: int, least: int) -> TooFewExamples:
    """Return the error of a tag that cannot be trained or measured with so few images."""
    what = (
        "tag more images with it"
        if positives < least
        else "tag other images, reject the tag for some, or add --background N"
    )
    return TooFewExamples(
        f"{tag!r} has {positives} images and {negatives} counterexamples; it takes at least {least} of "
        f"each: {what}.",
        tag=tag,
        positives=positives,
        negatives=negatives,
        least=least,
    )


def _choose(
    counts: Mapping[str, int], tags: Sequence[str] | None, least: int
) -> tuple[list[str], dict[str, str]]:
    skipped: dict[str, str] = {}
    if tags is not None:
        missing = [tag for tag in tags if not counts.get(tag)]
        if missing:
            known = ", ".join(sorted(counts, key=lambda tag: (-counts[tag], tag))[:20]) or "none"
            raise NotFound(
                f"No image with a vector has the tag {missing[0]!r}; the most frequent are: {known}.",
                tag=missing[0],
            )
        return list(dict.fromkeys(tags)), skipped
    wanted = []
    for tag in sorted(counts):
        try:
            clean_name(tag)
        except VitrineError as error:
            skipped[tag] = error.message
            continue
        if counts[tag] < least:
            skipped[tag] = f"{counts[tag]} images, {least} are needed"
        else:
            wanted.append(tag)
    return wanted, skipped


def _with_negatives(found: TagExamples, *, named: bool, least: int) -> TagExamples:
    """Leave out the tags that lack examples of a side. ``TooFewExamples`` if one of them was asked for, or no
    tag is left."""
    kept, skipped = [], {}
    for number, tag in enumerate(found.tags):
        positives, negatives = found.counts(number)
        if min(positives, negatives) >= least:
            kept.append(number)
        elif named:
            raise too_few(tag, positives, negatives, least)
        else:
            skipped[tag] = f"{positives} images and {negatives} counterexamples, {least} of each are needed"
    if not kept:
        raise TooFewExamples(
            f"No tag has {least} images and {least} counterexamples: tag more images, or lower "
            "--min-examples."
        )
    return found.only(kept, skipped)


def _values(payload: Payload, path: str) -> tuple[str, ...]:
    value = value_at(payload, path)
    if value is None:
        return ()
    values = value if isinstance(value, list) else [value]
    return tuple(str(one) for one in values if isinstance(one, str | int | bool) and str(one))


def _flags(said: Sequence[Iterable[str]], column: Mapping[str, int]) -> Bools:
    flags = np.zeros((len(said), len(column)), bool)
    for row, some in enumerate(said):
        for tag in some:
            if tag in column:
                flags[row, column[tag]] = True
    return flags


def _named(
    rules: Negatives,
    ids: Sequence[str],
    said: Sequence[Iterable[str]],
    names: Mapping[str, str],
    column: Mapping[str, int],
) -> Bools:
    """Return (n, t): the negatives that a list, or other tags, name."""
    flags = np.zeros((len(ids), len(column)), bool)
    if rules.tags:
        others = set(rules.tags)
        flags[[bool(others & set(some)) for some in said]] = True
    if rules.pairs:
        for row, one in enumerate(ids):
            for tag, number in column.items():
                if (one, tag) in rules.pairs or (names.get(one, ""), tag) in rules.pairs:
                    flags[row, number] = True
    return flags


def _known(
    targets: Bools, explicit: Bools, rules: Negatives, generator: np.random.Generator
) -> tuple[Bools, NDArray[np.float64]]:
    """Return which images are examples of which tag, and how frequent each tag is in the category."""
    share = targets.mean(axis=0) if len(targets) else np.zeros(targets.shape[1])
    if not rules.explicit and rules.background is None:
        return np.ones_like(targets), share
    if not rules.background:
        return targets | explicit, np.full(targets.shape[1], np.nan)
    known = targets | explicit
    for tag in range(targets.shape[1]):
        rest = np.flatnonzero(~known[:, tag])
        known[generator.choice(rest, min(rules.background, len(rest)), replace=False), tag] = True
    return known, share
