"""How far a search looks into an index of several graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.shard import OVERSAMPLING
from vitrine.services.vector_store.ranked import BREADTH

_TOGETHER: Final = 320
_LEAST: Final = 64
_FILTERED: Final = 96
_FEW_GRAPHS: Final = 4
_ACORN_BELOW: Final = 0.4


@dataclass(frozen=True)
class Reach:
    """``plain`` and ``filtered``: how many candidates each graph is asked for, without and with a filter. Of
    many graphs each holds but a few of the nearest, and their answers add up.

    ``acorn``: filters that leave less than 40 % also follow the neighbours of neighbours. Without it a graph
    finds 0.84 to 0.91 of what such a filter leaves of the nearest at 24 candidates, with it 0.995; it takes
    about three times as long, which many graphs cannot afford: they ask for more candidates instead.

    64 candidates of each are the fewest: of a million points in ten graphs they find 0.984 of the nearest,
    32 of each 0.967 for the same processor time, and 96 of each 0.990 for a quarter more.
    """

    plain: int = BREADTH
    filtered: int = BREADTH
    acorn: bool = True

    @classmethod
    def into(cls, shard: Any) -> Self:
        """Return the reach for a shard as it is now."""
        graphs = max(1, int(shard.info().segments_count) - 1)  # one segment takes what is written
        plain = min(BREADTH, max(_LEAST, _TOGETHER // graphs))
        few = graphs <= _FEW_GRAPHS
        return cls(plain, plain if few else max(plain, _FILTERED), few)

    def params(self, *, filtered: bool, depth: int) -> Any:
        """Return the engine's settings of a search for ``depth`` hits.

        Of quantised copies as many candidates are compared by the vectors themselves, or twice the depth
        where that is more: so few hits are the first of many.
        """
        breadth = self.filtered if filtered else self.plain
        oversampling = (breadth + 0.5) / depth if depth <= breadth else OVERSAMPLING
        return edge.SearchParams(
            hnsw_ef=breadth,
            quantization=edge.QuantizationSearchParams(rescore=True, oversampling=oversampling),
            acorn=edge.AcornSearchParams(True, _ACORN_BELOW) if filtered and self.acorn else None,
        )
