"""The labelling loop: show the images that a tagger is least sure of, record what people say, train it again,
rank anew.

What people say lies on the images: ``tags`` has the tag where they accepted it, ``rejected_tags`` where they
said no. So a round can end at any moment, several people can label at once, and every way to train reads the
same labels.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.changes.entries import Undo
from vitrine.services.category.changes.said import ImageChanges
from vitrine.services.category.fields import QUALITY
from vitrine.services.category.payload import clean_name
from vitrine.services.category.read_all import BATCH, read_all
from vitrine.services.domain import Embeddings, EncoderSpec, Hit, Near, Query
from vitrine.services.errors import BadRequest, NotFound, TaggerMismatch, TooFewExamples
from vitrine.services.filters.conditions import Filter, HasId, MatchValue
from vitrine.services.search.questions import unit
from vitrine.services.taggers.classify import encoder_of
from vitrine.services.taggers.fit_one import Examples, Refit, background_size, fit_head, read_examples
from vitrine.services.taggers.saving import save_heads

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category
    from vitrine.services.runtime import Runtime

MAX_SHOWN = 200
"""Images of one round; nobody judges more at a time."""
MAX_SCANNED = 20_000
"""Images scored to find the uncertain ones, about a second's worth. Ids derive from the pictures' bytes, so
that the first ones in order of id are a random sample; those that people have judged are passed over, which
moves the window on."""
_HIGHEST = 1_000
"""In a larger category the images with the highest scores are looked at too: a rare tag's boundary lies among
them."""
MAX_LABELS = 20_000
"""Accepted images, and rejected ones, that a head is trained on."""
_POOL = 5
"""How many candidates there are for each image that is shown. Five tags of the demo, 20 labels a round,
average precision over the category after one to three rounds: spread over 5 times as many 0.72, 0.81, 0.84;
the least certain 0.69, 0.78, 0.82; at random 0.63, 0.68, 0.73."""
_ONE_AT_RANDOM = 10
"""One candidate in so many is drawn at random. It costs nothing where a tag is one kind of thing (0.75, 0.81,
0.84 in the figures above), and finds the second kind where a tag is two: for six pairs of classes, begun with
one class of each, average precision after eight rounds is 0.69 instead of 0.62."""
_EXAMPLES = 1_000


@dataclass(frozen=True)
class Candidate:
    """An image to be judged. ``score`` in 0..1 by the tagger. Where there is no tagger yet it is None, and
    ``hit.similarity`` is the similarity to the mean of the accepted images (None for the random ones)."""

    hit: Hit
    score: float | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it."""
        hit = self.hit
        return {"id": hit.id, "score": self.score, "similarity": hit.similarity, "payload": hit.payload}


@dataclass(frozen=True)
class LabelCounts:
    """How many images people accepted and rejected, for one tag."""

    accepted: int
    rejected: int


@dataclass(frozen=True)
class Labelled:
    """How many images are accepted and rejected now, in all, and how what was said is taken back (None:
    nothing was changed)."""

    counts: LabelCounts
    undo: Undo | None


def uncertain(
    runtime: Runtime,
    category: str,
    tag: str,
    limit: int = 20,
    *,
    using: str | None = None,
    exclude: Sequence[str] = (),
) -> list[Candidate]:
    """Return the images without a judgement whose answer teaches most: near the decision boundary, and unlike
    each other.

    Of the ``5 limit`` images with the scores nearest to 0.5 farthest-first traversal chooses ``limit``
    (1..200); the least certain comes first. A tag without a tagger begins with the images like the mean of
    those that have the tag, by the named vector ``using`` (None: the default). ``exclude``: ids that were
    shown and left undecided. ``TooFewExamples`` if no image has the tag, ``TaggerMismatch``, ``NotFound``.

    One in ten is any other image, at the end: a tagger never asks about what it is sure of, however wrong it
    is.
    """
    cat, tag = runtime.catalog.get(category), checked_tag(tag)
    check_shown(limit)
    head = find_head(runtime, category, tag)
    spec = cat.encoder(using) if head is None else encoder_of(cat, head)
    unjudged = _asked(cat, tag, exclude)[2]
    others = limit // _ONE_AT_RANDOM
    if head is None:
        hits = _like_accepted(runtime, cat, tag, limit - others, spec, unjudged)
    else:
        hits = _near_boundary(runtime, cat, head, limit - others, unjudged)
    hits += _at_random(runtime, cat, spec, unjudged, {hit.id for hit in hits}, others)
    return _candidates(head, spec, hits)


def record(
    runtime: Runtime, category: str, tag: str, accept: Sequence[str] = (), reject: Sequence[str] = ()
) -> Labelled:
    """Write down, durably, which images people accepted and rejected; return how many are accepted and
    rejected now, in all, and how this is taken back. The same again changes nothing.

    Accepted images get the tag; rejected ones lose it, also where a machine proposed it, and get it among
    ``rejected_tags``. ``NotFound`` for an unknown image and ``BadRequest`` for one on both sides, before
    anything is changed.
    """
    runtime.catalog.get(category)
    tag = checked_tag(tag)
    both = sorted(set(accept) & set(reject))
    if both:
        raise BadRequest(f"Image {both[0]} is both accepted and rejected: choose one.", ids=both)
    changes = dict.fromkeys(accept, ImageChanges(add_tags=(tag,)))
    changes |= dict.fromkeys(reject, ImageChanges(reject_tags=(tag,)))
    undo = runtime.editor.change_each(category, changes).undo if changes else None
    return Labelled(count_labels(runtime, category, tag), undo)


def refit(runtime: Runtime, category: str, tag: str, *, using: str | None = None) -> Refit:
    """Train the tagger of a tag anew from all that people have said, and put it into service.

    On the named vector ``using``; None: the vector of the tagger in service, or the category's default where
    there is no tagger or its encoder has changed. The scores that images carry are of an older tagger from
    now on: queries leave them out until the category is scored again. ``TooFewExamples`` with under 2
    accepted or 2 rejected images.
    """
    cat, tag = runtime.catalog.get(category), checked_tag(tag)
    spec = _vector_to_train(runtime, cat, tag, using)
    started = time.perf_counter()
    yes, no, unjudged = _asked(cat, tag)
    read = partial(read_examples, runtime.vectors, cat.name, spec)
    accepted = read(yes, MAX_LABELS)
    rejected = Examples.none(spec.dim) if no is None else read(no, MAX_LABELS)
    background = read(unjudged, background_size(len(accepted.ids), len(rejected.ids)))
    ready = time.perf_counter()
    head = fit_head(tag, spec, accepted, rejected, background)
    fitted = time.perf_counter()
    (saved,) = save_heads(runtime, runtime.catalog.get(category), [head])
    return Refit(saved, round(ready - started, 3), round(fitted - ready, 3))


def ranking(
    runtime: Runtime, category: str, head: TagHead, limit: int = 20, *, labelled: bool = True
) -> list[Candidate]:
    """Return the images with the highest scores by ``head``, best first, found by the engine: no score is
    read or written.

    ``labelled=False`` leaves out the images that people have judged. ``TaggerMismatch``.
    """
    cat = runtime.catalog.get(category)
    check_shown(limit)
    spec = encoder_of(cat, head)
    hits = _highest(runtime, cat, head, limit, None if labelled else _asked(cat, head.tag)[2])
    return _candidates(head, spec, [replace(hit, similarity=None) for hit in hits])


def count_labels(runtime: Runtime, category: str, tag: str) -> LabelCounts:
    """Return how many images carry the tag, and how many carry it among ``rejected_tags``."""
    yes, no, _ = _asked(runtime.catalog.get(category), tag)
    return LabelCounts(runtime.vectors.count(category, yes), runtime.vectors.count(category, no) if no else 0)


def find_head(runtime: Runtime, category: str, tag: str) -> TagHead | None:
    """Return the tagger in service, or None. ``TaggerMismatch`` if the category no longer has its encoder."""
    try:
        head = runtime.taggers.get(category, tag)
    except NotFound:
        return None
    encoder_of(runtime.catalog.get(category), head)
    return head


def checked_tag(tag: str) -> str:
    """Return the tag as it is stored. ``BadRequest`` if a tagger cannot have it; ``quality`` is trained from
    ratings, not from yes and no."""
    tag = clean_name(tag)
    if tag == QUALITY:
        raise BadRequest("quality is trained from ratings, not from accepted and rejected images.", tag=tag)
    return tag


def check_shown(limit: int) -> None:
    """Raise ``BadRequest`` unless ``limit`` is in 1..200."""
    if not 1 <= limit <= MAX_SHOWN:
        raise BadRequest(f"limit must be in 1..{MAX_SHOWN}, not {limit}.", limit=limit)


def spread(embeddings: Embeddings, count: int) -> list[int]:
    """Return row 0, then each time the row least similar to the closest of those chosen (Gonzalez, 1985);
    ``count`` rows at most.

    >>> spread(np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1]], np.float32), 3)
    [0, 3, 2]
    """
    if not len(embeddings):
        return []
    chosen, closest = [0], embeddings @ embeddings[0]
    while len(chosen) < min(count, len(embeddings)):
        closest[chosen[-1]] = np.inf
        chosen.append(int(np.argmin(closest)))
        closest = np.maximum(closest, embeddings @ embeddings[chosen[-1]])
    return chosen


def _near_boundary(runtime: Runtime, cat: Category, head: TagHead, limit: int, unjudged: Filter) -> list[Hit]:
    """Return the images that are least certain and most different, with their vectors.

    By margins, since far from the boundary scores are rounded to 0 or 1 and would not tell apart.
    """
    ids: list[str] = []
    embeddings = np.empty((0, len(head.weight)), np.float32)
    margins = np.empty(0, np.float32)
    for new, rows in _to_judge(runtime, cat, head, unjudged):
        fresh = [row for row, id in enumerate(new) if id not in ids]
        raw = rows[fresh] @ head.weight + head.bias
        margins = np.concatenate([margins, head.slope * raw + head.offset])
        nearest = np.argsort(np.abs(margins), kind="stable")[: _POOL * limit]
        together = [*ids, *(new[row] for row in fresh)]
        ids = [together[row] for row in nearest]
        embeddings = np.concatenate([embeddings, rows[fresh]])[nearest]
        margins = margins[nearest]
    chosen = [ids[row] for row in spread(embeddings, limit)]
    hits = runtime.vectors.retrieve(cat.name, chosen, with_vectors=(encoder_of(cat, head).name,))
    return [hit for hit in hits if hit is not None]


def _to_judge(
    runtime: Runtime, cat: Category, head: TagHead, unjudged: Filter
) -> Iterator[tuple[Sequence[str], Embeddings]]:
    """Yield the images without a judgement: all of a small category; of a large one a sample, and the highest
    scored."""
    spec = encoder_of(cat, head)
    seen = 0
    for batch in read_all(
        runtime.vectors, cat.name, spec.name, filter=unjudged, batch=min(BATCH, MAX_SCANNED)
    ):
        yield batch.ids, batch.embeddings
        seen += len(batch.ids)
        if seen >= MAX_SCANNED:
            break
    else:
        return
    hits = _highest(runtime, cat, head, _HIGHEST, unjudged)
    yield [hit.id for hit in hits], np.stack([hit.vectors[spec.name] for hit in hits])


def _highest(runtime: Runtime, cat: Category, head: TagHead, limit: int, chosen: Filter | None) -> list[Hit]:
    """Return the images that score highest, with their vectors: on unit vectors a linear head orders them as
    the cosine similarity to its weight does."""
    spec = encoder_of(cat, head)
    ask = Near(unit(head.slope * head.weight))
    return runtime.vectors.query(
        cat.name, Query(ask, spec.name, chosen, limit, with_vectors=(spec.name,), exact=True)
    )


def _like_accepted(
    runtime: Runtime, cat: Category, tag: str, limit: int, spec: EncoderSpec, unjudged: Filter
) -> list[Hit]:
    """Return the most different of the images like the mean of the accepted ones, with their vectors."""
    accepted = read_examples(runtime.vectors, cat.name, spec, _asked(cat, tag)[0], _EXAMPLES).embeddings
    if not len(accepted):
        raise TooFewExamples(
            f"{tag!r} has neither a tagger nor an image that carries the tag: tag a few images first.",
            category=cat.name,
            tag=tag,
        )
    ask = Near(unit(accepted.mean(axis=0)))
    hits = runtime.vectors.query(
        cat.name, Query(ask, spec.name, unjudged, _POOL * limit, with_vectors=(spec.name,))
    )
    rows = np.stack([hit.vectors[spec.name] for hit in hits]) if hits else np.empty((0, spec.dim), np.float32)
    return [hits[row] for row in spread(rows, limit)]


def _at_random(
    runtime: Runtime, cat: Category, spec: EncoderSpec, unjudged: Filter, taken: Collection[str], count: int
) -> list[Hit]:
    """Return the first images, in order of id, that are not taken: as good as any draw, and always the
    same."""
    if not count:
        return []
    page = runtime.vectors.scroll(
        cat.name, filter=unjudged, limit=count + len(taken), with_vectors=(spec.name,)
    )
    return [hit for hit in page.hits if hit.id not in taken and spec.name in hit.vectors][:count]


def _candidates(head: TagHead | None, spec: EncoderSpec, hits: Sequence[Hit]) -> list[Candidate]:
    """Return the hits with their scores, where there is a tagger, and without their vectors."""
    scores: list[float] | list[None] = [None] * len(hits)
    if head is not None and hits:
        scores = head.scores(np.stack([hit.vectors[spec.name] for hit in hits])).tolist()
    return [Candidate(replace(hit, vectors={}), score) for hit, score in zip(hits, scores, strict=True)]


def _vector_to_train(runtime: Runtime, cat: Category, tag: str, using: str | None) -> EncoderSpec:
    if using is not None:
        return cat.encoder(using)
    try:
        head = find_head(runtime, cat.name, tag)
    except TaggerMismatch:
        head = None
    return cat.encoder() if head is None else encoder_of(cat, head)


def _asked(cat: Category, tag: str, exclude: Sequence[str] = ()) -> tuple[Filter, Filter | None, Filter]:
    """Return filters of the images that were accepted, that were rejected (None: none ever was), and of all
    others but ``exclude``."""
    yes, no = MatchValue("tags", tag), MatchValue("rejected_tags", tag)
    known = "rejected_tags" in cat.indexes
    judged = (yes, no) if known else (yes,)
    shown = (HasId(tuple(exclude)),) if exclude else ()
    rejected = Filter(must=(no,), must_not=(yes,)) if known else None
    return Filter(must=(yes,)), rejected, Filter(must_not=(*judged, *shown))
