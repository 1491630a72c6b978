"""Read the pixels of images and of random views of them, and embed them by a frozen trunk.

With the embeddings in the cache a run needs neither the pictures nor the trunk.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.services.domain import Embeddings, Preprocessing
from vitrine.services.encoders.batching import StagedEncoder
from vitrine.services.encoders.preprocess import Pixels, fit
from vitrine.services.errors import VitrineError
from vitrine.services.images.open import ImageLimits, open_image
from vitrine.training.data.dataset import LabelledImage
from vitrine.training.metric.augment import augment
from vitrine.training.metric.options import Augmentation
from vitrine.training.metric.trunk import Trunk

Tell = Callable[[str, int, int], None]
"""Gets what is being done, how many images are done, and of how many."""
_AHEAD = 64


@dataclass(frozen=True)
class PixelReader:
    """Decode images and fit them to a trunk on ``threads`` threads.

    ``view`` 0 is the image as it is served; the others are random, decided by the view's number and the
    image's content alone.
    """

    preprocessing: Preprocessing
    how: Augmentation = field(default_factory=Augmentation)
    threads: int = 2
    limits: ImageLimits = field(default_factory=ImageLimits)

    def read(self, images: Sequence[LabelledImage], view: int = 0) -> Iterator[Pixels]:
        """Yield (height, width, 3) uint8 of each image, in order. Raises what its ``read`` raises, and
        ``ImageRefused``."""
        with ThreadPoolExecutor(self.threads, "views") as pool:
            ahead = deque(pool.submit(self._one, image, view) for image in images[:_AHEAD])
            for image in images[_AHEAD:]:  # not all at once, so that Ctrl-C need not wait for them
                yield ahead.popleft().result()
                ahead.append(pool.submit(self._one, image, view))
            while ahead:
                yield ahead.popleft().result()

    def _one(self, image: LabelledImage, view: int) -> Pixels:
        opened = open_image(
            image.read(), target=self.preprocessing.target, limits=self.limits, sha256=image.sha256 or None
        )
        if not view:
            return fit(opened.image, self.preprocessing)
        seed = int(opened.sha256[:16], 16)
        return augment(opened.image, self.preprocessing, np.random.default_rng((view, seed)), self.how)


class TrunkEmbeddings:
    """Embed images by a frozen trunk, and keep the embeddings in ``folder`` (None: do not keep them)."""

    def __init__(
        self, trunk: Trunk, reader: PixelReader, folder: Path | None = None, tell: Tell | None = None
    ) -> None:
        self._trunk = trunk
        self._reader = reader
        self._folder = folder
        self._tell = tell or (lambda what, done, total: None)
        self.precision: str = trunk.wanted
        """The trunk's precision, once something was embedded or found."""

    def rows(self, images: Sequence[LabelledImage], view: int = 0) -> Embeddings:
        """Return embeddings (n, dim) float32, L2-normalised, of view ``view`` of each image; where all images
        carry a stored embedding, that is view 0."""
        stored = [image.embedding for image in images if image.embedding is not None]
        if not view and images and len(stored) == len(images):
            return np.stack(stored).astype(np.float32)
        known, precision = self._read(view)
        missing = list({image.sha256: image for image in images if image.sha256 not in known}.values())
        if missing:
            what = f"embedding view {view}" if view else "embedding"
            rows = embed_pixels(self._trunk.encoder(), self._reader, missing, self._tell, what, view)
            known |= dict(zip((image.sha256 for image in missing), rows, strict=True))
            precision = str(getattr(self._trunk.encoder(), "precision", "float32"))
            self._write(view, known, precision)
        self.precision = precision
        return np.stack([known[image.sha256] for image in images])

    def _path(self, view: int) -> Path | None:
        if self._folder is None:
            return None
        how = json.dumps(asdict(self._reader.how)) if view else ""
        digest = hashlib.sha256(f"{self._trunk.key} {view} {how}".encode()).hexdigest()
        return self._folder / f"{digest[:24]}.safetensors"

    def _read(self, view: int) -> tuple[dict[str, NDArray[np.float32]], str]:
        from safetensors import SafetensorError, safe_open

        path = self._path(view)
        if path is None or not path.is_file():
            return {}, self._trunk.wanted
        try:
            with safe_open(path, framework="np") as file:
                hashes, rows = file.get_tensor("sha256"), file.get_tensor("rows")
                precision = (file.metadata() or {})["precision"]
        except (OSError, SafetensorError, KeyError):
            return {}, self._trunk.wanted  # damaged: made again
        return dict(zip((digest.tobytes().hex() for digest in hashes), rows, strict=True)), precision

    def _write(self, view: int, known: dict[str, NDArray[np.float32]], precision: str) -> None:
        from safetensors.numpy import save_file

        path = self._path(view)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        hashes = np.frombuffer(b"".join(map(bytes.fromhex, known)), np.uint8).reshape(-1, 32)
        fresh = path.with_suffix(".tmp")
        save_file(
            {"sha256": hashes.copy(), "rows": np.stack(list(known.values()))}, fresh, {"precision": precision}
        )
        fresh.replace(path)


def embed_pixels(
    encoder: StagedEncoder,
    reader: PixelReader,
    images: Sequence[LabelledImage],
    tell: Tell,
    what: str,
    view: int = 0,
) -> Embeddings:
    """Return embeddings (n, dim) of one view of each image; ``tell`` is given ``what``, and how many are
    done."""
    parts, done = [np.empty((0, encoder.spec.dim), np.float32)], 0
    pixels = reader.read(images, view)
    while some := list(islice(pixels, _AHEAD)):
        parts.append(encoder.encode_pixels(some))
        done += len(some)
        tell(what, done, len(images))
    return np.concatenate(parts)


def small_pictures(images: Sequence[LabelledImage], edge: int = 64) -> list[Image.Image]:
    """Return each image within ``edge`` x ``edge`` pixels, in order; grey where it cannot be read any
    more."""
    limits, pictures = ImageLimits(), []
    for image in images:
        try:
            opened = open_image(image.read(), target=edge, limits=limits, sha256=image.sha256 or None).image
            opened.thumbnail((edge, edge))
        except (OSError, VitrineError):
            opened = Image.new("RGB", (edge, edge), "grey")
        pictures.append(opened)
    return pictures
