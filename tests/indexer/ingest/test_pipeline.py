from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.indexer.pictures import CATEGORY, id_of, make_runtime, payloads, picture, record
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.progress import Counts
from vitrine.indexer.job.report import IndexReport, ItemOutcome
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import ADOPTED, ImageRecord, Refusal
from vitrine.services.category.editor import ImageChanges
from vitrine.services.category.filters import parse_conditions
from vitrine.services.category.thumbnails import thumbnail_key
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import EncoderMismatch, NotFound, StorageFull, Unavailable
from vitrine.services.images.open import content_hash
from vitrine.services.runtime import Runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByImage


def broken(name: str, data: bytes) -> ImageRecord:
    return ImageRecord("test", name, lambda: data)


def index(
    runtime: Runtime, records: Sequence[ImageRecord], batch_size: int = 4
) -> tuple[IndexReport, list[ItemOutcome]]:
    outcomes: list[ItemOutcome] = []
    at_rest = lambda: 0.0  # noqa: E731  # so that batches are full however slow the machine is
    report = index_images(
        records, runtime, CATEGORY, batch_size=batch_size, on_outcome=outcomes.append, clock=at_rest
    )
    return report, outcomes


def test_payload_vector_and_object_of_an_image(runtime: Runtime) -> None:
    said = record(
        1,
        tags=(" red ", "red", "mug"),
        fields={"class": "mug", "caption": "A mug", "quality": 0.5},
        scores={"mug": 0.9},
    )
    report, _ = index(
        runtime, [replace(said, metadata={"year": 1999}, created_at="2020-01-02T00:00:00+00:00")]
    )
    hit = runtime.searcher.image(CATEGORY, id_of(1), with_vectors=True)
    payload = dict(hit.payload)
    assert datetime.fromisoformat(payload.pop("indexed_at")).utcoffset() is not None
    assert len(payload.pop("phash")) == 16
    assert payload.pop("colour").startswith("#") and len(payload.pop("blur")) == 28
    sha256 = content_hash(picture(1))
    assert payload == {
        "sha256": sha256,
        "object_key": f"{CATEGORY}/images/{sha256[:2]}/{sha256[2:4]}/{sha256}.png",
        "source": "test",
        "filename": "1.png",
        "media_type": "image/png",
        "width": 24,
        "height": 20,
        "bytes": len(picture(1)),
        "created_at": "2020-01-02T00:00:00+00:00",
        "class": "mug",
        "caption": "A mug",
        "tags": ["red", "mug"],
        "scores": {"mug": 0.9},
        "scored_by": {"mug": "manifest"},
        "quality": 0.5,
        "metadata": {"year": 1999},
    }
    assert runtime.objects.get(payload["object_key"]) == picture(1)
    assert (report.added, report.images, report.status, report.exit_code) == (1, 1, "complete", 0)
    assert runtime.catalog.get(CATEGORY).images == 1
    found = parse_conditions({"metadata": {"year": 1999}, "scores": {"mug": {"gte": 0.8}}})
    assert runtime.searcher.count(CATEGORY, found) == 1


def test_every_image_keeps_its_own_vector_around_refused_ones(runtime: Runtime) -> None:
    records: list[ImageRecord] = []
    for seed in range(23):
        records.append(record(seed))
        if seed % 3 == 0:
            records.append(broken(f"cut-{seed}.png", picture(seed)[: len(picture(seed)) // 2]))
        if seed % 7 == 0:
            records.append(broken(f"no-{seed}.jpg", b"words"))
    report, outcomes = index(runtime, records, batch_size=5)
    assert [outcome.filename for outcome in outcomes] == [r.filename for r in records]
    expected = ["added" if r.filename[0].isdigit() else "refused" for r in records]
    assert [outcome.outcome for outcome in outcomes] == expected
    assert report.reasons == {"damaged_image": 8, "unsupported_format": 4}
    assert report.exit_code == 3
    for seed in range(23):
        best = runtime.searcher.search(CATEGORY, ByImage(picture(seed)), SearchOptions(limit=1)).hits[0]
        assert best.payload["filename"] == f"{seed}.png"
        assert best.similarity == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (broken("empty.png", b""), "empty_file"),
        (replace(record(1), fields={"quality": float("nan")}), "bad_row"),
        (replace(record(1), scores={"cat": 1.5}), "bad_row"),
        (replace(record(1), metadata={" ": 1}), "bad_row"),
        (replace(record(1), metadata={"x": float("inf")}), "bad_row"),
        (replace(record(1), tags=("x" * 201,)), "bad_row"),
        (replace(record(1), vectors={"colour": np.full(64, np.nan, np.float32)}), "bad_vector"),
        (replace(record(1), vectors={"colour": np.ones(3, np.float32)}), "bad_vector"),
        (replace(record(1), vectors={"other": np.ones(64, np.float32) / 8}), "bad_vector"),
        (replace(record(1), refusal=Refusal("image_missing", "gone")), "image_missing"),
        (replace(record(1), read=Path("/nowhere/at/all").read_bytes), "unreadable_file"),
    ],
)
def test_what_is_wrong_with_one_image_is_its_outcome(
    runtime: Runtime, given: ImageRecord, reason: str
) -> None:
    report, outcomes = index(runtime, [record(5), given, record(6)])
    assert [(o.outcome, o.reason) for o in outcomes] == [
        ("added", None),
        ("refused", reason),
        ("added", None),
    ]
    assert outcomes[1].message and report.refusals[0][1] == reason


class CountingEncoder(ColourEncoder):
    """Counts the pictures it has seen."""

    def __init__(self, name: str = "colour", dim: int = 64) -> None:
        super().__init__(name, dim)
        self.seen = 0

    def encode_pixels(self, pixels: Sequence[np.ndarray]) -> Embeddings:  # type: ignore[type-arg]
        self.seen += len(pixels)
        return super().encode_pixels(pixels)


def test_the_same_bytes_again_encode_nothing_and_unite_tags(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    runtime = make_runtime(tmp_path, encoder)
    index(runtime, [record(seed, tags=("first",)) for seed in range(6)])
    report, _ = index(
        runtime, [record(0), record(1, tags=("first",)), record(2, tags=("second",)), record(9)]
    )
    assert (report.added, report.known, report.updated) == (1, 2, 1)
    assert encoder.seen == 7
    assert payloads(runtime)["2.png"]["tags"] == ["first", "second"]


def test_what_users_set_is_kept_and_gaps_are_filled(runtime: Runtime) -> None:
    index(runtime, [record(1, tags=("a",), metadata={"year": 1})])
    runtime.editor.change(CATEGORY, [id_of(1)], ImageChanges.model_validate({"class": "mine", "tags": ["b"]}))
    again = record(
        1,
        fields={"class": "theirs", "caption": "new"},
        metadata={"year": 2, "place": "Oslo"},
        scores={"x": 0.5},
    )
    report, _ = index(runtime, [again])
    payload = payloads(runtime)["1.png"]
    assert report.updated == 1
    assert (payload["class"], payload["caption"], payload["tags"]) == ("mine", "new", ["b"])
    assert payload["metadata"] == {"year": 1, "place": "Oslo"}
    assert payload["scores"] == {"x": 0.5}
    index_images([again], runtime, CATEGORY, overwrite=True)
    payload = payloads(runtime)["1.png"]
    assert (payload["class"], payload["metadata"]) == ("theirs", {"year": 2, "place": "Oslo"})


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_identical_files_in_one_run_are_one_point(tmp_path: Path, batch_size: int) -> None:
    encoder = CountingEncoder()
    runtime = make_runtime(tmp_path, encoder)
    twins = [
        record(1, tags=("a",)),
        replace(record(1), filename="copy.png"),
        record(2),
        record(1, tags=("b",)),
    ]
    _, outcomes = index(runtime, twins, batch_size)
    assert [outcome.outcome for outcome in outcomes][:3] == ["added", "known", "added"]
    assert outcomes[0].id == outcomes[1].id == outcomes[3].id
    assert payloads(runtime)["1.png"]["tags"] == ["a", "b"]
    assert runtime.vectors.count(CATEGORY) == 2


def test_copies_of_a_broken_file_are_all_refused(runtime: Runtime) -> None:
    cut = picture(1)[:60]
    report, _ = index(runtime, [broken(f"{n}.png", cut) for n in range(9)], batch_size=3)
    assert (report.refused, report.added, len(report.refusals)) == (9, 0, 9)


def test_a_lost_object_is_put_again(runtime: Runtime) -> None:
    index(runtime, [record(1), record(2)])
    key = str(payloads(runtime)["1.png"]["object_key"])
    runtime.objects.delete(key)
    _, outcomes = index(runtime, [record(1), record(2)])
    assert [outcome.outcome for outcome in outcomes] == ["updated", "known"]
    assert runtime.objects.get(key) == picture(1)


def test_a_new_encoder_fills_its_vector_and_leaves_the_first(tmp_path: Path) -> None:
    first, second = CountingEncoder(), CountingEncoder("other", 32)
    runtime = make_runtime(tmp_path, first)
    index(runtime, [record(seed, tags=("t",)) for seed in range(5)])
    runtime.catalog.add_encoder(CATEGORY, runtime.encoders.register(second).spec)
    report, _ = index(runtime, [record(seed) for seed in range(7)])
    assert (report.added, report.updated) == (2, 5)
    assert (first.seen, second.seen) == (7, 7)
    hits = runtime.vectors.scroll(CATEGORY, with_vectors=("colour", "other")).hits
    assert all(set(hit.vectors) == {"colour", "other"} for hit in hits)
    for seed in range(5):
        image = Image.open(__import__("io").BytesIO(picture(seed))).convert("RGB")
        stored = runtime.vectors.retrieve(CATEGORY, [id_of(seed)], with_vectors=("other",))[0]
        assert stored is not None and stored.payload["tags"] == ["t"]
        np.testing.assert_allclose(stored.vectors["other"], second.encode_images([image])[0], atol=1e-5)


def test_adopted_vectors_are_kept_and_need_no_encoder(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    spec = replace(ColourEncoder("old", 4).spec, revision=ADOPTED)
    runtime.catalog.create("taken", [spec])
    vector = np.array([0.6, 0.8, 0, 0], np.float32)
    outcomes: list[ItemOutcome] = []
    index_images(
        [record(1, vectors={"old": vector}), record(2)], runtime, "taken", on_outcome=outcomes.append
    )
    assert [(o.outcome, o.reason) for o in outcomes] == [("added", None), ("refused", "bad_vector")]
    hit = runtime.vectors.retrieve("taken", [id_of(1)], with_vectors=("old",))[0]
    assert hit is not None
    np.testing.assert_allclose(hit.vectors["old"], vector, atol=1e-6)


def test_another_encoder_or_category_is_refused_before_anything_is_read(runtime: Runtime) -> None:
    def unread() -> bytes:
        raise AssertionError("read")

    class Other(ColourEncoder):
        @property
        def spec(self):  # type: ignore[no-untyped-def]
            return replace(super().spec, revision="other")

    records = [ImageRecord("test", "x.png", unread)]
    with pytest.raises(NotFound):
        index_images(records, runtime, "nothing")
    runtime.encoders.register(Other())
    with pytest.raises(EncoderMismatch):
        index_images(records, runtime, CATEGORY)


@pytest.mark.parametrize("error", [StorageFull("full"), Unavailable("away")])
def test_an_error_of_the_store_ends_the_run_and_counts_what_is_stored(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    put, calls = runtime.objects.put, 0

    def fail_later(key: str, data: bytes, *, media_type: str = "") -> None:
        nonlocal calls
        calls += not key.startswith("_")  # the pictures alone
        if calls > 8:
            raise error
        put(key, data, media_type=media_type)

    monkeypatch.setattr(runtime.objects, "put", fail_later)
    report, _ = index(runtime, [record(seed) for seed in range(40)])
    assert (report.status, report.exit_code, report.added) == ("failed", 1, 8)
    assert report.to_json()["error"]["code"] == error.code  # type: ignore[attr-defined]
    assert runtime.vectors.count(CATEGORY) == 8
    monkeypatch.undo()
    report, _ = index(runtime, [record(seed) for seed in range(40)])
    assert (report.known, report.added, report.status) == (8, 32, "complete")


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_identical_bytes_that_disagree_are_named(runtime: Runtime, batch_size: int) -> None:
    cat = record(1, fields={"class": "cat", "quality": 0.25}, scores={"x": 0.5})
    dog = replace(
        cat, filename="copy.png", fields={"class": "dog", "quality": 0.75}, scores={"x": 0.5, "y": 1.0}
    )
    report, outcomes = index(runtime, [cat, record(2), dog, replace(cat, filename="third.png")], batch_size)
    assert [[str(conflict) for conflict in outcome.conflicts] for outcome in outcomes] == [
        [],
        [],
        ["filename 'copy.png', kept '1.png'", "class 'dog', kept 'cat'", "quality 0.75, kept 0.25"],
        ["filename 'third.png', kept '1.png'"],
    ]
    assert (report.conflicting, report.other_names, report.exit_code) == (1, 2, 0)
    assert payloads(runtime)["1.png"]["class"] == "cat" and payloads(runtime)["1.png"]["scores"] == {
        "x": 0.5,
        "y": 1.0,
    }
    again, _ = index(runtime, [cat, dog], batch_size)
    assert (again.conflicting, again.other_names) == (1, 1)
    over = index_images([dog], runtime, CATEGORY, overwrite=True)
    assert (over.conflicting, over.other_names) == (0, 1)


class Slow(ColourEncoder):
    """Takes a second a picture, on a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.seen = 0.0, 0

    def encode_pixels(self, pixels: Sequence[np.ndarray]) -> Embeddings:  # type: ignore[type-arg]
        self.seen += len(pixels)
        self.now += len(pixels)
        return super().encode_pixels(pixels)


class Sized(ColourEncoder):
    """Notes how many pictures it was given at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def encode_pixels(self, pixels: Sequence[np.ndarray]) -> Embeddings:  # type: ignore[type-arg]
        self.sizes.append(len(pixels))
        return super().encode_pixels(pixels)


class Watching:
    """Notes what was done at each update, and what was said."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done: list[int] = []
        self.said: list[str] = []

    def start(self, stage: str, total: int | None) -> None:
        self.total = total

    def update(self, report: Counts) -> None:
        self.done.append(report.done)

    def say(self, text: str) -> None:
        self.said.append(text)

    def finish(self, report: Counts) -> None: ...


def test_a_slow_encoder_is_written_every_few_seconds(tmp_path: Path) -> None:
    encoder, watching = Slow(), Watching()
    runtime = make_runtime(tmp_path, encoder)
    records = [record(seed) for seed in range(60)]
    report = index_images(records, runtime, CATEGORY, progress=watching, clock=lambda: encoder.now)
    assert report.added == 60
    steps = [after - before for before, after in zip([0, *watching.done], watching.done, strict=False)]
    assert max(steps) <= 8 and watching.done[0] <= 4


def test_ctrl_c_loses_a_few_seconds_of_a_slow_encoder(tmp_path: Path) -> None:
    encoder = Slow()
    runtime = make_runtime(tmp_path, encoder)

    def source() -> Iterator[ImageRecord]:
        yield from (record(seed) for seed in range(90))
        raise KeyboardInterrupt

    report = index_images(source(), runtime, CATEGORY, progress=Watching(), clock=lambda: encoder.now)
    assert report.status == "interrupted"
    assert encoder.seen - report.added <= 12


def test_a_fast_encoder_is_given_full_batches(tmp_path: Path) -> None:
    runtime, watching, sizes = make_runtime(tmp_path, sized := Sized()), Watching(), sized.sizes
    records = [record(seed) for seed in range(160)]
    index_images(records, runtime, CATEGORY, batch_size=64, progress=watching, clock=lambda: 0.0)
    assert watching.done == [64, 128, 160]
    assert sizes[-3:-1] == [32, 32] and len(sizes) <= 10


class Away:
    """Makes calls of a store raise ``Unavailable`` for a while, and a clock that only waiting moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: object, call: str, failures: int) -> None:
        self.now, self.pauses, self.left = 0.0, list[float](), failures
        self.lock = threading.Lock()
        original = getattr(store, call)

        def answer(*args: object, **kwargs: object) -> object:
            with self.lock:
                self.left -= 1
                if self.left >= 0:
                    raise Unavailable("The store does not answer.")
            return original(*args, **kwargs)

        monkeypatch.setattr(store, call, answer)

    def patience(self, seconds: float) -> Patience:
        return Patience(seconds, pause=self.pause, clock=lambda: self.now)

    def pause(self, seconds: float) -> None:
        with self.lock:
            self.pauses.append(seconds)
            self.now += seconds


@pytest.mark.parametrize(
    ("store", "call"), [("vectors", "retrieve"), ("vectors", "upsert"), ("objects", "put")]
)
def test_an_outage_is_outlasted_and_said(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, store: str, call: str
) -> None:
    away, watching = Away(monkeypatch, getattr(runtime, store), call, 6), Watching()
    records = [record(1, tags=("red",)), record(2)]
    report = index_images(records, runtime, CATEGORY, patience=away.patience(120), progress=watching)
    assert (report.added, report.status, runtime.vectors.count(CATEGORY)) == (2, "complete", 2)
    assert watching.said[0].startswith("The store does not answer. Trying again, for 1")
    assert any(note.startswith("Waited ") and "does not answer" in note for note in report.notes)
    if call != "put":  # which several threads call
        assert away.pauses == [0.5, 1, 2, 4, 8, 10]


def test_reading_from_a_store_outlasts_an_outage_too(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bucket:
        def get(self) -> bytes:
            return picture(1)

    bucket = Bucket()
    away = Away(monkeypatch, bucket, "get", 3)
    read = ImageRecord("test", "1.png", lambda: bucket.get())
    assert index_images([read], runtime, CATEGORY, patience=away.patience(60)).added == 1
    assert away.pauses == [0.5, 1, 2]


def test_patience_has_an_end(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(monkeypatch, runtime.vectors, "upsert", 1000)
    report = index_images([record(1)], runtime, CATEGORY, patience=away.patience(60))
    assert (
        (report.status, report.added) == ("failed", 0) and report.error and report.error.code == "unavailable"
    )
    assert sum(away.pauses) == 60


def test_ctrl_c_ends_the_waiting_at_once(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    away = Away(monkeypatch, runtime.vectors, "upsert", 1000)

    def pause(seconds: float) -> None:
        stop.set()

    report = index_images([record(1)], runtime, CATEGORY, stop=stop, patience=Patience(1e9, pause=pause))
    assert report.added == 0 and away.left == 1000 - 2


class Picky(ColourEncoder):
    """Fails whenever a picture of more red than green is among those it gets, or always."""

    def __init__(self, always: bool = False) -> None:
        super().__init__()
        self.always = always

    def encode_pixels(self, pixels: Sequence[np.ndarray]) -> Embeddings:  # type: ignore[type-arg]
        if self.always or any(red_of(image) for image in pixels):
            raise RuntimeError("too red")
        return super().encode_pixels(pixels)


def red_of(pixels: np.ndarray) -> bool:  # type: ignore[type-arg]
    channels = np.moveaxis(pixels, np.argmin(pixels.shape), 0)
    return bool(channels[0].mean() > channels[1].mean() + 60)


def test_a_picture_that_an_encoder_fails_at_is_refused_alone(tmp_path: Path) -> None:
    red = Image.new("RGB", (24, 20), (200, 20, 20))
    buffer = io.BytesIO()
    red.save(buffer, "PNG")
    grey = io.BytesIO()
    Image.new("RGB", (24, 20), (90, 90, 90)).save(grey, "PNG")
    runtime = make_runtime(tmp_path, Picky())
    report, outcomes = index(
        runtime, [broken("red.png", buffer.getvalue()), broken("grey.png", grey.getvalue())]
    )
    assert [(outcome.outcome, outcome.reason) for outcome in outcomes] == [
        ("refused", "bad_vector"),
        ("added", None),
    ]
    assert "too red" in report.refusals[0][2]


def test_an_encoder_that_fails_at_all_ends_the_run_in_a_sentence(tmp_path: Path) -> None:
    report, _ = index(make_runtime(tmp_path, Picky(always=True)), [record(seed) for seed in range(9)])
    assert (report.status, report.exit_code, report.done) == ("failed", 1, 0)
    error = report.to_json()["error"]
    assert error["code"] == "internal" and error["message"].startswith(
        "Something went wrong inside Vitrine: too red. VITRINE"
    )


def test_whoever_is_told_of_outcomes_may_fail(runtime: Runtime) -> None:
    def full(outcome: ItemOutcome) -> None:
        raise OSError(28, "No space left on device")

    report = index_images([record(1)], runtime, CATEGORY, on_outcome=full)
    assert report.status == "failed" and report.error and report.error.code == "storage_full"


def test_sources_are_read_only_a_little_ahead(runtime: Runtime) -> None:
    taken, done, widest = 0, 0, 0

    def source() -> Iterator[ImageRecord]:
        nonlocal taken
        for seed in range(400):
            taken += 1
            yield record(seed)

    def note(outcome: ItemOutcome) -> None:
        nonlocal done, widest
        done += 1
        widest = max(widest, taken - done)

    index_images(source(), runtime, CATEGORY, batch_size=4, on_outcome=note)
    assert done == 400
    assert widest <= 16 + 4 * 8


def test_stopping_writes_what_is_encoded_and_the_next_run_completes(runtime: Runtime) -> None:
    stop = threading.Event()
    seen: list[ItemOutcome] = []

    def note(outcome: ItemOutcome) -> None:
        seen.append(outcome)
        if len(seen) == 12:
            stop.set()

    records = [record(seed) for seed in range(200)]
    report = index_images(records, runtime, CATEGORY, batch_size=4, stop=stop, on_outcome=note)
    assert (report.status, report.exit_code) == ("interrupted", 130)
    assert 12 <= report.added < 200
    assert runtime.vectors.count(CATEGORY) == report.added
    again, _ = index(runtime, records)
    assert (again.known, again.added) == (report.added, 200 - report.added)


def test_ctrl_c_ends_in_order(runtime: Runtime) -> None:
    def source() -> Iterator[ImageRecord]:
        yield from (record(seed) for seed in range(50))
        raise KeyboardInterrupt

    report = index_images(source(), runtime, CATEGORY, batch_size=4)
    assert (report.status, report.exit_code) == ("interrupted", 130)
    assert report.added == runtime.vectors.count(CATEGORY) == report.images
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("index-")]


def test_an_image_deleted_while_it_is_indexed_again_is_made_anew(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(runtime, [record(1)])
    retrieve, calls = runtime.vectors.retrieve, 0

    def delete_in_between(*args, **kwargs):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 2:
            runtime.editor.delete(CATEGORY, [id_of(1)])
        return retrieve(*args, **kwargs)

    monkeypatch.setattr(runtime.vectors, "retrieve", delete_in_between)
    report, _ = index(runtime, [record(1)])
    assert report.added == 1
    hit = runtime.searcher.image(CATEGORY, id_of(1), with_vectors=True)
    assert runtime.objects.get(hit.payload["object_key"]) == picture(1)
    assert "colour" in hit.vectors


def test_nothing_to_index_is_complete(runtime: Runtime) -> None:
    report, _ = index(runtime, [])
    assert (report.status, report.images, report.rate) == ("complete", 0, 0.0)


class CloseLooking(ColourEncoder):
    """An encoder that looks at 224 pixels."""

    @property
    def spec(self) -> EncoderSpec:
        spec = super().spec
        return replace(spec, preprocessing=replace(spec.preprocessing, resize=(224, 224)))


def test_a_picture_that_is_slow_to_open_gets_its_thumbnail_on_the_way(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (2500, 1700), "teal").save(file, "PNG")
    runtime = make_runtime(tmp_path, CloseLooking())
    report, _ = index(runtime, [ImageRecord("test", "large.png", file.getvalue), record(1)])
    assert report.added == 2
    large = next(
        hit.id
        for hit in runtime.vectors.scroll(CATEGORY, limit=9).hits
        if hit.payload["filename"] == "large.png"
    )
    kept = [stat.key for stat in runtime.objects.list("_thumbnails/")]
    assert kept == [thumbnail_key(CATEGORY, large, 320)]
    assert Image.open(io.BytesIO(runtime.objects.get(kept[0]))).size == (320, 218)
    runtime.editor.delete(CATEGORY, [large])
    runtime.editor.empty_bin(CATEGORY)
    assert list(runtime.objects.list("_thumbnails/")) == []
