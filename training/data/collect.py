"""Labelled images, identified and compared with each other, ready to be split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitrine.services.domain import EncoderSpec
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.training.data.dataset import (
    LabelledImage,
    Unusable,
    identify,
    read_category,
    read_csv,
    read_folder,
)
from vitrine.training.data.duplicates import Groups, duplicate_groups
from vitrine.training.data.options import SplitOptions
from vitrine.training.data.splits import Split, split_by_class, split_by_image, split_given


@dataclass(frozen=True)
class TrainingData:
    """Identified images, those that cannot be used, and near-duplicate groups.

    ``spec``: the encoder whose stored embeddings the images carry; None where they carry none.
    """

    images: list[LabelledImage]
    unusable: list[Unusable]
    groups: Groups
    spec: EncoderSpec | None = None

    def split(self, options: SplitOptions, seed: int = 0) -> Split:
        """Divide the images; near-duplicates stay together. ``BadRequest``, ``TooFewExamples``."""
        if options.split == "class":
            return split_by_class(
                self.images,
                seed=seed,
                groups=self.groups,
                validation=options.val_classes,
                test=options.test_classes,
            )
        if options.val_classes or options.test_classes:
            raise BadRequest("--val-classes and --test-classes go with --split class.")
        if options.split == "given" or (
            options.split == "auto" and all(image.split for image in self.images)
        ):
            return split_given(self.images, seed, self.groups)
        return split_by_image(self.images, seed=seed, groups=self.groups)


def list_category(
    runtime: Runtime, category: str, label: str = "class", using: str | None = None
) -> tuple[list[LabelledImage], EncoderSpec]:
    """Return the images of a category that have a class, and the encoder whose embeddings they carry.

    ``using`` None: the category's first encoder, since its default may be one that was trained on it.
    """
    found = runtime.catalog.get(category)
    spec = found.encoder(using or found.encoders[0].name)
    images = read_category(
        runtime.catalog, runtime.vectors, runtime.objects, category, label=label, using=spec.name
    )
    return images, spec


def list_files(folder: Path | None, meta: Path | None, label: str = "class") -> list[LabelledImage]:
    """Return the images of a CSV, else of a folder with a folder for each class."""
    if meta is not None:
        return read_csv(meta, folder, label=label)
    if folder is None:
        raise BadRequest("Say what to learn from: --category NAME, --from FOLDER, or --meta CSV.")
    return read_folder(folder)


def collect(
    images: Sequence[LabelledImage],
    spec: EncoderSpec | None = None,
    *,
    threads: int = 2,
    tell: Callable[[str, int, int], None] = lambda what, done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> TrainingData:
    """Read what is needed to identify images, and find their near-duplicates.

    ``tell`` is given what is done, how many images are done, and of how many; ``note`` what is left out.
    """
    found, unusable = identify(images, lambda done, total: tell("reading", done, total), threads=threads)
    if unusable:
        first = unusable[0]
        note(f"{len(unusable)} of {len(images)} images are left out, such as {first.key}: {first.message}")
    return TrainingData(found, unusable, duplicate_groups(found), spec)
