"""Find out which side of an older system's classifier has the tag, and whether it fits the category's
vectors.

A two-class model scores its second class. Some systems train the images of a tag as class 0, so that its
scores would all be inverted; nothing in such a model says which. The images that carry the tag do: their
scores must lie above the scores of other images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.catalog import Category
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.ranking_metrics import roc_auc
from vitrine.services.taggers.saving import save_heads
from vitrine.services.vector_store.base import VectorStore
from vitrine.training.taggers.examples import read_columns
from vitrine.training.taggers.old_models import (
    MAX_BYTES,
    REST,
    OldHead,
    OldModel,
    choose_heads,
    read_model,
    to_tag_head,
)

CLEAR = 0.7
"""Area under the ROC curve from which the images with a tag lie clearly on one side; 1 minus it on the
other."""
_SPREADS = 2.0
"""Standard deviations of the area by chance alone that a clear one lies from a half."""
_SCALES = np.geomspace(1 / 32, 64, 111)
_OTHER_LENGTH, _GAIN = 2.0, 0.15
_SECOND = {("False", "True"), ("no", "yes"), ("negative", "positive"), ("-1", "1"), ("-1.0", "1.0")}
"""Names of two classes that say themselves which has the tag."""


@dataclass(frozen=True, eq=False)
class TaggedVectors:
    """The stored vectors ``x`` (n, dim) of a category, and the tags and class of each image."""

    x: Embeddings
    said: list[frozenset[str]]

    def carrying(self, tag: str) -> NDArray[np.bool_]:
        return np.array([tag in some for some in self.said], bool)


@dataclass(frozen=True, eq=False)
class Settled:
    """A head that scores the tag. ``auc``: how well it ranks the images that carry the tag; None where too
    few do, or do not."""

    head: OldHead
    auc: float | None
    positives: int
    negatives: int


@dataclass(frozen=True, eq=False)
class Converted:
    """A tagger made from an older system's classifier, how it was checked, and notes for people."""

    tagger: TagHead
    settled: Settled
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it."""
        settled = self.settled
        return {
            "tag": self.tagger.tag,
            "class": settled.head.class_,
            "kind": self.tagger.kind,
            "using": self.tagger.using,
            "roc_auc": None if settled.auc is None else round(settled.auc, 4),
            "positives": settled.positives,
            "negatives": settled.negatives,
            "note": "; ".join(self.notes),
        }


def convert_file(
    runtime: Runtime,
    category: str,
    file: Path,
    *,
    tag: str | None = None,
    class_: str | None = None,
    length: float | None = None,
    using: str | None = None,
    unchecked: bool = False,
    keep: bool = False,
) -> list[Converted]:
    """Make taggers from an npz of an older system's classifier; see `convert_model`.

    ``keep``: put them into service. ``BadRequest`` also for a file that cannot be read.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadRequest(f"{file} cannot be read: {error.strerror}.") from error
    found = runtime.catalog.get(category)
    converted = convert_model(
        read_model(data, file.name),
        found.encoder(using),
        lambda: read_tagged(runtime.vectors, found, using),
        data,
        tag=tag,
        class_=class_,
        length=length,
        unchecked=unchecked,
    )
    if keep:
        save_heads(runtime, found, [one.tagger for one in converted])
    return converted


def read_tagged(vectors: VectorStore, category: Category, using: str | None) -> TaggedVectors:
    """Read all images of the category that have the named vector."""
    _, x, values = read_columns(vectors, category, using, ("tags", "class"))
    return TaggedVectors(
        x, [frozenset([*(tags or ()), *([class_] if class_ else ())]) for tags, class_ in values]
    )


def convert_model(
    model: OldModel,
    spec: EncoderSpec,
    read: Callable[[], TaggedVectors],
    data: bytes,
    *,
    tag: str | None = None,
    class_: str | None = None,
    length: float | None = None,
    unchecked: bool = False,
) -> list[Converted]:
    """Make taggers on the named vector of ``spec``, each checked on the images that ``read`` returns.
    ``data``: the bytes of the file.

    ``length``: the norm of the vectors that the model was trained on (None: 1, with a note where the images
    speak for another). ``BadRequest`` as of ``choose_heads`` and ``settle``; ``TaggerMismatch``.
    """
    chosen = choose_heads(model.heads, tag or model.tag or None, class_)
    for name, head in chosen:
        to_tag_head(head, name, spec, data)  # the vector must fit before images are read
    tagged, found = read(), []
    for name, head in chosen:
        scaled = replace(head, weight=head.weight * (length or 1.0))
        settled = settle(scaled, name, tagged, said=class_, known=model.positive, unchecked=unchecked)
        tagger = to_tag_head(settled.head, name, spec, data)
        examples = {"positives": settled.positives, "negatives": settled.negatives}
        checked = {} if settled.auc is None else {"roc_auc": round(settled.auc, 4)}
        notes = tuple(
            filter(
                None,
                (settled.head.note, _unconfirmed(settled, name), _length_note(settled, name, tagged, length)),
            )
        )
        found.append(
            Converted(
                replace(tagger, examples=examples, metrics={**tagger.metrics, **checked}), settled, notes
            )
        )
    return found


def _unconfirmed(settled: Settled, tag: str) -> str:
    if settled.auc is not None:
        return ""
    carrying = f"{settled.positives} images of the category carry {tag!r}, and {settled.negatives} do not"
    return f"{carrying}: too few to check that class {settled.head.class_} has the tag"


def _length_note(settled: Settled, tag: str, tagged: TaggedVectors, length: float | None) -> str:
    found = None if length is not None else other_length(settled.head, tagged.carrying(tag), tagged.x)
    if found is None:
        return ""
    return (
        f"{tag!r}: its boundary does not part the images at the unit length of the category's vectors, "
        f"but at a length of about {found:.3g}: it was trained on vectors that were not normalised, or "
        f"on few examples; --norm {found:.3g} scales it"
    )


def settle(
    head: OldHead,
    tag: str,
    tagged: TaggedVectors,
    *,
    said: str | None = None,
    known: str = "",
    unchecked: bool = False,
) -> Settled:
    """Return the head of the side that has the tag, checked on the images that carry it.

    ``said``: the class that whoever converts names; ``known``: the one that has the tag in the system that
    wrote the file. With neither, and class names that do not tell, the images decide. ``BadRequest`` where
    nothing does, or where the images say clearly otherwise; ``unchecked`` leaves the check out.
    """
    sure = said is not None or not head.opposite
    if not sure:
        wanted = known or _by_name(head, tag)
        sure = bool(wanted)
        head = head.turned() if wanted == head.opposite and wanted else head
    has = tagged.carrying(tag)
    positives, negatives = int(has.sum()), int((~has).sum())
    auc = _judged(has, _signs(head, _products(head, tagged.x)))
    if sure:
        if auc is not None and not unchecked:
            _confirm(head, tag, auc, positives, negatives)
        return Settled(head, auc, positives, negatives)
    if auc is None:
        raise BadRequest(
            f"The classes {head.opposite} and {head.class_} do not say which has the tag {tag!r}, and "
            f"{positives} images of the category carry it, which is too few to tell. Say it: "
            f"--positive-class {head.opposite}, or {head.class_}. (Systems that keep a tag's images "
            "first train them as class 0.)",
            classes=[head.opposite, head.class_],
        )
    if not _is_clear(auc, positives, negatives):
        raise BadRequest(
            f"The images that carry {tag!r} score like the others (ROC AUC {auc:.2f} on {positives} "
            f"and {negatives}), so they do not tell whether class {head.opposite} or {head.class_} has "
            "the tag. Name the vector it was trained on with --using, or say --positive-class and "
            "--unchecked.",
            roc_auc=round(auc, 4),
        )
    turned = auc < 0.5
    return Settled(head.turned() if turned else head, max(auc, 1 - auc), positives, negatives)


def other_length(head: OldHead, has: NDArray[np.bool_], x: Embeddings) -> float | None:
    """Return the length that vectors need for the head's boundary to part the images with the tag from the
    others.

    None where it parts them at length 1 about as well as anywhere, or where there are too few to tell.
    """
    plain = _products(head, x)
    if _judged(has, plain) is None:
        return None
    found = np.array([_balanced(has, _signs(head, plain * scale)) for scale in _SCALES])
    best = float(np.exp(np.log(_SCALES[found >= found.max() - 0.005]).mean()))
    here = _balanced(has, _signs(head, plain))
    apart = best >= _OTHER_LENGTH or best <= 1 / _OTHER_LENGTH
    return best if apart and found.max() >= here + _GAIN else None


def _by_name(head: OldHead, tag: str) -> str:
    """Return the class that has the tag, judged by the classes' names; "" where they do not say."""
    pair = (head.opposite, head.class_)
    for one, other in (pair, pair[::-1]):
        if one == tag or (other.lower() in REST and one.lower() not in REST):
            return one
    return head.class_ if pair in _SECOND else ""


def _confirm(head: OldHead, tag: str, auc: float, positives: int, negatives: int) -> None:
    """Raise ``BadRequest`` unless the images with the tag score clearly above the others."""
    if auc > 0.5 and _is_clear(auc, positives, negatives):
        return
    counted = f"ROC AUC {auc:.2f} on {positives} images with the tag and {negatives} without"
    if auc < 0.5 and _is_clear(auc, positives, negatives) and head.opposite:
        raise BadRequest(
            f"By class {head.class_} the images that carry {tag!r} score below the others ({counted}): "
            f"all scores would be inverted. Say --positive-class {head.opposite}, or --unchecked to "
            f"keep class {head.class_}.",
            roc_auc=round(auc, 4),
        )
    raise BadRequest(
        f"The images that carry {tag!r} do not score above the others ({counted}): the classifier was "
        "trained on other vectors, or for another tag. Name the vector with --using, or the "
        "category's tag with --tag; --unchecked converts it anyway.",
        roc_auc=round(auc, 4),
    )


def _judged(has: NDArray[np.bool_], margins: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve; None where it is not clear and there are too few images for it to
    be."""
    positives, negatives = int(has.sum()), int((~has).sum())
    if not positives or not negatives:
        return None
    auc = roc_auc(has, margins)
    enough = _SPREADS * _spread(positives, negatives) <= CLEAR - 0.5
    return auc if enough or _is_clear(auc, positives, negatives) else None


def _is_clear(auc: float, positives: int, negatives: int) -> bool:
    return max(auc, 1 - auc) >= CLEAR and abs(auc - 0.5) >= _SPREADS * _spread(positives, negatives)


def _spread(positives: int, negatives: int) -> float:
    """Return the standard deviation of the area under the curve for scores by chance (Mann and Whitney,
    1947)."""
    return float(np.sqrt((positives + negatives + 1) / (12 * positives * negatives)))


def _products(head: OldHead, x: Embeddings) -> NDArray[np.float64]:
    return np.asarray(x @ head.weight.astype(np.float32), np.float64)


def _signs(head: OldHead, products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return margins, above 0 for the tag, from the products of vectors and weight."""
    return np.asarray(head.slope * (products + head.bias) + head.offset)


def _balanced(has: NDArray[np.bool_], margins: NDArray[np.float64]) -> float:
    """Return the mean share of images with and without the tag that lie on their side."""
    return float(((margins[has] > 0).mean() + (margins[~has] <= 0).mean()) / 2)
