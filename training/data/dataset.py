"""Read labelled images from a folder of class folders, from a CSV of files and classes, or from a category.

The bytes are read when they are asked for. ``identify`` adds what a split needs: the content hash and the
perceptual hash.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

from vitrine.services.category.catalog import Catalog
from vitrine.services.category.field_names import find_field
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Embedding
from vitrine.services.errors import BadSource, ImageRefused, TooFewExamples, VitrineError, because
from vitrine.services.images.open import ImageLimits, content_hash, open_image
from vitrine.services.images.walking import Found, walk
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.values.delimited import named_rows
from vitrine.services.values.field_paths import value_at
from vitrine.services.values.words import composed, spellings
from vitrine.services.vector_store.base import VectorStore

SplitName = Literal["train", "validation", "test"]
Progress = Callable[[int, int], None]
"""Gets how many images are done, and of how many."""

READABLE = "jpg jpeg jpe jfif mpo png apng gif webp avif bmp dib tif tiff ppm pgm pbm pnm"
"""Extensions of the formats in services/images/formats.py; other files of a class folder are passed over."""
_SUFFIXES = frozenset(f".{name}" for name in READABLE.split())
SPLITS: Mapping[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What data sets call their parts."""
_HASH_TARGET = 224
"""Pixels that a picture is decoded to for its perceptual hash, as for most encoders: the payload's hash then
differs in no bit, and in four at most where an encoder looked at 16 to 448."""
_AHEAD = 64
_PAGE = 2_000


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One picture and its class.

    ``key``: its path below the data's folder, or its id in the category. ``read`` gives the bytes of the file
    and may raise ``OSError`` or a ``VitrineError``. ``sha256`` (64 hex digits) and ``phash`` (16) are ""
    until known. ``split`` is what the data says, ``embedding`` what the category has stored.
    """

    key: str
    class_: str
    read: Callable[[], bytes]
    sha256: str = ""
    phash: str = ""
    split: SplitName | None = None
    embedding: Embedding | None = None


@dataclass(frozen=True)
class Unusable:
    """A picture that cannot be trained on: a reason of vitrine.services.errors.REFUSALS, and a sentence."""

    key: str
    reason: str
    message: str


def read_folder(folder: Path) -> list[LabelledImage]:
    """Read ``<class>/**/*.jpg``, or ``<split>/<class>/**/*.jpg`` where all folders at the top are named like
    parts of a data set.

    In order of path; hidden files and files without the extension of a picture are passed over; links are
    followed, to each folder once. ``BadSource`` without a folder or without class folders; ``TooFewExamples``
    with fewer than two classes.
    """
    if not folder.is_dir():
        raise BadSource(f"There is no folder {folder}: give one that holds a folder per class.")
    parts = {path: SPLITS.get(path.name.lower()) for path in _folders(folder)}
    if parts and all(parts.values()):
        classes = [(path, split) for part, split in parts.items() for path in _folders(part)]
    else:
        classes = [(path, None) for path in parts]
    images = [
        LabelledImage(
            Path(found.path).relative_to(folder).as_posix(),
            composed(class_folder.name),
            _reader(found),
            split=split,
        )
        for class_folder, split in classes
        for found in _pictures(class_folder)
    ]
    if not images:
        raise BadSource(
            f"{folder} has no class folders with pictures: sort them into one folder per class, as in "
            "mugs/1.jpg."
        )
    return _check_classes(images, str(folder))


def read_csv(meta: Path, folder: Path | None = None, *, label: str = "class") -> list[LabelledImage]:
    """Read a CSV with the columns ``file``, ``label`` (the class's) and, where it is there, ``split``; others
    are ignored.

    Files are named relative to ``folder``, else to the CSV's own folder. Rows without a class are left out;
    of rows that repeat file and class the first counts. ``BadSource`` names a missing column, and the row of
    a missing file, a second class for a file, or an unknown split; ``TooFewExamples`` with fewer than two
    classes.
    """
    below = folder if folder is not None else meta.parent
    images: dict[str, LabelledImage] = {}
    for row, cells in named_rows(meta, ("file", label), ("split",)):
        file, class_ = cells["file"], composed(cells[label])
        if not file and not class_:
            continue
        path = (
            next((path for text in spellings(file) if (path := below / text).is_file()), None)
            if file
            else None
        )
        if path is None:
            raise BadSource(
                f"{meta.name}, row {row}: there is no file {file!r} in {below}. Correct it, or give "
                "the folder.",
                row=row,
            )
        if not class_:
            continue
        if file in images and images[file].class_ != class_:
            known = images[file].class_
            raise BadSource(
                f"{meta.name}, row {row}: {file} is {class_!r} here and {known!r} above: keep one.", row=row
            )
        split = _split(cells.get("split", ""), f"{meta.name}, row {row}")
        images.setdefault(file, LabelledImage(file, class_, path.read_bytes, split=split))
    return _check_classes(list(images.values()), meta.name)


def read_category(
    catalog: Catalog,
    vectors: VectorStore,
    objects: ObjectStore,
    category: str,
    *,
    label: str = "class",
    split: str = "metadata.split",
    using: str | None = None,
) -> list[LabelledImage]:
    """Read the images of a category that have a class, in order of id.

    ``label``: the payload field with the class, such as ``class`` or ``metadata.brand``; a text, number or
    truth value, or a list of one. ``split``: the field that says train, validation or test; anything else
    there counts as nothing said. ``using``: the named vector (or promoted name) whose stored embeddings come
    along; an image without it has None. Raises ``NotFound``, ``UnknownVector``; ``TooFewExamples`` with fewer
    than two classes.
    """
    cat = catalog.get(category)
    name = cat.encoder(using).name if using else None
    label, split = find_field(label, cat.indexes), find_field(split, cat.indexes)
    fields = ("sha256", "phash", "object_key", label, split)
    images = [
        LabelledImage(
            hit.id,
            class_,
            partial(objects.get, hit.payload["object_key"]),
            sha256=hit.payload.get("sha256", ""),
            phash=hit.payload.get("phash", ""),
            split=SPLITS.get(_text(value_at(hit.payload, split)).lower()),
            embedding=hit.vectors.get(name) if name else None,
        )
        for page in pages(vectors, category, fields=fields, using=(name,) if name else (), size=_PAGE)
        for hit in page
        if (class_ := _text(value_at(hit.payload, label)))
    ]
    return _check_classes(images, f"category {category!r} (field {label})")


def identify(
    images: Sequence[LabelledImage],
    progress: Progress | None = None,
    *,
    limits: ImageLimits | None = None,
    threads: int = 2,
) -> tuple[list[LabelledImage], list[Unusable]]:
    """Return the images with their content hash and perceptual hash, in order, and those that cannot be read
    or decoded.

    What has both already, as an image of a category has, is not read.
    """
    caps = limits or ImageLimits()
    found: list[LabelledImage] = []
    unusable: list[Unusable] = []
    with ThreadPoolExecutor(threads, "identify") as pool:
        waiting = iter(images)
        while some := list(
            islice(waiting, _AHEAD)
        ):  # a batch at a time, so that Ctrl-C need not wait for all
            for outcome in pool.map(partial(_identify, limits=caps), some):
                found.append(outcome) if isinstance(outcome, LabelledImage) else unusable.append(outcome)
            if progress:
                progress(len(found) + len(unusable), len(images))
    return found, unusable


def fingerprint(images: Sequence[LabelledImage]) -> str:
    """Return ``sha256:...`` over the content hash and class of every image, whatever their order and names.

    ``ValueError`` before ``identify``.
    """
    if any(not image.sha256 for image in images):
        raise ValueError("identify the images first: the fingerprint is over their content")
    lines = sorted(f"{image.sha256} {image.class_}\n" for image in images)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def class_names(images: Sequence[LabelledImage]) -> list[str]:
    """Return the classes of the images, sorted."""
    return sorted({image.class_ for image in images})


def _identify(image: LabelledImage, limits: ImageLimits) -> LabelledImage | Unusable:
    if image.sha256 and image.phash:
        return image
    try:
        data = image.read()
        opened = open_image(data, target=_HASH_TARGET, limits=limits, sha256=content_hash(data))
    except ImageRefused as refusal:
        return Unusable(image.key, refusal.reason, refusal.message)
    except (OSError, VitrineError) as error:
        return Unusable(image.key, "unreadable_file", str(error))
    return replace(image, sha256=opened.sha256, phash=opened.phash)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if os.path.isdir(path) and not path.name.startswith(".")
        )
    except OSError as error:
        raise BadSource(f"{folder} cannot be read: {because(error)}.") from error


def _pictures(folder: Path) -> list[Found]:
    """Return the pictures below a class folder at any depth, with those that cannot be read."""
    found = (found for found in walk(str(folder), _is_picture) if not found.again)
    return sorted(
        (found for found in found if found.fault or _is_picture(found.path)),
        key=lambda found: Path(found.path),
    )


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _SUFFIXES


def _reader(found: Found) -> Callable[[], bytes]:
    def read() -> bytes:
        if found.fault:
            raise ImageRefused("unreadable_file", found.fault)
        return Path(found.path).read_bytes()

    return read


def _split(text: str, where: str) -> SplitName | None:
    if text and text.lower() not in SPLITS:
        raise BadSource(f"{where}: {text!r} is no split: write train, validation or test.")
    return SPLITS.get(text.lower())


def _text(value: object) -> str:
    """Return one value as a class name; "" for no value, several, and objects."""
    if isinstance(value, list):
        return _text(value[0]) if len(value) == 1 else ""
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _check_classes(images: list[LabelledImage], where: str) -> list[LabelledImage]:
    classes = class_names(images)
    if len(classes) < 2:
        seen = f"only the class {classes[0]!r}" if classes else "no image with a class"
        raise TooFewExamples(
            f"{where} has {seen}: at least two classes are needed to tell them apart.", classes=len(classes)
        )
    return images
