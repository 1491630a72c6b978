"""What is done with new images as they are indexed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from vitrine.indexer.job.items import Item
from vitrine.indexer.job.plan import BatchPlan


class OnArrival(Protocol):
    """An enrichment that acts on images as they are indexed: it finds their scores, their clusters, or what
    they are copies of. Both calls come on one thread while the category is being written.

    ``notes``: what people should know afterwards.
    """

    notes: list[str]

    @property
    def using(self) -> Collection[str]:
        """Return the named vectors that it reads, as of the last ``prepare``."""
        ...

    def prepare(self, items: Sequence[Item]) -> None:
        """Look up what is in service, and look at the items of a batch before it is planned. Items may be
        marked as copies, and what people say of them may be changed."""
        ...

    def apply(self, plan: BatchPlan) -> None:
        """Add payload fields to the images of the plan that have a vector of ``using``."""
        ...
