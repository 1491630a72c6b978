from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.indexer.pictures import CATEGORY, picture
from tests.raw_http import RawServer, answer, raw_server
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.report import IndexReport
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.patience import Patience
from vitrine.services.category.known_urls import MAX_URLS
from vitrine.services.download.downloader import Downloader, DownloadLimits
from vitrine.services.download.rules import Rules
from vitrine.services.errors import BadSource
from vitrine.services.runtime import Runtime


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A server of pictures: ``/7.png`` is picture 7, ``/same/...`` are all one, ``/gone`` is none."""

    def speak(path: str, connection: socket.socket) -> None:
        name = path.rpartition("/")[2].partition(".")[0]
        if path.startswith("/same/"):
            connection.sendall(answer(picture(1_000)))
        elif name.isdigit():
            connection.sendall(answer(picture(int(name))))
        elif path == "/page":
            connection.sendall(answer(b"<!doctype html><p>no picture</p>"))
        elif path == "/big":
            connection.sendall(answer(b"", length=10_000_000))
        else:
            connection.sendall(answer(b"", status="404 Not Found"))

    with raw_server(speak) as server:
        yield server


@pytest.fixture
def downloads(server: RawServer) -> Iterator[Downloader]:
    rules = Rules(networks=(ip_network("127.0.0.1/32"),), ports=frozenset((80, server.port)))
    made = Downloader(rules, DownloadLimits(max_bytes=1_000_000, seconds=10), pause=lambda _: None)
    yield made
    made.close()


def index(
    runtime: Runtime, downloads: Downloader | None, source: str | Path, options: SourceOptions | None = None
) -> IndexReport:
    patience = Patience(0)
    opened = open_source(
        source, options=options, objects=runtime.objects, patience=patience, downloads=downloads
    )
    return index_images(opened, runtime, CATEGORY, patience=patience)


def payloads(runtime: Runtime) -> dict[str, dict[str, object]]:
    hits = runtime.vectors.scroll(CATEGORY, limit=1_000).hits
    return {str(hit.payload["filename"]): hit.payload for hit in hits}


def test_a_list_of_urls_is_a_source(
    tmp_path: Path, runtime: Runtime, server: RawServer, downloads: Downloader
) -> None:
    """Everything that is wrong with a line is that line's outcome, by name and reason."""
    file = tmp_path / "list.txt"
    lines = [
        "# pictures", "", server.url("/a/b/1.png"), server.url("/a/b/1.png#again"),
        f"  {server.url('/2.png')}", server.url("/gone"), server.url("/page"), server.url("/big"),
        "no URL at all", "http://10.0.0.1/3.png", f"http://me:hush@127.0.0.1:{server.port}/4.png",
    ]  # fmt: skip
    file.write_text("\r\n".join(lines))
    report = index(runtime, downloads, file, SourceOptions(tags_from_folders=1))
    assert (report.added, report.refused) == (2, 6)
    assert dict(report.reasons) == {
        "url_dead": 1, "unsupported_format": 1, "file_too_large": 1, "bad_url": 2, "url_not_allowed": 1,
    }  # fmt: skip
    assert "hush" not in str(report.refusals)
    assert ("10.0.0.1/3.png", "url_not_allowed") in [refusal[:2] for refusal in report.refusals]
    assert report.notes == ["list.txt: 1 line names a URL that is there before, and was left out."]
    assert len(server.paths) == 5
    stored = payloads(runtime)["127.0.0.1/a/b/1.png"]
    assert (stored["urls"], stored["source"], stored["tags"]) == (
        [server.url("/a/b/1.png")],
        "list.txt",
        ["a"],
    )


def test_what_came_from_a_url_is_not_downloaded_again(
    tmp_path: Path, runtime: Runtime, server: RawServer, downloads: Downloader
) -> None:
    file = tmp_path / "list.txt"
    file.write_text("\n".join(server.url(f"/{n}.png") for n in range(100)))
    assert index(runtime, downloads, file).added == 100
    assert len(server.paths) == 100
    file.write_text("\n".join(server.url(f"/{n}.png") for n in range(101)))
    report = index(runtime, downloads, file)
    assert (report.known, report.added, len(server.paths)) == (100, 1, 101)
    table = tmp_path / "table.csv"
    table.write_text(f"url,tags\n{server.url('/3.png')},red\n")  # what is said of it is added all the same
    assert index(runtime, downloads, table).updated == 1
    assert (payloads(runtime)["127.0.0.1/3.png"]["tags"], len(server.paths)) == (["red"], 101)


def test_what_was_lost_is_downloaded_again(
    tmp_path: Path, runtime: Runtime, server: RawServer, downloads: Downloader
) -> None:
    url = server.url("/1.png")
    index(runtime, downloads, url)
    key = str(payloads(runtime)["127.0.0.1/1.png"]["object_key"])
    runtime.objects.delete(key)
    assert index(runtime, downloads, url).updated == 1
    assert len(server.paths) == 2 and runtime.objects.get(key) == picture(1)


def test_one_picture_remembers_some_of_its_urls(
    tmp_path: Path, runtime: Runtime, server: RawServer, downloads: Downloader
) -> None:
    file = tmp_path / "list.txt"
    file.write_text("\n".join(server.url(f"/same/{n}") for n in range(MAX_URLS + 5)))
    index(runtime, downloads, file)
    (stored,) = payloads(runtime).values()
    assert stored["urls"] == [server.url(f"/same/{n}") for n in range(MAX_URLS)]
    asked = len(server.paths)
    index(runtime, downloads, file)
    assert len(server.paths) == asked + 5


@pytest.mark.parametrize("column", ["url", "URL", "image_url", "path", "link"])
def test_tables_name_images_by_url(
    column: str, tmp_path: Path, runtime: Runtime, server: RawServer, downloads: Downloader
) -> None:
    (tmp_path / "2.png").write_bytes(picture(2))
    file = tmp_path / "table.jsonl"
    rows = [f'{{"{column}": "{server.url("/1.png")}", "class": "mug"}}', f'{{"{column}": "2.png"}}']
    file.write_text("\n".join(rows))
    options = SourceOptions(path_column=column if column == "link" else None)
    report = index(runtime, downloads, file, options)
    by_path = column in ("path", "link")
    assert (report.added, dict(report.reasons)) == ((2, {}) if by_path else (1, {"bad_url": 1}))
    stored = payloads(runtime)["127.0.0.1/1.png"]
    assert (stored["class"], stored["urls"], stored["source"]) == (
        "mug",
        [server.url("/1.png")],
        "table.jsonl",
    )


def test_a_path_goes_before_a_url(tmp_path: Path, runtime: Runtime, downloads: Downloader) -> None:
    (tmp_path / "2.png").write_bytes(picture(2))
    (tmp_path / "table.csv").write_text("url,path\nhttps://shop.test/2,2.png\n")
    assert index(runtime, downloads, tmp_path / "table.csv").added == 1
    assert payloads(runtime)["2.png"]["metadata"] == {"url": "https://shop.test/2"}


def test_where_nothing_is_downloaded_urls_are_refused(tmp_path: Path, runtime: Runtime) -> None:
    assert index(runtime, None, "https://example.com/a.png").reasons == {"url_not_allowed": 1}


def test_a_text_without_urls_is_no_source(tmp_path: Path, downloads: Downloader) -> None:
    for name, data in (("a.txt", b"words"), ("b.txt", b""), ("c.txt", bytes(range(128, 256)))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadSource, match="list of URLs"):
            open_source(tmp_path / name, downloads=downloads)


def test_as_many_are_read_at_once_as_may_be_downloaded(tmp_path: Path, downloads: Downloader) -> None:
    (tmp_path / "list.txt").write_text("https://example.com/a.png")
    (tmp_path / "urls.csv").write_text("url\nhttps://example.com/a.png\n")
    (tmp_path / "paths.csv").write_text("path\na.png\n")
    few = Downloader(downloads.rules, replace(downloads.limits, at_once=3))
    options = SourceOptions(tags=("red",))
    sources = [
        open_source(tmp_path / name, options=options, downloads=few)
        for name in ("list.txt", "urls.csv", "paths.csv")
    ]
    assert [source.readers for source in sources] == [6, 6, 4]
