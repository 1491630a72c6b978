"""What waits for the search index is built in graphs of bounded size, and is the same points as before."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tests.services.vector_store.edge_points import point_id, unit_vectors
from vitrine.services.domain import CollectionSchema, VectorSpec
from vitrine.services.vector_store.edge import shard as edge_shard
from vitrine.services.vector_store.edge.indexing.parts import build_index, copy_shard
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.read import count

DIM = 64
PART = 50  # kilobytes: 400 vectors of 64 components
SCHEMA = CollectionSchema("cats", (VectorSpec("clip", DIM), VectorSpec("vit", 8)), {"n": "integer"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    edge_shard.create_shard(tmp_path / "gen-1", SCHEMA).close()
    return tmp_path / "gen-1"


def write(folder: Path, start: int, stop: int) -> None:
    """Points of which every third lacks one of the vectors."""
    clip, vit = unit_vectors(stop, dim=DIM)[start:], unit_vectors(stop, dim=8, seed=2)[start:]
    shard = edge_shard.load_shard(folder, SCHEMA)
    points = []
    for n, large, small in zip(range(start, stop), clip, vit, strict=True):
        vectors = {"clip": large.data, **({} if n % 3 == 0 else {"vit": small.data})}
        points.append(edge.Point(point_id(n), vectors, {"n": n, "tags": [f"t{n % 5}"]}))
    shard.update(edge.UpdateOperation.upsert_points(points))
    shard.flush()
    shard.close()


def change(folder: Path, operation: Any) -> None:
    shard = edge_shard.load_shard(folder, SCHEMA)
    shard.update(operation)
    shard.flush()
    shard.close()


def content(folder: Path) -> dict[str, Any]:
    """Everything that is in the shard, by id."""
    shard = edge_shard.load_shard(folder, SCHEMA)
    records, following = shard.scroll(edge.ScrollRequest(limit=100_000, with_payload=True, with_vector=True))
    assert following is None
    assert len(records) == count(shard, None)
    shard.close()
    return {str(record.id): (record.payload, record.vector) for record in records}


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same points: payloads as they were, and vectors to the digits of 16-bit floats, since one that is
    written again is divided by its length again."""
    assert found.keys() == expected.keys()
    for id, (payload, vectors) in expected.items():
        assert found[id][0] == payload
        assert found[id][1].keys() == vectors.keys()
        for name, vector in vectors.items():
            assert np.allclose(found[id][1][name], vector, rtol=1e-3, atol=1e-6)


def graphs(folder: Path) -> list[int]:
    """How many vectors ``clip`` each graph holds, least first."""
    sizes = []
    for path in (folder / "segments").glob("*/segment.json"):
        config = orjson.loads(path.read_bytes())["config"]["vector_data"]["clip"]
        if config["index"]["type"] == "hnsw":
            sizes.append((path.parent / "id_tracker.versions").stat().st_size // 8)
    return sorted(sizes)


def build(folder: Path, points: int, schema: CollectionSchema = SCHEMA) -> bool:
    return build_index(folder, schema, points, part_kb=PART)


def test_a_large_tail_becomes_several_graphs_of_the_same_points(folder: Path) -> None:
    write(folder, 0, 1_500)
    before = content(folder)
    assert build(folder, 1_500)
    assert graphs(folder) == [375] * 4
    same(content(folder), before)
    assert not build(folder, 1_500)  # nothing is left to do
    assert [path.name for path in folder.parent.iterdir()] == ["gen-1"]


def test_graphs_that_are_there_stay_as_they_are(folder: Path) -> None:
    write(folder, 0, 400)
    assert build(folder, 400)
    kept = {path.name for path in (folder / "segments").iterdir()}
    write(folder, 400, 1_300)
    before = content(folder)
    assert build(folder, 1_300)
    same(content(folder), before)
    assert graphs(folder) == [300, 300, 300, 400]
    assert len(kept & {path.name for path in (folder / "segments").iterdir()}) >= 1


def test_a_small_tail_joins_the_smallest_graph_rather_than_becoming_one_more(folder: Path) -> None:
    write(folder, 0, 300)
    build(folder, 300)
    for start in range(300, 1_500, 200):
        write(folder, start, start + 200)
        build(folder, start + 200)
        assert len(graphs(folder)) <= -(-(start + 200) // 400) + 1
        assert max(graphs(folder)) <= 500
    assert sum(graphs(folder)) == 1_500


def test_changes_between_the_parts_are_kept(folder: Path) -> None:
    """Points are written, changed and deleted at random between runs; a dictionary says what must be."""
    chance = random.Random(5)
    expected: dict[str, Any] = {}
    for start in range(0, 1_600, 800):
        write(folder, start, start + 800)
        expected = content(folder)
        some = chance.sample(sorted(expected), 150)
        change(folder, edge.UpdateOperation.set_payload(some[:100], {"seen": start}))
        change(folder, edge.UpdateOperation.delete_points(some[100:]))
        for id in some[:100]:
            expected[id][0]["seen"] = start
        for id in some[100:]:
            del expected[id]
        build(folder, len(expected))
        same(content(folder), expected)


def test_every_graph_answers(folder: Path) -> None:
    write(folder, 0, 1_500)
    build(folder, 1_500)
    shard = edge_shard.load_shard(folder, SCHEMA)
    asked = unit_vectors(1_500, dim=DIM)[::50]
    found = []
    for vector in asked:
        request = edge.QueryRequest(
            query=edge.Query.Nearest(vector, "clip"),
            limit=1,
            offset=0,
            with_payload=["n"],
            with_vector=False,
            params=edge.SearchParams(hnsw_ef=32),
        )
        found.append(shard.query(request)[0].payload["n"])
    shard.close()
    assert found == list(range(0, 1_500, 50))


@pytest.mark.parametrize("form", ["int8", "turbo4"])
def test_quantised_copies_come_and_go_and_the_vectors_stay(folder: Path, form: Any) -> None:
    write(folder, 0, 900)
    before = content(folder)
    build(folder, 900)
    quantized = CollectionSchema(SCHEMA.name, SCHEMA.vectors, SCHEMA.indexes, form)
    assert build(folder, 900, quantized)
    assert copies(folder) == [form] * len(graphs(folder))
    same(content(folder), before)
    assert build(folder, 900)
    assert copies(folder) == [None] * len(graphs(folder))
    same(content(folder), before)


def copies(folder: Path) -> list[str | None]:
    """Which quantised copies each graph has."""
    words = {"scalar": "int8", "turbo": "turbo4"}
    found: list[str | None] = []
    for path in (folder / "segments").glob("*/segment.json"):
        config = orjson.loads(path.read_bytes())["config"]["vector_data"]["clip"]
        if config["index"]["type"] == "hnsw":
            found += [words[word] for word in config.get("quantization_config") or ()] or [None]
    return found


def test_a_copy_shares_what_is_never_written_again(folder: Path) -> None:
    """Both shards are changed in every way there is; what they share stays as it was, and what they say
    differs."""
    schema = CollectionSchema(SCHEMA.name, SCHEMA.vectors, SCHEMA.indexes, "int8")
    write(folder, 0, 900)
    build(folder, 900, schema)
    twin = folder.with_name("gen-2")
    copy_shard(folder, twin)
    shared = [path for path in twin.rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    assert {path.name for path in shared} == {"matrix.dat", "quantized.data", "links_compressed.bin"}
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in shared]
    kept = content(twin)
    change(folder, edge.UpdateOperation.delete_points([point_id(n) for n in range(100)]))
    change(folder, edge.UpdateOperation.set_payload([point_id(n) for n in range(100, 200)], {"n": -1}))
    vectors = unit_vectors(100, dim=DIM, seed=8)
    moved = [edge.PointVectors(point_id(200 + n), {"clip": row.data}) for n, row in enumerate(vectors)]
    change(folder, edge.UpdateOperation.update_vectors(moved))
    change(folder, edge.UpdateOperation.create_field_index("tags", edge.PayloadSchemaType.Keyword))
    write(folder, 300, 400)
    same(content(twin), kept)
    expected = content(folder)
    change(twin, edge.UpdateOperation.delete_points([point_id(n) for n in range(500, 900)]))
    build(twin, 500, schema)
    same(content(folder), expected)
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in shared if path.exists()] == [
        digest for path, digest in zip(shared, digests, strict=True) if path.exists()
    ]
    originals = [folder / path.relative_to(twin) for path in shared]
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in originals] == digests
