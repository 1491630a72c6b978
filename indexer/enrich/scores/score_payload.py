"""Work out what scores change in the payload of one image. Pure: payloads in, fields to write out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitrine.indexer.job.payload_writer import Change
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.fields import FROM_TABLE, QUALITY
from vitrine.services.domain import Payload
from vitrine.services.values.field_paths import field_path

FIELDS = ("scores", "scored_by", QUALITY, "tags", "machine_tags", "rejected_tags")
"""What has to be known of an image before its scores are changed."""
Given = Sequence[tuple[TagHead, float]]
"""The scores of one image, in 0..1, each with the tagger it is by."""


@dataclass(frozen=True)
class Proposals:
    """Which tags become ``machine_tags``: those with a score of at least ``threshold`` (None: the tagger's
    own).

    ``new=False``: nothing is proposed that was not before, but proposals that a score no longer supports are
    withdrawn.
    """

    new: bool = False
    threshold: float | None = None

    def supports(self, head: TagHead, score: float) -> bool:
        """Return whether the score is enough."""
        return score >= (head.threshold if self.threshold is None else self.threshold)


def given_by(payload: Mapping[str, Any], tag: str) -> str | None:
    """Return who gave the image its score of a tag; None where it has none, or where nobody says."""
    has = QUALITY in payload if tag == QUALITY else tag in payload.get("scores", ())
    who: str | None = payload.get("scored_by", {}).get(tag) if has else None
    return who


def stored_score(payload: Mapping[str, Any], head: TagHead) -> float | None:
    """Return the score that the image has by this very tagger; None where it has none."""
    if given_by(payload, head.tag) != head.signature:
        return None
    score: float = payload[QUALITY] if head.tag == QUALITY else payload["scores"][head.tag]
    return score


def rescored(
    payload: Mapping[str, Any], given: Given, lost: Collection[str] = (), proposals: Proposals | None = None
) -> Change:
    """Return the change that gives an image these scores and removes its scores for the tags in ``lost``; its
    other scores stay. What a table had said of these tags counts no more.

    A quality that people set is kept. A tag that people gave or rejected is not proposed.

    >>> import numpy as np
    >>> head = TagHead("cat", "lr", "clip", "r1", np.ones(2), 0.0, trained_at="now")
    >>> rescored({"scores": {"dog": 0.1}, "scored_by": {"dog": "manifest"}}, [(head, 0.75)]).set
    {'scores': {'dog': 0.1, 'cat': 0.75}, 'scored_by': {'dog': 'manifest', 'cat': 'lr@now'}}
    """
    scores, scored_by = dict(payload.get("scores", {})), dict(payload.get("scored_by", {}))
    wanted: Payload = {}
    delete: list[str] = []
    for head, score in given:
        if head.tag != QUALITY:
            scores[head.tag] = score
        elif QUALITY not in payload or QUALITY in scored_by:
            wanted[QUALITY] = score
        else:
            continue
        scored_by[head.tag] = head.signature
    for tag in lost:
        delete += [QUALITY] if tag == QUALITY and tag in scored_by and QUALITY in payload else []
        scores.pop(tag, None)
        scored_by.pop(tag, None)
    wanted["machine_tags"] = _proposed(payload, given, lost, proposals or Proposals())
    wanted |= {"scores": scores, "scored_by": scored_by}
    changed = {name: value for name, value in wanted.items() if value != payload.get(name, _EMPTY.get(name))}
    unsaid = _unsaid(payload, [*(head.tag for head, _ in given), *lost])
    if not scores and not scored_by:
        gone = tuple(name for name in ("scores", "scored_by") if changed.pop(name, None) is not None)
        return Change(changed, (*delete, *gone), unsaid)
    return Change(changed, tuple(delete), unsaid)


def _unsaid(payload: Mapping[str, Any], tags: Collection[str]) -> tuple[str, ...]:
    said = payload.get("scored_by", {})
    return tuple(field_path("scores", tag) for tag in tags if said.get(tag) == FROM_TABLE)


_EMPTY: Mapping[str, Any] = {"scores": {}, "scored_by": {}, "machine_tags": []}


def _proposed(
    payload: Mapping[str, Any], given: Given, lost: Collection[str], proposals: Proposals
) -> list[str]:
    before: list[str] = payload.get("machine_tags", [])
    settled = {*payload.get("tags", ()), *payload.get("rejected_tags", ())}
    earned = [head.tag for head, score in given if head.tag != QUALITY and proposals.supports(head, score)]
    earned = [tag for tag in earned if tag not in settled and (proposals.new or tag in before)]
    judged = {*(head.tag for head, _ in given), *lost}
    return [
        *(tag for tag in before if tag not in judged or tag in earned),
        *(tag for tag in earned if tag not in before),
    ]
