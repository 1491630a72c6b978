"""Scores of the taggers of a category for a picture that is not in it. Nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from vitrine.services.artifacts.taggers import HeadSet, TagHead
from vitrine.services.domain import EncoderSpec
from vitrine.services.errors import TaggerMismatch
from vitrine.services.images.open import open_image

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category
    from vitrine.services.runtime import Runtime


@dataclass(frozen=True)
class TagScore:
    """The score of a head for a picture, in 0..1. ``above``: it reaches the head's threshold, so the tag
    would be proposed."""

    head: TagHead
    score: float

    @property
    def above(self) -> bool:
        return self.score >= self.head.threshold


def encoder_of(category: Category, head: TagHead) -> EncoderSpec:
    """Return the encoder that a head was trained on. ``TaggerMismatch`` if the category has another one, or
    another revision of it."""
    if spec := category.encoder_at(head.using, head.encoder_revision, len(head.weight)):
        return spec
    revisions = [spec.revision for spec in category.encoders if spec.name == head.using]
    now = f"revision {revisions[0]}" if revisions else "no such vector any more"
    raise TaggerMismatch(
        f"The tagger {head.tag!r} was trained on {head.using!r} at revision {head.encoder_revision}, "
        f"but category {category.name!r} has {now}: train it again.",
        category=category.name,
        tag=head.tag,
        using=head.using,
    )


def fitting(category: Category, heads: Iterable[TagHead]) -> tuple[list[TagHead], list[TaggerMismatch]]:
    """Return the heads whose encoder the category still has, and for each of the others the error that says
    why it cannot be used."""
    fit, mismatches = [], []
    for head in heads:
        try:
            encoder_of(category, head)
            fit.append(head)
        except TaggerMismatch as mismatch:
            mismatches.append(mismatch)
    return fit, mismatches


def classify(runtime: Runtime, category: str, data: bytes, heads: Sequence[TagHead]) -> list[TagScore]:
    """Return the scores of a picture, given as the bytes of an image file, by each head; highest first.

    Encoded once for each named vector. ``TaggerMismatch``, ``ImageRefused``, ``ModelUnavailable``.
    """
    cat = runtime.catalog.get(category)
    specs = {head.tag: encoder_of(cat, head) for head in heads}  # before the picture is opened
    found: list[TagScore] = []
    for _, group in groupby(sorted(heads, key=lambda head: head.using), key=lambda head: head.using):
        alike = HeadSet(list(group))
        spec = specs[alike.tags[0]]
        opened = open_image(
            data, target=spec.preprocessing.target, limits=runtime.limits, budget=runtime.budget
        )
        encoder = runtime.encoders.for_category(spec)
        runtime.same_vectors.check_query(cat, spec, encoder)
        embedding = encoder.encode_images([opened.image])
        scores = alike.scores(embedding)[0].tolist()
        found += [TagScore(head, score) for head, score in zip(alike.heads, scores, strict=True)]
    return sorted(found, key=lambda score: (-score.score, score.head.tag))
