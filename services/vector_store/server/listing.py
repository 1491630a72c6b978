"""Read all matching points of a server collection page by page, in order of id or of a field."""

from __future__ import annotations

from dataclasses import dataclass

from qdrant_client import QdrantClient, models

from vitrine.services.domain import IndexKind, OrderBy
from vitrine.services.vector_store.server.query import OrderValue, Position, any_value, earlier, equals, past

Found = tuple[models.Record, OrderValue]
_MOST = 1 << 20
"""More than this is asked for only if there are more."""


@dataclass(frozen=True)
class Listing:
    """The points of ``collection`` that match ``filter``, with what is returned of each."""

    client: QdrantClient
    collection: str
    filter: models.Filter | None
    with_payload: bool | list[str]
    with_vectors: bool | list[str]

    def by_id(
        self, start: str | None, limit: int, also: models.Condition | None = None
    ) -> tuple[list[models.Record], str | None]:
        """Return up to ``limit`` points from id ``start`` on, and the id that the next page starts with."""
        records, following = self.client.scroll(
            self.collection,
            scroll_filter=self._filter(also),
            limit=limit,
            offset=start,
            with_payload=self.with_payload,
            with_vectors=self.with_vectors,
        )
        return records, None if following is None else str(following)

    def by_value(self, order: OrderBy, kind: IndexKind, after: Position | None, limit: int) -> list[Found]:
        """Return up to ``limit`` points after the position, by value and, among equal values, by id.

        The server orders by value alone and gives no cursor. So points of equal value, which a page may cut
        anywhere, are listed by id instead: positions stay two values long, however many points share one.

        The server also lists a point once for each of its values. Its first one counts here: points that have
        a value before the position were listed there, and are left out by a filter. (Integers from 2**53 on
        that a list keeps within one float64 of each other are the exception: a filter cannot tell them apart,
        and such a point may come twice.)
        """
        found = [] if after is None else self._ties(order, kind, after[0], after[1], limit)
        missing = limit - len(found)
        if missing == 0:
            return found
        beyond = self._beyond(order, kind, None if after is None else after[0], missing)
        if len(beyond) == missing:
            cut = beyond[-1][1]
            beyond = [item for item in beyond if item[1] != cut]
            beyond += self._ties(order, kind, cut, None, missing - len(beyond))
        beyond.sort(key=lambda item: (-item[1] if order.descending else item[1], str(item[0].id)))
        return found + beyond

    def _ties(
        self, order: OrderBy, kind: IndexKind, value: OrderValue, after: str | None, limit: int
    ) -> list[Found]:
        firsts = models.Filter(
            must=equals(order.field, kind, value), must_not=earlier(order, kind, value, including=False)
        )
        # starts with the point ``after`` itself, while it is there
        records, _ = self.by_id(after, limit + 1, also=firsts)
        return [(record, value) for record in records if str(record.id) != after][:limit]

    def _beyond(self, order: OrderBy, kind: IndexKind, value: OrderValue | None, limit: int) -> list[Found]:
        direction = models.Direction.DESC if order.descending else models.Direction.ASC
        start = None if value is None else past(order, kind, value)
        later = None if value is None else models.Filter(must_not=earlier(order, kind, value, including=True))
        filter = self._filter(later)
        asked = limit
        while True:
            records, _ = self.client.scroll(
                self.collection,
                scroll_filter=filter,
                limit=asked,
                order_by=models.OrderBy(key=order.field, direction=direction, start_from=start),
                with_payload=self.with_payload,
                with_vectors=self.with_vectors,
            )
            firsts: dict[str, Found] = {}
            for record in records:
                at = record.order_value
                if at is not None and (value is None or (at < value if order.descending else at > value)):
                    firsts.setdefault(str(record.id), (record, at))
            # It also counts a value that a point repeats, though it gives it once: fewer than asked for need
            # not be all. And from 2**53 on the start lies before the value (see ``past``), and the rest is
            # further down.
            is_all = len(records) < asked and (
                len(firsts) >= self._having(order, kind, filter) or asked > _MOST
            )
            if len(firsts) >= limit or is_all:
                return list(firsts.values())[:limit]
            asked *= 2

    def _having(self, order: OrderBy, kind: IndexKind, filter: models.Filter | None) -> int:
        """Return how many points of ``filter`` have a value."""
        both = models.Filter(must=[any_value(order.field, kind), *([filter] if filter else [])])
        return self.client.count(self.collection, both, exact=True).count

    def _filter(self, also: models.Condition | None) -> models.Filter | None:
        if also is None:
            return self.filter
        return models.Filter(must=[also] if self.filter is None else [self.filter, also])
