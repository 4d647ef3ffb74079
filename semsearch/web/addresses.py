"""Addresses of networks, as connections, proxies and headers tell them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

OF_ONE = 64  # bits of an IPv6 address: whoever has one has all others that begin so


def peer(scope: Mapping[str, Any]) -> str:
    """The address at the other end of the connection."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def name(host: str) -> str:
    """The name or address in front of a port.

    >>> name("localhost:8000"), name("[::1]:8000"), name("127.0.0.1"), name("::1")
    ('localhost', '::1', '127.0.0.1', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def network(told: str) -> str:
    """What one sender is known by: its IPv4 address, or the network of its IPv6 address.

    >>> network(" 203.0.113.9:4711"), network("[2001:db8::1]:443"), network("2001:db8::ffff"), network("::ffff:1.2.3.4")
    ('203.0.113.9', '2001:db8::/64', '2001:db8::/64', '1.2.3.4')
    >>> network("unknown")
    'unknown'
    """
    given = name(told.strip())
    try:
        address = ipaddress.ip_address(given.partition("%")[0])
    except ValueError:
        return given[:64]
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((int(address), OF_ONE), strict=False))


def is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"
