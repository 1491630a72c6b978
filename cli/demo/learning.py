"""What the demo learns from its catalogue: an encoder of its classes, a tagger for each of its tags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vitrine.cli.output import note, print_table, show_progress, telling

if TYPE_CHECKING:
    from vitrine.services.domain import EncoderSpec
    from vitrine.services.runtime import Runtime
    from vitrine.training.metric.run import SavedRun

LOOK = "look"
"""The name that the metric-learned encoder is asked by."""
_FIGURES = (("recall@1", "precision_at_1"), ("precision@10", "precision_at_10"), ("MAP@R", "map_at_r"))


@dataclass(frozen=True)
class LearnedEncoder:
    """``metrics`` of the held-out pictures, by encoder (candidate, trunk) and figure. ``fresh``: trained in
    this run."""

    folder: Path
    metrics: dict[str, dict[str, float]]
    fresh: bool


@dataclass(frozen=True)
class LearnedTaggers:
    """``precisions``: average precision by tag, out of sample."""

    precisions: dict[str, float]
    fresh: bool

    @property
    def mean(self) -> float:
        return sum(self.precisions.values()) / max(1, len(self.precisions))


def learn(runtime: Runtime, category: str, using: str) -> tuple[LearnedEncoder, LearnedTaggers] | None:
    """Train an encoder and taggers; None with a note where there are too few pictures, or the extra
    `training` is missing."""
    from vitrine.services.errors import TooFewExamples

    try:
        return _learn_encoder(runtime, category, using), _learn_taggers(runtime, category, using)
    except TooFewExamples as error:
        note(f"Nothing is learned from so few pictures. {error.message}")
    except ImportError as error:
        note(f"Nothing is learned: {error.name} is not installed (it comes with the extra `training`).")
    return None


def _learn_encoder(runtime: Runtime, category: str, using: str) -> LearnedEncoder:
    """Train an embedder on the classes, behind the stored embeddings, and promote it; nothing if that is done
    already."""
    from vitrine.indexer.enrich.vectors.promote import promote
    from vitrine.services.encoders.families.metric_folders import trained

    spec = runtime.catalog.get(category).encoder(using)
    former = [(folder, config) for folder, config in trained(runtime.settings.data) if config.name == LOOK]
    fitting = [(folder, config) for folder, config in former if config.trunk.revision == spec.revision]
    if fitting:
        folder, metrics = fitting[0][0], fitting[0][1].metrics
    else:
        saved = _train(runtime, category, spec)
        folder, metrics = saved.folder, saved.metrics
    promote(runtime, category, folder, name=LOOK, default=False, progress=show_progress())
    return LearnedEncoder(folder, {name: dict(figures) for name, figures in metrics.items()}, not fitting)


def _learn_taggers(runtime: Runtime, category: str, using: str) -> LearnedTaggers:
    """Train a tagger for each tag unless there are some, and score every picture that is not scored yet."""
    from vitrine.indexer.enrich.scores.scoring import score_images
    from vitrine.services.taggers.saving import save_heads
    from vitrine.training.taggers.examples import read_examples
    from vitrine.training.taggers.report import write_report
    from vitrine.training.taggers.train import train_taggers

    there = runtime.taggers.in_service(category)
    if not there:
        found = runtime.catalog.get(category)
        with telling() as tell:
            training = train_taggers(read_examples(runtime.vectors, found, using), tell=tell)
        save_heads(runtime, found, training.heads)
        write_report(
            runtime.settings.data / "reports" / "taggers" / category / "demo",
            training,
            title="Taggers of the demo",
        )
    score_images(runtime, category, progress=show_progress())
    heads = runtime.taggers.in_service(category)
    return LearnedTaggers(
        {head.tag: float(head.metrics.get("average_precision", 0.0)) for head in heads}, not there
    )


def print_learned(encoder: LearnedEncoder, taggers: LearnedTaggers) -> None:
    """Print what was learned, in two paragraphs."""
    _print_encoder(encoder)
    _print_taggers(taggers)


def learned_json(encoder: LearnedEncoder, taggers: LearnedTaggers) -> dict[str, Any]:
    """Return what was learned, for programs."""
    return {
        "encoder": {
            "name": LOOK,
            "folder": str(encoder.folder),
            "metrics": encoder.metrics,
            "fresh": encoder.fresh,
        },
        "taggers": {"average_precision": taggers.precisions, "mean": taggers.mean, "fresh": taggers.fresh},
    }


def _print_encoder(learned: LearnedEncoder) -> None:
    """Print how well held-out pictures find others of their class, before and after."""
    typer.secho(f"\nLearned: an encoder of the classes, {LOOK!r}", bold=True)
    rows = [
        (name, *(learned.metrics[key].get(figure) for _, figure in _FIGURES))
        for key, name in (("trunk", "the encoder as it was"), ("candidate", LOOK))
        if key in learned.metrics
    ]
    print_table(
        ("on held-out pictures", *(name for name, _ in _FIGURES)),
        rows,
        right=tuple(name for name, _ in _FIGURES),
    )
    typer.echo(f"{'Report' if learned.fresh else 'Trained before; report'}: {learned.folder / 'report.md'}")


def _print_taggers(learned: LearnedTaggers) -> None:
    """Print the best and the worst taggers."""
    ranked = sorted(learned.precisions.items(), key=lambda item: -item[1])
    typer.secho(f"\nLearned: {len(ranked)} taggers", bold=True)
    typer.echo(f"Mean average precision {learned.mean:.3f} on pictures that they have not seen.")
    for name, some in (("best", ranked[:5]), ("worst", ranked[-5:])):
        typer.echo(f"  {name}: " + ", ".join(f"{tag} {value:.2f}" for tag, value in some))


def _train(runtime: Runtime, category: str, spec: EncoderSpec) -> SavedRun:
    from vitrine.training.data.collect import collect, list_category
    from vitrine.training.metric.options import MetricOptions
    from vitrine.training.metric.run import run_metric
    from vitrine.training.metric.train import Watch

    images, _ = list_category(runtime, category, using=spec.name)
    with telling() as tell:
        data = collect(images, spec, threads=runtime.settings.threads or 2, tell=tell, note=note)
        return run_metric(LOOK, data, MetricOptions(), runtime.settings, watch=Watch(tell), note=note)
