"""What pictures of a cluster run are made from: images of each node as they are now, and small versions of
some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from vitrine.indexer.job.workers import in_order
from vitrine.services.artifacts.clusters import ROOT, ClusterRun, Node
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Hit
from vitrine.services.errors import BadRequest, ImageRefused, NotFound
from vitrine.services.images.open import thumbnail
from vitrine.services.runtime import Runtime
from vitrine.services.vector_store.base import MAX_LIMIT

_FIELDS = ("object_key",)
_PAGE, _AHEAD = 500, 32


@dataclass(frozen=True)
class Wanted:
    """A picture to be made small: ``width`` and ``height`` in pixels, which it fills, cut at its longer side;
    ``whole``: which it fits into, uncut."""

    image: str
    width: int
    height: int
    whole: bool = False


def node_counts(
    runtime: Runtime, category: str, run: ClusterRun, conditions: Conditions, levels: int | None = None
) -> dict[str, int]:
    """Images by node as they are now, of those that meet the conditions, down to ``levels`` below the root
    (None: all)."""
    wanted = [id for id, node in run.nodes.items() if levels is None or node.depth <= levels]
    inside = _within(conditions, run, ROOT)
    told = {
        facet.value: facet.count
        for facet in runtime.searcher.facets(category, run.payload_field, inside, limit=MAX_LIMIT)
    }
    if len(told) < MAX_LIMIT:
        return {id: told.get(id, 0) for id in wanted}
    # more nodes than a facet tells of: those that were left out are counted one by one
    return {
        id: told[id] if id in told else runtime.searcher.count(category, _within(conditions, run, id))
        for id in wanted
    }


def members(
    runtime: Runtime,
    category: str,
    run: ClusterRun,
    node: Node,
    conditions: Conditions,
    limit: int,
    *,
    more: bool = False,
) -> list[str]:
    """Ids of at most ``limit`` images to show a node by: the medoid, the other representatives, and with
    ``more`` some of the rest. With conditions only images that meet them, so that a node may have none."""
    chosen = _there(
        runtime,
        category,
        list(dict.fromkeys(filter(None, (node.medoid, *node.representatives))))[:limit],
        conditions,
    )
    if len(chosen) < (limit if more or conditions != Conditions() else 1):
        # ids are hashes of the content: the lowest are as good as drawn at random, and the same each time
        others = runtime.searcher.listing(category, _within(conditions, run, node.id), limit=limit).hits
        chosen = list(dict.fromkeys([*chosen, *(hit.id for hit in others)]))[:limit]
    return chosen


def _there(runtime: Runtime, category: str, ids: list[str], conditions: Conditions) -> list[str]:
    """Those of the images that are still there and meet the conditions."""
    if conditions == Conditions():
        return [
            hit.id for hit in runtime.vectors.retrieve(category, ids, with_payload=False) if hit is not None
        ]
    asked = [id for id in ids if not conditions.ids or id in conditions.ids] or [_NOBODY]
    page = runtime.searcher.listing(
        category, conditions.model_copy(update={"ids": tuple(asked)}), limit=len(asked)
    )
    there = {hit.id for hit in page.hits}
    return [id for id in ids if id in there]


def small_pictures(
    runtime: Runtime, category: str, wanted: Sequence[Wanted], *, tell: Callable[[int], None] | None = None
) -> Iterator[Image.Image | None]:
    """RGB pictures in the order of ``wanted``; None where the image or its file is gone or does not
    decode."""
    threads = runtime.settings.threads or 2
    with ThreadPoolExecutor(threads, "thumbnails") as pool:
        jobs = _with_keys(runtime, category, wanted)
        for number, picture in enumerate(in_order(pool, lambda job: _small(runtime, *job), jobs, _AHEAD), 1):
            if tell:
                tell(number)
            yield picture


def _with_keys(
    runtime: Runtime, category: str, wanted: Sequence[Wanted]
) -> Iterator[tuple[Wanted, Hit | None]]:
    for start in range(0, len(wanted), _PAGE):
        page = wanted[start : start + _PAGE]
        yield from zip(page, _retrieve(runtime, category, [one.image for one in page]), strict=True)


def _retrieve(runtime: Runtime, category: str, ids: Iterable[str]) -> list[Hit | None]:
    asked = list(ids)
    found: Mapping[str, Hit] = {
        hit.id: hit
        for hit in runtime.vectors.retrieve(category, list(dict.fromkeys(asked)), with_payload=_FIELDS)
        if hit is not None
    }
    return [found.get(id) for id in asked]


def _small(runtime: Runtime, wanted: Wanted, hit: Hit | None) -> Image.Image | None:
    size = max(1, wanted.width), max(1, wanted.height)
    if hit is None:
        return None
    try:
        data = runtime.objects.get(str(hit.payload.get("object_key", "")))
        # twice the longer side: enough after cutting a picture of twice that aspect
        small = thumbnail(data, 2 * max(size), limits=runtime.limits, budget=runtime.budget)[0]
        scaled = ImageOps.contain if wanted.whole else ImageOps.fit
        return scaled(Image.open(BytesIO(small)).convert("RGB"), size, Image.Resampling.LANCZOS)
    except (NotFound, BadRequest, ImageRefused):
        return None


def _within(conditions: Conditions, run: ClusterRun, node: str) -> Conditions:
    """The conditions, and in this node. A person's own ``--where cluster.RUN=...`` must agree: it names a
    node below or above."""
    asked = conditions.clusters.get(run.run)
    if asked is not None and not _on_one_path(asked, node):
        return conditions.model_copy(update={"ids": (_NOBODY,)})
    deeper = node if asked is None or len(node) >= len(asked) else asked
    return conditions.model_copy(update={"clusters": {**conditions.clusters, run.run: deeper}})


_NOBODY = "00000000-0000-0000-0000-000000000000"


def _on_one_path(one: str, other: str) -> bool:
    return f"{one}-".startswith(f"{other}-") or f"{other}-".startswith(f"{one}-")
