"""Train taggers for the tags of a category, put them into service, and write their report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.extras import load_extra
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.saving import save_heads
from vitrine.training.taggers.examples import read_examples, read_negatives
from vitrine.training.taggers.metrics import TagMetrics, tag_metrics
from vitrine.training.taggers.options import TrainOptions
from vitrine.training.taggers.report import to_json, write_report
from vitrine.training.taggers.train import Tell, Training, train_taggers


@dataclass(frozen=True)
class TaggerRun:
    """The ``heads`` that are in service now, what they are worth, and the ``folder`` of the report."""

    training: Training
    heads: list[TagHead]
    folder: Path
    title: str

    @property
    def mean_average_precision(self) -> float:
        """Return the mean over the tags, each counting the same."""
        return self.training.mean_average_precision

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it."""
        tree = to_json(self.training, self.title)
        return {**tree, "report": str(self.folder), "trained_at": self.heads[0].trained_at}


def run_taggers(
    runtime: Runtime,
    category: str,
    tags: Sequence[str] | None = None,
    options: TrainOptions | None = None,
    *,
    using: str | None = None,
    field: str = "tags",
    folder: Path | None = None,
    plots: bool | None = None,
    tell: Tell | None = None,
) -> TaggerRun:
    """Train a tagger for each tag on the stored embeddings, and put all of them into service.

    ``tags`` None: every tag with enough images. ``using``: the named vector (None: the category's default).
    ``field``: where the tags are: tags, class or metadata.COLUMN. ``folder``: where the report goes (None:
    below the data folder); ``plots``: see `write_report`. ``TooFewExamples``, ``UnknownVector``,
    ``BadRequest``, ``MissingExtra`` (``plots`` without matplotlib).
    """
    if plots:
        load_extra("matplotlib", "train")  # said before an hour of training, not after
    runtime.check_writable()
    options = options or TrainOptions()
    found = runtime.catalog.get(category)
    examples = read_examples(
        runtime.vectors,
        found,
        using,
        tags=tags,
        field=field,
        negatives=read_negatives(options.negatives, options.background),
        least=options.min_examples,
        seed=options.seed,
    )
    training = train_taggers(examples, options, named=tags is not None, tell=tell)
    saved = save_heads(runtime, found, training.heads)
    moment = saved[0].trained_at.replace(":", "").replace("+0000", "Z")
    below = runtime.settings.data / "reports" / "taggers" / category
    folder = folder or below / f"{moment}-{saved[0].number}"
    title = f"Taggers of {category} on {examples.encoder.name}"
    write_report(folder, training, title=title, plots=plots)
    return TaggerRun(training, saved, folder, title)


def evaluate_tagger(
    runtime: Runtime, category: str, tag: str, field: str = "tags"
) -> tuple[TagMetrics, bool]:
    """Measure a tagger on the tags that the category has now, and return also whether they are those that it
    was trained on. It knows some of these images, which flatters it. ``NotFound``, ``TooFewExamples``."""
    found, head = runtime.catalog.get(category), runtime.taggers.get(category, tag)
    examples = read_examples(runtime.vectors, found, head.using, tags=[tag], field=field, least=1)
    metrics = tag_metrics(examples.targets[:, 0], head.scores(examples.x), head.threshold)
    return metrics, head.fingerprint == examples.fingerprint(0)
