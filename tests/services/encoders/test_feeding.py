"""Encoders that compute on threads of their own are begun with the next pixels before they are done with the
last; rows and errors stay with their callers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec, Preprocessing
from vitrine.services.encoders.base import Begun
from vitrine.services.encoders.batching import BatchedEncoder, FedEncoder
from vitrine.services.errors import Unavailable

SPEC = EncoderSpec("fed", "tests/fed", "1", 2, ("image",), Preprocessing((1, 1), None, (0, 0, 0), (1, 1, 1)))
UNLUCKY_AT_ONCE, UNLUCKY_LATER = 113, 213


@dataclass(eq=False)
class Pass:
    levels: list[int]
    ended: bool = False


@dataclass(eq=False)
class Fed:
    """Gives (level, 1) for pixels of that level, two images a pass; a pass ends when it is waited for and
    ``step`` was called. ``events`` says what was begun and what had ended, in order."""

    events: list[tuple[str, list[int]]] = field(default_factory=list)
    under_way: deque[Pass] = field(default_factory=deque)
    waits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    open: bool = False

    @property
    def spec(self) -> EncoderSpec:
        return SPEC

    def prepare(self, image: Image.Image) -> np.ndarray[Any, Any]:
        return np.full((1, 1, 3), image.getpixel((0, 0))[0], np.uint8)  # type: ignore[index]

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        raise AssertionError("images are prepared first")

    def encode_pixels(self, pixels: Sequence[np.ndarray[Any, Any]]) -> Embeddings:
        raise AssertionError("pixels are begun with")

    def begin_pixels(self, pixels: Sequence[np.ndarray[Any, Any]]) -> Begun:
        levels = [int(one[0, 0, 0]) for one in pixels]
        if UNLUCKY_AT_ONCE in levels:
            raise ValueError("unlucky at once")
        self.events.append(("begin", levels))
        passes = [Pass(levels[at : at + 2]) for at in range(0, len(levels), 2)]
        self.under_way.extend(passes)

        def rows() -> Embeddings:
            while not passes[-1].ended:
                self.end_oldest()
            self.events.append(("answer", levels))
            if UNLUCKY_LATER in levels:
                raise ValueError("unlucky later")
            return np.array([[level, 1] for level in levels], np.float32)

        return Begun(lambda: passes[-1].ended, self.end_oldest, rows)

    def end_oldest(self) -> None:
        self.waits.release()
        assert self.open or self.go.acquire(timeout=10)
        self.under_way.popleft().ended = True

    def step(self, count: int = 1) -> None:
        """Let so many passes end that are waited for."""
        for _ in range(count):
            assert self.waits.acquire(timeout=10)
            self.go.release()


Ask = Callable[..., "Future[Embeddings]"]


@pytest.fixture
def fed():  # type: ignore[no-untyped-def]
    encoder = Fed()
    batched, pool = BatchedEncoder(encoder, max_batch=8), ThreadPoolExecutor(8)

    def ask(*levels: int) -> Future[Embeddings]:
        """Ask on a thread of its own; it is queued when this returns."""
        before = batched.pending
        images = [Image.new("RGB", (2, 2), (level, 0, 0)) for level in levels]
        future = pool.submit(batched.encode_images, images)
        while batched.pending == before and not future.done():
            pass
        return future

    yield encoder, batched, ask
    encoder.open = True
    for _ in range(100):
        encoder.go.release()
    batched.close()


def levels_of(future: Future[Embeddings]) -> list[int]:
    return [int(level) for level in future.result(timeout=10)[:, 0]]


def test_the_next_slice_is_begun_before_the_last_one_has_ended(fed: Any) -> None:
    encoder, _, ask = fed
    assert isinstance(encoder, FedEncoder)
    first = ask(*range(8))
    assert encoder.waits.acquire(timeout=10)  # the owner waits for the first of four passes
    second = ask(*range(20, 28))
    encoder.go.release()
    encoder.step(7)
    assert (levels_of(first), levels_of(second)) == (list(range(8)), list(range(20, 28)))
    assert [kind for kind, _ in encoder.events] == ["begin", "begin", "answer", "answer"]
    assert encoder.events[1] == ("begin", list(range(20, 28)))


def test_slices_of_one_large_request_follow_each_other(fed: Any) -> None:
    encoder, _, ask = fed
    large = ask(*range(30, 50))
    encoder.step(10)
    assert levels_of(large) == list(range(30, 50))
    assert [kind for kind, _ in encoder.events] == ["begin", "begin", "answer", "begin", "answer", "answer"]


def test_a_small_request_waits_for_no_slice_that_is_begun_after_it(fed: Any) -> None:
    encoder, _, ask = fed
    small = ask(1)
    assert encoder.waits.acquire(timeout=10)
    large = ask(*range(20, 28))
    encoder.go.release()
    encoder.step(4)
    assert (levels_of(small), levels_of(large)) == ([1], list(range(20, 28)))
    assert [kind for kind, _ in encoder.events] == ["begin", "answer", "begin", "answer"]


@pytest.mark.parametrize("unlucky", [UNLUCKY_AT_ONCE, UNLUCKY_LATER])
def test_an_error_reaches_its_caller_alone(fed: Any, unlucky: int) -> None:
    encoder, batched, ask = fed
    first = ask(*range(8))
    assert encoder.waits.acquire(timeout=10)
    bad, good = ask(*range(40, 60), unlucky), ask(*range(20, 28))
    few = [ask(level) for level in (2, unlucky, 3)]
    encoder.open = True
    encoder.go.release()
    assert (levels_of(first), levels_of(good)) == (list(range(8)), list(range(20, 28)))
    assert (levels_of(few[0]), levels_of(few[2])) == ([2], [3])
    for each in (bad, few[1]):
        with pytest.raises(Unavailable, match="unlucky"):
            each.result(timeout=10)
    assert levels_of(ask(5)) == [5]
    assert batched.pending == 0 and not encoder.under_way


def test_closing_answers_what_is_under_way(fed: Any) -> None:
    encoder, batched, ask = fed
    begun = ask(*range(8))
    assert encoder.waits.acquire(timeout=10)
    waiting = ask(*range(20, 28))
    closing = threading.Thread(target=batched.close)
    closing.start()
    while True:  # until the closing is known, new requests still queue
        try:
            batched.encode_images([])
        except Unavailable:
            break
    encoder.open = True
    encoder.go.release()
    closing.join(10)
    assert levels_of(begun) == list(range(8))
    with pytest.raises(Unavailable, match="closed"):
        waiting.result(timeout=10)


def test_many_threads_get_their_own_rows(fed: Any) -> None:
    encoder, batched, _ = fed
    encoder.open = True

    def ask(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(60):
            levels = random.integers(0, 100, random.integers(1, 30))
            rows = batched.encode_prepared([np.full((1, 1, 3), level, np.uint8) for level in levels])
            np.testing.assert_array_equal(rows[:, 0], levels)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(ask, seed) for seed in range(8)]:
            done.result()
