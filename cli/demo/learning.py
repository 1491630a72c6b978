"""Train what the demo learns from its catalogue: an encoder of its classes, a tagger for each of its tags."""

from __future__ import annotations

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


def learn(runtime: Runtime, category: str, using: str) -> dict[str, Any] | None:
    """Train an encoder and taggers, and return how good they are, for programs.

    None, with a note, where there are too few pictures. ``encoder`` is None, with a note, where the extra
    ``train`` is not installed.
    """
    from vitrine.services.errors import TooFewExamples

    try:
        return {
            "encoder": _encoder_if_possible(runtime, category, using),
            "taggers": _learn_taggers(runtime, category, using),
        }
    except TooFewExamples as error:
        note(f"Nothing is learned from so few pictures. {error.message}")
    return None


def _encoder_if_possible(runtime: Runtime, category: str, using: str) -> dict[str, Any] | None:
    from vitrine.services.errors import MissingExtra

    try:
        return _learn_encoder(runtime, category, using)
    except MissingExtra as error:
        note(f"No encoder is trained. {error.message}")
    return None


def _learn_encoder(runtime: Runtime, category: str, using: str) -> dict[str, Any]:
    """Train an embedder on the classes, behind the stored embeddings, and promote it; nothing if that is done
    already."""
    from vitrine.indexer.enrich.vectors.promote import promote
    from vitrine.services.encoders.families.metric_folders import trained

    spec = runtime.catalog.get(category).encoder(using)
    fitting = [
        (folder, config.metrics)
        for folder, config in trained(runtime.settings.data)
        if config.name == LOOK and config.trunk.revision == spec.revision
    ]
    if fitting:
        folder, metrics = fitting[0]
    else:
        saved = _train(runtime, category, spec)
        folder, metrics = saved.folder, saved.metrics
    promote(runtime, category, folder, name=LOOK, default=False, progress=show_progress())
    return {"name": LOOK, "folder": str(folder), "metrics": metrics, "fresh": not fitting}


def _learn_taggers(runtime: Runtime, category: str, using: str) -> dict[str, Any]:
    """Train a tagger for each tag unless there are some, and score every picture that is not scored yet."""
    from vitrine.indexer.enrich.scores.scoring import score_images
    from vitrine.training.taggers.options import TrainOptions
    from vitrine.training.taggers.run import run_taggers

    there = runtime.taggers.in_service(category)
    if not there:
        report = runtime.settings.data / "reports" / "taggers" / category / "demo"
        options = TrainOptions(min_examples=2)  # a small catalogue has few pictures of a tag
        with telling() as tell:
            run_taggers(runtime, category, None, options, using=using, folder=report, tell=tell)
    score_images(runtime, category, progress=show_progress())
    precisions = {
        head.tag: float(head.metrics.get("average_precision", 0.0))
        for head in runtime.taggers.in_service(category)
    }
    mean = sum(precisions.values()) / max(1, len(precisions))
    return {"average_precision": precisions, "mean": mean, "fresh": not there}


def print_learned(learned: dict[str, Any]) -> None:
    """Print how well held-out pictures find others of their class, before and after; then the best and the
    worst taggers."""
    if encoder := learned["encoder"]:
        _print_encoder(encoder)
    taggers = learned["taggers"]
    ranked = sorted(taggers["average_precision"].items(), key=lambda item: -item[1])
    typer.secho(f"\nLearned: {len(ranked)} taggers", bold=True)
    typer.echo(f"Mean average precision {taggers['mean']:.3f} on pictures that they have not seen.")
    for name, some in (("best", ranked[:5]), ("worst", ranked[-5:])):
        typer.echo(f"  {name}: " + ", ".join(f"{tag} {value:.2f}" for tag, value in some))


def _print_encoder(encoder: dict[str, Any]) -> None:
    typer.secho(f"\nLearned: an encoder of the classes, {LOOK!r}", bold=True)
    rows = [
        (name, *(encoder["metrics"][key].get(figure) for _, figure in _FIGURES))
        for key, name in (("trunk", "the encoder as it was"), ("candidate", LOOK))
        if key in encoder["metrics"]
    ]
    names = tuple(name for name, _ in _FIGURES)
    print_table(("on held-out pictures", *names), rows, right=names)
    report = Path(encoder["folder"], "report.md")
    typer.echo(f"{'Report' if encoder['fresh'] else 'Trained before; report'}: {report}")


def _train(runtime: Runtime, category: str, spec: EncoderSpec) -> SavedRun:
    from vitrine.training.data.collect import collect, list_category
    from vitrine.training.metric.options import MetricOptions
    from vitrine.training.metric.run import run_metric
    from vitrine.training.metric.train import Watch

    images, _ = list_category(runtime, category, using=spec.name)
    with telling() as tell:
        data = collect(images, spec, threads=runtime.settings.threads or 2, tell=tell, note=note)
        return run_metric(LOOK, data, MetricOptions(), runtime.settings, watch=Watch(tell), note=note)
