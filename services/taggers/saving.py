"""Put trained taggers into service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitrine.services.artifacts.taggers import TagHead

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category
    from vitrine.services.runtime import Runtime


def save_heads(runtime: Runtime, category: Category, heads: Sequence[TagHead]) -> list[TagHead]:
    """Put heads into service and return them with their number and time.

    Where images have scores of a tag already (from a manifest or a former tagger), queries leave those out
    until the category is scored again.
    """
    scored = [
        head.tag
        for head in heads
        if head.payload_field.startswith("scores.") and head.payload_field in category.indexes
    ]
    return runtime.taggers.save(category.name, heads, scored=scored)
