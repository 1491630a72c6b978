"""``vitrine tagger quality``, ``zero-shot`` and ``convert``: taggers from ratings, from words, and from older
systems' files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, UsingOption
from vitrine.cli.output import note, print_json, print_pairs, print_table, telling

KeepOption = Annotated[bool, typer.Option("--keep", help="Put the taggers into service.")]


def quality(
    ctx: typer.Context,
    category: CategoryOption,
    ratings: Annotated[
        str | None,
        typer.Option("--ratings", metavar="FIELD", help="Where the ratings are, such as metadata.rating."),
    ] = None,
    low: Annotated[float, typer.Option("--low", help="The worst rating.")] = 1.0,
    high: Annotated[float, typer.Option("--high", help="The best rating.")] = 10.0,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs", metavar="FILE.csv", help="Preferences: columns better and worse, ids or file names."
        ),
    ] = None,
    using: UsingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the tagger that fills quality (0..1) from ratings or from pairs of pictures, and measure it on
    images that it has not seen."""
    from vitrine.training.taggers.ratings import train_quality

    with stores(ctx) as runtime:
        saved = train_quality(
            runtime, category, ratings=ratings, low=low, high=high, pairs=pairs, using=using, note=note
        )
    tree = {"tag": saved.tag, "kind": saved.kind, "using": saved.using, "trained_at": saved.trained_at}
    if as_json:
        print_json({**tree, "examples": dict(saved.examples), "metrics": dict(saved.metrics)})
        return
    metrics = {name.replace("_", " "): value for name, value in saved.metrics.items()}
    print_pairs({**tree, **saved.examples, **metrics})
    note(f"In service. Write it to the images: vitrine tagger score -c {category} --tag {saved.tag}")


def zero_shot(
    ctx: typer.Context,
    category: CategoryOption,
    words: Annotated[Path, typer.Option("--words", metavar="FILE", help="One word or phrase a line.")],
    templates: Annotated[
        Path | None,
        typer.Option("--templates", metavar="FILE", help="Prompts, one a line, with {} for the word."),
    ] = None,
    using: UsingOption = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write all scores as .csv, .parquet or .json.")
    ] = None,
    keep: KeepOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score every image for a list of words with the category's text encoder: no examples are needed."""
    from vitrine.services.files import check_ending
    from vitrine.training.taggers.word_scores import TABLES, score_by_words
    from vitrine.training.taggers.zero_shot import TEMPLATES, read_templates, read_words

    if to is not None:
        check_ending(to, "a table", TABLES)
    listed, prompts = read_words(words), read_templates(templates) if templates else TEMPLATES
    with stores(ctx) as runtime, telling() as tell:
        found = score_by_words(runtime, category, listed, prompts, using=using, to=to, keep=keep, tell=tell)
    if as_json:
        print_json(found.to_json())
        return
    shown = [
        (row["word"], row["images"], ", ".join(_example(one) for one in row["best"])) for row in found.words
    ]
    print_table(("word", "images", "best"), shown, right=("images",))
    if to is not None:
        note(f"The scores of {found.images} images are in {to}.")
    if found.heads:
        note(
            f"{len(found.heads)} taggers in service. Write their scores to the images: vitrine tagger score "
            f"-c {category}"
        )
    elif to is None:
        note("Nothing was kept: --to FILE.csv keeps the scores, --keep makes taggers of the words.")


def convert(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The npz of a linear classifier that the script in docs/training.md writes."
        ),
    ],
    category: CategoryOption,
    tag: Annotated[
        str | None,
        typer.Option(
            "--tag", metavar="TAG", help="The tag it scores. [default: the file's, or the name of each class]"
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            "--positive-class",
            metavar="NAME",
            help="The class that has the tag. [default: the images decide]",
        ),
    ] = None,
    length: Annotated[
        float | None,
        typer.Option(
            "--norm", metavar="LENGTH", min=0.001, help="Length of the vectors it was trained on, if not 1."
        ),
    ] = None,
    using: UsingOption = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Convert it even if the category's images contradict it.")
    ] = False,
    keep: KeepOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make taggers from an older system's classifier.

    A script in docs/training.md writes the npz from a pickle of scikit-learn. Of two classes one has the tag,
    in some systems class 0. Where their names do not say which, the images that carry the tag decide: they
    must score above the others. The category's vector must be the one that the classifier was trained on.
    """
    from vitrine.training.taggers.old_direction import convert_file

    with stores(ctx) as runtime:
        converted = convert_file(
            runtime,
            category,
            file,
            tag=tag,
            class_=class_,
            length=length,
            using=using,
            unchecked=unchecked,
            keep=keep,
        )
    rows = [{**one.to_json(), "saved": keep} for one in converted]
    if as_json:
        print_json(rows)
        return
    columns = ("tag", "class", "kind", "using", "roc_auc", "positives", "negatives")
    print_table(columns, [[row[column] for column in columns] for row in rows], right=columns[4:])
    for text in dict.fromkeys(text for one in converted for text in one.notes):
        note(f"Note: {text}.")
    note(
        f"In service, with threshold 0.5: tagger eval judges them, tagger score -c {category} writes scores."
        if keep
        else "Nothing was kept: --keep puts them into service."
    )


def _example(one: dict[str, Any]) -> str:
    return f"{one['filename'] or one['id']} {one['score']:.3f}"
