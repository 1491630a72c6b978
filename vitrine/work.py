"""What takes long and is made for a whole category: taggers and their scores, encoders, clusters, maps,
duplicates, exports.

Every method shows how far it is, returns the report of what was done, and raises what ended it early. Ctrl-C
stops it after the images under way and raises ``KeyboardInterrupt``: run it again to go on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from vitrine.conditions import Where, Words, to_conditions, words

if TYPE_CHECKING:
    from vitrine.indexer.enrich.maps.layout import Method
    from vitrine.indexer.enrich.maps.make import MapReport
    from vitrine.indexer.enrich.scores.scoring import ScoreReport
    from vitrine.indexer.export.common import ExportReport
    from vitrine.indexer.job.progress import Progress
    from vitrine.library import Library
    from vitrine.services.runtime import Runtime


class _Report(Protocol):
    interrupted: bool

    def summary(self) -> str: ...


Report = TypeVar("Report", bound=_Report)


class Work:
    """Long work on a category; ``Category`` has the rest."""

    def __init__(self, library: Library, name: str) -> None:
        self.library = library
        self.name = name

    def score(
        self, tags: Words | None = None, *, propose: bool = False, threshold: float | None = None
    ) -> ScoreReport:
        """Write the scores of taggers to every image; those that have them already cost little.

        ``tags``: only these; None: all in service. ``propose``: propose tags from their tagger's threshold
        on, as machine tags; ``threshold`` in 0..1: from this score on. New images are scored as they are
        indexed. Raises ``NotFound`` (a tag without a tagger), ``TaggerMismatch``.
        """
        from vitrine.indexer.enrich.scores.scoring import score_images

        report = score_images(
            self._runtime,
            self.name,
            None if tags is None else words(tags),
            propose=propose,
            threshold=threshold,
            progress=self._progress("scoring"),
        )
        return self._searchable(report, report.written)

    def make_map(
        self,
        name: str | None = None,
        *,
        method: Method = "umap",
        using: str | None = None,
        missing: bool = False,
        seed: int = 0,
        neighbours: int = 15,
        min_dist: float = 0.1,
        metric: str = "cosine",
    ) -> MapReport:
        """Lay all images out on a plane: maps.NAME.x and .y, in 0..1.

        ``name``: None is the method's. ``missing``: leave the map, and put images that came later where their
        nearest are. ``neighbours``, ``min_dist``, ``metric`` (cosine, euclidean) are UMAP's. Raises
        ``BadRequest`` (options, or the extra clustering is not installed).
        """
        from vitrine.indexer.enrich.maps.layout import MapOptions
        from vitrine.indexer.enrich.maps.make import make_map, place_missing

        runtime, name = self._runtime, name or method
        if missing:
            report = place_missing(runtime, self.name, name, watch=self._progress)
        else:
            options = MapOptions(method, neighbours, min_dist, metric, seed)
            report = make_map(runtime, self.name, name, options, using=using, watch=self._progress)
        return self._searchable(report, report.written)

    def export(
        self,
        to: str | os.PathLike[str],
        where: Where | None = None,
        *,
        by: str | None = None,
        bins: int = 10,
        mode: Literal["copy", "hardlink", "symlink"] = "copy",
        by_tag: bool = False,
    ) -> ExportReport:
        """Write what is known of the images to a file, or with ``by`` their pictures into folders.

        ``to``: a .json, .csv, .parquet or .sqlite file; replaced when it is done. ``by_tag``: instead, as
        JSON, of each tag the SHA-256 of its images' files. With ``by`` (score:TAG, tag, class, or a field
        such as quality) a folder: pictures go into folders such as ``0.90-1.00/`` (``bins`` of them in 0..1)
        or ``red/``, as copies or links (``mode``), and no file that is there is overwritten. Pictures that
        could not be read are named in the report. Raises ``BadRequest``, ``UnknownField``, ``StorageFull``.
        """
        from vitrine.indexer.export.folders import export_folders, parse_by
        from vitrine.indexer.export.table import export_table

        runtime, conditions, progress = self._runtime, to_conditions(where), self._progress("exporting")
        if by is None:
            report = export_table(
                runtime, self.name, Path(to), conditions=conditions, by_tag=by_tag, progress=progress
            )
        else:
            sorting = parse_by(runtime, self.name, by, bins)
            report = export_folders(
                runtime, self.name, Path(to), sorting, conditions=conditions, mode=mode, progress=progress
            )
        return finished(report)

    @property
    def _runtime(self) -> Runtime:
        return self.library.runtime

    def _progress(self, title: str) -> Progress | None:
        from vitrine.indexer.job.progress import make_progress

        return make_progress(title=title, quiet=not self.library.progress)

    def _searchable(self, report: Report, written: int) -> Report:
        """Bring what was written under the search index."""
        from vitrine.indexer.job.search_index import build_search_index

        if written and not report.interrupted:
            build_search_index(self._runtime, self.name, self.library.note)
        return finished(report)


def finished(report: Report) -> Report:
    """Return the report, or raise what ended the work early."""
    error = getattr(report, "error", None)
    if error is not None:
        error.add_note(report.summary())
        raise error
    if report.interrupted:
        raise KeyboardInterrupt(report.summary())
    return report
