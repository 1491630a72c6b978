"""Which internet addresses are public: a server that downloads what a stranger names must not be led to
machines that the stranger cannot reach."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_UNICAST = ip_network("2000::/3")
"""All IPv6 addresses that are routed on the internet begin so. Beyond lie those that stand for an IPv4
address: mapped (::ffff:0:0/96), compatible (::/96), translated (64:ff9b::/96, 64:ff9b:1::/48)."""
_SPECIAL: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "100.64.0.0/10",  # between a provider and its customers
            "169.254.0.0/16",  # link-local, where clouds answer for their machines
            "192.0.0.0/24",
            "192.88.99.0/24",  # relays of 6to4
            "198.18.0.0/15",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",
            "2001::/23",  # Teredo, and other uses of protocols
            "2001:db8::/32",
            "2002::/16",  # 6to4: stands for an IPv4 address
            "3fff::/20",
        ),
    )
)
METADATA: frozenset[Address] = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",
            "168.63.129.16",  # a public address, but answered by the machine's own host
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "192.0.0.192",
            "fd00:ec2::23",
            "fd00:ec2::254",
        ),
    )
)
"""Where clouds give their machines credentials: never asked, whatever the settings allow."""


def is_public(address: Address) -> bool:
    """Return whether an address is one of the internet that anybody can ask.

    >>> [is_public(ip_address(text)) for text in ("93.184.216.34", "10.0.0.1", "::ffff:93.184.216.34")]
    [True, False, False]
    """
    if isinstance(address, IPv6Address) and (address not in _UNICAST or address.scope_id is not None):
        return False
    return address.is_global and not address.is_multicast and not lies_in(address, _SPECIAL)


def lies_in(address: Address, networks: tuple[Network, ...]) -> bool:
    """Return whether one of the networks has the address; networks of the other version have not."""
    return any(address.version == network.version and address in network for network in networks)
