"""Whoever names a URL must not reach by it what they cannot reach themselves: of all these no request leaves.

Connects are counted at the sockets, requests at a server on this machine.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote, unquote

import httpcore
import pytest

from tests.raw_http import RawServer, answer, raw_server
from vitrine.services.download.connecting import resolve
from vitrine.services.download.downloader import Downloader, DownloadLimits
from vitrine.services.download.rules import Rules
from vitrine.services.errors import ImageRefused

BAD, REFUSED = "bad_url", "url_not_allowed"
PUBLIC = "93.184.216.34"
LIMITS = DownloadLimits(seconds=5, tries=3)


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A server that sends a redirect to what the query names, and a secret otherwise."""

    def speak(path: str, connection: socket.socket) -> None:
        _, marked, location = path.partition("?")
        if marked:
            connection.sendall(answer(b"", f"Location: {unquote(location)}", status="302 Found"))
        else:
            connection.sendall(answer(b"secret"))

    with raw_server(speak) as server:
        yield server


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that sockets were told to connect to. Those beyond this machine are refused here."""
    told: list[str] = []
    connect = socket.socket.connect

    def counted(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            told.append(address[0])
            if address[0] != "127.0.0.1":
                raise ConnectionRefusedError("no test leaves this machine")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", counted)
    return told


WRITTEN = {
    # loopback and other private addresses
    "http://127.0.0.1:PORT/": REFUSED,
    "http://127.0.0.2:PORT/": REFUSED,
    "http://127.255.255.254:PORT/": REFUSED,
    "http://0.0.0.0:PORT/": REFUSED,
    "http://0.1.2.3/": REFUSED,
    "http://10.0.0.1/": REFUSED,
    "http://10.255.255.255/": REFUSED,
    "http://172.16.0.1/": REFUSED,
    "http://172.31.255.255/": REFUSED,
    "http://192.168.0.1/": REFUSED,
    "http://192.168.255.255/": REFUSED,
    "http://169.254.0.1/": REFUSED,
    "http://169.254.169.254/latest/meta-data/": REFUSED,
    "http://169.254.170.2/v2/credentials": REFUSED,
    "http://168.63.129.16/": REFUSED,
    "http://100.100.100.200/": REFUSED,
    "http://192.0.0.192/": REFUSED,
    "http://100.64.0.1/": REFUSED,
    "http://100.127.255.255/": REFUSED,
    "http://192.0.0.1/": REFUSED,
    "http://192.0.2.1/": REFUSED,
    "http://192.88.99.1/": REFUSED,
    "http://198.18.0.1/": REFUSED,
    "http://198.51.100.1/": REFUSED,
    "http://203.0.113.1/": REFUSED,
    "http://224.0.0.1/": REFUSED,
    "http://239.255.255.250/": REFUSED,
    "http://240.0.0.1/": REFUSED,
    "http://255.255.255.255/": REFUSED,
    # IPv6
    "http://[::1]:PORT/": REFUSED,
    "http://[::]:PORT/": REFUSED,
    "http://[0:0:0:0:0:0:0:1]:PORT/": REFUSED,
    "http://[::ffff:127.0.0.1]:PORT/": REFUSED,
    "http://[::ffff:7f00:1]:PORT/": REFUSED,
    "http://[0:0:0:0:0:ffff:7f00:0001]:PORT/": REFUSED,
    "http://[::ffff:93.184.216.34]/": REFUSED,
    "http://[::ffff:0:127.0.0.1]:PORT/": REFUSED,
    "http://[::127.0.0.1]:PORT/": REFUSED,
    "http://[::7f00:1]:PORT/": REFUSED,
    "http://[64:ff9b::7f00:1]:PORT/": REFUSED,
    "http://[64:ff9b::10.0.0.1]/": REFUSED,
    "http://[64:ff9b:1::7f00:1]/": REFUSED,
    "http://[2002:7f00:1::]/": REFUSED,
    "http://[2002:a00:1::1]/": REFUSED,
    "http://[2001:0:53aa:64c:0:fbff:80ff:fffe]/": REFUSED,
    "http://[2001:db8::1]/": REFUSED,
    "http://[2001:10::1]/": REFUSED,
    "http://[3fff::1]/": REFUSED,
    "http://[fe80::1]/": REFUSED,
    "http://[fec0::1]/": REFUSED,
    "http://[fc00::1]/": REFUSED,
    "http://[fd00:ec2::254]/": REFUSED,
    "http://[fd12:3456:789a::1]/": REFUSED,
    "http://[ff02::1]/": REFUSED,
    "http://[ff0e::1]/": REFUSED,
    "http://[100::1]/": REFUSED,
    "http://[5f00::1]/": REFUSED,
    "http://[fe80::1%25lo]/": BAD,
    "http://[::1%lo]:PORT/": BAD,
    "http://[::1]extra:PORT/": BAD,
    "http://[127.0.0.1]:PORT/": BAD,
    "http://[::1:PORT/": BAD,
    "http://::1:PORT/": BAD,
    # other ways to write an IPv4 address
    "http://127.1:PORT/": BAD,
    "http://127.0.1:PORT/": BAD,
    "http://2130706433:PORT/": BAD,
    "http://0x7f000001:PORT/": BAD,
    "http://0x7f.0x0.0x0.0x1:PORT/": BAD,
    "http://0x7f.1:PORT/": BAD,
    "http://0177.0.0.1:PORT/": BAD,
    "http://017700000001:PORT/": BAD,
    "http://127.0.0.01:PORT/": BAD,
    "http://127.0.0.0x1:PORT/": BAD,
    "http://00000127.0.0.1:PORT/": BAD,
    "http://4294967297:PORT/": BAD,
    "http://0:PORT/": BAD,
    "http://127.0.0.1.:PORT/": REFUSED,
    "http://127.0.0.1..:PORT/": BAD,
    "http://127.0.0.256:PORT/": BAD,
    "http://①②⑦.⓪.⓪.①:PORT/": BAD,
    "http://１２７.0.0.1:PORT/": BAD,
    "http://١٢٧.0.0.1:PORT/": BAD,
    "http://127。0。0。1:PORT/": REFUSED,
    "http://127．0．0．1:PORT/": REFUSED,
    "http://%31%32%37.0.0.1:PORT/": BAD,
    "http://127%2e0%2e0%2e1:PORT/": BAD,
    "http://ⓛocalhost:PORT/": BAD,
    # names
    "http://localhost:PORT/": REFUSED,
    "http://LOCALHOST:PORT/": REFUSED,
    "http://localhost.:PORT/": REFUSED,
    "http://private.test:PORT/": REFUSED,
    "http://mixed.test:PORT/": REFUSED,
    "http://six.test:PORT/": REFUSED,
    "http://mapped.test:PORT/": REFUSED,
    "http://translated.test:PORT/": REFUSED,
    "http://scoped.test:PORT/": REFUSED,
    "http://metadata.test/computeMetadata/v1/": REFUSED,
    "http://odd.test:PORT/": REFUSED,
    # users, passwords and tricks with what is read as the host
    "http://user@127.0.0.1:PORT/": BAD,
    "http://user:word@public.test/": BAD,
    "http://public.test@127.0.0.1:PORT/": BAD,
    "http://127.0.0.1:PORT@public.test/": BAD,
    "http://public.test%40127.0.0.1:PORT/": BAD,
    "http://public.test:80@127.0.0.1:PORT/": BAD,
    "http://public.test\\@127.0.0.1:PORT/": BAD,
    "http://127.0.0.1:PORT\\.public.test/": BAD,
    "http://127.0.0.1:PORT#@public.test/": REFUSED,
    "http://127.0.0.1:PORT?@public.test/": REFUSED,
    "http://public.test &@127.0.0.1:PORT/": BAD,
    "http://127.0.0.1\t:PORT/": BAD,
    "http://127.0.0.1\r\nHost: public.test/": BAD,
    "http://public.test/\r\nGET /secret HTTP/1.1\r\n": BAD,
    "http://public.test\x00.127.0.0.1:PORT/": BAD,
    "http:///127.0.0.1:PORT/": BAD,
    "http:127.0.0.1:PORT/": BAD,
    "http:/127.0.0.1:PORT/": BAD,
    "//127.0.0.1:PORT/": BAD,
    "http://:PORT/": BAD,
    "http://127.0.0.1:0/": BAD,
    "http://127.0.0.1:99999/": BAD,
    "http://127.0.0.1:80:PORT/": BAD,
    "http://-/": BAD,
    "http://.../": BAD,
    # other protocols and ports
    "file:///etc/passwd": BAD,
    "ftp://127.0.0.1:PORT/": BAD,
    "gopher://127.0.0.1:PORT/_GET%20/": BAD,
    "data:image/png;base64,AAAA": BAD,
    "unix:///var/run/docker.sock": BAD,
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/": BAD,
    "http://public.test:22/": REFUSED,
    "http://public.test:6379/": REFUSED,
    "https://public.test:8443/": REFUSED,
}
NAMES = {
    "private.test": ["10.0.0.7"],
    "mixed.test": [PUBLIC, "127.0.0.1"],
    "six.test": ["::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "translated.test": ["64:ff9b::7f00:1"],
    "scoped.test": ["fe80::1%lo"],
    "metadata.test": ["169.254.169.254"],
    "odd.test": ["nonsense"],
    "public.test": [PUBLIC],
}


def look_up(host: str, port: int) -> Sequence[str]:
    return NAMES[host] if host in NAMES else resolve(host, port)


def refusal(downloader: Downloader, url: str) -> str:
    with pytest.raises(ImageRefused) as caught:
        downloader.get(url)
    downloader.close()
    return caught.value.reason


@pytest.mark.parametrize("url", WRITTEN, ids=ascii)
def test_nothing_is_sent(url: str, server: RawServer, connects: list[str]) -> None:
    rules = Rules(ports=frozenset((80, 443, server.port)))
    downloader = Downloader(rules, LIMITS, resolve=look_up)
    assert refusal(downloader, url.replace("PORT", str(server.port))) == WRITTEN[url]
    assert connects == [] and server.accepted == 0


LOCATIONS = {
    "http://127.0.0.2/": REFUSED,
    "//127.0.0.2/": REFUSED,
    "http://10.0.0.1/": REFUSED,
    "https://10.0.0.1/": REFUSED,
    "http://169.254.169.254/latest/": REFUSED,
    "http://[::1]/": REFUSED,
    "http://[::ffff:a9fe:a9fe]/": REFUSED,
    "http://localhost.test/": REFUSED,
    "http://changed.test/": REFUSED,
    "http://public.test:22/": REFUSED,
    "http://2130706434/": BAD,
    "http://user:word@127.0.0.1/": BAD,
    "file:///etc/passwd": BAD,
    "gopher://127.0.0.1/": BAD,
    "http://127.0.0.1\\@public.test/": BAD,
    "http://127.0.0.1:PORT/?http://127.0.0.1:PORT/?http://127.0.0.3/": REFUSED,
}


@pytest.mark.parametrize("location", LOCATIONS)
def test_no_redirect_leads_past_the_rules(location: str, server: RawServer, connects: list[str]) -> None:
    names = {"localhost.test": ["127.0.0.9"], "changed.test": ["0.0.0.0"]}
    rules = Rules(networks=(ip_network("127.0.0.1/32"),), ports=frozenset((80, 443, server.port)))
    downloader = Downloader(rules, LIMITS, resolve=lambda host, port: names.get(host) or look_up(host, port))
    target = location.replace("PORT", str(server.port))
    assert refusal(downloader, server.url(f"/?{quote(target, safe=':/?@[]')}")) == LOCATIONS[location]
    assert set(connects) == {"127.0.0.1"}
    assert len(server.paths) == 1 + location.count("?")  # what redirects, and nothing after it


CHANGES = {
    "private at the second look-up": [[PUBLIC], ["127.0.0.1"]],
    "private at the third": [[PUBLIC], [PUBLIC], ["127.0.0.1"]],
    "link-local": [[PUBLIC], ["169.254.169.254"]],
    "mapped": [[PUBLIC], ["::ffff:127.0.0.1"]],
    "both": [[PUBLIC], [PUBLIC, "127.0.0.1"]],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_name_that_changes_leads_nowhere_else(name: str, server: RawServer, connects: list[str]) -> None:
    answers = iter(CHANGES[name])
    rules = Rules(ports=frozenset((80, 443, server.port)))
    downloader = Downloader(rules, LIMITS, resolve=lambda host, port: next(answers), pause=lambda _: None)
    assert refusal(downloader, f"http://changing.test:{server.port}/") == REFUSED
    assert set(connects) == {PUBLIC} and server.accepted == 0


def test_a_connection_that_leads_elsewhere_carries_no_request(server: RawServer) -> None:
    """As a network or a proxy of the machine could do."""

    class Misled(httpcore.SyncBackend):
        def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
            return super().connect_tcp("127.0.0.1", *args, **kwargs)

    from vitrine.services.download.connecting import Deadline, GuardedBackend

    rules = Rules(ports=frozenset((server.port,)))
    backend = GuardedBackend(rules, Deadline(), resolve=look_up, inner=Misled())
    with httpcore.ConnectionPool(network_backend=backend) as pool, pytest.raises(ImageRefused) as caught:
        pool.request("GET", f"http://public.test:{server.port}/")
    assert caught.value.reason == REFUSED
    assert server.paths == []


def test_no_proxy_of_the_environment_is_asked(
    server: RawServer, connects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, server.url())
    downloader = Downloader(Rules(), LIMITS, resolve=look_up, pause=lambda _: None)
    assert refusal(downloader, "http://public.test/") == "url_failed"
    assert set(connects) == {PUBLIC} and server.accepted == 0


@pytest.mark.parametrize(
    ("rules", "url"),
    [
        (Rules(hosts=("pictures.test",)), "http://public.test/"),
        (Rules(hosts=("*.pictures.test",)), "http://pictures.test.evil.test/"),
        (Rules(hosts=("*.pictures.test",)), "http://evilpictures.test/"),
        (Rules(hosts=("*.test",), denied_hosts=("public.test",)), "http://PUBLIC.test./"),
        (Rules(denied_networks=(ip_network("93.184.0.0/16"),)), "http://public.test/"),
        (Rules(networks=(ip_network("0.0.0.0/0"),)), "http://169.254.169.254/"),
        (Rules(networks=(ip_network("10.0.0.0/8"),), denied_networks=(ip_network("10.0.0.7/32"),)),
         "http://private.test/"),
    ],
)  # fmt: skip
def test_what_is_denied_is_denied_whatever_is_allowed(rules: Rules, url: str, connects: list[str]) -> None:
    assert refusal(Downloader(rules, LIMITS, resolve=look_up), url) == REFUSED
    assert connects == []


def test_a_network_can_be_allowed(server: RawServer) -> None:
    rules = Rules(networks=(ip_network("127.0.0.1/32"),), ports=frozenset((server.port,)))
    assert Downloader(rules, LIMITS).get(server.url()) == b"secret"


def test_a_refusal_names_no_address(server: RawServer) -> None:
    with pytest.raises(ImageRefused) as caught:
        Downloader(Rules(), LIMITS, resolve=look_up).get("http://private.test/")
    assert "10.0.0.7" not in caught.value.message
    with pytest.raises(ImageRefused) as caught:
        Downloader(Rules(), LIMITS).get("http://user:hush@host.test/")
    assert "hush" not in caught.value.message


def test_there_are_a_hundred_cases() -> None:
    assert len(WRITTEN) + len(LOCATIONS) + len(CHANGES) >= 100
