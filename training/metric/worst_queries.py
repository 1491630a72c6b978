"""Find the searches that went most wrong, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.retrieval_metrics import nearest
from vitrine.services.errors import VitrineError
from vitrine.services.images.contact_sheet import Tile, contact_sheet
from vitrine.training.data.dataset import LabelledImage

_DEPTH = 10


@dataclass(frozen=True, eq=False)
class Retrieval:
    """A query, and the images of other classes among its nearest, nearest first, with cosine similarities.
    ``right`` counts the images of its class among its ``depth`` nearest."""

    query: LabelledImage
    wrong: tuple[tuple[LabelledImage, float], ...]
    right: int
    depth: int


def worst_retrievals(
    queries: Embeddings,
    query_images: Sequence[LabelledImage],
    gallery: Embeddings | None = None,
    gallery_images: Sequence[LabelledImage] | None = None,
    *,
    count: int = 8,
    hits: int = 5,
) -> list[Retrieval]:
    """Return the ``count`` queries with the fewest images of their class among the ten nearest, with at most
    ``hits`` wrong ones of each.

    Of equally bad ones those come first whose nearest wrong image is most similar: the surest errors. Queries
    whose ten nearest are all right are left out. Without a gallery the others among the queries are it.
    """
    others = query_images if gallery_images is None else gallery_images
    order, similarities = nearest(queries, gallery, _DEPTH)
    classes = np.array([image.class_ for image in others])
    right = classes[order] == np.array([image.class_ for image in query_images])[:, None]
    surest = np.where(right, -np.inf, similarities).max(axis=1, initial=-np.inf)
    ranked = [int(row) for row in np.lexsort((-surest, right.sum(axis=1))) if not right[row].all()]
    return [
        Retrieval(
            query_images[row],
            tuple(
                (others[order[row, at]], float(similarities[row, at]))
                for at in np.flatnonzero(~right[row])[:hits]
            ),
            int(right[row].sum()),
            order.shape[1],
        )
        for row in ranked[:count]
    ]


def worst_sheet(retrievals: Sequence[Retrieval], *, tile_size: int = 160) -> Image.Image:
    """Draw one line for each query: the query framed, then its nearest wrong images with class and
    similarity."""
    columns = 1 + max((len(retrieval.wrong) for retrieval in retrievals), default=0)
    tiles: list[Tile] = []
    for retrieval in retrievals:
        found = f"{retrieval.right} of {retrieval.depth} right"
        query = retrieval.query
        tiles.append(Tile(_bytes(query), (query.class_, found, query.key), highlighted=True))
        tiles += [
            Tile(_bytes(image), (image.class_, f"similarity {similarity:.3f}", image.key))
            for image, similarity in retrieval.wrong
        ]
        tiles += [_EMPTY] * (columns - 1 - len(retrieval.wrong))
    return contact_sheet(
        tiles,
        columns=columns,
        tile_size=tile_size,
        title="Worst retrievals: the query, then its nearest wrong hits",
    )


_EMPTY = Tile(Image.new("RGB", (8, 8), (255, 255, 255)))
"""In a line that has fewer wrong hits than the longest."""


def _bytes(image: LabelledImage) -> bytes | None:
    try:
        return image.read()
    except (OSError, VitrineError):
        return None
