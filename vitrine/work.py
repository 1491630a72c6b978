"""What takes long and is made for a whole category: taggers and their scores, encoders, clusters, maps,
duplicates, exports.

Every method shows how far it is, returns the report of what was done, and raises what ended it early. Ctrl-C
stops it after the images under way and raises ``KeyboardInterrupt``: run it again to go on.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from vitrine.conditions import Where, Words, to_conditions, words

if TYPE_CHECKING:
    from vitrine.indexer.enrich.clusters.options import ClusterOptions
    from vitrine.indexer.enrich.clusters.report import ClusterReport
    from vitrine.indexer.enrich.duplicates.options import DuplicateOptions
    from vitrine.indexer.enrich.duplicates.report import DuplicateReport
    from vitrine.indexer.enrich.maps.make import MapReport
    from vitrine.indexer.enrich.maps.options import MapOptions
    from vitrine.indexer.enrich.previews.fill import PreviewReport
    from vitrine.indexer.enrich.previews.options import PreviewOptions
    from vitrine.indexer.enrich.scores.scoring import ScoreReport
    from vitrine.indexer.enrich.vectors.promote import PromoteReport
    from vitrine.indexer.export.common import ExportReport
    from vitrine.indexer.job.job import Report
    from vitrine.indexer.job.progress import Progress
    from vitrine.library import Library
    from vitrine.services.runtime import Runtime
    from vitrine.training.data.options import SplitOptions
    from vitrine.training.metric.options import MetricOptions
    from vitrine.training.metric.run import SavedRun
    from vitrine.training.taggers.options import TrainOptions
    from vitrine.training.taggers.run import TaggerRun


AnyReport = TypeVar("AnyReport", bound="Report")


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
            progress=self._progress(),
        )
        return self._searchable(report, report.written)

    def train_taggers(
        self,
        tags: Words | None = None,
        options: TrainOptions | None = None,
        *,
        using: str | None = None,
        field: str = "tags",
        to: str | os.PathLike[str] | None = None,
    ) -> TaggerRun:
        """Train a tagger for each tag on the stored vectors, measure it on images that it has not seen, and
        put it into service.

        ``tags``: only these; None: all with enough images. ``field``: where the tags are: tags, class or
        metadata.COLUMN. ``to``: the folder of the report; None: below the data folder. Raises
        ``TooFewExamples``, ``UnknownVector``.
        """
        from vitrine.indexer.job.progress import StageByStage
        from vitrine.training.taggers.run import run_taggers

        chosen = None if tags is None else words(tags)
        with closing(StageByStage(self._progress())) as tell:
            return run_taggers(
                self._runtime,
                self.name,
                chosen,
                options,
                using=using,
                field=field,
                folder=None if to is None else Path(to),
                tell=tell,
            )

    def train_metric(
        self,
        name: str,
        options: MetricOptions | None = None,
        *,
        split: SplitOptions | None = None,
        label: str = "class",
        using: str | None = None,
        trunk: str | None = None,
        to: str | os.PathLike[str] | None = None,
        resume: bool = False,
        mlflow: str | None = None,
    ) -> SavedRun:
        """Train an encoder so that images of a class come to lie together, and judge it on images that it has
        not seen. ``promote`` puts it into service.

        ``label``: the field of the class. ``using``: the vector whose encoder is the trunk; None: the
        category's first. ``trunk``: another encoder as the trunk. ``to``: the encoder's folder; None: below
        the data folder. ``resume``: go on with an interrupted run of this name. Raises ``TooFewExamples``,
        ``BadRequest``, ``ModelUnavailable``.
        """
        from vitrine.indexer.job.progress import StageByStage
        from vitrine.training.data.collect import collect, list_category
        from vitrine.training.metric.options import MetricOptions
        from vitrine.training.metric.run import run_metric
        from vitrine.training.metric.train import Watch

        runtime, note = self._runtime, self.library.note
        images, spec = list_category(runtime, self.name, label, using)
        with closing(StageByStage(self._progress())) as tell:
            return run_metric(
                name,
                collect(images, spec, threads=runtime.settings.threads or 2, tell=tell, note=note),
                options or MetricOptions(),
                runtime.settings,
                split=split,
                trunk=trunk,
                folder=None if to is None else Path(to),
                resume=resume,
                mlflow=mlflow,
                watch=Watch(tell),
                note=note,
            )

    def promote(
        self,
        encoder: str | os.PathLike[str],
        name: str | None = None,
        *,
        force: bool = False,
        keep_default: bool = False,
    ) -> PromoteReport:
        """Serve a trained encoder: embed all images by it, then switch, without a moment's pause.

        ``encoder``: its folder, or its name below the data folder. ``name``: what ``using`` calls it; None:
        as it was trained. ``force``: even if it finds less than what is in service. ``keep_default``:
        searches without ``using`` go where they went before. Raises ``WorseEncoder``, ``ModelUnavailable``,
        ``BadRequest``.
        """
        from vitrine.indexer.enrich.vectors.compare import promote_if_better
        from vitrine.services.encoders.families.metric_folders import find_folder

        runtime = self._runtime
        report = promote_if_better(
            runtime,
            self.name,
            find_folder(runtime.settings.data, os.fspath(encoder)),
            name=name,
            default=not keep_default,
            force=force,
            progress=self._progress(),
            note=self.library.note,
        )
        finished(report.fill)
        return report

    def rollback(self, name: str) -> PromoteReport:
        """Answer from the encoder that was in service as ``name`` before; again: back. Raises
        ``NotFound``."""
        from vitrine.indexer.enrich.vectors.promote import rollback

        report = rollback(self._runtime, self.name, name, progress=self._progress())
        self._searchable(report.fill, report.switched)
        return report

    def cluster(
        self, run: str, options: ClusterOptions | None = None, *, using: str | None = None
    ) -> ClusterReport:
        """Put all images into clusters, or a tree of them, called ``run``; a run of that name is replaced.

        Each image gets its node: filter with ``where={"cluster.RUN": "root-3"}``, count with
        ``facets("cluster.RUN")``. New images get theirs as they are indexed.
        """
        from vitrine.indexer.enrich.clusters.make import make_run
        from vitrine.indexer.enrich.clusters.options import ClusterOptions

        report = make_run(
            self._runtime, self.name, run, options or ClusterOptions(), using=using, progress=self._progress()
        )
        return self._searchable(report, report.in_service)

    def make_map(
        self,
        name: str | None = None,
        options: MapOptions | None = None,
        *,
        using: str | None = None,
        missing: bool = False,
    ) -> MapReport:
        """Lay all images out on a plane: maps.NAME.x and .y, in 0..1.

        ``name``: None is the method's. ``missing``: leave the map, and only place images that came later.
        Filter with ``where={"map.NAME.x": (0.5, None)}``. Raises ``BadRequest`` (too few images, or the extra
        cluster is not installed).
        """
        from vitrine.indexer.enrich.maps.make import make_map, place_missing
        from vitrine.indexer.enrich.maps.options import MapOptions

        options = options or MapOptions()
        runtime, name = self._runtime, name or options.method
        if missing:
            report = place_missing(runtime, self.name, name, progress=self._progress())
        else:
            report = make_map(runtime, self.name, name, options, using=using, progress=self._progress())
        return self._searchable(report, report.written)

    def find_duplicates(
        self, options: DuplicateOptions | None = None, *, dry_run: bool = False
    ) -> DuplicateReport:
        """Find copies of the same picture and put their groups in service, in place of those found before.

        ``dry_run``: write nothing; the report has the groups. Search with ``collapse`` for one hit of each
        group. Raises ``BadRequest`` (the extra cluster is not installed).
        """
        from vitrine.indexer.enrich.duplicates.find import find_duplicates

        report = find_duplicates(
            self._runtime, self.name, options, dry_run=dry_run, progress=self._progress()
        )
        return finished(report)

    def previews(self, options: PreviewOptions | None = None) -> PreviewReport:
        """Give images that an earlier version indexed their dominant colour and blur, and make thumbnails of
        ``options.widths`` before they are asked for. What is there is passed over."""
        from vitrine.indexer.enrich.previews.fill import fill_previews

        report = fill_previews(self._runtime, self.name, options, progress=self._progress())
        return self._searchable(report, report.filled)

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

        runtime, conditions, progress = self._runtime, to_conditions(where), self._progress()
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

    def _progress(self) -> Progress | None:
        from vitrine.indexer.job.progress import make_progress

        return make_progress(quiet=not self.library.progress)

    def _searchable(self, report: AnyReport, written: int) -> AnyReport:
        """Bring what was written under the search index."""
        from vitrine.indexer.job.search_index import build_search_index

        if written and not report.interrupted:
            build_search_index(self._runtime, self.name, self.library.note)
        return finished(report)


def finished(report: AnyReport) -> AnyReport:
    """Return the report, or raise what ended the work early."""
    if report.error is not None:
        report.error.add_note(report.summary())
        raise report.error
    if report.interrupted:
        raise KeyboardInterrupt(report.summary())
    return report
