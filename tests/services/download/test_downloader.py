from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.raw_http import RawServer, Speak, answer, raw_server
from vitrine.services.download.downloader import Downloader, DownloadLimits
from vitrine.services.download.rules import Rules
from vitrine.services.download.turns import GivenUp, Turns
from vitrine.services.download.urls import read_url
from vitrine.services.errors import BadRequest, ImageRefused
from vitrine.services.settings import Settings

HERE = ip_network("127.0.0.1/32")


def downloader(server: RawServer, *, pauses: list[float] | None = None, **limits: float) -> Downloader:
    rules = Rules(networks=(HERE,), ports=frozenset((server.port,)))
    given = {"max_bytes": 100_000, "seconds": 10.0, "tries": 3, **limits}
    made = DownloadLimits(**given)  # type: ignore[arg-type]
    return Downloader(rules, made, pause=(pauses if pauses is not None else []).append)


@contextmanager
def scripted(*turns: bytes) -> Iterator[RawServer]:
    """A server that sends these one after another, then nothing."""
    left = list(turns)

    def speak(path: str, connection: socket.socket) -> None:
        if left:
            connection.sendall(left.pop(0))
        else:
            connection.shutdown(socket.SHUT_RDWR)

    with raw_server(speak) as server:
        yield server


def refusal(work: Callable[[], object]) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        work()
    return caught.value


def test_bytes_come_as_they_are_and_the_connection_is_kept() -> None:
    with scripted(answer(b"one"), answer(b""), answer(b"three" * 9_000)) as server:
        web = downloader(server)
        assert [web.get(server.url(path)) for path in ("/a", "/b c?d=é", "/d#e")] == [
            b"one",
            b"",
            b"three" * 9_000,
        ]
        assert (server.paths, server.accepted) == (["/a", "/b%20c?d=%C3%A9", "/d"], 1)
        head = server.heads[0].lower()
        assert f"host: 127.0.0.1:{server.port}" in head and "accept-encoding: identity" in head
        assert "user-agent: vitrine\r\n" in head and "cookie" not in head and "authorization" not in head


def test_redirects_are_followed_up_to_a_number() -> None:
    def speak(path: str, connection: socket.socket) -> None:
        left = int(path.strip("/"))
        moved = answer(b"", f"Location: {left - 1}", "Set-Cookie: who=me", status="307 Temporary Redirect")
        connection.sendall(moved if left else answer(b"there"))

    with raw_server(speak) as server:
        assert downloader(server).get(server.url("/5")) == b"there"
        assert "who=me" not in "".join(server.heads)
        assert refusal(lambda: downloader(server).get(server.url("/6"))).reason == "too_many_redirects"


@pytest.mark.parametrize(
    "status", ["404 Not Found", "410 Gone", "403 Forbidden", "204 No Content", "300 Many", "206 P"]
)
def test_an_answer_that_will_stay_is_asked_for_once(status: str) -> None:
    with scripted(*[answer(b"", status=status)] * 3) as server:
        assert refusal(lambda: downloader(server).get(server.url())).reason == "url_dead"
        assert len(server.paths) == 1


@pytest.mark.parametrize("status", ["429 Too Many", "500 Oh", "502 Bad", "503 Away", "504 Late", "408 Late"])
def test_an_answer_that_may_pass_is_asked_for_again(status: str) -> None:
    pauses: list[float] = []
    with scripted(answer(b"", status=status), answer(b"", status=status), answer(b"at last")) as server:
        assert downloader(server, pauses=pauses, tries=3).get(server.url()) == b"at last"
        assert pauses and max(pauses) <= 0.1  # in small steps, to see in time that nobody waits any more
    with scripted(*[answer(b"", status=status)] * 9) as server:
        error = refusal(lambda: downloader(server, tries=2).get(server.url()))
        assert error.reason == "url_failed" and status[:3] in error.message
        assert len(server.paths) == 2


@pytest.mark.parametrize(
    "broken", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"nonsense\r\n\r\n"]
)
def test_a_connection_that_breaks_is_tried_again(broken: bytes) -> None:
    def speak(path: str, connection: socket.socket) -> None:
        connection.sendall(broken if len(server.paths) < 2 else answer(b"whole"))
        if len(server.paths) < 2:
            connection.shutdown(socket.SHUT_RDWR)

    with raw_server(speak) as server:
        assert downloader(server).get(server.url()) == b"whole"
        assert len(server.paths) == 2


def test_a_server_that_is_away_fails_after_the_tries() -> None:
    with raw_server(lambda path, connection: None) as server:
        pass
    assert refusal(lambda: downloader(server).get(server.url())).reason == "url_failed"


def test_a_pause_that_is_asked_for_is_kept_by_all_of_the_host() -> None:
    told: list[float] = []

    def speak(path: str, connection: socket.socket) -> None:
        told.append(time.monotonic())
        first = len(told) == 1
        connection.sendall(
            answer(b"", "Retry-After: 1", status="429 Slow down") if first else answer(b"good")
        )

    with raw_server(speak) as server:
        web = downloader(server, of_one_host=1)
        threads = [threading.Thread(target=web.get, args=(server.url(f"/{n}"),)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(told) == 4 and min(told[1:]) - told[0] >= 1.0


@pytest.mark.parametrize(
    "pause",
    ["3600", "999999999999", formatdate(time.time() + 7200, usegmt=True)],
    ids=["an hour", "for ever", "a date"],
)
def test_a_pause_that_is_too_long_is_not_waited_for(pause: str) -> None:
    with scripted(answer(b"", f"Retry-After: {pause}", status="503 Away")) as server:
        error = refusal(lambda: downloader(server).get(server.url()))
        assert error.reason == "url_failed" and "run it again" in error.message
        assert len(server.paths) == 1


# What a hostile server does
# ------------------------------------------------------------------------------------------------------------


def endless(path: str, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def endless_chunks(path: str, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"x" * 4_096 + b"\r\n")


def too_long(path: str, connection: socket.socket) -> None:
    connection.sendall(answer(b"", length=100_001))


@pytest.mark.parametrize("speak", [endless, endless_chunks, too_long])
def test_no_more_is_read_than_the_limit(speak: Speak) -> None:
    with raw_server(speak) as server:
        error = refusal(lambda: downloader(server).get(server.url()))
        assert error.reason == "file_too_large" and "VITRINE_URL_MB" in error.message
        assert len(server.paths) == 1


def drip(first: bytes) -> Speak:
    def speak(path: str, connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            time.sleep(0.05)
            connection.sendall(b"x")

    return speak


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"]
)
def test_a_server_that_drips_meets_a_deadline(first: bytes) -> None:
    with raw_server(drip(first)) as server:
        started = time.monotonic()
        assert refusal(lambda: downloader(server, seconds=0.6).get(server.url())).reason == "url_too_slow"
        assert time.monotonic() - started < 3


def test_a_look_up_meets_the_deadline() -> None:
    held = threading.Event()

    def look_up(host: str, port: int) -> list[str]:
        held.wait(20)
        return []

    web = Downloader(Rules(), DownloadLimits(seconds=0.3), resolve=look_up)
    started = time.monotonic()
    assert refusal(lambda: web.get("http://slow.test/")).reason == "url_too_slow"
    assert time.monotonic() - started < 3
    held.set()


def test_what_is_compressed_is_refused_unread() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with scripted(*[answer(bomb, "Content-Encoding: gzip")] * 2) as server:
        assert refusal(lambda: downloader(server).get(server.url())).reason == "encoded_answer"
        assert len(server.paths) == 1


def test_headers_without_end_are_refused() -> None:
    def speak(path: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: " + b"y" * 1_000 + b"\r\n")

    with raw_server(speak) as server:
        assert refusal(lambda: downloader(server, tries=1).get(server.url())).reason == "url_failed"


def test_a_certificate_that_nobody_signed_is_refused_at_once(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "own.pem"))
    accepted = 0

    def serve(listening: socket.socket) -> None:
        nonlocal accepted
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                accepted += 1
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as safe:
                    safe.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        web = Downloader(Rules(networks=(HERE,), ports=frozenset((port,))), DownloadLimits(seconds=5))
        error = refusal(lambda: web.get(f"https://127.0.0.1:{port}/"))
    assert error.reason == "url_failed" and "certificate" in error.message
    assert accepted == 1


def test_a_certificate_that_the_machine_trusts_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = self_signed(tmp_path / "own.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)

    def serve(listening: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True) as safe:
            safe.recv(65_536)
            safe.sendall(answer(b"private"))

    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        web = Downloader(Rules(networks=(HERE,), ports=frozenset((port,))), DownloadLimits(seconds=5))
        assert web.get(f"https://127.0.0.1:{port}/") == b"private"
        web.close()


def self_signed(file: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(secret + certificate.public_bytes(pem))
    return file


# How many at once
# ------------------------------------------------------------------------------------------------------------


def test_so_many_at_once_and_so_many_of_one_host() -> None:
    running, most = {"a": 0, "b": 0}, {"a": 0, "b": 0, "both": 0}
    lock = threading.Lock()
    turns = Turns(3, 2)

    def work(host: str) -> None:
        with turns.turn(host, lambda: False) as mine:
            assert mine
            with lock:
                running[host] += 1
                most[host] = max(most[host], running[host])
                most["both"] = max(most["both"], sum(running.values()))
            time.sleep(0.01)
            with lock:
                running[host] -= 1

    threads = [threading.Thread(target=work, args=("ab"[number % 2],)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == {"a": 2, "b": 2, "both": 3}


def test_who_no_longer_waits_is_let_go() -> None:
    turns = Turns(1, 1)
    with turns.turn("a", lambda: False), turns.turn("a", lambda: True) as mine:
        assert not mine
    with scripted(answer(b"one")) as server:
        web = downloader(server)
        assert refusal(lambda: web.get(server.url(), over=lambda: True)).reason == "url_failed"
        assert server.paths == []


def test_a_host_that_only_fails_is_left_alone_for_a_while() -> None:
    now = 0.0
    given_up = GivenUp(3, 60.0, clock=lambda: now)
    for failed in (True, True, False, True, True):
        given_up.note("a", failed=failed)
    assert "a" not in given_up
    given_up.note("a", failed=True)
    assert "a" in given_up and "b" not in given_up
    now = 61.0
    assert "a" not in given_up
    given_up.note("a", failed=True)
    assert "a" in given_up
    with raw_server(lambda path, connection: connection.shutdown(socket.SHUT_RDWR)) as server:
        web = downloader(server, tries=1)
        reasons = {refusal(lambda: web.get(server.url())).reason for _ in range(30)}
        assert reasons == {"url_failed"} and len(server.paths) == 20


def test_the_beginning_alone_is_read() -> None:
    with raw_server(endless) as server:
        assert downloader(server).head(server.url(), 512) == b"x" * 512
    with scripted(answer(b"few")) as server:
        assert downloader(server).head(server.url(), 512) == b"few"


# Names and settings
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("http://example.com", "http://example.com/"),
        ("  HTTPS://Example.COM:443/a#b ", "https://example.com/a"),
        ("http://example.com./?a=1&b=%20", "http://example.com/?a=1&b=%20"),
        ("http://example.com:8080/ä", "http://example.com:8080/%C3%A4"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://my_pictures.example/", "http://my_pictures.example/"),
        ("https://[2606:2800:220:1::1]:443/x", "https://[2606:2800:220:1::1]/x"),
        ("https://[2606:2800:220:1::1]:8443/x", "https://[2606:2800:220:1::1]:8443/x"),
    ],
)
def test_one_url_has_one_normal_form(text: str, normal: str) -> None:
    assert str(read_url(text)) == normal
    assert str(read_url(normal)) == normal


def test_what_is_shown_is_host_and_path() -> None:
    assert read_url("https://a.example/b%20c/../d.jpg?key=secret").shown == "a.example/b c/../d.jpg"


@pytest.mark.parametrize("agent", ["Vitrine\r\nX: y", "Vitrine é"])
def test_an_agent_that_is_no_header_is_named(agent: str) -> None:
    with pytest.raises(BadRequest, match="VITRINE_URL_AGENT"):
        DownloadLimits.of(Settings(_env_file=None, url_agent=agent))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("url_networks", "10.0.0.0/33"), ("url_networks", "host.test"), ("url_ports", "http"),
     ("url_ports", "0"), ("url_hosts", "https://a.test/"), ("url_deny", "a.*.test")],
)  # fmt: skip
def test_a_setting_that_cannot_be_read_is_named(setting: str, value: str) -> None:
    with pytest.raises(BadRequest, match=value.replace("*", r"\*")):
        Rules.of(Settings(_env_file=None, **{setting: (value,)}))


def test_rules_and_limits_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_URL_NETWORKS", "10.1.0.0/16, 127.0.0.1")
    monkeypatch.setenv("VITRINE_URL_DENY", "bad.test,10.1.2.0/24")
    monkeypatch.setenv("VITRINE_URL_PORTS", "443")
    monkeypatch.setenv("VITRINE_URL_SECONDS", "7")
    settings = Settings(_env_file=None)
    rules = Rules.of(settings)
    assert rules.networks == (ip_network("10.1.0.0/16"), HERE)
    assert (rules.denied_hosts, rules.denied_networks) == (("bad.test",), (ip_network("10.1.2.0/24"),))
    assert rules.ports == {443}
    assert DownloadLimits.of(settings).seconds == 7.0
    with suppress(ImageRefused):
        rules.check(read_url("https://10.1.1.1/"))
