"""The short way of events that never wait: told by how their packets begin, their JSON not looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["Lanes"]

LONGEST = 64
"""Characters in which the name of an event ends that has such a way."""


class Lanes:
    """Finds the event of a packet such as ``42["messagePeer",{…}]`` or ``42/chat,["roomMessage",{…}]``.

    Packets that ask for an acknowledgement, or are spelled otherwise, go the ordinary way.
    """

    def __init__(self, namespaces: Sequence[str], events: Collection[str]) -> None:
        self._known = {
            _beginning(namespace, event): (namespace, event, _array_at(namespace))
            for namespace in namespaces
            for event in events
        }

    def find(self, packet: bytes) -> tuple[str, str, int] | None:
        """Return namespace, event and where the packet's JSON array begins."""
        return self._known.get(packet[: packet.find(b'",', 0, LONGEST) + 2])


def _beginning(namespace: str, event: str) -> bytes:
    return f'{_prefix(namespace)}["{event}",'.encode()


def _array_at(namespace: str) -> int:
    return len(_prefix(namespace))


def _prefix(namespace: str) -> str:
    return "42" if namespace == "/" else f"42{namespace},"
