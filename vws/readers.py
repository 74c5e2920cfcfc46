"""What one setting is, and the readers and displays that settings are made of.

A reader takes the text of a variable and gives its typed value; a display makes text for people again.
A reader raises `MalformedError`, whose text says what the value may be. Blank text reaches a reader only as a
variable's default.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vws.errors import ConfigError

__all__ = [
    "MalformedError",
    "Network",
    "Setting",
    "choice",
    "database_url",
    "flag",
    "host",
    "host_port",
    "items",
    "maybe",
    "mode",
    "network",
    "origins",
    "port",
    "show_mode",
    "show_plain",
    "show_secret",
    "show_url",
    "stun_url",
    "text",
    "turn_text",
    "url",
    "whole",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")
_TURN_BYTES = 508


class MalformedError(ValueError):
    """The text is not what the reader reads; the message says what it may be."""


def text(value: str) -> str:
    return value


def turn_text(value: str) -> str:
    """Read what a TURN message can carry as a name."""
    if value.isprintable() and len(value.encode()) <= _TURN_BYTES:
        return value
    raise MalformedError(f"at most {_TURN_BYTES} bytes of text, without control characters")


def flag(value: str) -> bool:
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise MalformedError("true or false (or 1, 0, yes, no, on, off)")


def mode(value: str) -> bool:
    """Tell whether this is development; anything unknown is the closed one, production."""
    return value == "development"


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if re.fullmatch("[0-9]{1,15}", value) and lowest <= int(value) <= highest:
            return int(value)
        raise MalformedError(f"a whole number from {lowest} to {highest}")

    return read


port = whole(1, 65535)


def choice(*allowed: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value.lower() in allowed:
            return value.lower()
        raise MalformedError("one of " + ", ".join(allowed))

    return read


def maybe(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """Read blank as None."""
    return lambda value: read(value) if value else None


def items(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Read what stands between commas."""
    return lambda value: tuple(read(item.strip()) for item in value.split(",") if item.strip())


def host(value: str) -> str:
    if not value or _is_host(value):
        return value
    raise MalformedError("a host name or an address, without a port")


def host_port(value: str) -> str:
    if not value or _is_host_port(value):
        return value
    raise MalformedError("host:port, an IPv6 address in brackets")


def _is_host(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:  # a name needs a letter, or it is a mistyped address
        return re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9._-]{1,253}", value) is not None
    return True


def _is_host_port(value: str) -> bool:
    name, _, number = value.rpartition(":")
    inner = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if (":" in inner) != (inner != name) or not _is_host(inner):
        return False
    return re.fullmatch("[0-9]{1,5}", number) is not None and 0 < int(number) < 65536


def stun_url(value: str) -> str:
    scheme, _, server = value.partition(":")
    if scheme in {"stun", "stuns"} and (_is_host_port(server) or _is_host_port(f"{server}:3478")):
        return value
    raise MalformedError("a list of stun:host:port, with commas between")


def url(*schemes: str) -> Callable[[str], str]:
    """Read the URL of a server, a final slash taken off."""

    def read(value: str) -> str:
        if not value or (value.partition("://")[0] in schemes and _has_server(value)):
            return value.rstrip("/")
        raise MalformedError("a URL that starts with " + " or ".join(f"{scheme}://" for scheme in schemes))

    return read


def database_url(value: str) -> str:
    if re.match("sqlite:///.", value):
        return value
    if value.startswith("mysql://") and _has_server(value) and urlsplit(value).path.strip("/"):
        return value
    raise MalformedError(
        "sqlite:///path or mysql://user:password@host:port/name, special characters percent-encoded"
    )


def _has_server(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:  # a port that is no number, a broken IPv6 address
        return False


def origins(value: str) -> tuple[str, ...]:
    """Read the origins that may connect; a ``*`` among them stands for all, alone."""
    found = items(_origin)(value)
    return ("*",) if "*" in found else found


def _origin(value: str) -> str:
    origin = value.rstrip("/").lower()
    if value == "*" or re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@*\s]+", origin):
        return origin
    raise MalformedError("* or a list of origins like https://example.com, with commas between")


def network(value: str) -> Network:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise MalformedError("a list of addresses or networks like 10.0.0.0/8, with commas between") from None


def show_plain(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def show_mode(development: bool) -> str:
    return "development" if development else "production"


def show_secret(value: str) -> str:
    return "****" if value else ""


def show_url(value: str) -> str:
    """Show a URL without its password; what a query says is hidden too, as it may hold keys."""
    scheme, separator, rest = value.partition("://")
    address, mark, query = rest.partition("?")
    login, at, server = address.rpartition("@")
    user, colon, _ = login.partition(":")
    hidden = re.sub("=[^&]+", "=****", query)
    return f"{scheme}{separator}{user}{colon and ':****'}{at}{server}{mark}{hidden}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable; ``development`` is its default there, where that differs."""

    name: str
    read: Callable[[str], object]
    about: str
    default: str = ""
    development: str | None = None
    show: Callable[[Any], str] = show_plain

    @property
    def open(self) -> bool:
        """Whether the value may appear in a repr and in an error message."""
        return self.show in {show_plain, show_mode}

    def value(self, given: str, *, development: bool = False) -> object:
        """Read the text; blank means the default. Raises `ConfigError`, which never tells a secret."""
        default = self.default if self.development is None or not development else self.development
        try:
            return self.read(given or default)
        except MalformedError as error:
            told = f", not {given[:100]!r}" if self.open else ""
            raise ConfigError(f"{self.name} must be {error}{told}") from None
