"""Whose request this is: the client's address, through the proxies that are trusted and no others."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

__all__ = ["Network", "client_address", "is_trusted", "network_of"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(environ: dict[str, Any], trusted: Sequence[Network]) -> str:
    """Return the nearest address that is no trusted proxy, reading X-Forwarded-For from the right."""
    address = str(environ.get("REMOTE_ADDR") or "")
    hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    while hops and is_trusted(address, trusted):
        hop = _parsed(hops.pop())
        if hop is None:
            break
        address = str(hop)
    return address


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Tell whether an address is a trusted proxy's."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)


def network_of(address: str) -> str:
    """Return whom an address is counted as: an IPv6 client has all the addresses of its /64 to itself."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return mapped or parsed
