"""How a map is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vitrine.services.options import Options, option

Method = Literal["umap", "pca"]
Metric = Literal["cosine", "euclidean"]


@dataclass(frozen=True)
class MapOptions(Options):
    """How a map is made: by UMAP (McInnes et al., 2018), whose options ``neighbours``, ``min_dist``,
    ``metric`` and ``sample`` are, or by PCA."""

    method: Method = option("umap", "umap, or pca, the quick one.")
    neighbours: int = option(15, "UMAP: nearest images that hold one in its place.", ge=2, le=200)
    min_dist: float = option(0.1, "UMAP: least distance between images on the map.", ge=0, le=1)
    metric: Metric = option("cosine", "UMAP: the distance of vectors; cosine is about their mean.")
    seed: int = option(0, "Seed of everything that is drawn at random.", ge=0)
    sample: int = option(20_000, "UMAP: images that it is fitted on; the others are put among them.", ge=10)

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that its method uses."""
        if self.method == "pca":
            return {}
        return {name: getattr(self, name) for name in ("neighbours", "min_dist", "metric", "sample")}
