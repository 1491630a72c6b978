"""Pictures that leave a category once they lie in a folder: copied out durably, then the point removed, then
the object.

Before the points of a page go, the keys of its objects are noted in the folder; the next move into it removes
those that a kill left without a point. So whenever it ends, every picture is in the category, in the folder,
or for a moment in both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vitrine.indexer.export.folders import Placed, same_content
from vitrine.services.errors import BadRequest
from vitrine.services.files import unwritable
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime

JOURNAL = ".vitrine-move.json"


class Mover:
    """Removes images whose files are in ``target``: give it as ``placed`` to ``export_folders``. ``moved``
    counts them.

    ``BadRequest`` if the folder cannot be written or read.
    """

    def __init__(self, runtime: Runtime, category: str, target: Path) -> None:
        self._runtime = runtime
        self._category = category
        self._target = target
        self._data = os.path.realpath(runtime.settings.data)
        self.moved = 0

    def complete(self) -> None:
        """Remove what an interrupted move into the folder left: objects that no point names any more."""
        if not (self._target / JOURNAL).exists():
            return
        noted = self._noted()
        with self._runtime.catalog.writing(self._category):
            hits = self._runtime.vectors.retrieve(self._category, list(noted), with_payload=False)
            for (_, key), hit in zip(noted.items(), hits, strict=True):
                if hit is None:
                    self._runtime.objects.delete(key)
        self._forget()

    def __call__(self, placed: Sequence[Placed]) -> dict[str, str]:
        """Remove images; the reasons of those that stay, by id: their file is a link, or not what was
        written."""
        reasons = {image.id: reason for image in placed if (reason := self._refusal(image))}
        leaving = [image for image in placed if image.id not in reasons]
        if leaving:
            self._sync({path for image in leaving for path in image.files})
            self._note({image.id: image.object_key for image in leaving})
            self.moved += self._runtime.editor.delete(self._category, [image.id for image in leaving])
            self._forget()
        return reasons

    def _refusal(self, image: Placed) -> str:
        """Why the files of an image are no reason to let it go; "" if they are."""
        for path in image.files:
            real = os.path.realpath(path)
            if path.is_symlink() or real == self._data or real.startswith(self._data + os.sep):
                return "linked_file"
            if not same_content(path, image.sha256):
                return "file_changed"
        return "" if image.files else "file_missing"

    def _sync(self, files: set[Path]) -> None:
        """Make files durable, and the names of them and of the folders above up to the target's own."""
        folders = {folder for path in files for folder in path.parents if folder.is_relative_to(self._target)}
        try:
            for path in [*files, *folders]:
                _sync(path)
        except OSError as error:
            raise BadRequest(
                f"{self._target} cannot be made durable ({error.strerror}): nothing left Vitrine."
            ) from error
        for folder in (
            self._target.absolute().parents
        ):  # it may be new itself; who may not read a folder has not made it
            with suppress(OSError):
                _sync(folder)

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
        """Keys of objects by image id, as a move that was interrupted noted them. A note is only believed as
        far as it fits."""
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
        """The key is that of a picture of this category with this id, which is a hash of the content that the
        key names."""
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
