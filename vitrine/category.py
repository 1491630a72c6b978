"""A category: images that are added, searched, changed, learned from and taken out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from PIL import Image

from vitrine.conditions import Range, Where, Words, to_conditions, words
from vitrine.hits import Hit, Hits, Ids, ids_of
from vitrine.pictures import NewImage, Picture, given_pictures, picture_bytes
from vitrine.services.domain import Embedding, Embeddings, IndexKind
from vitrine.services.errors import BadRequest
from vitrine.services.search.searcher import Bin, SearchOptions, SearchResult
from vitrine.services.vector_store.base import is_id
from vitrine.work import Work, finished

if TYPE_CHECKING:
    from vitrine.indexer.job.report import IndexReport, NearDuplicates

Example: TypeAlias = str | Hit | Picture
"""An image of the category, by its id or as a hit, or any other picture."""
Examples: TypeAlias = Example | Sequence[Example]
PAGE = 1_000
"""Images that ``all_images`` reads at a time."""


class Category(Work):
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
        path_column: str | None = None,
        root: str | os.PathLike[str] | None = None,
        metadata: str | os.PathLike[str] | None = None,
        join_on: Literal["name", "stem", "key", "hash"] = "name",
        hashtags: Words = (),
        columns: Mapping[str, IndexKind] | None = None,
        near_duplicates: NearDuplicates = "ignore",
        refused: str | os.PathLike[str] | None = None,
        batch_size: int = 128,
    ) -> IndexReport:
        """Index images; those it holds already cost nothing and only get what is new.

        ``source``: a folder, an archive (zip, tar), a manifest (csv, jsonl, parquet), a picture file,
        ``objects:PREFIX`` of the object store; or pictures, each of which may be a ``NewImage`` with what is
        known of it. ``tags``: that every image gets. ``tags_from_folders``: so many folder names become tags,
        outermost first. ``class_from``: "folder" (the innermost) or a column. ``archives_as_folders``: for
        both, an archive counts as a folder of its name. ``path_column``: the manifest's column that names the
        picture. ``root``: what its paths are relative to. ``metadata``: a table that describes the images;
        its rows are matched with the files by ``join_on``. ``hashtags``: columns whose #hashtags become
        metadata.hashtags. ``columns``: what metadata columns hold. ``near_duplicates``: "tell" names new
        images that are copies of others, "skip" does not index them. ``refused``: a file that gets what was
        refused and why, a JSON object a line. ``batch_size``: images a write.

        A file that cannot be indexed is named in the report and does not end the work. Raises ``BadSource``,
        ``EncoderMismatch``, ``ModelUnavailable``, ``StorageFull`` and others; what was counted before is
        stored, and the same call goes on from there.
        """
        from vitrine.indexer.ingest.add import add_images
        from vitrine.indexer.sources.open import open_source
        from vitrine.indexer.sources.options import SourceOptions
        from vitrine.indexer.sources.patience import Patience

        runtime = self._runtime
        options = SourceOptions(
            tags=tuple(words(tags)),
            tags_from_folders=tags_from_folders,
            class_from=class_from,
            archives_as_folders=archives_as_folders,
            path_column=path_column,
            root=None if root is None else Path(root),
            metadata=None if metadata is None else Path(metadata),
            join_on=join_on,
            hashtags=tuple(words(hashtags)),
            kinds=columns or {},
            max_bytes=runtime.limits.max_bytes,
            without=runtime.settings.data,
        )
        patience = Patience(runtime.settings.outage_seconds)
        images = (
            os.fspath(source) if isinstance(source, str | os.PathLike) else given_pictures(source, runtime)
        )
        report = add_images(
            runtime,
            self.name,
            open_source(images, options=options, objects=runtime.objects, patience=patience),
            batch_size=batch_size,
            near_duplicates=near_duplicates,
            kinds=columns,
            patience=patience,
            refused=None if refused is None else Path(refused),
            progress=self._progress(),
            note=self.library.note,
        )
        return finished(report)

    # Questions
    # -----------------------------------------------------------------------------------------------------

    def search(
        self,
        text: str | None = None,
        *,
        image: Picture | None = None,
        like: Examples = (),
        unlike: Examples = (),
        vector: Sequence[float] | Embedding | None = None,
        using: str | Sequence[str] | None = None,
        tags: Words = (),
        any_tags: Words = (),
        not_tags: Words = (),
        class_: Words = (),
        scores: Mapping[str, Range] | None = None,
        quality: Range | None = None,
        where: Where | None = None,
        limit: int = 10,
        offset: int = 0,
        min_similarity: float | None = None,
        diversity: float | None = None,
        collapse: bool = False,
        exact: bool = False,
        with_vectors: bool = False,
    ) -> Hits:
        """Search by one of ``text``, ``image`` (a picture), ``like`` (examples) and ``vector``; best first.

        ``like`` takes one or several ids, hits or pictures; ``unlike`` counterexamples. ``using``: the
        encoder whose vectors are compared; several, with one id, are fused by their ranks. Conditions, which
        must all hold: has all ``tags``, one of ``any_tags``, none of ``not_tags``, is of one of the classes
        ``class_``; taggers' ``scores`` and ``quality`` within ranges (0..1, None: open); ``where`` takes any
        field. ``min_similarity`` in -1..1. ``diversity`` in 0..1: fewer look-alikes. ``collapse``: one hit
        for each group of near-duplicates. ``exact``: compare with every image instead of using the index.
        ``limit`` in 1..10,000.

        Raises ``BadRequest``, ``UnknownField``, ``UnknownVector``, ``UnsupportedQuery`` (the encoder reads no
        text), ``ImageRefused`` (a picture that cannot be decoded), ``NotFound`` (an id).
        """
        conditions = to_conditions(
            where,
            tags=tags,
            any_tags=any_tags,
            not_tags=not_tags,
            class_=class_,
            scores=scores,
            quality=quality,
        )
        fused = [] if using is None or isinstance(using, str) else list(using)
        options = SearchOptions(
            using=using if isinstance(using, str) else None,
            conditions=conditions,
            limit=limit,
            offset=offset,
            min_similarity=min_similarity,
            diversity=diversity,
            with_vectors=with_vectors,
            exact=exact,
            collapse=collapse,
        )
        likes, unlikes = _examples(like), _examples(unlike)
        given = [text is not None, image is not None, bool(likes), vector is not None]
        if sum(given) != 1:
            raise BadRequest("Give one of text, image, like and vector; images() lists without a search.")
        one_id = likes[0] if len(likes) == 1 and not unlikes and isinstance(likes[0], str) else None
        if fused and one_id is None:
            raise BadRequest("Several encoders are fused for one id only: search(like=id, using=[...]).")
        if unlikes and not likes:
            raise BadRequest("unlike needs like: give at least one example that the hits are to be like.")
        searcher = self._runtime.searcher
        if text is not None:
            return self._hits(searcher.by_text(self.name, text, options), options, f"“{text}” in {self.name}")
        if image is not None:
            data = picture_bytes(image)
            found = searcher.by_image(self.name, data, options)
            return self._hits(found, options, f"like a picture in {self.name}", [data])
        if vector is not None:
            return self._hits(
                searcher.by_vector(self.name, vector, options), options, f"by vector in {self.name}"
            )
        if one_id is not None and not fused:
            return self.search_by_id(one_id, options)
        if one_id is not None:
            found = searcher.by_fusion(self.name, one_id, fused, options)
        else:
            found = searcher.by_examples(self.name, likes, unlikes, options)
        return self._hits(found, options, f"by examples in {self.name}", [*likes, *unlikes])

    def search_by_id(self, id: str, options: SearchOptions) -> Hits:
        """Search by an image of the category, with options that are there already."""
        found = self._runtime.searcher.by_id(self.name, id, options)
        return self._hits(found, options, f"like {id} in {self.name}", [id])

    def images(
        self,
        *,
        tags: Words = (),
        any_tags: Words = (),
        not_tags: Words = (),
        class_: Words = (),
        scores: Mapping[str, Range] | None = None,
        quality: Range | None = None,
        where: Where | None = None,
        order_by: str | None = None,
        random: bool = False,
        limit: int = 50,
        cursor: str | None = None,
        with_vectors: bool = False,
    ) -> Hits:
        """List the images that meet the conditions, a page at a time, by id.

        ``where`` and the other conditions: see ``search``. ``order_by``: a number or date, such as
        ``"scores.red:desc"``. ``random``: a random sample instead. ``cursor``: from the page before, for the
        next one; ``all_images`` reads them all. Raises ``UnknownField``, ``BadRequest``.
        """
        from vitrine.services.category.field_names import find_order

        runtime = self._runtime
        conditions = to_conditions(
            where,
            tags=tags,
            any_tags=any_tags,
            not_tags=not_tags,
            class_=class_,
            scores=scores,
            quality=quality,
        )
        options = SearchOptions(conditions=conditions)
        if random:
            if order_by or cursor:
                raise BadRequest(
                    "A random sample has no order and no next page: leave out order_by and cursor."
                )
            sample = runtime.searcher.random(self.name, conditions, limit=limit)
            return Hits(self, sample, options, title=f"a random sample of {self.name}")
        page = runtime.searcher.listing(
            self.name,
            conditions,
            order_by=find_order(order_by, self.fields) if order_by else None,
            limit=limit,
            cursor=cursor,
            with_vectors=with_vectors,
        )
        title = f"{self.name}, by {order_by}" if order_by else self.name
        return Hits(self, page.hits, options, title=title, cursor=page.cursor)

    def all_images(self, where: Where | None = None, *, order_by: str | None = None) -> Iterator[Hit]:
        """Yield all images that meet the conditions, one after the other. Memory: one page."""
        cursor: str | None = None
        while True:
            page = self.images(where=where, order_by=order_by, limit=PAGE, cursor=cursor)
            yield from page
            cursor = page.cursor
            if cursor is None:
                return

    def image(self, id: str, *, with_vectors: bool = False) -> Hit:
        """Return one image. Raises ``NotFound``."""
        found = self._runtime.searcher.image(self.name, id, with_vectors=with_vectors)
        return Hits(self, [found], SearchOptions())[0]

    def file(self, image: str | Hit) -> bytes:
        """Return the bytes of an image's original file. Raises ``NotFound``."""
        hit = image if isinstance(image, Hit) else self.image(image)
        return self._runtime.objects.get(hit.payload["object_key"])

    def picture(self, image: str | Hit) -> Image.Image:
        """Return the whole picture of an image, upright RGB on white. Raises ``NotFound``,
        ``ImageRefused``."""
        from vitrine.services.images.open import whole_picture

        runtime = self._runtime
        return whole_picture(self.file(image), limits=runtime.limits, budget=runtime.budget).image

    def vectors(self, ids: Ids, *, using: str | None = None) -> Embeddings:
        """Return the stored vectors of images, (n, dim) float32 of length 1, in the order of ``ids``.

        ``using``: the encoder; None: the one that answers by default. Raises ``NotFound`` for an image that
        is not there or lacks the vector.
        """
        return self._runtime.searcher.embeddings(self.name, ids_of(ids), using)

    def count(self, where: Where | None = None) -> int:
        """Count the images that meet the conditions."""
        return self._runtime.searcher.count(self.name, to_conditions(where))

    def facets(
        self, field: str, where: Where | None = None, *, limit: int = 100
    ) -> dict[str | int | bool, int]:
        """Count images by the values of a field, most frequent first: tags, class, metadata.COLUMN,
        cluster.RUN ...

        Raises ``UnknownField`` for a field that is no word, whole number or truth value.
        """
        found = self._runtime.searcher.facets(self.name, field, to_conditions(where), limit=limit)
        return {facet.value: facet.count for facet in found}

    def histogram(
        self,
        field: str,
        where: Where | None = None,
        *,
        bins: int = 10,
        lower: float | None = None,
        upper: float | None = None,
    ) -> list[Bin]:
        """Count images by the value of a number in ``bins`` equal bins: quality, scores.TAG, metadata.COLUMN
        ...

        ``lower``, ``upper``: the edges; None: 0 and 1 for scores and quality, else the least and greatest
        value.
        """
        return self._runtime.searcher.histogram(
            self.name, field, to_conditions(where), bins=bins, lower=lower, upper=upper
        )

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
    ) -> Hits:
        """Change images, all in the same way; what is not given stays. Returns them as they are now.

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
        changed = runtime.editor.change(self.name, ids_of(ids), validated(ImageChanges, tree, "change"))
        for line in unindexed_notes(metadata or {}, self.fields):
            self.library.note(line)
        return Hits(self, changed, SearchOptions(), title=f"changed in {self.name}")

    def delete(self, ids: Ids) -> int:
        """Delete images with their files. Returns how many there were; unknown ids are no error."""
        return self._runtime.editor.delete(self.name, ids_of(ids))

    # -----------------------------------------------------------------------------------------------------

    def _hits(
        self,
        found: SearchResult,
        options: SearchOptions,
        title: str,
        asked_with: Sequence[str | bytes] = (),
    ) -> Hits:
        return Hits(
            self,
            found.hits,
            options,
            title=title,
            asked_with=asked_with,
            similar=found.similar,
            encode_ms=found.encode_ms,
            search_ms=found.search_ms,
        )


def _examples(given: Examples) -> list[str | bytes]:
    """Return ids as they are, and pictures as the bytes of a file."""
    several = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    found: list[str | bytes] = []
    for one in cast("Sequence[Example]", given) if several else [cast("Example", given)]:
        if isinstance(one, Hit):
            found.append(one.id)
        elif isinstance(one, str) and is_id(one):
            found.append(one.lower())
        elif isinstance(one, str) and not Path(one).is_file():
            raise BadRequest(f"{one!r} is neither an image id nor a file.")
        else:
            found.append(picture_bytes(one))
    return found
