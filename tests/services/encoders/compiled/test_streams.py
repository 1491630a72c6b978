"""Towers on several streams: what a call is cut into, and that every row stays with its input."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from vitrine.services.encoders.base import Begun
from vitrine.services.encoders.batching import BatchedEncoder
from vitrine.services.encoders.compiled.encoder import OpenVinoEncoder
from vitrine.services.encoders.compiled.tower import Streams, Tower
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import parse_reference


def test_slices_are_alike_and_none_is_alone_where_that_would_pack_the_weights_twice() -> None:
    random = np.random.default_rng(2)
    for _ in range(300):
        count, streams, largest = (int(random.integers(1, high)) for high in (200, 20, 12))
        few = int(random.integers(2, 9)) if largest > 2 else 0
        several = bool(random.integers(2))
        sizes = Streams(streams, {"float32": largest}, {"float32": few}).cut(
            count, "float32", several=several
        )
        assert sum(sizes) == count
        if count < few and not several:
            assert sizes == [1] * count
            continue
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= max(largest, 3 if few else 1)
        assert len(sizes) % streams == 0 or len(sizes) == (count // 2 if few else count) or count == 1
        assert not few or count == 1 or min(sizes) > 1


def test_there_is_one_stream_until_several_inputs_are_asked_for_of_a_network_that_packs_twice() -> None:
    for few, several, wanted in ((4, False, 1), (4, True, 3), (0, False, 3), (0, True, 3)):
        streams = Streams(3, {"float32": 8, "bfloat16": 8}, {"float32": few})
        assert streams.at_once("float32", several=several) == wanted
        assert streams.at_once("bfloat16", several=several) == 3


def sums(few: int, released: list[int]) -> Tower:
    """A tower whose rows are the sum and the greatest of four numbers."""
    import openvino as ov
    from openvino import opset13 as ops

    source = ops.parameter([-1, 4], np.float32)
    axis = ops.constant(np.array([1], np.int64))
    rows = ops.concat([ops.reduce_sum(source, axis, True), ops.reduce_max(source, axis, True)], 1)
    streams = Streams(2, {"float32": 4}, {"float32": few})
    return Tower(ov.Model([rows], [source]), 2, streams, lambda: released.append(1))


@pytest.mark.parametrize("few", [0, 4])
def test_rows_are_those_of_their_inputs_for_any_number_of_them(few: int) -> None:
    released: list[int] = []
    tower, random = sums(few, released), np.random.default_rng(few)
    for count in (1, 2, 3, *random.integers(0, 40, 25), 1, 3):
        inputs = random.normal(size=(count, 4)).astype(np.float32)
        wanted = np.stack([inputs.sum(1), inputs.max(1) if count else inputs.sum(1)], 1)
        np.testing.assert_allclose(tower(list(inputs)), wanted, atol=1e-5)
    assert len(released) == 2  # once for single inputs, once for several


def test_a_tower_that_nobody_holds_gives_its_memory_back() -> None:
    tower = sums(0, [])
    tower(list(np.ones((9, 4), np.float32)))
    gone = weakref.ref(tower)
    del tower
    gc.collect()
    assert gone() is None


def test_two_encoders_asked_by_several_threads_give_each_its_rows_in_order() -> None:
    encoders = [demo(threads) for threads in (1, 2)]
    random = np.random.default_rng(6)
    pixels = random.integers(0, 256, (24, *size(encoders[0]), 3), dtype=np.uint8)
    alone = np.concatenate([encoders[0].encode_pixels([one]) for one in pixels])
    batched = [BatchedEncoder(encoder, max_batch=16) for encoder in encoders]
    begin = threading.Barrier(6)

    def ask(seed: int) -> None:
        own = np.random.default_rng(seed)
        begin.wait()
        for count in own.integers(1, 40, 6):
            chosen = own.integers(0, len(pixels), count)
            rows = batched[seed % 2].encode_prepared([pixels[i] for i in chosen])
            assert rows.shape == (count, alone.shape[1])
            assert ((rows @ alone.T).argmax(axis=1) == chosen).all()
            np.testing.assert_allclose(rows, alone[chosen], atol=1e-5)

    try:
        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(ask, seed) for seed in range(6)]:
                done.result()
    finally:
        for encoder in batched:
            encoder.close()


def demo(threads: int) -> Any:
    encoder = EncoderLoader(offline=True, precision="float32", device="cpu", threads=threads).load(
        parse_reference("demo")
    )
    assert isinstance(encoder, OpenVinoEncoder)
    return encoder


def size(encoder: OpenVinoEncoder) -> tuple[int, int]:
    from PIL import Image

    height, width, _ = encoder.prepare(Image.new("RGB", (50, 40))).shape
    return height, width


def test_calls_that_are_begun_before_others_have_ended_keep_their_rows() -> None:
    tower, random = sums(0, []), np.random.default_rng(8)
    begun: deque[tuple[Begun, np.ndarray]] = deque()  # type: ignore[type-arg]
    for _ in range(200):
        action = random.integers(4)
        if action < 2 or not begun:
            inputs = random.normal(size=(random.integers(0, 20), 4)).astype(np.float32)
            wanted = np.stack([inputs.sum(1), inputs.max(1) if len(inputs) else inputs.sum(1)], 1)
            begun.append((tower.begin(list(inputs)), wanted))
        elif action == 2:
            begun[0][0].advance()
        else:  # of any call, not only of the first
            some, wanted = begun[random.integers(len(begun))]
            np.testing.assert_allclose(some.rows(), wanted, atol=1e-5)
            assert some.ended()
    for some, wanted in begun:
        np.testing.assert_allclose(some.rows(), wanted, atol=1e-5)


def test_a_call_that_cannot_be_computed_leaves_others_their_rows() -> None:
    tower, random = sums(0, []), np.random.default_rng(9)
    inputs = random.normal(size=(24, 4)).astype(np.float32)
    tower(list(inputs))
    for wrong in ([np.zeros(5, np.float32)], [*inputs[:9], np.zeros(5, np.float32)]):
        before = tower.begin(list(inputs))
        with pytest.raises(Exception, match=r"(?i)shape"):
            tower.begin(wrong).rows()
        after = tower.begin(list(inputs[::-1]))
        np.testing.assert_allclose(before.rows()[:, 0], inputs.sum(1), atol=1e-5)
        np.testing.assert_allclose(after.rows()[:, 0], inputs[::-1].sum(1), atol=1e-5)
