"""Addresses of STUN and TURN servers as browsers take them, and the outcome of trying them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

__all__ = ["IceReport", "IceResult", "IceURL", "Transport"]

_URL = re.compile(r"(stun|turn)(s?):(\[[^\]]+\]|[^:?]+)(?::(\d+))?(?:\?transport=(udp|tcp))?")
_PORT, _TLS_PORT = 3478, 5349


class Transport(Enum):
    """What carries the packets to the server."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class IceURL:
    """One server over one transport; ``relays`` tells TURN from STUN."""

    relays: bool
    host: str
    port: int
    transport: Transport

    @classmethod
    def parse(cls, url: str) -> IceURL:
        """Read a ``stun:``, ``stuns:``, ``turn:`` or ``turns:`` URL; raise `ValueError` for anything else."""
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError("not the URL of a STUN or TURN server")
        scheme, secure, host, port, transport = match.groups()
        carrier = Transport.TLS if secure else Transport(transport or "udp")
        default = _TLS_PORT if secure else _PORT
        return cls(scheme == "turn", host.strip("[]"), int(port or default), carrier)

    @property
    def server(self) -> str:
        """The host and port, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def label(self) -> str:
        """What people call it: STUN, STUNS, TURN/UDP, TURN/TCP or TURNS."""
        name = "TURN" if self.relays else "STUN"
        if self.transport is Transport.TLS:
            return f"{name}S"
        return f"{name}/{self.transport.name}" if self.relays else name


@dataclass(frozen=True, slots=True)
class IceResult:
    """How one server answered: after so many milliseconds, or not, and then ``error`` says why."""

    url: IceURL
    milliseconds: int | None
    error: str

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(frozen=True, slots=True)
class IceReport:
    """Results of one test; ``finished_at`` in milliseconds."""

    results: tuple[IceResult, ...]
    finished_at: int

    @property
    def stun(self) -> bool | None:
        """Whether all of STUN answered; None when nothing of it is configured."""
        return _all_ok([each for each in self.results if not each.url.relays])

    @property
    def turn(self) -> bool | None:
        """The same for TURN."""
        return _all_ok([each for each in self.results if each.url.relays])

    @property
    def summary(self) -> str:
        """The outcome in a line; "passed" only when everything configured answered."""
        failed = [f"{each.url.label} {each.url.server}: {each.error}" for each in self.results if not each.ok]
        return f"Error: {'; '.join(failed)}" if failed else "STUN/TURN check passed"


def _all_ok(results: list[IceResult]) -> bool | None:
    return all(each.ok for each in results) if results else None
