"""One body of tests over the folder and over an S3 endpoint: what callers may rely on, whichever is behind
the protocol."""

from __future__ import annotations

import io
import json
import secrets
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.s3.responses import S3Response

from tests.services.s3 import s3_store
from tests.services.stub_http import answering
from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.category.catalog import Catalog
from vitrine.services.category.manifest import FORMAT
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, Conflict, NotFound, OtherFormat, Unavailable
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.object_store.minio_store import MinioObjectStore
from vitrine.services.sealed import sealed, unsealed

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def store(each_object_store: ObjectStore) -> ObjectStore:
    return each_object_store


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [found.key for found in store.list(prefix)]


def test_what_was_put_comes_back(store: ObjectStore) -> None:
    store.put("pets/images/ab/cd/one.png", PNG, media_type="image/png")
    assert store.get("pets/images/ab/cd/one.png") == PNG


def test_a_second_put_replaces(store: ObjectStore) -> None:
    store.put("a/x.png", PNG)
    store.put("a/x.png", b"short")
    assert store.get("a/x.png") == b"short"
    assert keys(store) == ["a/x.png"]


def test_an_object_may_be_empty(store: ObjectStore) -> None:
    store.put("a/empty.png", b"")
    assert store.get("a/empty.png") == b""
    found = store.stat("a/empty.png")
    assert found is not None and found.size == 0


def test_objects_larger_than_a_buffer_survive(store: ObjectStore) -> None:
    data = secrets.token_bytes(3 * 1024 * 1024 + 17)
    store.put("a/large.bin", data)
    assert store.get("a/large.bin") == data


def test_files_go_in_and_out_as_they_are(store: ObjectStore, tmp_path: Path) -> None:
    for name, data in (("large", secrets.token_bytes(3 * 1024 * 1024 + 17)), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        store.put_file(f"a/{name}.bin", tmp_path / name)
        assert store.get(f"a/{name}.bin") == data
        store.get_file(f"a/{name}.bin", tmp_path / f"{name} again")
        assert (tmp_path / f"{name} again").read_bytes() == data
    with pytest.raises(NotFound):
        store.get_file("a/none.bin", tmp_path / "none")


@pytest.mark.parametrize("call", ["get", "stat", "delete"])
def test_before_the_first_write_nothing_is_there(store: ObjectStore, call: str) -> None:
    if call == "get":
        with pytest.raises(NotFound) as caught:
            store.get("no/such.png")
        assert caught.value.details["key"] == "no/such.png"
    else:
        assert getattr(store, call)("no/such.png") is None
    assert keys(store) == []


def test_a_folder_of_objects_is_no_object(store: ObjectStore) -> None:
    store.put("a/b/c.png", PNG)
    assert store.stat("a/b") is None
    with pytest.raises(NotFound):
        store.get("a/b")
    with pytest.raises(NotFound):
        store.get("a/b/c.png/d")
    store.delete("a/b")
    assert store.get("a/b/c.png") == PNG


def test_stat_tells_size_type_and_time(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 answers in whole seconds
    store.put("a/x.png", PNG, media_type="image/png")
    found = store.stat("a/x.png")
    assert found is not None
    assert (found.key, found.size, found.media_type) == ("a/x.png", len(PNG), "image/png")
    assert found.modified.utcoffset() == timedelta(0)
    assert before <= found.modified <= datetime.now(UTC) + timedelta(seconds=2)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("x.jpg", "image/jpeg"),
        ("x.JPEG", "image/jpeg"),
        ("x.webp", "image/webp"),
        ("x.avif", "image/avif"),
        ("x.tif", "image/tiff"),
        ("x.json", "application/json"),
        ("png", "image/png"),
        ("x.unheard-of", "application/octet-stream"),
    ],
)
def test_the_type_follows_from_the_extension(store: ObjectStore, name: str, media_type: str) -> None:
    store.put(f"a/{name}", PNG)
    found = store.stat(f"a/{name}")
    assert found is not None and found.media_type == media_type
    assert [listed.media_type for listed in store.list()] == [media_type]


def test_delete_removes_and_may_be_repeated(store: ObjectStore) -> None:
    store.put("a/x.png", PNG)
    store.put("a/y.png", PNG)
    store.delete("a/x.png")
    store.delete("a/x.png")
    assert store.stat("a/x.png") is None
    assert keys(store) == ["a/y.png"]


def test_list_is_in_order_of_whole_keys(store: ObjectStore) -> None:
    # A walk that sorts names folder by folder gets these wrong: '-' and '.' sort before '/', '0' after.
    wanted = ["a-b", "a.png", "a/b", "a/b-c", "a/b.d/e", "a0", "b/ä", "b/z", "z", "ä/a", "\U0001f600/x", "ﬁ"]
    for key in sorted(wanted, reverse=True):
        if key != "a/b":  # a folder cannot hold this one next to a/b.d; it holds a/b itself
            store.put(key, b"x")
    assert keys(store) == sorted((k for k in wanted if k != "a/b"), key=lambda key: key.encode())


def test_list_gives_what_starts_with_the_prefix(store: ObjectStore) -> None:
    for key in ["pets/images/ab/1", "pets/images/ac/2", "pets/thumbs/ab/1", "petshop/x", "other/pets/y"]:
        store.put(key, b"x")
    assert keys(store, "pets/") == ["pets/images/ab/1", "pets/images/ac/2", "pets/thumbs/ab/1"]
    assert keys(store, "pets/images/a") == ["pets/images/ab/1", "pets/images/ac/2"]
    assert keys(store, "pets") == ["pets/images/ab/1", "pets/images/ac/2", "pets/thumbs/ab/1", "petshop/x"]
    assert keys(store, "pets/images/ab/1") == ["pets/images/ab/1"]
    assert keys(store, "none") == keys(store, "../") == keys(store, "/") == []


def test_an_s3_listing_goes_on_after_the_first_thousand(
    request: pytest.FixtureRequest, s3_endpoint: str
) -> None:
    store = s3_store(request, s3_endpoint, f"many-{secrets.token_hex(8)}")
    wanted = [f"many/{number:04}" for number in range(1005)]
    store.put(wanted[0], b"")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, b""), wanted[1:]))
    assert keys(store, "many/") == wanted


MALFORMED = ["", "..", "../x", "a/../../x", "a/./x", "a\0x", "a\nx", ".tmp/x", "ab/" * 400 + "x", "\ud800"]
FOREIGN = ["/", "/etc/passwd", "a//x", "a/", "a\\..\\x", "a" * 256]
"""What S3 allows and we never write."""


@pytest.mark.parametrize("key", MALFORMED, ids=ascii)
def test_malformed_keys_are_refused_by_every_call(store: ObjectStore, key: str) -> None:
    calls = [
        lambda: store.put(key, b"x"),
        lambda: store.get(key),
        lambda: store.stat(key),
        lambda: store.delete(key),
    ]
    for call in calls:
        with pytest.raises(BadRequest):
            call()
    assert keys(store) == []


@pytest.mark.parametrize("key", FOREIGN, ids=ascii)
def test_foreign_keys_may_be_asked_for_and_never_written(store: ObjectStore, key: str) -> None:
    for call in (lambda: store.put(key, b"x"), lambda: store.delete(key)):
        with pytest.raises(BadRequest):
            call()
    with pytest.raises(NotFound):
        store.get(key)
    assert store.stat(key) is None
    assert keys(store) == []


def test_what_other_programs_wrote_is_listed_on_demand_and_read(
    request: pytest.FixtureRequest, store: ObjectStore, tmp_path: Path
) -> None:
    store.put("in/plain.jpg", b"plain")
    others = {"in/back\\slash.jpg": b"backslash"}
    if isinstance(store, LocalObjectStore):
        for key, data in others.items():
            (tmp_path / "objects" / key).write_bytes(data)
        (tmp_path / "objects" / "in" / "link.jpg").symlink_to("/etc/passwd")
    else:
        assert isinstance(store, MinioObjectStore)
        others |= {"in//double.jpg": b"double", "in/folder/": b"", "in/" + "x" * 300: b"long"}
        for key, data in others.items():
            store._client.put_object(store._bucket, store._prefix + key, io.BytesIO(data), len(data))
    assert [stat.key for stat in store.list("in/", foreign=True)] == sorted(
        ["in/plain.jpg", *others], key=str.encode
    )
    assert keys(store, "in/") == ["in/plain.jpg"]
    for key, data in others.items():
        assert store.get(key) == data
        stat = store.stat(key)
        assert stat is not None and (stat.key, stat.size) == (key, len(data))


def test_the_first_bytes_are_read_alone(store: ObjectStore) -> None:
    store.put("a/x", b"0123456789")
    store.put("a/empty", b"")
    assert (store.get("a/x", first=4), store.get("a/x", first=100), store.get("a/empty", first=4)) == (
        b"0123",
        b"0123456789",
        b"",
    )
    with pytest.raises(NotFound):
        store.get("a/none", first=4)


def test_bytes_are_read_from_any_place(store: ObjectStore) -> None:
    store.put("a/x", b"0123456789")
    assert store.get("a/x", start=7) == b"789"
    assert store.get("a/x", start=2, first=3) == b"234"
    assert store.get("a/x", start=9, first=100) == b"9"
    assert store.get("a/x", start=10) == b"" and store.get("a/x", start=11, first=2) == b""
    with pytest.raises(NotFound):
        store.get("a/none", start=4)


def test_what_need_not_be_durable_is_there_all_the_same(store: ObjectStore) -> None:
    store.put("a/x.webp", b"old")
    store.put("a/x.webp", b"new", durable=False)
    store.put("b/c/y.webp", b"first", durable=False)
    assert store.get("a/x.webp") == b"new" and store.get("b/c/y.webp") == b"first"
    assert keys(store) == ["a/x.webp", "b/c/y.webp"]


def test_names_of_all_kinds_are_kept(store: ObjectStore) -> None:
    for key in [
        "with space/x y.png",
        "ünïcode/猫.png",
        "a+b&c=d%20/e#f?.png",
        "..hidden/...",
        "-rf",
        "'\"<>|*",
    ]:
        store.put(key, key.encode())
        assert store.get(key) == key.encode()
        found = store.stat(key)
        assert found is not None and found.key == key
        assert key in keys(store)


def test_concurrent_writers_never_show_half_an_object(
    request: pytest.FixtureRequest, store: ObjectStore
) -> None:
    if isinstance(store, MinioObjectStore) and not request.config.getoption("--minio-url"):
        pytest.skip("the in-process S3 closes an object's buffer under its readers: run with --minio-url")
    versions = [bytes([number]) * 50_000 for number in range(8)]
    store.put("a/x", versions[0])

    def write(data: bytes) -> None:
        store.put("a/x", data)

    def read(_: int) -> bytes:
        return store.get("a/x")

    with ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(write, data) for data in versions]
        seen = list(pool.map(read, range(24)))
        for done in writes:
            done.result()
    assert set(seen) <= set(versions)


def test_check_leaves_nothing_behind(store: ObjectStore) -> None:
    store.check()
    store.check()
    assert keys(store) == []


def test_url(store: ObjectStore) -> None:
    store.put("a/x y.png", PNG, media_type="image/png")
    url = store.url("a/x y.png", lifetime=timedelta(minutes=5))
    if isinstance(store, LocalObjectStore):
        assert url is None
        return
    assert url is not None and "X-Amz-Expires=300" in url
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.read() == PNG
        assert response.headers["Content-Type"] == "image/png"


def test_two_stores_with_prefixes_share_a_bucket_unseen(
    request: pytest.FixtureRequest, s3_endpoint: str
) -> None:
    bucket = f"shared-{secrets.token_hex(8)}"
    one, two = (s3_store(request, s3_endpoint, bucket, prefix) for prefix in ("one", "/two/"))
    one.put("x", b"1")
    two.put("x", b"2")
    assert (one.get("x"), two.get("x")) == (b"1", b"2")
    whole = s3_store(request, s3_endpoint, bucket)
    assert keys(whole) == ["one/x", "two/x"]
    one.delete("x")
    assert keys(whole) == ["two/x"]


def test_many_first_writers_make_one_bucket(request: pytest.FixtureRequest, s3_endpoint: str) -> None:
    bucket = f"race-{secrets.token_hex(8)}"
    stores = [s3_store(request, s3_endpoint, bucket) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda pair: pair[1].put(f"k{pair[0]}", b"x"), enumerate(stores)))
    assert keys(stores[0]) == [f"k{number}" for number in range(6)]


@pytest.mark.parametrize("lifetime", [timedelta(minutes=15, seconds=1), timedelta(0), timedelta(days=7)])
def test_urls_live_fifteen_minutes_at_most(
    request: pytest.FixtureRequest, s3_endpoint: str, lifetime: timedelta
) -> None:
    with pytest.raises(BadRequest):
        s3_store(request, s3_endpoint, "any-bucket").url("a/x.png", lifetime=lifetime)


def test_a_replacement_needs_the_version_that_is_there(store: ObjectStore) -> None:
    store.replace("_a/x.json", b"one", None)
    with pytest.raises(Conflict):
        store.replace("_a/x.json", b"two", None)
    data, version = store.read("_a/x.json")
    assert data == b"one"
    assert store.replace("_a/x.json", b"two", version) == store.read("_a/x.json")[1] != version
    with pytest.raises(Conflict):
        store.replace("_a/x.json", b"three", version)
    assert store.get("_a/x.json") == b"two"
    _, version = store.read("_a/x.json")
    store.delete("_a/x.json")
    with pytest.raises(Conflict):
        store.replace("_a/x.json", b"four", version)
    assert keys(store) == []
    with pytest.raises(NotFound):
        store.read("_a/x.json")


def test_a_plain_put_is_a_change_too(store: ObjectStore) -> None:
    store.put("a/x.json", b"one")
    _, version = store.read("a/x.json")
    store.put("a/x.json", b"two")
    with pytest.raises(Conflict):
        store.replace("a/x.json", b"three", version)


def second_client(request: pytest.FixtureRequest, store: ObjectStore) -> ObjectStore:
    """The same objects, as another process opens them."""
    if isinstance(store, LocalObjectStore):
        return LocalObjectStore(Path(store._folder), min_free_mb=0)
    assert isinstance(store, MinioObjectStore)
    return s3_store(request, store._endpoint, store._bucket, store._prefix)


@pytest.fixture
def one_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The in-process S3 compares and writes in two steps, and closes what is being read: real servers do
    neither."""
    if request.config.getoption("--minio-url"):
        return
    lock = threading.RLock()
    for name in ("put_object", "get_object"):

        def alone(self: S3Response, _call: Any = getattr(S3Response, name)) -> Any:
            with lock:
                return _call(self)

        monkeypatch.setattr(S3Response, name, alone)


@pytest.mark.usefixtures("one_at_a_time")
def test_no_edit_of_writers_at_the_same_moment_is_lost(
    request: pytest.FixtureRequest, store: ObjectStore
) -> None:
    stores = [store, second_client(request, store)]

    def add(number: int) -> None:
        edit(stores[number % 2], "_a/list.json", lambda data: (data or b"") + b"%d\n" % number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(40)))
    assert sorted(map(int, store.get("_a/list.json").split())) == list(range(40))


def test_an_edit_that_changes_nothing_writes_nothing(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(store, "a/x.json", lambda data: b"x")
    monkeypatch.setattr(store, "replace", None)
    assert edit(store, "a/x.json", lambda data: data or b"") == b"x"


def test_folders_are_those_directly_below(store: ObjectStore) -> None:
    for key in [
        "pets/images/ab/1",
        "pets/thumbs/2",
        "cars/images/x",
        "top.png",
        "_taggers/pets/current.json",
        "pets2/y",
    ]:
        store.put(key, b"x")
    assert store.folders() == ["_taggers", "cars", "pets", "pets2"]
    assert store.folders("pets/") == ["images", "thumbs"]
    assert store.folders("pets/images/ab/") == store.folders("none/") == []
    store.delete("cars/images/x")
    assert store.folders() == ["_taggers", "pets", "pets2"]


def test_a_prefix_that_the_server_refuses_matches_nothing() -> None:
    message = b"<Message>Resource name contains bad components</Message>"
    answer = b"<Error><Code>XMinioInvalidResourceName</Code>" + message + b"</Error>"
    with answering(400, answer, "application/xml") as url:
        endpoint = url.removeprefix("http://")
        store = MinioObjectStore(
            endpoint, access_key="access", secret_key="secret-key", bucket="b-1", region="us-east-1"
        )
        assert keys(store, "../") == []
        assert store.folders("../") == []
        with pytest.raises(Unavailable, match="XMinioInvalidResourceName"):
            store.get("a/x.png")


@pytest.mark.parametrize("found", [0, 1, FORMAT + 1])
def test_a_category_of_another_format_is_refused(store: ObjectStore, found: int) -> None:
    catalog = Catalog(store, OracleVectorStore())
    catalog.create("shop", [ColourEncoder().spec])
    manifest = json.loads(store.get("_categories/shop.json"))
    assert manifest["format"] == FORMAT
    tree = {**unsealed(manifest), "format": found}
    store.put("_categories/shop.json", json.dumps(sealed(tree) if found > FORMAT else tree).encode())
    other = Catalog(store, OracleVectorStore())
    with pytest.raises(
        OtherFormat, match=r"another version of Vitrine, in format .*Index it again: .*vitrine index add"
    ) as error:
        other.get("shop")
    assert error.value.code == "other_format"
    assert other.list() == []
