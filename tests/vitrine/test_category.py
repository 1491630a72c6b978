"""Adding, searching, changing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vitrine
from vitrine.questions import TOGETHER

RED, BLUE = (220, 30, 30), (40, 80, 210)


def card(colour: tuple[int, int, int], size: int = 40) -> Image.Image:
    return Image.new("RGB", (size, 32), colour)


def as_bytes(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


# In
# -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_added_once(shop: vitrine.Category, pictures: Path) -> None:
    again = shop.add(pictures)
    assert (again.added, again.known, len(shop)) == (0, 12, 12)


def test_pictures_come_in_every_form(empty: vitrine.Category, tmp_path: Path) -> None:
    card(RED).save(tmp_path / "red.png")
    array = np.asarray(card(BLUE, 30))
    given: list[vitrine.Picture] = [
        tmp_path / "red.png",
        as_bytes(card(BLUE)),
        card(RED, 24),
        array,
        (array[:20] / 255).astype(np.float32),
    ]
    report = empty.add(given, tags="given")
    assert (report.added, report.refused) == (5, 0)
    assert empty.facets("tags") == {"given": 5}
    assert sorted(hit.filename for hit in empty) == [
        "picture-2",
        "picture-3",
        "picture-4",
        "picture-5",
        "red.png",
    ]
    blue = {hit.filename for hit in empty.search(image=array, limit=3)}
    assert blue == {"picture-2", "picture-4", "picture-5"}


def test_one_picture_may_come_with_what_is_known_of_it(empty: vitrine.Category) -> None:
    new = vitrine.NewImage(
        card(RED), "mug.png", ["red"], {"class": "mug", "caption": "A red mug"}, {"year": 1999}
    )
    assert empty.add(new).added == 1
    (hit,) = empty.images()
    assert (hit.filename, hit.tags, hit.class_, hit.caption) == ("mug.png", ["red"], "mug", "A red mug")
    assert hit.metadata == {"year": 1999} and hit.size == (40, 32)
    assert empty.count({"metadata.year.gte": 1999}) == 1 and empty.count({"metadata.year.gt": 1999}) == 0


def test_what_is_no_picture_is_refused_and_the_others_go_in(empty: vitrine.Category, tmp_path: Path) -> None:
    report = empty.add([tmp_path / "gone.png", b"no picture", np.zeros((2, 2, 7), np.uint8), card(RED)])
    assert (report.added, report.refused) == (1, 3)
    assert sorted(report.reasons) == ["unreadable_file", "unsupported_format"]
    with pytest.raises(vitrine.BadSource, match="gone"):
        empty.add(tmp_path / "gone")
    with pytest.raises(vitrine.BadRequest, match="not 5"):
        empty.add(5)  # type: ignore[arg-type]
    with pytest.raises(vitrine.BadRequest, match="one of ignore, tell, skip, not 'skp'"):
        empty.add(card(RED), near_duplicates="skp")  # type: ignore[arg-type]


def test_a_picture_is_upright_and_in_its_colours(empty: vitrine.Category) -> None:
    turned = card(RED)
    turned.getexif()[0x0112] = 6
    empty.add([turned, card(BLUE).convert("CMYK")])
    sizes = {hit.filename: hit.size for hit in empty}
    assert sizes == {"picture-1": (32, 40), "picture-2": (40, 32)}


# Questions
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["path", "text", "bytes", "pillow", "array"])
def test_a_search_by_picture_takes_any_form(shop: vitrine.Category, tmp_path: Path, form: str) -> None:
    path = tmp_path / "red.png"
    card(RED).save(path)
    forms: dict[str, vitrine.Picture] = {
        "path": path,
        "text": str(path),
        "bytes": path.read_bytes(),
        "pillow": card(RED),
        "array": np.asarray(card(RED)),
    }
    hits = shop.search(image=forms[form], limit=4)
    assert [hit.class_ for hit in hits] == ["red"] * 4
    assert hits[0].similarity is not None and hits[0].similarity > 0.9


def test_a_search_by_examples_takes_ids_hits_and_pictures(shop: vitrine.Category) -> None:
    red, blue = shop.images(tags="red")[0], shop.images(tags="blue")[0]
    by_id, by_hit = shop.search(like=red.id, limit=5), shop.search(like=red, limit=5)
    assert by_id.ids == by_hit.ids and red.id not in by_id.ids and by_id[0].class_ == "red"
    mixed = shop.search(like=[red, card(RED)], unlike=blue.id, limit=3)
    assert [hit.class_ for hit in mixed] == ["red"] * 3
    assert red.id in shop and blue in shop and "x" * 36 not in [*shop.search(like=red).ids]


def test_a_search_by_vector_and_its_options(shop: vitrine.Category) -> None:
    red = shop.images(tags="red")[0]
    (vector,) = shop.vectors(red)
    hits = shop.search(vector=vector, limit=2, with_vectors=True)
    assert hits[0].id == red.id and hits[0].similarity == pytest.approx(1, abs=1e-4)
    assert hits[0].vectors["colour"] == pytest.approx(vector, abs=1e-5)
    assert len(shop.search(vector=list(vector), min_similarity=0.999, exact=True)) < 12
    assert shop.search(vector=vector, limit=2, offset=1)[0].id == hits[1].id


def test_many_searches_answer_as_each_alone(shop: vitrine.Category) -> None:
    some = shop.images(tags="red", limit=2)
    rows = shop.vectors(some)
    texts, pictures = ["red", "blue", "red"], [card(RED), card(BLUE)]
    together = [
        shop.search_many(texts, limit=3, not_tags="green"),
        shop.search_many(images=pictures, limit=3, not_tags="green"),
        shop.search_many(like=[some[0], some[1].id], limit=3, not_tags="green"),
        shop.search_many(vectors=rows, limit=3, not_tags="green"),
    ]
    alone = [
        [shop.search(text, limit=3, not_tags="green") for text in texts],
        [shop.search(image=image, limit=3, not_tags="green") for image in pictures],
        [shop.search(like=hit, limit=3, not_tags="green") for hit in some],
        [shop.search(vector=row, limit=3, not_tags="green") for row in rows],
    ]
    assert [[found.ids for found in kind] for kind in together] == [
        [found.ids for found in kind] for kind in alone
    ]
    assert [found.title for found in together[0]] == [found.title for found in alone[0]]


def test_more_searches_than_are_asked_at_a_time(shop: vitrine.Category) -> None:
    texts = [("red", "blue", "green")[number % 3] for number in range(2 * TOGETHER + 1)]
    found = shop.search_many(texts, limit=1)
    assert [hits[0].class_ for hits in found] == texts
    assert shop.search_many([]) == []


@pytest.mark.parametrize("asked", [{"texts": "red"}, {"texts": ["red"], "images": [card(RED)]}])
def test_many_searches_are_of_one_kind(shop: vitrine.Category, asked: dict[str, Any]) -> None:
    with pytest.raises(vitrine.BadRequest, match="one kind"):
        shop.search_many(**asked)


def test_conditions_hold_together(shop: vitrine.Category) -> None:
    def found(hits: vitrine.Hits) -> set[str | None]:
        return {hit.class_ for hit in hits}

    assert found(shop.images(any_tags=["red", "blue"])) == {"red", "blue"}
    assert found(shop.images(not_tags="red")) == {"blue", "green"}
    assert found(shop.images(class_="green", where={"width": (30, None)})) == {"green"}
    assert shop.count({"class": ["red", "green"], "width.gte": 40}) == 4
    assert shop.count({"width": (25, 35)}) == 3 and shop.count() == 12
    assert not shop.images(tags=["red", "blue"])
    assert not shop.search(image=card(RED), tags="blue", quality=(0.5, None))
    with pytest.raises(vitrine.UnknownField, match="colour"):
        shop.count({"metadata.colour": "red"})
    with pytest.raises(vitrine.BadRequest, match="A range is a least and a greatest value"):
        shop.count({"width": (None, None)})
    with pytest.raises(vitrine.BadRequest, match="where is a dict, such as"):
        shop.images(where="width=3")  # type: ignore[arg-type]
    with pytest.raises(vitrine.BadRequest, match="scores is a dict, such as"):
        shop.images(scores="sharp=0.5..1")  # type: ignore[arg-type]


def test_a_text_is_one_example_more(shop: vitrine.Category) -> None:
    red, blue = (shop.images(class_=name, limit=1)[0] for name in ("red", "blue"))
    both = shop.search("red", like=blue, unlike=card(BLUE), limit=3)
    assert {hit.class_ for hit in both} == {"red"} and both.title.startswith("by examples")
    assert shop.search("red", unlike=red, limit=12)[0].id != red.id


def test_one_question_at_a_time(shop: vitrine.Category) -> None:
    for arguments in ({}, {"text": "red", "image": card(RED)}, {"unlike": card(RED)}):
        with pytest.raises(vitrine.BadRequest, match="Give one of text, image, like and vector"):
            shop.search(**arguments)
    with pytest.raises(vitrine.BadRequest, match="unlike needs like"):
        shop.search(image=card(RED), unlike=card(BLUE))
    with pytest.raises(vitrine.BadRequest, match="one id"):
        shop.search(image=card(RED), using=["colour", "grey"])
    with pytest.raises(vitrine.BadRequest, match=r"gone\.png cannot be read"):
        shop.search(image="gone.png")
    with pytest.raises(vitrine.BadRequest, match="neither an image id nor a file"):
        shop.search(like=["gone"])


def test_pages_and_orders(shop: vitrine.Category) -> None:
    first = shop.images(limit=5)
    second = shop.images(limit=5, cursor=first.cursor)
    assert len({*first.ids, *second.ids}) == 10
    assert sorted(hit.id for hit in shop) == sorted(hit.id for hit in shop.all_images(order_by="width"))
    widths = [hit.size[0] for hit in shop.images(order_by="width:desc")]
    assert widths == sorted(widths, reverse=True)
    assert len(shop.images(random=True, limit=3)) == 3
    with pytest.raises(vitrine.BadRequest, match="random"):
        shop.images(random=True, order_by="width")


def test_images_pictures_and_vectors(shop: vitrine.Category, pictures: Path) -> None:
    ids = shop.images(tags="red", limit=3).ids
    rows = shop.vectors(ids)
    assert rows.dtype == np.float32 and rows.shape[0] == 3
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1)
    assert np.array_equal(shop.vectors(ids[::-1]), rows[::-1]) and shop.vectors([]).shape == (
        0,
        rows.shape[1],
    )
    hit = shop.image(ids[0])
    assert hit.picture().mode == "RGB" and hit.picture().size == hit.size
    assert shop.file(hit) == (pictures / hit.filename).read_bytes()
    with pytest.raises(vitrine.NotFound):
        shop.vectors("00000000-0000-0000-0000-000000000000")


def test_counts_by_value(shop: vitrine.Category) -> None:
    assert shop.facets("class") == {"red": 4, "blue": 4, "green": 4}
    assert shop.facets("tags", {"width.gte": 48}) == {"red": 1, "blue": 1, "green": 1}
    bins = shop.histogram("width", bins=2)
    assert [(bin.lower, bin.upper, bin.count) for bin in bins] == [(24, 36, 6), (36, 48, 6)]


# Changes
# -----------------------------------------------------------------------------------------------------------


def test_images_are_edited_and_deleted(empty: vitrine.Category) -> None:
    empty.add([card(RED), card(BLUE)], tags=["card"])
    one, other = empty.images()
    (changed,) = empty.edit(one, add_tags="sale", remove_tags="card", class_="mug", metadata={"year": 1999})
    assert (changed.tags, changed.class_, changed.metadata) == (["sale"], "mug", {"year": 1999})
    (changed,) = empty.edit([one.id], class_="", metadata={"year": None}, quality=0.5)
    assert (changed.class_, changed.metadata, changed.quality) == (None, {}, 0.5)
    (changed,) = empty.edit(one, fields={"caption": "On sale", "quality": None})
    assert (changed.caption, changed.quality) == ("On sale", None)
    with pytest.raises(vitrine.BadRequest, match="quality must be at most 1"):
        empty.edit(one, quality=2)
    with pytest.raises(vitrine.NotFound):
        empty.edit(["00000000-0000-0000-0000-000000000000"], add_tags="x")
    assert empty.delete([one, other.id]) == 2 and empty.delete(one) == 0 and len(empty) == 0


def test_changes_are_taken_back(empty: vitrine.Category) -> None:
    empty.add([card(RED), card(BLUE)], tags=["card"])
    one, other = empty.images()
    changed = empty.edit([one, other], add_tags="sale")
    assert changed.undo().undone == 2 and empty.count({"tag": "sale"}) == 0
    with pytest.raises(vitrine.NotFound):
        changed.undo()
    with pytest.raises(vitrine.BadRequest, match="nothing to undo"):
        empty.edit(one, add_tags="card").undo()
    deleted = empty.delete([one, other])
    assert deleted == 2 and len(empty) == 0
    assert {binned.hit.id for binned in empty.bin()} == {one.id, other.id}
    assert empty.restore(one) == 1 and deleted.undo().undone == 1 and len(empty) == 2
    token = empty.delete(one).token
    assert token is not None and empty.library.undo(token).undone == 1
    assert empty.delete(one, for_good=True) == 1 and empty.bin() == []
    empty.delete(other)
    assert empty.empty_bin() == 1 and empty.bin() == []


def test_a_category_follows_a_folder(empty: vitrine.Category, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (20, 20), colour).save(folder / f"{name}.png")
    assert empty.sync(folder).indexed.added == 2
    (folder / "a.png").unlink()
    assert len(empty.sync(folder, vitrine.SyncOptions(dry_run=True)).gone) == 1 and len(empty) == 2
    with pytest.raises(vitrine.TooManyGone):
        empty.sync(folder, vitrine.SyncOptions(max_gone=0))
    assert list(empty.sync(folder).gone.values()) == ["a.png"] and len(empty) == 1
