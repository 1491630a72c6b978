"""Decide which picture of a group to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vitrine.indexer.enrich.duplicates.options import POLICY, Criterion
from vitrine.services.category.fields import QUALITY, SAID

_LOSSLESS = ("image/png", "image/tiff", "image/bmp", "image/x-portable-anymap")
_FEW_COLOURS = ("image/gif",)
Reason = Literal[Criterion, "age", "id"]
"""What decided: a criterion of the policy; among equals that it is older; of the same age, that its id is
lower."""


def keep_first(payloads: Mapping[str, Mapping[str, Any]], policy: Sequence[Criterion] = POLICY) -> list[str]:
    """Sort the ids, best first; ``grey`` in a payload: the picture has no colours. Of equals the oldest is
    first, then the lowest id.

    >>> keep_first({"a": {"width": 10, "height": 10}, "b": {"width": 40, "height": 30}})
    ['b', 'a']
    """
    return sorted(
        payloads, key=lambda id: (*(-_worth(payloads[id], word) for word in policy), _age(payloads[id]), id)
    )


def reason(payloads: Mapping[str, Mapping[str, Any]], policy: Sequence[Criterion] = POLICY) -> Reason:
    """Return what put the first of ``keep_first`` before the second. ``ValueError`` for fewer than two.

    >>> reason({"a": {"width": 10, "height": 10}, "b": {"width": 40, "height": 30}})
    'resolution'
    """
    first, second, *_ = (payloads[id] for id in keep_first(payloads, policy))
    for criterion in policy:
        if _worth(first, criterion) != _worth(second, criterion):
            return criterion
    return "age" if _age(first) != _age(second) else "id"


def _worth(payload: Mapping[str, Any], criterion: Criterion) -> float:
    if criterion == "colour":
        return 0.0 if payload.get("grey") else 1.0
    if criterion == "resolution":
        return float(payload.get("width", 0)) * float(payload.get("height", 0))
    if criterion == "bytes":
        return float(payload.get("bytes", 0))
    if criterion == "format":
        kind = payload.get("media_type")
        return 2.0 if kind in _LOSSLESS else 0.0 if kind in _FEW_COLOURS else 1.0
    values = sum(payload.get(field) is not None for field in SAID if field != QUALITY)  # a tagger may give it
    return len(payload.get("tags", ())) + len(payload.get("metadata", {})) + values


def _age(payload: Mapping[str, Any]) -> str:
    return str(payload.get("created_at", ""))
