"""Which hosts, addresses and ports may be asked, as the settings say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from vitrine.services.download.addresses import METADATA, Address, Network, is_public, lies_in
from vitrine.services.download.urls import WebUrl
from vitrine.services.errors import BadRequest, ImageRefused

if TYPE_CHECKING:
    from vitrine.services.settings import Settings


@dataclass(frozen=True)
class Rules:
    """What may be asked. ``hosts``: only these, where there are any (``example.com``, or ``*.example.com``
    for all below it). ``networks``: may be asked though they are not public. ``denied_hosts`` and
    ``denied_networks`` are never asked, whatever else is said."""

    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    denied_hosts: tuple[str, ...] = ()
    denied_networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset((80, 443))

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Return the rules that the settings name. ``BadRequest`` names what cannot be read."""
        denied = [(text, _network(text)) for text in settings.url_deny]
        return cls(
            hosts=_names("VITRINE_URL_HOSTS", settings.url_hosts),
            networks=tuple(_sure_network(text) for text in settings.url_networks),
            denied_hosts=_names("VITRINE_URL_DENY", (text for text, network in denied if network is None)),
            denied_networks=tuple(network for _, network in denied if network is not None),
            ports=frozenset(map(_port, settings.url_ports)),
        )

    def check(self, url: WebUrl) -> None:
        """Raise ``ImageRefused`` as ``url_not_allowed`` unless host and port may be asked, as far as they say
        so themselves: what a name stands for is checked when it is connected to."""
        if url.port not in self.ports:
            raise not_allowed(url.host, f"port {url.port} is none of VITRINE_URL_PORTS")
        if any(_matches(url.host, name) for name in self.denied_hosts):
            raise not_allowed(url.host, "VITRINE_URL_DENY names it")
        if self.hosts and not any(_matches(url.host, name) for name in self.hosts):
            raise not_allowed(url.host, "it is none of VITRINE_URL_HOSTS")
        try:
            address = ip_address(url.host)
        except ValueError:
            return
        self.check_address(url.host, address)

    def check_address(self, host: str, address: Address) -> None:
        """Raise ``ImageRefused`` as ``url_not_allowed`` unless an address of ``host`` may be connected to.
        The sentence does not name the address: what a private name stands for is nobody's business."""
        if not self._allows(address):
            raise not_allowed(host, "its address is not a public one, or is denied")

    def _allows(self, address: Address) -> bool:
        if address in METADATA or lies_in(address, self.denied_networks):
            return False
        return is_public(address) or lies_in(address, self.networks)


def not_allowed(host: str, why: str) -> ImageRefused:
    """Return the error of a host that must not be asked; ``why`` is a clause."""
    return ImageRefused("url_not_allowed", f"{host} must not be asked: {why}.")


def _matches(host: str, name: str) -> bool:
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _names(setting: str, names: Iterable[str]) -> tuple[str, ...]:
    found = tuple(name.lower().removesuffix(".") for name in names)
    for name in found:
        if "/" in name or ":" in name or "*" in name.removeprefix("*."):
            raise BadRequest(
                f"The setting {setting} names {name!r}: hosts are example.com or *.example.com.",
                setting=setting,
            )
    return found


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _sure_network(text: str) -> Network:
    network = _network(text)
    if network is None:
        raise BadRequest(
            f"The setting VITRINE_URL_NETWORKS names {text!r}: networks are 10.1.0.0/16 or fd12::/64.",
            setting="VITRINE_URL_NETWORKS",
        )
    return network


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise BadRequest(f"The setting VITRINE_URL_PORTS names {text!r}, which is no port.")
    return int(text)
