from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable


def write(file: Path, tensors: Mapping[str, tuple[str, list[int], bytes]]) -> Path:
    """A safetensors file, byte by byte."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return file


@pytest.mark.parametrize(("kind", "stored"), [("F16", np.float16), ("F32", np.float32), ("F64", np.float64)])
def test_floats_of_every_width_are_read(tmp_path: Path, kind: str, stored: type) -> None:
    values = np.array([[1.5, -2.25, 0.0], [1e-3, 65504, -7]], stored)
    weights = Weights([write(tmp_path / "a.safetensors", {"x": (kind, [2, 3], values.tobytes())})])
    assert weights("x").dtype == np.float32
    assert np.array_equal(weights("x"), values.astype(np.float32))


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3.140625, 1e30, 0.0], np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    weights = Weights([write(tmp_path / "a.safetensors", {"x": ("BF16", [5], halves.tobytes())})])
    assert np.array_equal(weights("x"), (halves.astype(np.uint32) << 16).view(np.float32))
    assert weights("x")[1] == -2.5


def test_files_that_transformers_writes_are_read_alike(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(1)
    tensors = {f"t{i}": random.normal(size=(i + 1, 3)).astype(np.float32) for i in range(9)}
    safetensors.save_file({k: v for k, v in tensors.items() if k < "t5"}, tmp_path / "1.safetensors")
    safetensors.save_file({k: v for k, v in tensors.items() if k >= "t5"}, tmp_path / "2.safetensors")
    weights = Weights([tmp_path / "1.safetensors", tmp_path / "2.safetensors"])
    assert set(weights.names) == set(tensors)
    for name, values in tensors.items():
        assert np.array_equal(weights(name), values)
        assert weights.shape(name) == values.shape


def test_numbers_of_one_outlive_the_reader(tmp_path: Path) -> None:
    file = write(tmp_path / "a.safetensors", {"x": ("F32", [], np.float32(3).tobytes())})
    tensor = Weights([file])("x")
    file.unlink()
    assert tensor == 3


def test_released_memory_is_read_again_from_the_file(tmp_path: Path) -> None:
    values = np.arange(5000, dtype=np.float32)
    weights = Weights([write(tmp_path / "a.safetensors", {"x": ("F32", [5000], values.tobytes())})])
    tensor = weights("x")
    assert tensor[-1] == 4999
    weights.release()
    assert np.array_equal(tensor, values)


@pytest.mark.parametrize("kind", ["I8", "U8", "F8_E4M3", "I32"])
def test_quantised_weights_are_refused_when_asked_for(tmp_path: Path, kind: str) -> None:
    tensors = {"x": (kind, [4], bytes(16)), "y": ("F32", [1], bytes(4))}
    weights = Weights([write(tmp_path / "a.safetensors", tensors)])
    assert weights("y") == 0
    with pytest.raises(ModelUnavailable, match=f"x as {kind}: quantised"):
        weights("x")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    weights = Weights([write(tmp_path / "a.safetensors", {})])
    assert not weights.has("x")
    with pytest.raises(ModelUnavailable, match=r"no weights called x"):
        weights("x")


@pytest.mark.parametrize("left", [0, 4, 8, 40, -1])
def test_cut_files_are_refused(tmp_path: Path, left: int) -> None:
    file = write(tmp_path / "a.safetensors", {"x": ("F32", [4], bytes(16))})
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ModelUnavailable, match=r"cut off.*opy"):
        Weights([file])


def test_a_tensor_of_too_few_bytes_is_refused(tmp_path: Path) -> None:
    weights = Weights([write(tmp_path / "a.safetensors", {"x": ("F32", [5], bytes(16))})])
    with pytest.raises(ModelUnavailable, match=r"damaged: x has 16 bytes"):
        weights("x")


@pytest.mark.parametrize(
    "header",
    [b"[]", b"{", b'{"x": 1}', b'{"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}', b"\xff"],
)
def test_headers_without_sense_are_refused(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    with pytest.raises(ModelUnavailable, match="damaged header"):
        Weights([file])


def test_a_git_lfs_pointer_is_told_from_weights(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(ModelUnavailable, match="git lfs pull"):
        Weights([file])


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        Weights([tmp_path / "a.safetensors"])


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_halves_stay_halves_and_count_as_float32(tmp_path: Path, kind: str) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    from vitrine.services.encoders.graphs import layers
    from vitrine.services.encoders.graphs.tensors import Tensors

    random = np.random.default_rng(3)
    values = random.normal(size=(40, 24)).astype(np.float32)
    halves = values.astype(np.float16) if kind == "F16" else (values.view(np.uint32) >> 16).astype(np.uint16)
    file = write(tmp_path / "a.safetensors", {"x.weight": (kind, [40, 24], halves.tobytes())})
    weights = Weights([file])
    exact = weights("x.weight")
    source = ops.parameter([-1, 24], np.float32)
    y = layers.linear(source, Tensors(weights), "x", 24, 40, bias=False)
    word = ops.gather(layers.constant(weights.stored("x.weight")), layers.wholes(7), layers.whole(0))
    model = ov.Model([y, word], [source])
    constants = [op for op in model.get_ops() if op.get_type_name() == "Constant"]
    kept = {op.get_element_type().get_size() for op in constants if list(op.shape) == [40, 24]}
    assert kept == {2}
    inputs = random.normal(size=(5, 24)).astype(np.float32)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows, row = compiled([inputs]).values()
    np.testing.assert_allclose(rows, inputs @ exact.T, atol=1e-5)
    assert np.array_equal(row[0], exact[7])
    # the mark by which openvino packs halves without a float32 copy beside them
    assert "decompression_0" in str([list(op.get_rt_info()) for op in model.get_ops()])
