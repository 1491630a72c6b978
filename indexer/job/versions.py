"""Write what a clustering or a map found out to every image, under a key such as ``clusters.look-2``,
complete it, and take it away.

The order makes a kill at any moment harmless: save what was made, index its field, write it to all images,
put the key in service, take the former key away. Until then no query sees the new key, and what a killed job
left the next one of that name removes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from vitrine.indexer.job.job import Advance, Job, Report
from vitrine.indexer.job.payload_writer import Change, PayloadWriter, erase_field
from vitrine.services.artifacts.store import ArtifactStore
from vitrine.services.errors import NotFound
from vitrine.services.filters.conditions import Filter
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import field_path


@dataclass(kw_only=True)
class VersionReport(Report):
    """The base of reports on what is written to every image under a key.

    ``images``: how many it was made of; ``written``: how many got their part. ``in_service``: queries see it.
    """

    key: str = ""
    images: int = 0
    written: int = 0
    in_service: bool = False

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"interrupted": self.interrupted, "seconds": self.stages}


@dataclass(frozen=True)
class Kind:
    """One kind of result that is written under keys, such as clusters or maps. ``group``: the payload object
    that holds the keys; ``index``: gives the indexed field of a key; ``having``: the filter of the images
    that have it."""

    group: str
    store: Callable[[Runtime], ArtifactStore[Any]]
    index: Callable[[str], str]
    having: Callable[[str], Filter]

    def write(
        self, job: Job, report: VersionReport, key: str, pages: Iterable[Mapping[str, Any]], advance: Advance
    ) -> None:
        """Write pages of values by image id under a key. Raises ``InterruptedError`` where the job is
        stopped."""
        writer = PayloadWriter(job.runtime, job.category, key=self.group)
        for page in pages:
            job.check()
            with writer.page():
                report.written += writer.write({id: Change({key: value}) for id, value in page.items()})
            advance(report.written, report.images)
        writer.flush()

    def remove_leftovers(self, job: Job, name: str) -> None:
        """Remove what killed jobs left, and what was in service before."""
        for key in self.store(job.runtime).leftovers(job.category, name):
            job.apart(partial(self._erase, job.runtime, job.category, key, job.stop))

    def delete(
        self, runtime: Runtime, category: str, name: str, *, stop: threading.Event | None = None
    ) -> None:
        """Withdraw what is in service under a name, remove it from the images, then remove its files; also
        what killed jobs of that name left. Raises ``NotFound`` if there is nothing of that name."""
        runtime.catalog.get(category)
        store = self.store(runtime)
        try:
            store.withdraw(category, name)
        except NotFound:
            if not store.leftovers(category, name):
                raise
        for key in store.leftovers(category, name):
            self._erase(runtime, category, key, stop)

    def _erase(self, runtime: Runtime, category: str, key: str, stop: threading.Event | None) -> None:
        # the index is made before the first image gets its part: without it there is none
        if self.index(key) in runtime.catalog.get(category).indexes:
            erase_field(runtime, category, field_path(self.group, key), self.having(key), stop=stop)
        self.store(runtime).remove(category, key)
