"""Seeded random points and filters that touch every clause of the shared filter surface."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from vitrine.services.domain import CollectionSchema, Embedding, Point, VectorSpec
from vitrine.services.filters.conditions import (
    Condition,
    DatetimeRange,
    Filter,
    HasId,
    HasVector,
    IsEmpty,
    IsNull,
    MatchAny,
    MatchExcept,
    MatchValue,
    MinShould,
    Nested,
    Range,
    ValuesCount,
)

CLASSES = ["beagle", "boxer", "collie", "dingo", "elk"]
TAGS = ["indoor", "outdoor", "night", "snow", "red car", "ünïcode"]
START = datetime(2024, 1, 1, tzinfo=UTC)
DIMS = {"clip": 16, "vit": 8}


def schema(name: str) -> CollectionSchema:
    return CollectionSchema(
        name,
        tuple(VectorSpec(using, dim) for using, dim in DIMS.items()),
        {
            "class": "keyword",
            "tags": "keyword",
            "width": "integer",
            "quality": "float",
            "scores.cat": "float",
            "checked": "bool",
            "created_at": "datetime",
            "objects[].kind": "keyword",
            "objects[].size": "integer",
        },
    )


def unit(rng: np.random.Generator, dim: int) -> Embedding:
    vector = rng.normal(size=dim)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def points(count: int, seed: int = 0) -> list[Point]:
    rng, pick = np.random.default_rng(seed), random.Random(seed)
    return [_point(rng, pick) for _ in range(count)]


def _point(rng: np.random.Generator, pick: random.Random) -> Point:
    vectors = {"clip": unit(rng, DIMS["clip"])}
    if pick.random() < 0.8:
        vectors["vit"] = unit(rng, DIMS["vit"])
    moment = START + timedelta(hours=pick.randrange(0, 40), microseconds=pick.choice([0, 1, 250_000]))
    payload: dict[str, Any] = {
        "class": pick.choice([*CLASSES, None]),
        "tags": pick.sample(TAGS, pick.randrange(0, 4)),
        "width": pick.choice([100, 200, 300, -5, 2**52 - pick.randrange(3)]),
        "quality": pick.choice([0.0, 0.25, 0.5, 0.1, 1.0, 1, _short(pick)]),
        "scores": {"cat": _short(pick), "dog": _short(pick)},
        "checked": pick.choice([True, False]),
        "created_at": moment.isoformat().replace("+00:00", pick.choice(["Z", "+00:00"])),
        "objects": [
            {"kind": pick.choice(CLASSES), "size": pick.randrange(3)} for _ in range(pick.randrange(3))
        ],
        "caption": pick.choice(["a dog", "an elk in the snow"]),
    }
    for field in list(payload):
        if pick.random() < 0.12:
            del payload[field]
    return Point(str(uuid.UUID(int=pick.getrandbits(128), version=4)), vectors, payload)


def _short(pick: random.Random) -> float:
    """Six digits: the engines read longer decimals to within one unit in the last place of a float64."""
    return round(pick.random(), 6)


def condition(pick: random.Random, ids: list[str], depth: int = 0) -> Condition:
    kinds = [
        _match,
        _any,
        _except,
        _number,
        _moment,
        _presence,
        _checked,
        _nested,
        lambda p: _identity(p, ids),
    ]
    if depth < 2 and pick.random() < 0.25:
        return filter(pick, ids, depth + 1)
    return pick.choice(kinds)(pick)


def filter(pick: random.Random, ids: list[str], depth: int = 0) -> Filter:
    def clause() -> tuple[Condition, ...]:
        if pick.random() >= 0.5:
            return ()
        return tuple(condition(pick, ids, depth) for _ in range(pick.randrange(1, 3)))

    least = None
    if pick.random() < 0.15:
        least = MinShould(tuple(condition(pick, ids, 2) for _ in range(3)), pick.randrange(1, 4))
    must, should, must_not = clause(), clause(), clause()
    if not (must or should or must_not or least):
        must = (condition(pick, ids, depth),)
    return Filter(must=must, should=should, must_not=must_not, min_should=least)


def _match(pick: random.Random) -> Condition:
    key, value = pick.choice(
        [
            ("class", pick.choice(CLASSES)),
            ("tags", pick.choice(TAGS)),
            ("width", pick.choice([100, -5, 2**52 - 1])),
            ("tags", "no"),
        ]
    )
    return MatchValue(key, value)


def _checked(pick: random.Random) -> Condition:
    return MatchValue("checked", pick.choice([True, False]))


def _any(pick: random.Random) -> Condition:
    key, values = pick.choice([("class", CLASSES), ("tags", TAGS), ("width", [100, 200, 300, -5])])
    return MatchAny(key, tuple(pick.sample(values, pick.randrange(1, 4))))


def _except(pick: random.Random) -> Condition:
    key, values = pick.choice([("class", CLASSES), ("tags", TAGS), ("width", [100, 200, 300, -5])])
    return MatchExcept(key, tuple(pick.sample(values, pick.randrange(1, 4))))


def _number(pick: random.Random) -> Condition:
    key = pick.choice(["width", "quality", "scores.cat"])
    values = [100, 200, -5.5, 250] if key == "width" else [0, 0.25, 0.5, 0.75, 1]
    bounds = {
        pick.choice(["gt", "gte", "lt", "lte"]): pick.choice(values) for _ in range(pick.randrange(1, 3))
    }
    return Range(key, **bounds)


def _moment(pick: random.Random) -> Condition:
    zones = [0, 2]  # the same hour may be written in another zone
    bounds = {}
    for _ in range(pick.randrange(1, 3)):
        moment = START + timedelta(
            hours=pick.randrange(40) + pick.choice(zones), microseconds=pick.choice([0, 1])
        )
        bounds[pick.choice(["gt", "gte", "lt", "lte"])] = moment
    return DatetimeRange("created_at", **bounds)


def _presence(pick: random.Random) -> Condition:
    key = pick.choice(["class", "tags", "width", "quality", "scores.cat"])
    return pick.choice(
        [
            IsEmpty(key, pick.random() < 0.6),
            IsNull(key, pick.random() < 0.6),
            ValuesCount("tags", gte=pick.randrange(4)),
            ValuesCount("tags", lt=pick.randrange(4)),
        ]
    )


def _nested(pick: random.Random) -> Condition:
    kind = MatchValue("kind", pick.choice(CLASSES))
    size = Range("size", gte=pick.randrange(3))
    inner = pick.choice(
        [
            Filter(must=(kind, size)),
            Filter(must=(kind,), must_not=(size,)),
            Filter(should=(kind, size)),
        ]
    )
    return Nested("objects", inner)


def _identity(pick: random.Random, ids: list[str]) -> Condition:
    if pick.random() < 0.3:
        return HasVector("vit")
    return HasId((*pick.sample(ids, pick.randrange(1, 30)), str(uuid.UUID(int=1))))
