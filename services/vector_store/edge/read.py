"""Answer questions to one shard, from plain requests to plain answers. Runs in the engine process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from vitrine.services.domain import CollectionSchema
from vitrine.services.errors import StoreDamaged
from vitrine.services.vector_store.checks import no_image, no_vector
from vitrine.services.vector_store.edge.filter import Plain, to_edge
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.link.wire import Arrays, Header
from vitrine.services.vector_store.edge.reach import Reach
from vitrine.services.vector_store.edge.rounded import unit_rows
from vitrine.services.vector_store.engine_names import engine_path, payload_json
from vitrine.services.vector_store.ordered import OrderedListing, Value
from vitrine.services.vector_store.ranked import Asked, deep, fused, quick

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LAST_ID = (1 << 128) - 1


@dataclass(frozen=True)
class Found:
    """One point of an answer; ``vectors`` as the engine gives them."""

    id: str
    score: float | None
    payload: dict[str, Any] | None
    vectors: dict[str, list[float]]


_OF_EVERY_IMAGE: Final = "media_type"
"""A field that collections of categories have, and every point of theirs; others may have empty points."""


def answers(
    shard: Any, schema: CollectionSchema, queries: Sequence[tuple[Plain, Arrays]], reach: Reach
) -> list[list[Found]]:
    """Return the hits of each query; with it come its vectors, each (dim,).

    What a first question to the engine may answer is asked together: queries with the same filter then have
    it evaluated once.
    """
    searches = [_searches(shard, schema, plain, arrays, reach) for plain, arrays in queries]
    firsts = [
        found[0].first() if plain["ask"] == "near" else None
        for (plain, _), found in zip(queries, searches, strict=True)
    ]
    together = [request for request in firsts if request is not None]
    points = iter(shard.query_batch(edge.QueryBatchRequest(together)) if together else ())
    return [
        whole(
            shard,
            schema,
            plain,
            _answer(shard, schema, plain, found, None if first is None else next(points)),
        )
        for (plain, _), found, first in zip(queries, searches, firsts, strict=True)
    ]


def whole(shard: Any, schema: CollectionSchema, plain: Plain, found: list[Found]) -> list[Found]:
    """Return the hits. ``StoreDamaged`` where one has no payload, as a shard of damaged files hands them out:
    every point of a category was given one."""
    wanted = plain["with_payload"] if _OF_EVERY_IMAGE in schema.indexes else None
    empty = [hit.id for hit in found if not hit.payload] if wanted else []
    if empty and isinstance(wanted, list):  # these may have none of the fields that were asked for
        empty = [str(one.id) for one in shard.retrieve(empty, True, False) if not one.payload]
    if empty:
        raise StoreDamaged(
            f"{len(empty)} of {len(found)} points have lost what was stored of them, such as {empty[0]}. "
            "`vitrine check --repair` brings back what can be.",
            ids=empty[:100],
        )
    return found


def _searches(
    shard: Any, schema: CollectionSchema, plain: Plain, arrays: Arrays, reach: Reach
) -> list[_Search]:
    """Return the searches of a query, one by each of its vectors."""
    if plain["ask"] not in ("near", "fuse"):
        return []
    filter = to_edge(plain["filter"], without=tuple(plain["exclude"]))
    vectors = [_vector_of(shard, schema, plain)] if "point" in plain else arrays
    return [
        _Search(shard, plain, filter, using, vector, reach)
        for using, vector in zip(plain["using"], vectors, strict=True)
    ]


def _vector_of(shard: Any, schema: CollectionSchema, plain: Plain) -> NDArray[np.float32]:
    """Return the vector of the point that is asked by, (dim,), as it is given to those who read it."""
    import numpy as np

    id, (using,) = plain["point"], plain["using"]
    found = shard.retrieve([id], False, [using])
    if not found:
        raise no_image(schema.name, id)
    vectors = found[0].vector or {}
    if using not in vectors:
        raise no_vector(id, using)
    try:
        vector: NDArray[np.float32] = unit_rows(np.asarray(vectors[using], dtype=np.float32)[None])[0]
    except StoreDamaged as error:
        raise StoreDamaged(
            f"The vector {using!r} of image {id} is not as it was stored. `vitrine check --repair` computes "
            "it again.",
            id=id,
            using=using,
        ) from error
    return vector


def _answer(
    shard: Any, schema: CollectionSchema, plain: Plain, searches: list[_Search], points: list[Any] | None
) -> list[Found]:
    if plain["ask"] == "order":
        return _ordered(shard, schema, plain)
    if plain["ask"] == "random":
        return _random(shard, plain)
    if plain["ask"] == "fuse":
        sides = [(one.asked, one.nearest) for one in searches]
        ranked = fused(sides, plain["k"], plain["offset"], plain["limit"])
        return _with_scores(shard, ranked, plain)
    return searches[0].page(points)


def _random(shard: Any, plain: Plain) -> list[Found]:
    request = edge.QueryRequest(
        query=edge.Sample.Random,
        limit=plain["limit"],
        offset=0,
        filter=to_edge(plain["filter"], without=tuple(plain["exclude"])),
        with_payload=_selected(plain),
        with_vector=plain["with_vectors"] or False,
    )
    return [_found(point) for point in shard.query(request)]


class _Search:
    """The nearest to one vector of a query."""

    def __init__(self, shard: Any, plain: Plain, filter: Any, using: str, vector: Any, reach: Reach) -> None:
        self._reach, self._filtered = reach, bool(plain["filter"])
        breadth = reach.filtered if self._filtered else reach.plain
        self.asked = Asked(
            vector, plain["offset"], plain["limit"], plain["min_similarity"], plain["exact"], breadth
        )
        self._shard, self._plain, self._filter = shard, plain, filter
        self._query = edge.Query.Nearest(vector, using)

    def first(self) -> Any:
        """Return the question that may answer the query; None where it takes several."""
        depth = self.asked.quick_depth
        if depth is None:
            return None
        return self._request(depth, _selected(self._plain), self._plain["with_vectors"] or False)

    def page(self, points: list[Any] | None) -> list[Found]:
        """Return the page, where it can be from the ``points`` that ``first`` has given."""
        if points is not None:
            by_id = {point.id.int: point for point in points}
            page = quick(self.asked, [(number, point.score) for number, point in by_id.items()])
            if page is not None:
                return [_found(by_id[number], similarity) for number, similarity in page]
        return _with_scores(self._shard, deep(self.asked, self.nearest), self._plain)

    def nearest(self, depth: int) -> list[tuple[int, float]]:
        """Return the nearest points and their scores, ids as numbers: there are many, and few of them are
        shown."""
        points = self._shard.query(self._request(depth, False, False))
        return [(point.id.int, point.score) for point in points]

    def _request(self, depth: int, with_payload: Any, with_vector: Any) -> Any:
        return edge.QueryRequest(
            query=self._query,
            limit=depth,
            offset=0,
            filter=self._filter,
            score_threshold=self.asked.threshold,
            with_payload=with_payload,
            with_vector=with_vector,
            params=edge.SearchParams(exact=True)
            if self.asked.exact
            else self._reach.params(filtered=self._filtered, depth=depth),
        )


def _found(point: Any, score: float | None = None) -> Found:
    return Found(str(point.id), score, point.payload, point.vector or {})


def _selected(plain: Plain) -> Any:
    """Return what the engine is to return of payloads."""
    wanted = plain["with_payload"]
    return edge.PayloadSelector.Exclude(wanted["exclude"]) if isinstance(wanted, dict) else wanted


def _with_scores(shard: Any, ranked: list[tuple[int, float]], plain: Plain) -> list[Found]:
    scores = {str(UUID(int=number)): score for number, score in ranked}
    if not (plain["with_payload"] or plain["with_vectors"]):
        return [Found(id, score, None, {}) for id, score in scores.items()]
    return [replace(found, score=scores[found.id]) for found in fetch(shard, list(scores), plain)]


def _ordered(shard: Any, schema: CollectionSchema, plain: Plain) -> list[Found]:
    filter = to_edge(plain["filter"], without=tuple(plain["exclude"]))
    listing = _listing(shard, schema, plain, filter)
    found = listing.after(None, plain["offset"] + plain["limit"])[plain["offset"] :]
    return fetch(shard, [id for _, id, _ in found], plain)


def _listing(shard: Any, schema: CollectionSchema, plain: Plain, filter: Any) -> _Listing:
    field = plain["field"]
    return _Listing(engine_path(field), schema.indexes[field], plain["descending"], shard, filter)


@dataclass(frozen=True)
class _Listing(OrderedListing[None]):
    """The points of ``shard`` that match the engine's ``filter``."""

    shard: Any
    filter: Any

    def by_value(self, also: Plain, start: Value | None, limit: int) -> list[tuple[Value, str, None]]:
        direction = edge.Direction.Desc if self.descending else edge.Direction.Asc
        request = edge.ScrollRequest(
            limit=limit,
            filter=self._both(also),
            with_payload=False,
            with_vector=False,
            order_by=edge.OrderBy(self.field, direction, start),
        )
        return [(record.order_value, str(record.id), None) for record in self.shard.scroll(request)[0]]

    def by_id(self, also: Plain, after: str | None, limit: int) -> list[tuple[str, None]]:
        number = -1 if after is None else UUID(after).int
        if number == _LAST_ID:
            return []
        request = edge.ScrollRequest(
            offset=str(UUID(int=number + 1)),
            limit=limit,
            filter=self._both(also),
            with_payload=False,
            with_vector=False,
        )
        return [(str(record.id), None) for record in self.shard.scroll(request)[0]]

    def count(self, also: Plain) -> int:
        return int(self.shard.count(edge.CountRequest(exact=True, filter=self._both(also))))

    def _both(self, also: Plain) -> Any:
        filters = [each for each in (self.filter, to_edge(also)) if each]
        return edge.Filter(must=filters) if filters else None


def fetch(shard: Any, ids: list[str], plain: Plain) -> list[Found]:
    """Return the points of ``ids`` that exist, in that order."""
    records = shard.retrieve(ids, _selected(plain), plain["with_vectors"] or False)
    by_id = {str(record.id): record for record in records}
    return [_found(by_id[id]) for id in ids if id in by_id]


def scroll(shard: Any, schema: CollectionSchema, plain: Plain) -> tuple[list[Found], Any]:
    """Return one page, and the position after it: an id, or [value, id]; None at the end."""
    position, limit = plain["position"], plain["limit"]
    filter = to_edge(plain["filter"])
    if plain["field"] is None:
        records, following = shard.scroll(
            edge.ScrollRequest(
                offset=position,
                limit=limit,
                filter=filter,
                with_payload=_selected(plain),
                with_vector=plain["with_vectors"] or False,
            )
        )
        page = whole(shard, schema, plain, [_found(record) for record in records])
        return page, None if following is None else str(following)
    listing = _listing(shard, schema, plain, filter)
    found = listing.after(None if position is None else (position[0], position[1]), limit + 1)
    page = whole(shard, schema, plain, fetch(shard, [id for _, id, _ in found[:limit]], plain))
    return page, found[limit - 1][:2] if len(found) > limit else None


def facet(shard: Any, plain: Plain, points: int) -> list[tuple[Any, int]]:
    """Return (value, count), most frequent first and in order of value where equal; exact.

    ``points`` is how many there are. The engine's quick way counts within each segment and adds up, a hundred
    times faster than its exact one; it errs only where a point is in two segments, and then the engine counts
    more points than there are.
    """
    exact = shard.info().points_count != points
    request = edge.FacetRequest(
        engine_path(plain["field"]), limit=plain["limit"], exact=exact, filter=to_edge(plain["filter"])
    )
    found = ((hit.value, hit.count) for hit in shard.facet(request).hits if hit.count)
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def count(shard: Any, filter: Plain | None) -> int:
    """Return the exact number of matching points."""
    return int(shard.count(edge.CountRequest(exact=True, filter=to_edge(filter))))


def pack(answers: list[list[Found]], with_vectors: list[list[str]]) -> tuple[Header, Arrays]:
    """Return answers as one message: hits as [id, score], the payloads of all of them as texts, and for each
    vector name the hits that have it, as one matrix."""
    payloads = [payload_json(hit.payload) for found in answers for hit in found]
    header: Header = {"answers": [], "blocks": [], "texts": payloads}
    arrays: Arrays = []
    for index, (found, names) in enumerate(zip(answers, with_vectors, strict=True)):
        header["answers"].append([[hit.id, hit.score] for hit in found])
        for name in names:
            rows = [row for row, hit in enumerate(found) if name in hit.vectors]
            if rows:
                header["blocks"].append([index, name, rows])
                arrays.append(_matrix([found[row].vectors[name] for row in rows]))
    return header, arrays


def _matrix(vectors: list[list[float]]) -> NDArray[np.float32]:
    import numpy as np

    return np.array(vectors, dtype=np.float32)
