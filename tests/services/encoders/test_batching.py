"""One thread owns the model, requests share its batches, nobody starves, errors stay with their caller."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.encoders.batching import BatchedEncoder
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, Unavailable, UnsupportedQuery

SPEC = EncoderSpec(
    "gated", "tests/gated", "1", 2, ("image",), Preprocessing((1, 1), None, (0, 0, 0), (1, 1, 1))
)


class GatedEncoder:
    """Gives (level, 1) for a grey image of that level; each call waits for ``step()``, which tells how many
    images it got."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self._entered, self._go = threading.Semaphore(0), threading.Semaphore(0)

    @property
    def spec(self) -> EncoderSpec:
        return SPEC

    def encode_images(self, images):
        levels = [image.getpixel((0, 0))[0] for image in images]
        self.batches.append(levels)
        self.threads.add(threading.get_ident())
        self._entered.release()
        assert self._go.acquire(timeout=10)
        if 13 in levels:
            raise ValueError("unlucky")
        return np.array([[level, 1] for level in levels], np.float32)

    def wait_until_running(self) -> list[int]:
        assert self._entered.acquire(timeout=10)
        return self.batches[-1]

    def finish(self) -> None:
        self._go.release()

    def step(self) -> list[int]:
        """Let the call under way, or the next one, finish; its levels."""
        levels = self.wait_until_running()
        self.finish()
        return levels


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (2, 2), (level, level, level))


class Callers:
    """Runs calls on their own threads; each is queued before ``ask`` returns."""

    def __init__(self, batched: BatchedEncoder) -> None:
        self.batched = batched
        self.pool = ThreadPoolExecutor(16)

    def ask(self, *levels: int) -> Future:
        before = self.batched.pending
        future = self.pool.submit(self.batched.encode_images, [grey(level) for level in levels])
        while self.batched.pending == before and not future.done():
            pass
        return future


@pytest.fixture
def gated():
    encoder = GatedEncoder()
    batched = BatchedEncoder(encoder, max_batch=4)
    yield encoder, batched, Callers(batched)
    for _ in range(50):
        encoder.finish()
    batched.close()


def levels_of(future: Future) -> list[int]:
    return [int(level) for level in future.result(timeout=10)[:, 0]]


def test_a_first_request_goes_at_once_and_the_waiting_share_the_next_batch(gated):
    encoder, _, callers = gated
    first = callers.ask(1)
    assert encoder.wait_until_running() == [1]
    others = [callers.ask(level) for level in (2, 3, 4)]
    encoder.finish()
    assert encoder.step() == [2, 3, 4]
    assert [levels_of(future) for future in (first, *others)] == [[1], [2], [3], [4]]
    assert len(encoder.threads) == 1


def test_a_batch_has_a_largest_size(gated):
    encoder, _, callers = gated
    callers.ask(1)
    encoder.wait_until_running()
    futures = [callers.ask(level) for level in range(2, 8)]
    encoder.finish()
    assert encoder.step() == [2, 3, 4, 5]
    assert encoder.step() == [6, 7]
    assert [levels_of(future) for future in futures] == [[level] for level in range(2, 8)]


def test_single_queries_come_between_the_slices_of_a_large_request(gated):
    encoder, _, callers = gated
    large = callers.ask(*range(20, 31))
    assert encoder.wait_until_running() == [20, 21, 22, 23]
    single = callers.ask(1)
    encoder.finish()
    assert encoder.step() == [1]
    assert levels_of(single) == [1]
    assert encoder.wait_until_running() == [24, 25, 26, 27]
    late = callers.ask(2)
    encoder.finish()
    assert encoder.step() == [2]
    assert levels_of(late) == [2]
    assert not large.done()
    assert encoder.step() == [28, 29, 30]
    assert levels_of(large) == list(range(20, 31))


def test_two_large_requests_take_turns(gated):
    encoder, _, callers = gated
    first = callers.ask(*range(20, 28))
    encoder.wait_until_running()
    second = callers.ask(*range(40, 48))
    encoder.finish()
    assert [encoder.step()[0] for _ in range(3)] == [40, 24, 44]
    assert levels_of(first) == list(range(20, 28))
    assert levels_of(second) == list(range(40, 48))


def test_an_error_reaches_only_its_caller(gated):
    encoder, _, callers = gated
    callers.ask(1)
    encoder.wait_until_running()
    good, bad, also_good = callers.ask(2), callers.ask(13), callers.ask(3)
    encoder.finish()
    assert encoder.step() == [2, 13, 3]
    assert [encoder.step() for _ in range(3)] == [[2], [13], [3]]
    with pytest.raises(Unavailable, match=r"gated failed on what it was given \(unlucky\)"):
        bad.result(timeout=10)
    assert (levels_of(good), levels_of(also_good)) == ([2], [3])
    after = callers.ask(4)
    assert encoder.step() == [4]
    assert levels_of(after) == [4]


def test_closing_ends_the_waiting_and_refuses_the_late(gated):
    encoder, batched, callers = gated
    running = callers.ask(1)
    encoder.wait_until_running()
    waiting = callers.ask(2)
    closing = threading.Thread(target=batched.close)
    closing.start()
    while True:  # until the closing is known, new requests still queue
        try:
            batched.encode_images([])
        except Unavailable:
            break
    encoder.finish()
    closing.join(10)
    assert levels_of(running) == [1]
    with pytest.raises(Unavailable, match="closed"):
        waiting.result(timeout=10)
    with pytest.raises(Unavailable, match="gated is closed"):
        batched.encode_images([grey(1)])
    batched.close()


def test_wrong_shapes_are_an_error(gated):
    encoder, _, _ = gated
    encoder.encode_images = lambda images: np.zeros((1, 3), np.float32)
    wrong = BatchedEncoder(encoder)
    with pytest.raises(Unavailable, match="dimension 2"):
        wrong.encode_images([grey(1)])
    wrong.close()


def test_nothing_asked_is_nothing_given(gated):
    _, batched, _ = gated
    assert batched.encode_images([]).shape == (0, 2)
    with pytest.raises(UnsupportedQuery, match="gated"):
        batched.encode_texts(["a cat"])


def test_half_a_character_is_named():
    batched = BatchedEncoder(ColourEncoder())
    with pytest.raises(BadRequest, match="half a character"):
        batched.encode_texts(["a cat", "a \ud83d"])
    assert batched.encode_texts(["a cat \U0001f600"]).shape == (1, 64)
    batched.close()


def test_many_threads_get_their_own_rows():
    plain, batched = ColourEncoder(), BatchedEncoder(ColourEncoder(), max_batch=5)
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(60)]
    expected = plain.encode_images(images)
    words = [f"word {i}" for i in range(60)]
    with ThreadPoolExecutor(12) as pool:
        rows = pool.map(lambda i: batched.encode_images(images[i : i + 1 + i % 9]), range(50))
        texts = pool.map(lambda i: batched.encode_texts(words[i : i + 2]), range(50))
        for i, (some, text) in enumerate(zip(rows, texts, strict=True)):
            np.testing.assert_allclose(some, expected[i : i + 1 + i % 9], atol=1e-6)
            np.testing.assert_allclose(text, plain.encode_texts(words[i : i + 2]), atol=1e-6)
    prepared = [batched.prepare(image) for image in images]
    np.testing.assert_allclose(batched.encode_prepared(prepared), expected, atol=1e-6)
    assert (batched.spec, batched.pending) == (plain.spec, 0)
    batched.close()
