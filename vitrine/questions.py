"""Questions to a category: searches, lists, single images and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from PIL import Image

from vitrine.conditions import Range, Where, Words, to_conditions
from vitrine.hits import Hit, Hits, Ids, ids_of
from vitrine.pictures import Picture, picture_bytes
from vitrine.services.domain import Bin, Embedding, Embeddings
from vitrine.services.errors import BadRequest
from vitrine.services.search.counts import count_bins, count_values
from vitrine.services.search.options import SearchOptions, SearchResult
from vitrine.services.search.questions import (
    ByExamples,
    ByFusion,
    ById,
    ByImage,
    ByText,
    ByVector,
    Question,
    Text,
)
from vitrine.services.search.searcher import Search
from vitrine.services.vector_store.base import is_id
from vitrine.work import Work

if TYPE_CHECKING:
    from vitrine.category import Category

Example: TypeAlias = str | Hit | Picture
"""An image of the category, by its id or as a hit, or any other picture."""
Examples: TypeAlias = Example | Sequence[Example]
PAGE = 1_000
"""Images that ``all_images`` reads at a time."""
TOGETHER = 100
"""Searches that ``search_many`` asks at a time."""


class Questions(Work):
    """Questions to a category; ``Category`` has the rest."""

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

        ``like`` takes one or several ids, hits or pictures; ``unlike`` counterexamples. A ``text`` next to
        them is one example more. ``using``: the
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
        fused = () if using is None or isinstance(using, str) else tuple(using)
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
        words = [] if text is None else [Text(text)]
        given = [bool(words or likes), image is not None, vector is not None]
        if sum(given) != 1:
            raise BadRequest(
                "Give one of text, image, like and vector, of which text and like go together; images() "
                "lists without a search."
            )
        alone = len(likes) == 1 and not (unlikes or words)
        one_id = likes[0] if alone and isinstance(likes[0], str) else None
        if fused and one_id is None:
            raise BadRequest("Several encoders are fused for one id only: search(like=id, using=[...]).")
        if unlikes and not (likes or words):
            raise BadRequest("unlike needs like or text: say what the hits are to be like.")
        if one_id is not None:
            question: Question = ByFusion(one_id, fused) if fused else ById(one_id)
        elif text is not None and not (likes or unlikes):
            question = ByText(text)
        elif image is not None:
            question = ByImage(picture_bytes(image))
        elif vector is not None:
            question = ByVector(vector)
        else:
            question = ByExamples((*words, *likes), unlikes)
        return self._found(self._runtime.searcher.search(self.name, question, options), options, question)

    def search_many(
        self,
        texts: Sequence[str] = (),
        *,
        images: Sequence[Picture] = (),
        like: Sequence[str | Hit] = (),
        vectors: Sequence[Sequence[float]] | Embeddings | None = None,
        using: str | None = None,
        tags: Words = (),
        any_tags: Words = (),
        not_tags: Words = (),
        class_: Words = (),
        scores: Mapping[str, Range] | None = None,
        quality: Range | None = None,
        where: Where | None = None,
        limit: int = 10,
        min_similarity: float | None = None,
        diversity: float | None = None,
        collapse: bool = False,
        exact: bool = False,
        with_vectors: bool = False,
    ) -> list[Hits]:
        """Search by each of several ``texts``, ``images`` (pictures), ids or hits (``like``) or ``vectors``
        (n, dim), all under the same conditions. Returns what ``search`` returns for each, in their order.

        Quicker than one search at a time: what has to be encoded is encoded together, and the engine is asked
        for many at once. A ``Hits`` of it has the milliseconds of all that were asked with it. The other
        options, and what is raised: see ``search``; one search that is wrong ends all.
        """
        given = [len(some) for some in (texts, images, like, () if vectors is None else vectors) if len(some)]
        if isinstance(texts, str) or len(given) > 1:
            raise BadRequest("Give a list of one kind: texts, images, like or vectors.")
        options = SearchOptions(
            using=using,
            conditions=to_conditions(
                where,
                tags=tags,
                any_tags=any_tags,
                not_tags=not_tags,
                class_=class_,
                scores=scores,
                quality=quality,
            ),
            limit=limit,
            min_similarity=min_similarity,
            diversity=diversity,
            with_vectors=with_vectors,
            exact=exact,
            collapse=collapse,
        )
        questions: Iterator[Question] = chain(
            map(ByText, texts),
            (ByImage(picture_bytes(image)) for image in images),
            map(ById, ids_of(like)),
            map(ByVector, () if vectors is None else vectors),
        )
        hits: list[Hits] = []
        while some := list(islice(questions, TOGETHER)):
            searches = [Search(question, options) for question in some]
            found = self._runtime.searcher.search_all(self.name, searches)
            pairs = zip(found, some, strict=True)
            hits += [self._found(result, options, question) for result, question in pairs]
        return hits

    def search_by_id(self, id: str, options: SearchOptions) -> Hits:
        """Search by an image of the category, with options that are there already."""
        found = self._runtime.searcher.search(self.name, ById(id), options)
        return self._found(found, options, ById(id))

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
            return Hits(self._category, sample, options, title=f"a random sample of {self.name}")
        page = runtime.searcher.listing(
            self.name,
            conditions,
            order_by=find_order(order_by, runtime.catalog.get(self.name).indexes) if order_by else None,
            limit=limit,
            cursor=cursor,
            with_vectors=with_vectors,
        )
        title = f"{self.name}, by {order_by}" if order_by else self.name
        return Hits(self._category, page.hits, options, title=title, cursor=page.cursor)

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
        return Hits(self._category, [found], SearchOptions())[0]

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
        found = count_values(self._runtime.searcher, self.name, field, to_conditions(where), limit=limit)
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
        return count_bins(
            self._runtime.searcher,
            self.name,
            field,
            to_conditions(where),
            bins=bins,
            lower=lower,
            upper=upper,
        )

    @property
    def _category(self) -> Category:
        return cast("Category", self)

    def _found(self, found: SearchResult, options: SearchOptions, question: Question) -> Hits:
        title, asked_with = _title(question)
        return Hits(
            self._category,
            found.hits,
            options,
            title=f"{title} in {self.name}",
            asked_with=asked_with,
            similar=found.similar,
            encode_ms=found.encode_ms,
            search_ms=found.search_ms,
        )


def _title(question: Question) -> tuple[str, Sequence[str | bytes]]:
    """Return what was asked in words, and the images that it was asked with: ids, and pictures."""
    match question:
        case ByText(text):
            return f"“{text}”", ()
        case ByImage(data):
            return "like a picture", (data,)
        case ById(id):
            return f"like {id}", (id,)
        case ByExamples(positive, negative):
            examples = [each for each in (*positive, *negative) if isinstance(each, str | bytes)]
            return "by examples", examples
        case ByFusion(id):
            return "by examples", (id,)
        case _:
            return "by vector", ()


def _examples(given: Examples) -> tuple[str | bytes, ...]:
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
    return tuple(found)
