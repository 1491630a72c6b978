from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.indexer.pictures import payloads, picture, write
from vitrine.indexer.ingest.importers import VectorDump, entries, open_class_table
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.services.errors import BadSource, ModelUnavailable, UnsupportedQuery, VitrineError
from vitrine.services.images.open import pixel_hash
from vitrine.services.runtime import Runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ById, ByImage, ByText, ByVector


def dump(folder: Path, tree: dict[str, Any], **options: Any) -> VectorDump:
    path = write(folder, {"input-metadata.json": json.dumps(tree).encode()}) / "input-metadata.json"
    return VectorDump(path, folder / "images", vector_name="resnet", vector_model="ResNet50", **options)


def entry(name: str, vector: list[float], tags: Any = ()) -> dict[str, Any]:
    return {"file_name": name, "image_tags": tags, "embeddings_vector": vector}


def test_pictures_are_found_by_their_pixels_and_vectors_are_adopted(tmp_path: Path, runtime: Runtime) -> None:
    # a PNG and a BMP of the same pixels have the same pixel hash: names and formats do not matter
    write(
        tmp_path / "images",
        {"renamed.bmp": picture(1, "BMP"), "sub/2.png": picture(2), "extra.png": picture(9)},
    )
    told: list[tuple[int, int]] = []
    tree = {
        pixel_hash(picture(1)): entry("first.png", [3, 4, 0], ["red", "mug"]),
        pixel_hash(picture(2)): entry("second.png", [0, 0, 2], "blue|cup"),
    }
    source = dump(tmp_path, tree, progress=lambda done, total: told.append((done, total)))
    assert (source.spec.name, source.spec.model, source.spec.revision, source.spec.dim) == (
        "resnet",
        "ResNet50",
        "adopted",
        3,
    )
    assert told[-1] == (3, 3)
    runtime.catalog.create("old", [source.spec])
    report = index_images(source, runtime, "old")
    assert (report.added, report.refused) == (2, 0)
    assert report.notes == ["1 pictures of the folder have no entry in input-metadata.json."]
    hits = {
        hit.payload["filename"]: hit for hit in runtime.vectors.scroll("old", with_vectors=("resnet",)).hits
    }
    np.testing.assert_allclose(hits["first.png"].vectors["resnet"], [0.6, 0.8, 0.0], atol=1e-6)
    assert hits["first.png"].payload["tags"] == ["red", "mug"]
    assert hits["second.png"].payload["tags"] == ["blue", "cup"]
    assert runtime.objects.get(hits["first.png"].payload["object_key"]) == picture(1, "BMP")


def test_adopted_vectors_answer_by_id_and_by_vector_only(tmp_path: Path, runtime: Runtime) -> None:
    write(tmp_path / "images", {"1.png": picture(1), "2.png": picture(2)})
    tree = {pixel_hash(picture(seed)): entry(f"{seed}.png", [1.0, seed]) for seed in (1, 2)}
    source = dump(tmp_path, tree)
    runtime.catalog.create("old", [source.spec])
    index_images(source, runtime, "old")
    best = runtime.searcher.search("old", ByVector([1.0, 2.0]), SearchOptions()).hits[0]
    assert best.payload["filename"] == "2.png"
    assert (
        runtime.searcher.search("old", ById(best.id), SearchOptions()).hits[0].payload["filename"] == "1.png"
    )
    with pytest.raises(UnsupportedQuery):
        runtime.searcher.search("old", ByText("a mug"), SearchOptions())
    with pytest.raises(VitrineError) as caught:
        runtime.searcher.search("old", ByImage(picture(1)), SearchOptions())
    assert isinstance(caught.value, ModelUnavailable | UnsupportedQuery)


def test_adopting_beside_an_encoder_fills_both(tmp_path: Path, runtime: Runtime) -> None:
    write(tmp_path / "images", {"1.png": picture(1)})
    source = dump(tmp_path, {pixel_hash(picture(1)): entry("1.png", [1.0, 2.0])})
    runtime.catalog.add_encoder("things", source.spec)
    assert index_images(source, runtime, "things").added == 1
    (hit,) = runtime.vectors.scroll("things", with_vectors=("colour", "resnet")).hits
    assert set(hit.vectors) == {"colour", "resnet"}


def test_entries_without_picture_or_sound_vector_are_refused(tmp_path: Path, runtime: Runtime) -> None:
    write(
        tmp_path / "images",
        {f"{seed}.png": picture(seed) for seed in range(6)} | {"broken.png": b"\x89PNG\r\n\x1a\n"},
    )
    hashes = [pixel_hash(picture(seed)) for seed in range(6)]
    tree = {
        hashes[0]: entry("good.png", [1, 2, 3]),
        "0" * 128: entry("gone.png", [1, 2, 3]),
        hashes[1]: entry("short.png", [1, 2]),
        hashes[2]: entry("nan.png", [1, float("nan"), 3]),
        hashes[3]: entry("zero.png", [0, 0, 0]),
        hashes[4]: entry("words.png", ["a", "b", "c"]),  # type: ignore[list-item]
        hashes[5]: "no object",
    }
    source = dump(tmp_path, tree)
    runtime.catalog.create("old", [source.spec])
    report = index_images(source, runtime, "old")
    assert {name: reason for name, reason, _ in report.refusals} == {
        "gone.png": "image_missing",
        "short.png": "bad_vector",
        "nan.png": "bad_vector",
        "zero.png": "bad_vector",
        "words.png": "bad_vector",
        hashes[5]: "bad_row",
    }
    assert (report.added, report.exit_code) == (1, 3)


def test_a_large_object_is_read_entry_by_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.indexer.ingest.importers._CHUNK", 7)
    tree = {f"k{n}": {"v": [n, {"deep": "}{,:"}], "s": "ä" * n} for n in range(40)}
    path = tmp_path / "x.json"
    for text in (json.dumps(tree), json.dumps(tree, indent=3, ensure_ascii=False)):
        path.write_text(text, encoding="utf-8")
        assert dict(entries(path)) == tree
    for text in ("[1]", "", json.dumps(tree)[:-40], '{"a" 1}'):
        path.write_text(text)
        with pytest.raises(BadSource):
            list(entries(path))


def test_a_dump_without_vectors_or_folder_is_a_bad_source(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="no folder"):
        dump(tmp_path, {})
    (tmp_path / "images").mkdir()
    with pytest.raises(BadSource, match="no entry"):
        dump(tmp_path, {"a": {"file_name": "x"}})


def test_class_tables_keep_class_label_and_extras(tmp_path: Path, runtime: Runtime) -> None:
    write(tmp_path, {"1.png": picture(1), "t.csv": b"file,class,label,height,note\n1.png,mug,7,2.5,x\n"})
    index_images(open_class_table(tmp_path / "t.csv"), runtime, "things")
    payload = payloads(runtime)["1.png"]
    assert (payload["class"], payload["metadata"]) == ("mug", {"label": 7, "height": 2.5, "note": "x"})
    for text in (b"file,class\n1.png,mug\n", b"file,class,label\n1.png,mug,x\n"):
        with pytest.raises(BadSource):
            open_class_table(write(tmp_path, {"t.csv": text}) / "t.csv")
