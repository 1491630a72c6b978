"""A category: images that are added, searched, changed, learned from and taken out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vitrine.changed import Changed, Moved
from vitrine.conditions import Words, words
from vitrine.hits import Hit, Ids, ids_of
from vitrine.pictures import NewImage, Picture, given_pictures
from vitrine.questions import Questions
from vitrine.services.category.changes.bin import Binned
from vitrine.services.domain import IndexKind
from vitrine.work import finished

if TYPE_CHECKING:
    from vitrine.indexer.ingest.sync.options import SyncOptions
    from vitrine.indexer.ingest.sync.report import SyncReport
    from vitrine.indexer.job.report import IndexReport, NearDuplicates


class Category(Questions):
    """A category of an open library. Methods that change it are done when they return."""

    @property
    def description(self) -> str:
        return self._runtime.catalog.get(self.name).description

    @property
    def encoders(self) -> list[str]:
        """Names of its encoders, the one that answers by default first."""
        about = self._runtime.catalog.get(self.name)
        default = about.encoder().name
        return [default, *(spec.name for spec in about.encoders if spec.name != default)]

    @property
    def fields(self) -> dict[str, IndexKind]:
        """The fields that can be filtered, with their kinds."""
        return dict(self._runtime.catalog.get(self.name).indexes)

    def __len__(self) -> int:
        return self.count()

    def __iter__(self) -> Iterator[Hit]:
        return self.all_images()

    def __contains__(self, image: object) -> bool:
        return (
            isinstance(image, str | Hit)
            and self._runtime.vectors.retrieve(self.name, ids_of(image))[0] is not None
        )

    def __repr__(self) -> str:
        return f"<vitrine.Category {self.name}: {len(self)} images, encoders {', '.join(self.encoders)}>"

    # In
    # -----------------------------------------------------------------------------------------------------

    def add(
        self,
        source: Picture | NewImage | Iterable[Picture | NewImage],
        *,
        tags: Words = (),
        tags_from_folders: int = 0,
        class_from: str | None = None,
        archives_as_folders: bool = False,
        frames: Literal["first", "all"] = "first",
        path_column: str | None = None,
        root: str | os.PathLike[str] | None = None,
        metadata: str | os.PathLike[str] | None = None,
        join_on: Literal["name", "stem", "key", "hash"] = "name",
        hashtags: Words = (),
        columns: Mapping[str, IndexKind] | None = None,
        near_duplicates: NearDuplicates = "ignore",
        refused: str | os.PathLike[str] | None = None,
        skipped: str | os.PathLike[str] | None = None,
        batch_size: int = 128,
    ) -> IndexReport:
        """Index images; those it holds already cost nothing and only get what is new.

        ``source``: a folder, an archive (zip, tar), a manifest (csv, jsonl, parquet), a list of URLs, a
        picture file or its URL, ``objects:PREFIX`` of the object store; or pictures, each of which may be a
        ``NewImage`` with what is known of it. ``tags``: that every image gets. ``tags_from_folders``: so
        many folder names become tags, outermost first. ``class_from``: "folder" (the innermost) or a column.
        ``archives_as_folders``: for both, an archive counts as a folder of its name. ``frames``: "all" makes
        every frame of an animation and every page of a document an image of its own. ``path_column``: the
        manifest's column that names the picture. ``root``: what its paths are relative to. ``metadata``: a
        table that describes the images; its rows are matched with the files by ``join_on``. ``hashtags``:
        columns whose #hashtags become metadata.hashtags. ``columns``: what metadata columns hold.
        ``near_duplicates``: "tell" names new images that are copies of others, "skip" does not index them.
        ``refused``: a file that gets what was refused and why, a JSON object a line; ``skipped``: one that
        gets what is hidden or no picture. ``batch_size``: images a write.

        A file that cannot be indexed is named in the report and does not end the work. Raises ``BadSource``,
        ``EncoderMismatch``, ``ModelUnavailable``, ``StorageFull`` and others; what was counted before is
        stored, and the same call goes on from there.
        """
        from vitrine.indexer.ingest.add import add_images
        from vitrine.indexer.job.report import skipped_file
        from vitrine.indexer.sources.open import open_source
        from vitrine.indexer.sources.options import SourceOptions
        from vitrine.indexer.sources.patience import Patience

        runtime = self._runtime
        with skipped_file(None if skipped is None else Path(skipped)) as on_skipped:
            options = SourceOptions(
                tags=tuple(words(tags)),
                tags_from_folders=tags_from_folders,
                class_from=class_from,
                archives_as_folders=archives_as_folders,
                frames=frames,
                path_column=path_column,
                root=None if root is None else Path(root),
                metadata=None if metadata is None else Path(metadata),
                join_on=join_on,
                hashtags=tuple(words(hashtags)),
                kinds=columns or {},
                max_bytes=runtime.limits.max_bytes,
                without=runtime.settings.data,
                on_skipped=on_skipped,
            )
            patience = Patience(runtime.settings.outage_seconds)
            images = (
                os.fspath(source)
                if isinstance(source, str | os.PathLike)
                else given_pictures(source, runtime, patience)
            )
            report = add_images(
                runtime,
                self.name,
                open_source(
                    images,
                    options=options,
                    objects=runtime.objects,
                    patience=patience,
                    downloads=runtime.downloads,
                    limits=runtime.limits,
                    budget=runtime.budget,
                ),
                batch_size=batch_size,
                near_duplicates=near_duplicates,
                kinds=columns,
                patience=patience,
                refused=None if refused is None else Path(refused),
                progress=self._progress(),
                note=self.library.note,
            )
        return finished(report)

    def sync(
        self,
        folder: str | os.PathLike[str],
        options: SyncOptions | None = None,
        *,
        refused: str | os.PathLike[str] | None = None,
        skipped: str | os.PathLike[str] | None = None,
        batch_size: int = 128,
    ) -> SyncReport:
        """Keep the category like a folder: new files are added, images whose file is gone leave for the bin,
        moved ones keep what was said of them. Files that have not changed are not opened.

        ``options``: what every image gets, ``max_gone``, ``dry_run`` ... ``refused``, ``skipped``,
        ``batch_size``: as in ``add``. Raises as ``add`` does, and ``TooManyGone``: then nothing has left.
        """
        from vitrine.indexer.ingest.sync.sync import sync_folder
        from vitrine.indexer.job.report import skipped_file

        with skipped_file(None if skipped is None else Path(skipped)) as on_skipped:
            report = sync_folder(
                self._runtime,
                self.name,
                Path(folder),
                options,
                batch_size=batch_size,
                refused=None if refused is None else Path(refused),
                on_skipped=on_skipped,
                progress=self._progress(),
                note=self.library.note,
            )
        return finished(report)

    # Changes
    # -----------------------------------------------------------------------------------------------------

    def edit(
        self,
        ids: Ids,
        *,
        tags: Words | None = None,
        add_tags: Words = (),
        remove_tags: Words = (),
        rejected_tags: Words | None = None,
        reject_tags: Words = (),
        class_: str | None = None,
        caption: str | None = None,
        quality: float | None = None,
        fields: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Changed:
        """Change images, all in the same way; what is not given stays. Returns them as they are now; its
        ``undo()`` takes the change back.

        ``tags`` replaces all tags, ``add_tags`` and ``remove_tags`` change some; ``rejected_tags`` and
        ``reject_tags`` say what an image is not. ``class_`` and ``caption``: "" removes them. ``quality`` in
        0..1. ``metadata``: values by column; None removes one. Raises ``NotFound`` before anything is
        changed, and ``BadRequest``.
        """
        from vitrine.services.category.editor import ImageChanges
        from vitrine.services.category.payload import unindexed_notes
        from vitrine.services.validation import validated

        runtime = self._runtime
        lists = {"tags": tags, "rejected_tags": rejected_tags}
        tree: dict[str, Any] = {name: words(given) for name, given in lists.items() if given is not None}
        tree |= {
            "add_tags": words(add_tags),
            "remove_tags": words(remove_tags),
            "reject_tags": words(reject_tags),
            "metadata": dict(metadata or {}),
        }
        texts = {"class": class_, "caption": caption}
        tree |= {name: text or None for name, text in texts.items() if text is not None}
        tree |= {"quality": quality} if quality is not None else {}
        tree |= fields or {}
        edited = runtime.editor.change(self.name, ids_of(ids), validated(ImageChanges, tree, "change"))
        for line in unindexed_notes(metadata or {}, self.fields):
            self.library.note(line)
        return Changed(self, edited.hits, edited.undo)

    def delete(self, ids: Ids, *, for_good: bool = False) -> Moved:
        """Put images into the bin, where they wait for 24 hours; ``for_good``: delete them with their files.

        Returns how many there were: a number whose ``undo()`` restores them. Unknown ids are no error.
        """
        editor = self._runtime.editor
        if for_good:
            return Moved.of(self, editor.remove(self.name, ids_of(ids)))
        outcome = editor.delete(self.name, ids_of(ids))
        return Moved.of(self, outcome.changed, outcome.undo)

    def restore(self, ids: Ids) -> Moved:
        """Take images out of the bin. Returns how many came back; one that was indexed again meanwhile is
        left as it is."""
        outcome = self._runtime.editor.restore(self.name, ids_of(ids))
        return Moved.of(self, outcome.changed, outcome.undo)

    def bin(self, *, limit: int = 100, offset: int = 0) -> list[Binned]:
        """Return images in the bin, latest deleted first, each with ``hit`` and ``deleted_at``."""
        return list(self._runtime.editor.bin.images(self.name, limit=limit, offset=offset).images)

    def empty_bin(self) -> int:
        """Remove what is in the bin for good, with the files. Returns how many images that were."""
        return self._runtime.editor.empty_bin(self.name)
