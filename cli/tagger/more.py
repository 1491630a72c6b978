"""``vitrine tagger quality``, ``zero-shot`` and ``convert``: taggers from ratings, from words, and from older
systems' files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_pairs, print_table
from vitrine.services.errors import BadRequest, UnsupportedQuery

if TYPE_CHECKING:
    from vitrine.indexer.job.progress import Progress
    from vitrine.services.artifacts.taggers import TagHead
    from vitrine.services.category.catalog import Category
    from vitrine.services.domain import EncoderSpec
    from vitrine.services.runtime import Runtime
    from vitrine.training.taggers.zero_shot import WordScores, WordTally

UsingOption = Annotated[
    str | None,
    typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's own]"),
]


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
    """Train the tagger that fills quality (0..1), from ratings or from pairs of pictures, and say how good it
    is on new ones."""
    if (ratings is None) == (pairs is None):
        raise BadRequest(
            "Say where the ratings are (--ratings metadata.COLUMN) or where the preferences are "
            "(--pairs FILE.csv)."
        )
    from vitrine.services.taggers.saving import save_heads

    with stores(ctx) as runtime:
        found = runtime.catalog.get(category)
        if ratings is not None:
            head = _rated(runtime, found, using, ratings, low, high)
        elif pairs is not None:
            head = _preferred(runtime, found, using, pairs)
        (saved,) = save_heads(runtime, found, [head])
    tree = {"tag": saved.tag, "kind": saved.kind, "using": saved.using, "trained_at": saved.trained_at}
    if as_json:
        print_json({**tree, "examples": dict(saved.examples), "metrics": dict(saved.metrics)})
        return
    print_pairs(
        {**tree, **saved.examples, **{name.replace("_", " "): value for name, value in saved.metrics.items()}}
    )
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
    write: Annotated[bool, typer.Option("--write", help="Put the words into service as taggers.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Score every image for a list of words with the category's text encoder: no examples are needed."""
    from vitrine.indexer.job.progress import make_progress
    from vitrine.services.taggers.saving import save_heads
    from vitrine.training.taggers.zero_shot import (
        TEMPLATES,
        WordTally,
        check_table,
        read_templates,
        read_words,
        sample_embeddings,
        score_words,
        word_heads,
        write_scores,
    )

    if to is not None:
        check_table(to)
    listed, prompts = read_words(words), read_templates(templates) if templates else TEMPLATES
    with stores(ctx) as runtime:
        found = runtime.catalog.get(category)
        spec = _text_spec(found, using)
        encoder = runtime.encoders.for_category(spec)
        images = sample_embeddings(runtime.vectors, category, spec.name)
        heads = word_heads(encoder, listed, prompts, using=spec.name, revision=spec.revision, images=images)
        tally = WordTally(listed)
        progress = make_progress(quiet=as_json, title="scoring")
        if progress:
            progress.start(runtime.vectors.count(category))
        batches = _tallied(score_words(runtime.vectors, category, heads), tally, progress)
        if to is not None:
            write_scores(batches, listed, to)
        else:
            for _ in batches:
                pass
        if progress:
            progress.finish(tally)
        rows = _word_rows(runtime, category, tally)
        saved = save_heads(runtime, found, heads) if write else []
    if as_json:
        tree = {
            "category": category,
            "using": spec.name,
            "images": tally.images,
            "words": rows,
            "to": str(to) if to else None,
        }
        print_json({**tree, "trained_at": saved[0].trained_at if saved else None})
        return
    shown = [(row["word"], row["images"], ", ".join(_example(one) for one in row["best"])) for row in rows]
    print_table(("word", "images", "best"), shown, right=("images",))
    if to is not None:
        note(f"The scores of {tally.images} images are in {to}.")
    if saved:
        note(
            f"{len(saved)} taggers in service. Write their scores to the images: vitrine tagger score "
            f"-c {category}"
        )
    elif to is None:
        note("Nothing was kept: --to FILE.csv keeps the scores, --write makes taggers of the words.")


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
            "--tag", metavar="TAG", help="The tag it tells. [default: the file's, or the name of each class]"
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            "--positive-class",
            metavar="NAME",
            help="The class that has the tag. [default: the images tell]",
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
        bool, typer.Option("--unchecked", help="Convert it also where the category's images say otherwise.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Put the taggers into service.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make taggers from an older system's classifier.

    A script in docs/training.md writes the npz from a pickle of scikit-learn. Of two classes one has the tag,
    in some systems class 0. Where their names do not say which, the images that carry the tag decide: they
    must score above the others. The category's vector must be the one that the classifier was trained on.
    """
    from vitrine.services.taggers.saving import save_heads
    from vitrine.training.taggers.old_direction import convert_model, read_tagged
    from vitrine.training.taggers.old_models import read_model

    data = _read_model_file(file)
    model = read_model(data, file.name)
    with stores(ctx) as runtime:
        found = runtime.catalog.get(category)
        converted = convert_model(
            model,
            found.encoder(using),
            lambda: read_tagged(runtime.vectors, found, using),
            data,
            tag=tag,
            class_=class_,
            length=length,
            unchecked=unchecked,
        )
        if save:
            save_heads(runtime, found, [one.tagger for one in converted])
    rows = [{**one.to_json(), "saved": save} for one in converted]
    if as_json:
        print_json(rows)
        return
    columns = ("tag", "class", "kind", "using", "roc_auc", "positives", "negatives")
    print_table(columns, [[row[column] for column in columns] for row in rows], right=columns[4:])
    for text in dict.fromkeys(text for one in converted for text in one.notes):
        note(f"Note: {text}.")
    note(
        f"In service, with threshold 0.5: tagger eval judges them, tagger score -c {category} writes scores."
        if save
        else "Nothing was kept: --save puts them into service."
    )


def _rated(
    runtime: Runtime, category: Category, using: str | None, field: str, low: float, high: float
) -> TagHead:
    import numpy as np

    from vitrine.training.taggers.examples import read_columns
    from vitrine.training.taggers.quality import quality_from_ratings

    ids, x, values = read_columns(runtime.vectors, category, using, (field, "phash"))
    rows = [
        row
        for row, (rating, _) in enumerate(values)
        if isinstance(rating, int | float) and not isinstance(rating, bool)
    ]
    if len(rows) < len(ids):
        note(f"{len(ids) - len(rows)} of {len(ids)} images have no number in {field}.")
    note(f"Fitting to {len(rows)} ratings; ten thousand take a quarter of a minute.")
    return quality_from_ratings(
        category.encoder(using),
        [ids[row] for row in rows],
        x[np.array(rows, np.intp)],
        np.array([values[row][0] for row in rows], np.float64),
        low=low,
        high=high,
        groups=[str(values[row][1] or ids[row]) for row in rows],
    )


def _preferred(runtime: Runtime, category: Category, using: str | None, pairs: Path) -> TagHead:
    from collections import Counter

    from vitrine.training.taggers.examples import read_columns
    from vitrine.training.taggers.quality import quality_from_preferences, read_preferences

    ids, x, values = read_columns(runtime.vectors, category, using, ("filename", "phash"))
    often = Counter(str(name) for name, _ in values)
    names = {
        str(name): one for one, (name, _) in zip(ids, values, strict=True) if name and often[str(name)] == 1
    }
    rows, unknown = read_preferences(pairs, ids, names)
    if unknown:
        note(
            f"{unknown} pairs name images that are not there, a file name that several have, or the "
            "same image twice."
        )
    groups = [str(phash or one) for one, (_, phash) in zip(ids, values, strict=True)]
    note(f"Fitting to {len(rows)} pairs; five thousand take a quarter of a minute.")
    return quality_from_preferences(category.encoder(using), ids, x, rows, groups=groups)


def _text_spec(category: Category, using: str | None) -> EncoderSpec:
    """The encoder of ``using``, or else the first that reads text; ``UnsupportedQuery``."""
    spec = category.encoder(using)
    able = [other for other in category.encoders if "text" in other.modalities]
    if "text" in spec.modalities:
        return spec
    if using is None and able:
        return able[0]
    raise UnsupportedQuery(
        f"The encoder {spec.name!r} reads no text: "
        + (f"say --using {able[0].name}." if able else "add one of the CLIP family to the category."),
        using=spec.name,
    )


def _tallied(
    batches: Iterator[WordScores], tally: WordTally, progress: Progress | None
) -> Iterator[WordScores]:
    for batch in batches:
        tally.add(batch)
        if progress:
            progress.update(tally)
        yield batch


def _word_rows(runtime: Runtime, category: str, tally: WordTally) -> list[dict[str, Any]]:
    best = [tally.best(number) for number in range(len(tally.words))]
    ids = list(dict.fromkeys(id for some in best for id, _ in some))
    hits = runtime.vectors.retrieve(category, ids, with_payload=("filename",), with_vectors=())
    names = {hit.id: hit.payload.get("filename") for hit in hits if hit is not None}
    return [
        {
            "word": word,
            "images": int(count),
            "best": [{"id": id, "filename": names.get(id), "score": round(score, 5)} for id, score in some],
        }
        for word, count, some in zip(tally.words, tally.counts, best, strict=True)
    ]


def _example(one: dict[str, Any]) -> str:
    return f"{one['filename'] or one['id']} {one['score']:.3f}"


def _read_model_file(path: Path) -> bytes:
    from vitrine.training.taggers.old_models import MAX_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from error
