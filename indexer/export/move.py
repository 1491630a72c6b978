"""Moves pictures out of a category into a folder: the file is copied durably, then the point is removed, then
the object.

Before the points of a page are removed, the keys of its objects are written to a journal in the folder; the
next move into it removes those that a kill left without a point. So at any moment every picture is in the
category, in the folder, or in both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vitrine.indexer.export.folders import ExportedImage, same_content
from vitrine.services.errors import BadRequest
from vitrine.services.files import sync, unwritable
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime

JOURNAL = ".vitrine-move.json"


class Mover:
    """Removes images whose files are in ``target``: the ``placed`` of ``export_folders``. ``moved``: how
    many.

    ``BadRequest`` if the folder cannot be written or read.
    """

    def __init__(self, runtime: Runtime, category: str, target: Path) -> None:
        self._runtime = runtime
        self._category = category
        self._target = target
        self._data = os.path.realpath(runtime.settings.data)
        self.moved = 0

    def complete(self) -> None:
        """Remove what an interrupted move into the folder has left: objects without a point."""
        if not (self._target / JOURNAL).exists():
            return
        noted = self._noted()
        with self._runtime.catalog.writing(self._category):
            hits = self._runtime.vectors.retrieve(self._category, list(noted), with_payload=False)
            for (_, key), hit in zip(noted.items(), hits, strict=True):
                if hit is None:
                    self._runtime.objects.delete(key)
        self._forget()

    def __call__(self, placed: Sequence[ExportedImage]) -> dict[str, str]:
        """Remove images, and return the reasons of those that stay, by id: their file is a link, or has
        changed."""
        reasons = {image.id: reason for image in placed if (reason := self._refusal(image))}
        leaving = [image for image in placed if image.id not in reasons]
        if leaving:
            self._sync({path for image in leaving for path in image.files})
            self._note({image.id: image.object_key for image in leaving})
            self.moved += self._runtime.editor.remove(self._category, [image.id for image in leaving])
            self._forget()
        return reasons

    def _refusal(self, image: ExportedImage) -> str:
        """Return why an image must stay; "" if its files are whole."""
        for path in image.files:
            real = os.path.realpath(path)
            if path.is_symlink() or real == self._data or real.startswith(self._data + os.sep):
                return "linked_file"
            if not same_content(path, image.sha256):
                return "file_changed"
        return "" if image.files else "file_missing"

    def _sync(self, files: set[Path]) -> None:
        """Make files durable, with their names and the names of the folders above them up to the target."""
        folders = {folder for path in files for folder in path.parents if folder.is_relative_to(self._target)}
        try:
            for path in [*files, *folders]:
                sync(path)
        except OSError as error:
            raise BadRequest(
                f"{self._target} cannot be written durably ({error.strerror}): no picture was removed."
            ) from error
        for folder in self._target.absolute().parents:  # the target may be new
            with suppress(OSError):  # a folder that cannot be read was there before
                sync(folder)

    def _note(self, keys: dict[str, str]) -> None:
        path = self._target / JOURNAL
        partial_path = path.with_name(f"{JOURNAL}.part")
        try:
            partial_path.write_text(
                json.dumps({"category": self._category, "objects": keys}), encoding="utf-8"
            )
            self._sync({partial_path})
            os.replace(partial_path, path)
            self._sync({path})
        except OSError as error:
            raise unwritable(path, error) from error

    def _noted(self) -> dict[str, str]:
        """Return the keys of objects by image id that an interrupted move has written to the journal, as far
        as they are valid."""
        path = self._target / JOURNAL
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            if tree["category"] != self._category:
                raise BadRequest(
                    f"A move of category {tree['category']!r} into {self._target} was interrupted: "
                    "complete it first."
                )
            return {id: key for id, key in tree["objects"].items() if self._fits(id, key)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadRequest(f"{path} cannot be read: look into it, and remove it to go on.") from error

    def _fits(self, id: str, key: str) -> bool:
        """Return whether this key can belong to the picture of this category with this id."""
        return (
            key.startswith(f"{self._category}/images/")
            and point_id(key.rpartition("/")[2].partition(".")[0]) == id
        )

    def _forget(self) -> None:
        path = self._target / JOURNAL
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise BadRequest(
                f"{path} cannot be removed ({error.strerror or error}): make {self._target} writable."
            ) from error
