from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.indexer.enrich.vectors.trained import expected_row
from tests.indexer.pictures import CATEGORY, add_pictures, id_of, picture
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
from vitrine.indexer.enrich.vectors import reembed
from vitrine.indexer.enrich.vectors.reembed import FillReport, fill_vector, lacks
from vitrine.indexer.ingest.importers import adopted_spec
from vitrine.indexer.job import stored_images
from vitrine.indexer.job.stored_images import embed_stored
from vitrine.indexer.sources.records import ADOPTED
from vitrine.services.artifacts.clusters import membership
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.domain import Hit, Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import Unavailable, UnknownVector, UnsupportedQuery
from vitrine.services.images.open import content_hash
from vitrine.services.runtime import Runtime


class Counting(ColourEncoder):
    """Counts what it encodes, and may do something before each batch."""

    def __init__(self, name: str = "second", dim: int = 48) -> None:
        super().__init__(name, dim)
        self.encoded = 0
        self.before: Callable[[], None] = lambda: None

    def encode_pixels(self, pixels):  # type: ignore[no-untyped-def]
        self.before()
        self.encoded += len(pixels)
        return super().encode_pixels(pixels)


class Watching:
    """A Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.seen: list[int] = []
        self.finished = False

    def start(self, stage: str, total: int | None) -> None:
        self.total = total

    def update(self, report: FillReport) -> None:  # type: ignore[override]
        self.seen.append(report.done)

    def finish(self, report: FillReport) -> None:
        self.finished = True


@pytest.fixture
def second(runtime: Runtime) -> Iterator[Counting]:
    """Twenty images, and an encoder that was added afterwards."""
    add_pictures(runtime, range(20))
    encoder = Counting()
    runtime.catalog.add_encoder(CATEGORY, runtime.encoders.register(encoder).spec)
    yield encoder


def add_without_second(runtime: Runtime, seed: int) -> None:
    """An image as another process adds it that does not know of the second encoder yet."""
    data = picture(seed)
    payload = {"sha256": content_hash(data), "object_key": f"{CATEGORY}/images/{seed}.png"}
    runtime.objects.put(payload["object_key"], data)
    runtime.vectors.upsert(
        CATEGORY, [Point(id_of(seed), {"colour": expected_row(ColourEncoder(), data)}, payload)]
    )


def rows(runtime: Runtime, using: str = "second") -> dict[str, np.ndarray]:
    hits = runtime.vectors.scroll(CATEGORY, limit=1000, with_vectors=(using,)).hits
    return {hit.id: hit.vectors[using] for hit in hits if using in hit.vectors}


def key_of(runtime: Runtime, seed: int) -> str:
    return str(runtime.searcher.image(CATEGORY, id_of(seed)).payload["object_key"])


def test_every_image_gets_the_vector_of_its_own_picture_once(runtime: Runtime, second: Counting) -> None:
    watching = Watching()
    report = fill_vector(runtime, CATEGORY, "second", progress=watching)
    assert (report.filled, report.failed, report.deleted, report.exit_code) == (20, [], 0, 0)
    assert (watching.total, watching.seen[-1], watching.finished) == (20, 20, True)
    found = rows(runtime)
    for seed in range(20):
        np.testing.assert_allclose(found[id_of(seed)], expected_row(second, picture(seed)), atol=1e-6)
    second.encoded = 0
    assert fill_vector(runtime, CATEGORY, "second").filled == second.encoded == 0


def test_only_what_is_lacking_is_encoded(runtime: Runtime, second: Counting) -> None:
    fill_vector(runtime, CATEGORY, "second")
    add_pictures(runtime, range(20, 25))  # these come with both vectors
    runtime.vectors.delete(CATEGORY, [id_of(3)])
    second.encoded = 0
    assert fill_vector(runtime, CATEGORY, "second").filled == second.encoded == 0


def test_pictures_that_are_missing_or_damaged_are_named_and_nothing_is_made_up(
    runtime: Runtime, second: Counting
) -> None:
    runtime.objects.delete(key_of(runtime, 1))
    runtime.objects.put(key_of(runtime, 2), picture(3))
    runtime.objects.put(key_of(runtime, 4), b"")
    nonsense = b"no picture at all"
    runtime.vectors.set_payload(CATEGORY, {id_of(5): {"sha256": content_hash(nonsense)}})
    runtime.objects.put(key_of(runtime, 5), nonsense)
    runtime.vectors.set_payload(CATEGORY, {id_of(6): {"object_key": "../outside"}})
    report = fill_vector(runtime, CATEGORY, "second")
    expected = {
        1: "image_missing",
        2: "damaged_image",
        4: "damaged_image",
        5: "unsupported_format",
        6: "image_missing",
    }
    assert dict(report.failed) == {id_of(seed): reason for seed, reason in expected.items()}
    assert (report.filled, report.refused, report.exit_code) == (15, 5, 3)
    assert set(rows(runtime)) == {id_of(seed) for seed in range(20)} - {id for id, _ in report.failed}
    assert "5 pictures cannot be read" in report.summary() and id_of(1) in report.summary()
    assert len(report.to_json()["failed"]) == 5


def test_an_encoder_that_fails_on_one_picture_names_it(
    runtime: Runtime, second: Counting, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    plain, calls = ColourEncoder.encode_pixels, iter(range(100))

    def broken(self, pixels):  # type: ignore[no-untyped-def]
        made = plain(self, pixels).copy()
        if next(calls) == 0:
            made[0] = np.nan
        return made

    monkeypatch.setattr(ColourEncoder, "encode_pixels", broken)
    report = fill_vector(runtime, CATEGORY, "second")
    assert report.filled == 19 and [reason for _, reason in report.failed] == ["bad_vector"]


def test_images_deleted_and_added_meanwhile(runtime: Runtime, second: Counting) -> None:
    done = threading.Event()

    def meanwhile() -> None:
        if not done.is_set():
            done.set()
            runtime.editor.delete(CATEGORY, [id_of(7), id_of(8)])
            add_without_second(runtime, 30)

    second.before = meanwhile
    report = fill_vector(runtime, CATEGORY, "second")
    assert (report.filled, report.deleted, report.failed) == (19, 2, [])
    assert set(rows(runtime)) == {id_of(seed) for seed in (*range(7), *range(9, 20), 30)}


def test_a_stop_keeps_what_is_written_and_the_next_run_does_the_rest(
    runtime: Runtime, second: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_images, "SLICE", 4)
    monkeypatch.setattr(reembed, "BATCH_SIZE", 4)
    stop = threading.Event()

    class Stopping(Watching):
        def update(self, report: FillReport) -> None:  # type: ignore[override]
            stop.set()

    report = fill_vector(runtime, CATEGORY, "second", progress=Stopping(), stop=stop)
    assert report.interrupted and report.exit_code == 130 and not report.complete
    assert 4 <= report.filled < 20 and len(rows(runtime)) == report.filled
    second.encoded = 0
    assert fill_vector(runtime, CATEGORY, "second").filled == second.encoded == 20 - report.filled


def test_a_store_that_does_not_answer_ends_the_run_with_what_is_written(
    runtime: Runtime, second: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = runtime.objects.get

    def fail(key: str) -> bytes:
        if key == broken:
            raise Unavailable("The object store does not answer.")
        return get(key)

    broken = key_of(runtime, 9)
    monkeypatch.setattr(runtime.objects, "get", fail)
    report = fill_vector(runtime, CATEGORY, "second")
    assert report.error is not None and report.exit_code == 1 and report.filled < 20
    assert "does not answer" in report.summary()


def test_a_large_fill_brings_the_search_index_up_to_date(
    runtime: Runtime, second: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(runtime.vectors, "optimize", lambda collection, wait=True: asked.append(wait))
    monkeypatch.setattr(reembed, "WORTH_INDEXING", 20)
    fill_vector(runtime, CATEGORY, "second")
    assert asked == [False]


def test_taggers_on_the_vector_score_it(runtime: Runtime, second: Counting) -> None:
    weight = expected_row(second, picture(3))
    head = TagHead("like three", "logistic-regression", "second", second.spec.revision, 8 * weight, -4.0)
    other = TagHead(
        "other", "logistic-regression", "colour", ColourEncoder().spec.revision, np.ones(64, np.float32), 0.0
    )
    (saved,) = runtime.taggers.save(CATEGORY, [head])
    runtime.taggers.save(CATEGORY, [other])
    runtime.vectors.set_payload(
        CATEGORY, {id_of(4): {"scores": {"said": 0.5}, "scored_by": {"said": "manifest"}}}
    )
    fill_vector(runtime, CATEGORY, "second")
    stored = {hit.id: hit.payload for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits}
    for seed, row in ((3, weight), (4, expected_row(second, picture(4)))):
        payload = stored[id_of(seed)]
        assert payload["scores"]["like three"] == pytest.approx(float(head.scores(row[None])[0]), abs=1e-4)
        assert payload["scored_by"]["like three"] == saved.signature
        assert "other" not in payload["scores"]
    assert stored[id_of(4)]["scores"]["said"] == 0.5
    assert runtime.catalog.get(CATEGORY).indexes['scores."like three"'] == "float"


def test_unknown_and_adopted_vectors(runtime: Runtime) -> None:
    with pytest.raises(UnknownVector):
        fill_vector(runtime, CATEGORY, "nothing")
    runtime.catalog.add_encoder(CATEGORY, adopted_spec("old", "model", 8))
    assert runtime.catalog.get(CATEGORY).encoder("old").revision == ADOPTED
    with pytest.raises(UnsupportedQuery):
        fill_vector(runtime, CATEGORY, "old")


def test_embedding_stored_images_keeps_their_order(runtime: Runtime, second: Counting) -> None:
    hits = list(runtime.vectors.scroll(CATEGORY, filter=lacks("second"), limit=100).hits)
    runtime.objects.delete(str(hits[4].payload["object_key"]))
    made = list(embed_stored(runtime, runtime.encoders.get("second"), [*hits, Hit(id_of(99))]))
    assert [image.id for image in made] == [*(hit.id for hit in hits), id_of(99)]
    assert [image.reason for image in made if image.row is None] == ["image_missing", "image_missing"]


def test_images_whose_vector_is_filled_get_their_nodes_of_the_runs_on_it(
    runtime: Runtime, second: Counting
) -> None:
    fill_vector(runtime, CATEGORY, "second")
    for run, using in (("look", "second"), ("colours", "colour")):
        cluster(runtime, CATEGORY, run, fit_tree(TreeOptions(3, 4)), using=using)
    later = id_of(30)
    content = picture(30)
    with_colour = expected_row(ColourEncoder(), content)
    payload = runtime.vectors.retrieve(CATEGORY, [id_of(3)])[0].payload  # type: ignore[union-attr]
    runtime.objects.put("later.png", content)
    said = {**payload, "object_key": "later.png", "sha256": content_hash(content)}
    said["clusters"] = {key: node for key, node in payload["clusters"].items() if key.startswith("colours")}
    runtime.vectors.upsert(CATEGORY, [Point(later, {"colour": with_colour}, said)])
    assert fill_vector(runtime, CATEGORY, "second").filled == 1
    found = runtime.vectors.retrieve(CATEGORY, [later])[0]
    run = runtime.clusters.get(CATEGORY, "look")
    (path,) = run.assign(expected_row(second, content)[None])
    assert found is not None and found.payload["clusters"] == {**said["clusters"], run.key: membership(path)}
