"""The Searcher over a store that answers by plain loops, with an encoder that sees colours."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.category.filters import Conditions, parse_conditions
from vitrine.services.domain import OrderBy, Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.errors import (
    BadRequest,
    BadVector,
    ImageRefused,
    NotFound,
    UnknownField,
    UnknownVector,
    UnsupportedQuery,
)
from vitrine.services.images.open import point_id
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.search.counts import count_bins, count_values
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import (
    ByExamples,
    ByFusion,
    ById,
    ByImage,
    ByText,
    ByVector,
    Example,
    Sent,
    Text,
    unit,
)
from vitrine.services.settings import Settings

COLOURS = {
    "red": (220, 20, 20),
    "orange": (240, 140, 20),
    "green": (20, 160, 40),
    "blue": (20, 40, 220),
    "black": (8, 8, 8),
}
IDS = {name: point_id(f"{n:064x}") for n, name in enumerate(COLOURS)}
NAMES = {id: name for name, id in IDS.items()}


def picture(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    settings = Settings(data=tmp_path)
    pool = EncoderPool(settings)
    encoder = ColourEncoder()
    pool.register(encoder)
    runtime = assemble(settings, OracleVectorStore(), LocalObjectStore(tmp_path, min_free_mb=0), pool)
    runtime.catalog.create("colours", [encoder.spec])
    runtime.catalog.ensure_indexes("colours", {"scores.warm": "float", "metadata.year": "integer"})
    images = [Image.new("RGB", (16, 16), colour) for colour in COLOURS.values()]
    points = [
        Point(
            IDS[name],
            {encoder.spec.name: vector},
            {
                "tags": [name, "flat"],
                "class": "warm" if name in ("red", "orange") else "cool",
                "scores": {"warm": round(1 - n / 4, 2)},
                "metadata": {"year": 1990 + n},
                "object_key": f"colours/images/{n}",
            },
        )
        for n, (name, vector) in enumerate(zip(COLOURS, encoder.encode_images(images), strict=True))
    ]
    runtime.vectors.upsert("colours", points)
    yield runtime
    pool.close()


def names(hits: object) -> list[str]:
    return [NAMES[hit.id] for hit in hits]  # type: ignore[attr-defined]


def test_a_picture_finds_itself_first_and_then_what_is_alike(runtime: Runtime) -> None:
    found = runtime.searcher.search("colours", ByImage(picture(COLOURS["red"])), SearchOptions(limit=2))
    assert names(found.hits) == ["red", "orange"]
    assert found.hits[0].similarity == pytest.approx(1.0, abs=1e-3)
    assert found.encoder.name == "colour"


def test_a_text_finds_its_colour(runtime: Runtime) -> None:
    assert names(runtime.searcher.search("colours", ByText("blue"), SearchOptions(limit=1)).hits) == ["blue"]


def test_an_id_leaves_itself_out(runtime: Runtime) -> None:
    found = runtime.searcher.search("colours", ById(IDS["red"]), SearchOptions(limit=10))
    assert names(found.hits)[0] == "orange" and "red" not in names(found.hits) and len(found.hits) == 4


def test_a_vector_need_not_be_normalised(runtime: Runtime) -> None:
    stored = runtime.searcher.image("colours", IDS["green"], with_vectors=True).vectors["colour"]
    found = runtime.searcher.search("colours", ByVector((stored * 7).tolist()), SearchOptions(limit=1))
    assert names(found.hits) == ["green"]


def test_examples_pull_and_push_and_are_left_out(runtime: Runtime) -> None:
    found = runtime.searcher.search(
        "colours", ByExamples((IDS["red"],), (IDS["blue"],)), SearchOptions(limit=5)
    )
    assert names(found.hits)[0] == "orange"
    assert not {"red", "blue"} & set(names(found.hits))
    mixed = runtime.searcher.search("colours", ByExamples((picture(COLOURS["red"]),)), SearchOptions(limit=1))
    assert names(mixed.hits) == ["red"]


def test_words_and_sent_pictures_are_examples_too(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def best(*positive: Example, negative: tuple[Example, ...] = ()) -> list[str]:
        question = ByExamples(positive, negative)
        return names(runtime.searcher.search("colours", question, SearchOptions(limit=1)).hits)

    assert best(Text("green")) == ["green"]
    assert best(Text("red"), negative=(IDS["red"],)) == ["orange"]
    assert best(Text("red"), IDS["red"], negative=(Text("blue"),)) == ["orange"]
    sent = Sent(runtime.pictures.keep(picture(COLOURS["blue"])).sha256)
    encoded: list[int] = []
    encoder = runtime.encoders.get("colour")
    encode = encoder.encode_images

    def counted(images: list[Image.Image]) -> object:
        encoded.append(len(images))
        return encode(images)

    monkeypatch.setattr(type(encoder), "encode_images", lambda self, images: counted(images))
    assert best(sent) == best(sent, Text("blue")) == ["blue"]
    assert best(IDS["black"], negative=(sent,)) != ["blue"]
    assert encoded == [1]  # once for all three
    with pytest.raises(NotFound, match="send it again"):
        best(Sent("a" * 64))
    with pytest.raises(BadRequest, match="empty"):
        best(Text(" "), IDS["red"])


def test_words_among_examples_choose_an_encoder_that_reads_them(runtime: Runtime) -> None:
    blind = replace(ColourEncoder("blind", dim=32).spec, modalities=("image",))
    runtime.catalog.add_encoder("colours", blind)
    runtime.catalog.set_default("colours", "blind")
    question = ByExamples((Text("red"), IDS["red"]))
    assert runtime.searcher.search("colours", question).encoder.name == "colour"
    with pytest.raises(UnsupportedQuery):
        runtime.searcher.search("colours", question, SearchOptions(using="blind"))


def test_diverse_examples_point_the_same_way(runtime: Runtime) -> None:
    options = SearchOptions(limit=1, diversity=0.0)
    assert names(
        runtime.searcher.search("colours", ByExamples((IDS["red"],), (IDS["blue"],)), options).hits
    ) == ["orange"]


def test_conditions_thresholds_and_offsets_narrow(runtime: Runtime) -> None:
    warm = parse_conditions({"class": ["warm"]})
    red = picture(COLOURS["red"])
    assert set(
        names(runtime.searcher.search("colours", ByImage(red), SearchOptions(conditions=warm)).hits)
    ) == {
        "red",
        "orange",
    }
    alike = runtime.searcher.search("colours", ByImage(red), SearchOptions(min_similarity=0.999)).hits
    assert names(alike) == ["red"]
    assert names(runtime.searcher.search("colours", ByImage(red), SearchOptions(offset=1, limit=1)).hits) == [
        "orange"
    ]


def test_listing_by_cursor_sees_every_image_once_in_order(runtime: Runtime) -> None:
    seen, cursor = [], None
    while True:
        page = runtime.searcher.listing(
            "colours", Conditions(), order_by=OrderBy("metadata.year", True), limit=2, cursor=cursor
        )
        seen += names(page.hits)
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == list(COLOURS)[::-1]


def test_counts_facets_random_and_histogram_agree(runtime: Runtime) -> None:
    searcher = runtime.searcher
    assert searcher.count("colours") == 5
    assert {
        facet.value: facet.count for facet in count_values(searcher, "colours", "class", Conditions())
    } == {
        "cool": 3,
        "warm": 2,
    }
    assert len({hit.id for hit in searcher.random("colours", Conditions(), limit=3)}) == 3
    scores = count_bins(searcher, "colours", "scores.warm", Conditions(), bins=4)
    assert [bin.count for bin in scores] == [1, 1, 1, 2]  # the last bin has its upper edge
    years = count_bins(searcher, "colours", "metadata.year", Conditions(), bins=2)
    assert [(bin.lower, bin.upper, bin.count) for bin in years] == [(1990.0, 1992.0, 2), (1992.0, 1994.0, 3)]
    one = parse_conditions({"tags_all": ["red"]})
    assert sum(bin.count for bin in count_bins(searcher, "colours", "metadata.year", one)) == 1
    none = parse_conditions({"tags_all": ["pink"]})
    assert count_bins(searcher, "colours", "metadata.year", none) == []


def test_what_is_not_there_is_not_found(runtime: Runtime) -> None:
    searcher, options = runtime.searcher, SearchOptions()
    absent = point_id("f" * 64)
    for call in (
        lambda: searcher.search("shapes", ByText("red"), options),
        lambda: searcher.search("colours", ById(absent), options),
        lambda: searcher.search("colours", ById("../../etc/passwd"), options),
        lambda: searcher.image("colours", absent),
        lambda: searcher.search("colours", ByExamples((IDS["red"], absent)), options),
    ):
        with pytest.raises(NotFound):
            call()


def test_bad_questions_are_refused_with_their_own_error(runtime: Runtime) -> None:
    searcher = runtime.searcher
    red = IDS["red"]
    for error, call in (
        (UnknownVector, lambda: searcher.search("colours", ById(red), SearchOptions(using="vit"))),
        (BadVector, lambda: searcher.search("colours", ByVector([0.0] * 3), SearchOptions())),
        (BadVector, lambda: searcher.search("colours", ByVector([1.0, 2.0, 3.0]), SearchOptions())),
        (ImageRefused, lambda: searcher.search("colours", ByImage(b"not an image"), SearchOptions())),
        (BadRequest, lambda: searcher.search("colours", ByText("  "), SearchOptions())),
        (BadRequest, lambda: searcher.search("colours", ById(red), SearchOptions(limit=0))),
        (BadRequest, lambda: searcher.search("colours", ById(red), SearchOptions(limit=9_000, offset=2_000))),
        (BadRequest, lambda: searcher.search("colours", ById(red), SearchOptions(diversity=2))),
        (BadRequest, lambda: searcher.search("colours", ByExamples((), (red,)), SearchOptions())),
        (BadRequest, lambda: searcher.search("colours", ByFusion(red, ("colour",)), SearchOptions())),
        (BadRequest, lambda: count_bins(searcher, "colours", "scores.warm", Conditions(), bins=0)),
        (UnknownField, lambda: count_values(searcher, "colours", "caption", Conditions())),
        (UnknownField, lambda: count_values(searcher, "colours", "scores.warm", Conditions())),
        (UnknownField, lambda: count_bins(searcher, "colours", "class", Conditions())),
        (UnknownField, lambda: searcher.listing("colours", Conditions(), order_by=OrderBy("class"))),
        (UnknownField, lambda: searcher.listing("colours", parse_conditions({"metadata": {"weight": 1}}))),
    ):
        with pytest.raises(error):
            call()


def test_a_vision_only_encoder_refuses_text_and_names_one_that_reads(runtime: Runtime) -> None:
    from dataclasses import replace

    blind = replace(ColourEncoder().spec, name="blind", modalities=("image",))
    runtime.catalog.add_encoder("colours", blind)
    with pytest.raises(UnsupportedQuery) as caught:
        runtime.searcher.search("colours", ByText("red"), SearchOptions(using="blind"))
    assert "colour" in caught.value.message


def test_unit_normalises_or_refuses() -> None:
    assert np.linalg.norm(unit(np.array([3.0, 4.0]))) == pytest.approx(1)
    for bad in ([0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], [[1.0]], []):
        with pytest.raises(BadVector):
            unit(np.array(bad))
