"""Small versions of pictures of a category, read and decoded on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from vitrine.indexer.job.workers import in_order
from vitrine.services.domain import Hit
from vitrine.services.errors import BadRequest, ImageRefused, NotFound
from vitrine.services.images.open import thumbnail
from vitrine.services.runtime import Runtime

_PAGE, _AHEAD = 500, 32


@dataclass(frozen=True)
class Wanted:
    """A picture to be made small: ``width`` and ``height`` in pixels, which it fills, cut at its longer side;
    ``whole``: which it fits into, uncut."""

    image: str
    width: int
    height: int
    whole: bool = False


def small_pictures(
    runtime: Runtime, category: str, wanted: Sequence[Wanted], *, tell: Callable[[int], None] | None = None
) -> Iterator[Image.Image | None]:
    """Yield RGB pictures in the order of ``wanted``; None where the image or its file is gone or does not
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
        for hit in runtime.vectors.retrieve(
            category, list(dict.fromkeys(asked)), with_payload=("object_key",)
        )
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
