"""How a collection's shard is configured, created and loaded. Runs in the engine process and in the indexing
process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

from vitrine.services.domain import CollectionSchema, IndexKind, Quantization, VectorSpec
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.engine_names import engine_path, own_path

BYTES_PER_COMPONENT: Final = 2  # float16: half the disk at the same recall
INDEXING_THRESHOLD_KB: Final = 10_000
"""Segments with less than this of vectors are searched exactly, which is as fast."""
PART_KB: Final = 100_000
"""Vectors in one graph of the index, such as 100,000 of 512 components. A graph of ten times as many takes
far more than ten times as long to build, and ten times the memory."""
OVERSAMPLING: Final = 2.0
"""How many times more candidates the quantised copies give than are compared by the vectors themselves."""
FEW_POINTS: Final = 5_000
"""A collection with fewer points gets an index when a question first needs it. Each index that a shard has
adds 5 ms of processor time to every opening, and most of those of a small collection are never asked for;
making one takes 40 ms for each 1,000 points."""
_FULL_SCAN_POINTS: Final = 20_000
_MAX_SEARCH_THREADS: Final = 4
_QUANTILE: Final = 0.99

KINDS: Final[dict[IndexKind, Any]] = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
}


_INDEX: Final[dict[IndexKind, Any]] = {
    "keyword": edge.KeywordIndexParams,
    "integer": edge.IntegerIndexParams,
    "float": edge.FloatIndexParams,
    "bool": edge.BoolIndexParams,
    "datetime": edge.DatetimeIndexParams,
}


def vector_kb(points: int, dim: int) -> int:
    """Return the kilobytes that the vectors of so many points take."""
    return points * dim * BYTES_PER_COMPONENT // 1024


def config_for(schema: CollectionSchema, *, points: int = 0, part_kb: int = PART_KB) -> Any:
    """Return the engine's configuration of a shard.

    ``full_scan_threshold`` lets filters that leave fewer than 20,000 points be answered exactly. The engine's
    own default gives recall 0.80 on a 5 % filter of 100,000 points, where this gives 0.99.

    For a shard that is to be indexed: the engine puts new points into a graph of their own as long as there
    are fewer graphs than ``points`` need at ``part_kb`` each, and otherwise builds its smallest graph anew
    with them, unless that becomes too large.
    """
    parts = -(-vector_kb(points, max((vector.dim for vector in schema.vectors), default=0)) // part_kb)
    return edge.EdgeConfig(
        vectors={vector.name: _vector_params(vector, schema.quantization) for vector in schema.vectors},
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=min(INDEXING_THRESHOLD_KB, part_kb // 2),
            default_segment_number=max(1, parts) + 1,  # and the one that takes what is written
            max_segment_size=part_kb * 5 // 4,
        ),
        max_search_threads=min(_MAX_SEARCH_THREADS, os.cpu_count() or 1),
    )


def _vector_params(vector: VectorSpec, quantization: Quantization | None) -> Any:
    return edge.EdgeVectorParams(
        size=vector.dim,
        distance=edge.Distance.Cosine,
        datatype=edge.VectorStorageDatatype.Float16,
        hnsw_config=edge.HnswIndexConfig(
            m=16, ef_construct=100, full_scan_threshold=vector_kb(_FULL_SCAN_POINTS, vector.dim)
        ),
        quantization_config=_quantized(quantization),
        # beside copies that are held in memory the vectors themselves are read from the disk, a few a query
        memory=edge.Memory.Cold if quantization else None,
    )


def _quantized(quantization: Quantization | None) -> Any:
    if quantization == "int8":
        return edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, quantile=_QUANTILE, memory=edge.Memory.Pinned
        )
    if quantization == "turbo4":
        return edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4, memory=edge.Memory.Pinned)
    return None


def create_shard(path: Path, schema: CollectionSchema, *, points: int = 0) -> Any:
    """Create a shard with the schema's vectors, and the indexes for ``points`` that are to come, flushed."""
    path.mkdir(parents=True)
    shard = edge.EdgeShard.create(str(path), config_for(schema))
    add_indexes(shard, schema, points=points)
    shard.flush()
    return shard


def load_shard(path: Path, schema: CollectionSchema, *, config: Any = None, points: int | None = None) -> Any:
    """Load the shard of a folder that we own, with the vectors of the schema and the indexes for ``points``,
    or as many as there are; ``config`` in place of the usual one.

    What a killed optimizer left in it is removed: nothing else ever would.
    """
    shutil.rmtree(path / "temp_segments", ignore_errors=True)
    try:
        shard = edge.EdgeShard.load(str(path), config or config_for(schema))
    except Exception as error:
        if "incompatible" not in str(error):
            raise
        # killed while a vector was added: the shard and the schema differ by it
        shard = edge.EdgeShard.load(str(path), None)
        add_vectors(shard, schema)
    add_indexes(shard, schema, points=shard.info().points_count if points is None else points)
    return shard


def add_vectors(shard: Any, schema: CollectionSchema) -> None:
    """Create the schema's named vectors that the shard lacks; those it has stay as they are."""
    for vector in schema.vectors:
        shard.update(
            edge.UpdateOperation.create_dense_vector(
                vector.name, vector.dim, edge.Distance.Cosine, None, edge.VectorStorageDatatype.Float16
            )
        )


def add_indexes(shard: Any, schema: CollectionSchema, *, points: int) -> None:
    """Create the schema's payload indexes that the shard lacks, unless its ``points`` are few; and those that
    it has of another kind because a kill interrupted a change."""
    present = _present(shard)
    for field, kind in schema.indexes.items():
        if present.get(field) != KINDS[kind] and (field in present or points >= FEW_POINTS):
            add_index(shard, field, kind)


def lacking(shard: Any, schema: CollectionSchema) -> set[str]:
    """Return the fields whose index the shard does not have yet."""
    return schema.indexes.keys() - _present(shard).keys()


def _present(shard: Any) -> dict[str, Any]:
    """Return the kind of each index that the shard has, by field."""
    return {own_path(path): info.data_type for path, info in shard.info().payload_schema.items()}


def add_index(shard: Any, field: str, kind: IndexKind) -> None:
    """Index one payload field, in place of an index of another kind; the engine makes it durable by itself,
    file by file.

    The index is read from its files as it is needed: held in memory, eleven of them take 0.6 KB for each
    point, and are read as a whole whenever the shard is opened.
    """
    params = _INDEX[kind](memory=edge.Memory.Cold)
    shard.update(edge.UpdateOperation.create_field_index(engine_path(field), params))
