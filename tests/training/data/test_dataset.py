from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.indexer.pictures import CATEGORY, picture, write
from tests.training.labelled import several
from vitrine.services.domain import Payload, Point
from vitrine.services.errors import BadSource, NotFound, TooFewExamples, UnknownVector
from vitrine.services.images.open import content_hash, object_key, point_id
from vitrine.services.runtime import Runtime
from vitrine.training.data.dataset import (
    LabelledImage,
    fingerprint,
    identify,
    read_category,
    read_csv,
    read_folder,
)


def listed(images: list[LabelledImage]) -> list[tuple[str, str, str | None]]:
    return [(image.key, image.class_, image.split) for image in images]


# Folders
# ------------------------------------------------------------------------------------------------------------


def test_folders_are_classes_and_other_files_are_passed_over(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "mugs/b.JPG": b"",
            "mugs/deep/a.png": b"",
            "mugs/notes.txt": b"",
            "mugs/.hidden.png": b"",
            "mugs/.cache/c.png": b"",
            "hats/a.webp": b"",
            "top.png": b"",
            ".git/x.png": b"",
            "empty/readme.md": b"",
        },
    )
    assert listed(read_folder(tmp_path)) == [
        ("hats/a.webp", "hats", None),
        ("mugs/b.JPG", "mugs", None),
        ("mugs/deep/a.png", "mugs", None),
    ]


def test_links_are_followed_once_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(
        tmp_path, {"set/mugs/a.png": picture(1), "set/hats/b.png": picture(2), "elsewhere/c.png": picture(3)}
    )
    mugs = tmp_path / "set" / "mugs"
    (mugs / "more").symlink_to(tmp_path / "elsewhere")
    (mugs / "self").symlink_to(mugs)
    (mugs / "round").symlink_to("round")
    images = read_folder(tmp_path / "set")
    assert [image.key for image in images] == ["hats/b.png", "mugs/a.png", "mugs/more/c.png", "mugs/round"]
    found, unusable = identify(images)
    assert len(found) == 3 and [(one.key, one.reason) for one in unusable] == [
        ("mugs/round", "unreadable_file")
    ]


def test_parts_above_the_classes_are_the_split(tmp_path: Path) -> None:
    write(tmp_path, {f"{part}/{name}/1.png": b"" for part in ("train", "val", "Test") for name in ("a", "b")})
    assert {(image.split, image.class_) for image in read_folder(tmp_path)} == {
        (part, name) for part in ("train", "validation", "test") for name in ("a", "b")
    }


def test_a_class_called_like_a_part_is_a_class_beside_others(tmp_path: Path) -> None:
    write(tmp_path, {"test/1.png": b"", "mugs/1.png": b""})
    assert listed(read_folder(tmp_path)) == [("mugs/1.png", "mugs", None), ("test/1.png", "test", None)]


def test_bytes_are_read_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"a/1.png": b"one", "b/1.png": b"two"})
    images = read_folder(tmp_path)
    (tmp_path / "a/1.png").write_bytes(b"later")
    assert [image.read() for image in images] == [b"later", b"two"]


def test_folders_without_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="no folder"):
        read_folder(tmp_path / "none")
    write(tmp_path, {"1.png": b""})
    with pytest.raises(BadSource, match="no class folders"):
        read_folder(tmp_path)
    write(tmp_path, {"train/1.png": b""})
    with pytest.raises(BadSource, match="no class folders"):
        read_folder(tmp_path)
    write(tmp_path, {"train/mugs/1.png": b""})
    with pytest.raises(TooFewExamples, match="only the class 'mugs'"):
        read_folder(tmp_path)


# CSV
# ------------------------------------------------------------------------------------------------------------


def table(folder: Path, text: str, *files: str) -> Path:
    write(folder, {name: name.encode() for name in files})
    (folder / "meta.csv").write_text(text, encoding="utf-8")
    return folder / "meta.csv"


def test_a_csv_names_files_and_classes(tmp_path: Path) -> None:
    meta = table(
        tmp_path,
        "\ufefffile, class ,label,split\n1.png,mug,3,train\npix/2.png,hat,4,val\n3.png,,5,test\n\n",
        "1.png",
        "pix/2.png",
        "3.png",
    )
    images = read_csv(meta)
    assert listed(images) == [("1.png", "mug", "train"), ("pix/2.png", "hat", "validation")]
    assert images[1].read() == b"pix/2.png"
    assert listed(read_csv(meta, label="label"))[2] == ("3.png", "5", "test")


def test_files_of_a_csv_may_lie_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "pictures", {"1.png": b"one", "2.png": b"two"})
    meta = table(tmp_path, "file,class\n1.png,a\n2.png,b\n2.png,b\n")
    assert [image.read() for image in read_csv(meta, tmp_path / "pictures")] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,class\n1.png,a\ngone.png,b\n", "row 3: there is no file 'gone.png'"),
        ("file,class\n1.png,a\n,b\n", "row 3: there is no file ''"),
        ("file,class\n1.png,a\n1.png,b\n", "row 3: 1.png is 'b' here and 'a' above"),
        ("file,class,split\n1.png,a,dev-ish\n", "row 2: 'dev-ish' is no split"),
        ("file,label\n1.png,a\n", "no column 'class'; it has: file, label"),
        ("", "no column 'file'; it has: none"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said_with_its_row(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadSource, match=words):
        read_csv(table(tmp_path, text, "1.png"))


def test_what_is_no_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="cannot be read"):
        read_csv(tmp_path / "none.csv")
    (tmp_path / "meta.csv").write_bytes(b"file,class\n\xff\xfe,a\n")
    with pytest.raises(BadSource, match="UTF-8"):
        read_csv(tmp_path / "meta.csv")
    with pytest.raises(TooFewExamples, match="only the class 'a'"):
        read_csv(table(tmp_path, "file,class\n1.png,a\n", "1.png"))
    with pytest.raises(TooFewExamples, match="no image with a class"):
        read_csv(table(tmp_path, "file,class\n1.png,\n", "1.png"))


# Categories
# ------------------------------------------------------------------------------------------------------------


def store(runtime: Runtime, seed: int, payload: Payload, *, embedded: bool = True) -> str:
    """Put one picture into the category; its id."""
    data = picture(seed)
    sha256 = content_hash(data)
    key = object_key(CATEGORY, sha256, "png")
    runtime.objects.put(key, data)
    vector = np.zeros(runtime.catalog.get(CATEGORY).encoders[0].dim, np.float32)
    vector[seed] = 1
    whole = {"sha256": sha256, "phash": "00000000ffffffff", "object_key": key, **payload}
    runtime.vectors.upsert(CATEGORY, [Point(point_id(sha256), {"colour": vector} if embedded else {}, whole)])
    return point_id(sha256)


def read(runtime: Runtime, **options: str) -> list[LabelledImage]:
    return read_category(runtime.catalog, runtime.vectors, runtime.objects, CATEGORY, **options)


def test_images_of_a_category_that_have_a_class_come_with_their_hashes(runtime: Runtime) -> None:
    mug = store(runtime, 0, {"class": "mug", "metadata": {"split": "val"}})
    hat = store(runtime, 1, {"class": "hat", "metadata": {"split": "somewhere"}})
    store(runtime, 2, {"tags": ["none"]})
    images = {image.key: image for image in read(runtime)}
    assert set(images) == {mug, hat} and list(images) == sorted(images)
    assert (images[mug].class_, images[mug].split, images[hat].split) == ("mug", "validation", None)
    assert images[mug].sha256 == content_hash(picture(0)) and images[mug].embedding is None
    assert images[mug].read() == picture(0)


def test_stored_embeddings_come_along_where_there_are_any(runtime: Runtime) -> None:
    with_one = store(runtime, 0, {"class": "a"})
    store(runtime, 1, {"class": "b"}, embedded=False)
    runtime.catalog.promote(CATEGORY, "look", "colour")
    for using in ("colour", "look"):
        for image in read(runtime, using=using):
            assert (image.embedding is not None) == (image.key == with_one)
    with pytest.raises(UnknownVector):
        read(runtime, using="other")


def test_any_field_may_be_the_class(runtime: Runtime) -> None:
    store(runtime, 0, {"class": "x", "tags": ["one"], "metadata": {"year": 1999, "brand": "A"}})
    store(runtime, 1, {"class": "y", "tags": ["two"], "metadata": {"year": 2001, "brand": "B"}})
    store(runtime, 2, {"class": "y", "tags": ["two", "three"], "metadata": {"year": [2003]}})
    assert sorted(image.class_ for image in read(runtime, label="metadata.year")) == ["1999", "2001", "2003"]
    assert sorted(image.class_ for image in read(runtime, label="metadata.brand")) == ["A", "B"]
    assert sorted(image.class_ for image in read(runtime, label="tags")) == ["one", "two"]
    with pytest.raises(TooFewExamples, match="field metadata"):
        read(runtime, label="metadata.nothing")
    with pytest.raises(NotFound):
        read_category(runtime.catalog, runtime.vectors, runtime.objects, "nowhere", using="colour")


# Identities
# ------------------------------------------------------------------------------------------------------------


def test_identities_are_those_of_the_index(tmp_path: Path) -> None:
    names = [f"{'ab'[seed % 2]}/{seed}.png" for seed in range(70)]  # more than are read ahead
    write(tmp_path, {name: picture(seed) for seed, name in enumerate(names)})
    told: list[tuple[int, int]] = []
    images, unusable = identify(read_folder(tmp_path), lambda done, total: told.append((done, total)))
    assert not unusable and [image.key for image in images] == sorted(names)
    assert images[0].sha256 == content_hash(picture(0)) and len(images[0].phash) == 16
    assert told[-1] == (70, 70)


def test_pictures_that_cannot_be_used_are_named_and_end_nothing(tmp_path: Path) -> None:
    write(
        tmp_path, {"a/1.png": picture(1), "a/2.png": picture(2)[:60], "b/3.png": b"", "b/4.png": picture(4)}
    )
    listed = read_folder(tmp_path)
    (tmp_path / "b/4.png").unlink()
    images, unusable = identify(listed)
    assert [image.key for image in images] == ["a/1.png"]
    assert [(broken.key, broken.reason) for broken in unusable] == [
        ("a/2.png", "damaged_image"),
        ("b/3.png", "empty_file"),
        ("b/4.png", "unreadable_file"),
    ]


def test_what_is_known_is_not_read_again() -> None:
    def never() -> bytes:
        raise AssertionError("read")

    known = LabelledImage("x", "a", never, sha256="0" * 64, phash="0" * 16)
    assert identify([known]) == ([known], [])


def test_the_fingerprint_is_of_content_and_class_alone() -> None:
    images = several({"a": 2, "b": 1})
    whole = fingerprint(images)
    assert whole.startswith("sha256:") and len(whole) == 71
    assert fingerprint(images[::-1]) == whole != fingerprint(images[:2])
    renamed = [LabelledImage(f"new {image.key}", image.class_, image.read, image.sha256) for image in images]
    assert fingerprint(renamed) == whole
    relabelled = [LabelledImage(image.key, "b", image.read, image.sha256) for image in images]
    assert fingerprint(relabelled) != whole
    with pytest.raises(ValueError, match="identify"):
        fingerprint([LabelledImage("x", "a", bytes)])
