"""Points that a damaged shard hands out without their payload are damage, and not data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from vitrine.services.domain import CollectionSchema
from vitrine.services.errors import StoreDamaged
from vitrine.services.vector_store.edge.read import Found, whole

INDEXED = CollectionSchema("cats", (), {"class": "keyword", "media_type": "keyword"})
FULL, EMPTY = Found("1", None, {"class": "cat"}, {}), Found("2", None, {}, {})


@dataclass
class Shard:
    """Has these payloads by id."""

    payloads: dict[str, dict[str, Any]]

    def retrieve(self, ids: list[str], with_payload: bool, with_vectors: bool) -> list[Any]:
        return [Found(id, None, self.payloads[id], {}) for id in ids]


@pytest.mark.parametrize("wanted", [True, ["class"], {"exclude": ["class"]}])
def test_a_point_that_has_lost_its_payload_is_named(wanted: Any) -> None:
    with pytest.raises(StoreDamaged, match="1 of 2 points") as caught:
        whole(Shard({"2": {}}), INDEXED, {"with_payload": wanted}, [FULL, EMPTY])
    assert caught.value.details["ids"] == ["2"]


def test_a_point_may_lack_what_is_asked_for() -> None:
    shard = Shard({"2": {"tags": ["a"]}})
    assert whole(shard, INDEXED, {"with_payload": ["class"]}, [EMPTY]) == [EMPTY]
    assert whole(shard, INDEXED, {"with_payload": False}, [EMPTY]) == [EMPTY]
    assert whole(shard, CollectionSchema("any", ()), {"with_payload": True}, [EMPTY]) == [EMPTY]
