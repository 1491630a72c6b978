"""Read points of a shard in order of a field, page after page. Runs in the engine process."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from vitrine.services.vector_store.edge.filter import to_edge
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.ordered import OrderedListing, Plain, Value

_LAST_ID = (1 << 128) - 1


@dataclass(frozen=True)
class Listing(OrderedListing[None]):
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
        number = -1 if after is None else uuid.UUID(after).int
        if number == _LAST_ID:
            return []
        request = edge.ScrollRequest(
            offset=str(uuid.UUID(int=number + 1)),
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
