"""A map from the stored vectors to the images' payload, safe to kill at any moment.

The order: lay out, save what is known of the map, write every image's place under a new key, let the key
answer for the name, take the former key away. Until the switch no query sees the new key; a map that was
killed before it leaves a key that the next one of that name removes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from vitrine.indexer.enrich.maps.coordinates import CoordinateWriter, erase, lacking, placed
from vitrine.indexer.enrich.maps.layout import NEAREST, Layout, among, lay_out
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.indexer.job.payload_writer import PAGE
from vitrine.indexer.job.stages import Stages, Told, Watch
from vitrine.services.artifacts.maps import CategoryMap
from vitrine.services.category.catalog import Category
from vitrine.services.domain import EncoderSpec, Hit, Near, Query
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.runtime import Runtime

_AT_ONCE = 100
"""New images that are looked up and placed at a time."""


@dataclass
class MapReport:
    """The end of a run, complete or not. ``written``: images that got their place. ``in_service``: queries
    see them."""

    category: str
    map: str
    using: str
    method: str = ""
    key: str = ""
    images: int = 0
    written: int = 0
    in_service: bool = False
    interrupted: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> Literal["complete", "interrupted"]:
        return "interrupted" if self.interrupted else "complete"

    @property
    def exit_code(self) -> int:
        """0 complete, 130 interrupted."""
        return 130 if self.interrupted else 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object of all of it."""
        return {"status": self.status, **vars(self)}

    def summary(self) -> str:
        """A few lines for people."""
        if self.interrupted:
            left = "what was placed stays" if self.in_service else "the map is what it was before"
            return f"Interrupted: {left}. Run again to go on."
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        told = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in self.metrics.items())
        first = f"{self.map}: {self.written} images placed by {self.method} on {self.using}; {spent}"
        return f"{first}\n  {told}".rstrip()


def make_map(
    runtime: Runtime,
    category: str,
    name: str,
    options: MapOptions,
    *,
    using: str | None = None,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> MapReport:
    """Lay out all images that have the named vector ``using`` (None: the category's default) and write it
    back as ``name``.

    Replaces the map of that name in one step once every image has its place. ``stop`` or Ctrl-C ends it, and
    nothing has changed for queries. Images that come in later have no place until the next map, or
    ``place_missing``.

    ``NotFound`` (category), ``UnknownVector``, ``BadRequest`` (name, options, too few images, UMAP not
    installed).
    """
    runtime.maps.check_name(name)
    cat = runtime.catalog.get(category)
    spec = cat.encoder(using)
    report = MapReport(category, name, spec.name, options.method)
    job = _Job(runtime, cat, spec, report, Stages(report.seconds, watch, stop or threading.Event()))
    with job.interruptible():
        job.make(options)
    return report


def place_missing(
    runtime: Runtime,
    category: str,
    name: str,
    *,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> MapReport:
    """Put the images that have the vector but no place on the map where the median of their five nearest is.

    The map stays as it is: for many new images make it anew. ``NotFound`` (category, map); ``BadRequest`` if
    the vector has changed since.
    """
    cat = runtime.catalog.get(category)
    made = runtime.maps.get(category, name)
    spec = next(
        (one for one in cat.encoders if (one.name, one.revision) == (made.using, made.encoder_revision)), None
    )
    if spec is None:
        raise BadRequest(
            f"The map {name!r} was made on {made.using!r} as the category has it no more: make it anew.",
            map=name,
        )
    report = MapReport(category, name, spec.name, made.method, made.key, made.images, in_service=True)
    job = _Job(runtime, cat, spec, report, Stages(report.seconds, watch, stop or threading.Event()))
    with job.interruptible():
        job.complete(made)
    return report


def delete_map(runtime: Runtime, category: str, name: str, *, stop: threading.Event | None = None) -> None:
    """Withdraw a map, take it away from the images, then remove its file; also what killed ones of that name
    left.

    ``NotFound`` if there is nothing of that name.
    """
    runtime.catalog.get(category)
    try:
        runtime.maps.withdraw(category, name)
    except NotFound:
        if not runtime.maps.leftovers(category, name):
            raise
    for key in runtime.maps.leftovers(category, name):
        erase(runtime, category, key, stop=stop)


def count_missing(runtime: Runtime, category: str, made: CategoryMap) -> int:
    """Images that have the vector of a map in service but no place on it."""
    known = {spec.name for spec in runtime.catalog.get(category).encoders}
    return runtime.vectors.count(category, lacking(made.key, made.using)) if made.using in known else 0


@dataclass(eq=False)
class _Job:
    """One map of one category."""

    runtime: Runtime
    category: Category
    spec: EncoderSpec
    report: MapReport
    stages: Stages

    def make(self, options: MapOptions) -> None:
        """All stages; ``InterruptedError`` where ``stop`` came in between."""
        runtime, name, report = self.runtime, self.category.name, self.report
        self._remove_leftovers()
        with self.stages.stage("laying out", runtime.vectors.count(name)) as told:
            layout = lay_out(runtime.vectors, self.category, self.spec, options, told)
        made = runtime.maps.save(name, self._described(layout, options))
        report.key, report.images = made.key, made.images
        report.metrics, report.parameters = dict(made.metrics), dict(made.parameters)
        runtime.catalog.ensure_indexes(name, dict.fromkeys(made.fields, "float"))
        with self.stages.stage("writing", len(layout.ids)) as told:
            self.stages.apart(lambda: self._write(layout, made.key, told))
            self.stages.check()
            runtime.maps.put_in_service(name, made.key)
        report.in_service = True
        self._remove_leftovers()

    def complete(self, made: CategoryMap) -> None:
        """Only what has no place."""
        total = self.runtime.vectors.count(self.category.name, lacking(made.key, made.using))
        with self.stages.stage("placing", total) as told:
            self.stages.apart(lambda: self._place(made, total, told))

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C and ``stop`` end what is inside, and the report says so."""
        try:
            yield
        except (KeyboardInterrupt, InterruptedError):
            self.report.interrupted = True

    def _described(self, layout: Layout, options: MapOptions) -> CategoryMap:
        return CategoryMap(
            self.report.map,
            options.method,
            self.spec.name,
            self.spec.revision,
            len(layout.ids),
            options.seed,
            options.parameters,
            layout.metrics,
        )

    def _write(self, layout: Layout, key: str, told: Told) -> None:
        writer = CoordinateWriter(self.runtime, self.category.name, key)
        for start in range(0, len(layout.ids), PAGE):
            self.stages.check()
            page = slice(start, start + PAGE)
            self.report.written += writer.write(layout.ids[page], layout.places[page])
            told(self.report.written, len(layout.ids))
        writer.flush()

    def _place(self, made: CategoryMap, total: int, told: Told) -> None:
        vectors, name = self.runtime.vectors, self.category.name
        writer = CoordinateWriter(self.runtime, name, made.key)
        cursor: str | None = None
        while True:
            page = vectors.scroll(
                name, filter=lacking(made.key, made.using), limit=_AT_ONCE, cursor=cursor, with_payload=False,
                with_vectors=(made.using,),
            )  # fmt: skip
            if page.hits:
                self._put_among(page.hits, made, writer)
                told(self.report.written, total)
            cursor = page.cursor
            if cursor is None:
                break
        writer.flush()

    def _put_among(self, hits: tuple[Hit, ...], made: CategoryMap, writer: CoordinateWriter) -> None:
        queries = [
            Query(Near(hit.vectors[made.using]), using=made.using, filter=placed(made.key), limit=NEAREST,
                  with_payload=(made.payload_field,))
            for hit in hits
        ]  # fmt: skip
        answers = self.runtime.vectors.query_batch(self.category.name, queries)
        ids = [hit.id for hit, near in zip(hits, answers, strict=True) if near]
        places = [
            among(np.array([_place_of(one, made.key) for one in near])[None]) for near in answers if near
        ]
        if ids:
            self.report.written += writer.write(ids, np.concatenate(places))

    def _remove_leftovers(self) -> None:
        for key in self.runtime.maps.leftovers(self.category.name, self.report.map):
            self.stages.apart(partial(erase, self.runtime, self.category.name, key, stop=self.stages.stop))
            self.stages.check()


def _place_of(hit: Hit, key: str) -> tuple[float, float]:
    place = hit.payload["maps"][key]
    return place["x"], place["y"]
