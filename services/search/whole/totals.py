"""How many images a whole search has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitrine.services.artifacts.duplicates import FIELD
from vitrine.services.filters.conditions import Filter, HasId, HasVector
from vitrine.services.search.options import SearchResult
from vitrine.services.search.questions import ByFusion
from vitrine.services.search.searcher import Search, Searcher
from vitrine.services.vector_store.base import MAX_LIMIT

if TYPE_CHECKING:
    from vitrine.services.columns.store import ColumnStore


def search_with_total(
    searcher: Searcher, columns: ColumnStore, category: str, search: Search
) -> tuple[SearchResult, int]:
    """Return the answer to a search, and the number of its hits if ``limit`` were 10,000. Raises as
    ``Searcher.search`` does.

    Without ``min_similarity`` and ``collapse`` every image with a vector is a hit, and is counted; else all
    hits are looked for, in one question to the engine with those of the page.
    """
    options = search.options
    if options.min_similarity is None and not options.collapse:
        result = searcher.search(category, search.question, options)
        return result, min(MAX_LIMIT, _with_vectors(searcher, category, search))
    from vitrine.services.search.whole.found import Found, all_of, columns_of

    page, whole = searcher.search_all(category, [search, Search(search.question, all_of(options))])
    if not options.collapse:
        return page, len(whole.hits)
    cat = searcher.catalog.get(category)
    found = Found.of(list(whole.hits))
    table = columns_of(searcher, columns, cat, [found], {FIELD})
    return page, len(found.within(table).collapsed(table, searcher.duplicates.collapsing_key(category)))


def _with_vectors(searcher: Searcher, category: str, search: Search) -> int:
    """Return how many images that meet the conditions have a vector to compare, without the examples."""
    cat, question = searcher.catalog.get(category), search.question
    names = question.using if isinstance(question, ByFusion) else ()
    spec = question.encoder(cat, search.options.using)
    compared = {cat.encoder(name).name for name in names} or {spec.name}
    chosen = searcher.to_filter(cat, search.options.conditions)
    left_out = (HasId(question.left_out),) if question.left_out else ()
    wanted = Filter(
        must=() if chosen is None else (chosen,),
        should=tuple(HasVector(name) for name in sorted(compared)),
        must_not=left_out,
    )
    return searcher.vectors.count(category, wanted)
