"""Labelled images without files, for what never looks at their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from vitrine.training.data.dataset import LabelledImage, SplitName


def labelled(
    key: str, class_: str, *, phash: str = "", split: SplitName | None = None, content: str = ""
) -> LabelledImage:
    """An image whose bytes are ``content`` (its key, unless given); its perceptual hash derives from them
    too."""
    data = (content or key).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    return LabelledImage(key, class_, lambda: data, sha256, phash or distant(sha256), split)


def distant(sha256: str) -> str:
    """A perceptual hash with 32 bits set; those of different contents differ in many bits."""
    return sha256[:8] + f"{int(sha256[:8], 16) ^ 0xFFFFFFFF:08x}"


def several(counts: dict[str, int]) -> list[LabelledImage]:
    """So many different images of each class."""
    return [
        labelled(f"{name}/{number}.jpg", name) for name, count in counts.items() for number in range(count)
    ]


def keys(images: Sequence[LabelledImage], positions: Sequence[int]) -> set[str]:
    return {images[position].key for position in positions}
