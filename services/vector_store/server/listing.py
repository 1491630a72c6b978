"""Read points of a server collection in order of a field, page after page."""

from __future__ import annotations

from dataclasses import dataclass

from qdrant_client import QdrantClient, models

from vitrine.services.vector_store.ordered import OrderedListing, Plain, Value, moment

Found = tuple[Value, str, models.Record]


@dataclass(frozen=True)
class Listing(OrderedListing[models.Record]):
    """The points of ``collection`` that match ``filter``, with what is returned of each."""

    client: QdrantClient
    collection: str
    filter: models.Filter | None
    with_payload: bool | list[str] | models.PayloadSelectorExclude
    with_vectors: bool | list[str]

    def by_value(self, also: Plain, start: Value | None, limit: int) -> list[Found]:
        direction = models.Direction.DESC if self.descending else models.Direction.ASC
        order = models.OrderBy(key=self.field, direction=direction, start_from=self.start_from(start))
        records, _ = self.client.scroll(
            self.collection,
            scroll_filter=self._both(also),
            limit=limit,
            order_by=order,
            with_payload=self.with_payload,
            with_vectors=self.with_vectors,
        )
        return [
            (record.order_value, str(record.id), record)
            for record in records
            if record.order_value is not None
        ]

    def by_id(self, also: Plain, after: str | None, limit: int) -> list[tuple[str, models.Record]]:
        records, _ = self.client.scroll(
            self.collection,
            scroll_filter=self._both(also),
            limit=limit + 1,
            offset=after,  # it starts with this point itself, while it is there
            with_payload=self.with_payload,
            with_vectors=self.with_vectors,
        )
        return [(str(record.id), record) for record in records if str(record.id) != after][:limit]

    def count(self, also: Plain) -> int:
        return self.client.count(self.collection, self._both(also), exact=True).count

    def start_from(self, start: Value | None) -> models.StartFrom | None:
        """Return the value to start at as the server takes it."""
        if start is None or self.kind == "float":
            return start
        if self.kind == "datetime":
            return moment(start)
        return max(-(2**63), min(int(start), 2**63 - 1))

    def _both(self, also: Plain) -> models.Filter | None:
        if not also:
            return self.filter
        more = models.Filter.model_validate(also)
        return more if self.filter is None else models.Filter(must=[self.filter, more])
