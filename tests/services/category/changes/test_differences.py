"""Differences of payloads: applied backwards they give what was there before, and leave alone what others
did."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from vitrine.services.category.changes.differences import difference, difference_from_json, reverse

TAGS = ("a", "b", "c", "d")


def drawn(chance: random.Random, *, ordered: bool = False) -> dict[str, Any]:
    """A payload, of tags, a class and metadata."""
    payload: dict[str, Any] = {}
    tags = chance.sample(TAGS, chance.randrange(5))
    half = chance.randrange(len(tags) + 1)
    if ordered:
        tags = [*sorted(tags[:half]), *sorted(tags[half:])]
    if tags[:half]:
        payload["tags"] = tags[:half]
    if tags[half:]:
        payload["rejected_tags"] = tags[half:]
    machine = [tag for tag in TAGS if tag not in tags[half:] and chance.random() < 0.3]
    payload |= {"machine_tags": machine} if machine else {}
    payload |= {"class": chance.choice("xy")} if chance.random() < 0.5 else {}
    columns = {name: chance.choice([1, "one", True]) for name in ("m", "n") if chance.random() < 0.5}
    payload |= {"metadata": columns} if columns else {}
    return payload


def bare(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value not in ([], {})}


@pytest.mark.parametrize("seed", range(300))
def test_an_edit_that_nobody_followed_is_taken_back_whole(seed: int) -> None:
    chance = random.Random(seed)
    before, after = drawn(chance), drawn(chance)
    made = difference(before, after)
    assert bool(made) == (before != after)
    again = difference_from_json(orjson.loads(orjson.dumps(made.to_json())))
    back, whole = reverse(after, again)
    assert whole and bare(back) == before
    forth, whole = reverse(back, difference(after, back))
    assert whole and bare(forth) == after


@pytest.mark.parametrize("seed", range(300))
def test_what_others_did_since_stays(seed: int) -> None:
    """Against a slow oracle: for each tag and value by itself, as it is now unless it is as the edit left
    it."""
    chance = random.Random(1000 + seed)
    before, after, now = (drawn(chance, ordered=True) for _ in range(3))
    back, whole = reverse(now, difference(before, after))

    def state(payload: dict[str, Any], tag: str) -> tuple[bool, ...]:
        return tuple(tag in payload.get(name, ()) for name in ("tags", "rejected_tags", "machine_tags"))

    kept = False
    for tag in TAGS:
        old, left, present = (state(each, tag) for each in (before, after, now))
        moved = [old[n] != left[n] for n in range(3)]
        wanted = tuple(old[n] if moved[n] else present[n] for n in range(3))
        same = all(present[n] == left[n] for n in range(3) if moved[n])
        possible = same and not (wanted[1] and (wanted[0] or wanted[2]))
        assert state(back, tag) == (wanted if possible else present)
        kept |= any(moved) and not possible
    for read in (
        lambda payload: payload.get("class"),
        lambda payload: payload.get("metadata", {}).get("m"),
        lambda payload: payload.get("metadata", {}).get("n"),
    ):
        old, left, present = (read(each) for each in (before, after, now))
        as_left = old != left and present == left
        assert read(back) == (old if as_left else present)
        kept |= old != left and not as_left
    assert whole is not kept


def test_a_score_goes_with_the_word_on_who_gave_it() -> None:
    before = {"quality": 0.4, "scored_by": {"quality": "logistic@1#2", "red": "x"}}
    after = {"quality": 0.9, "scored_by": {"red": "x"}}
    made = difference(before, after)
    assert reverse(after, made) == (before, True)
    since = {**after, "quality": 0.7}
    assert reverse(since, made) == (since, False)


def test_the_order_of_tags_comes_back() -> None:
    made = difference({"tags": ["a", "b"]}, {"tags": ["b", "a"]})
    assert reverse({"tags": ["b", "a", "new"]}, made) == ({"tags": ["a", "b", "new"]}, True)


def test_a_tag_that_was_rejected_since_does_not_come_back() -> None:
    made = difference({"tags": ["a"]}, {"tags": []})
    assert reverse({"tags": [], "rejected_tags": ["a"]}, made) == (
        {"tags": [], "rejected_tags": ["a"]},
        False,
    )
