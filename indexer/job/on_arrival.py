"""What is done with new images as they are indexed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from vitrine.indexer.job.items import Item
from vitrine.indexer.job.plan import BatchPlan


class OnArrival(Protocol):
    """Something that is found out about images as they are written: their scores, their clusters, what they
    are copies of. Both calls come on one thread while the category is being written.

    ``notes``: what people should know afterwards.
    """

    notes: list[str]

    @property
    def using(self) -> Collection[str]:
        """The named vectors that it looks at, as of the last ``prepare``."""
        ...

    def prepare(self, items: Sequence[Item]) -> None:
        """See what is in service, and look at a batch before it is planned: items may be dropped, and what is
        said of them changed."""
        ...

    def apply(self, plan: BatchPlan) -> None:
        """Add to what the batch writes, of images for which the plan has a vector of ``using``."""
        ...
