"""The short way of events that never wait: told by how their packets begin, their JSON not looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

__all__ = ["LONGEST", "Lane", "lanes"]

LONGEST = 64
"""Bytes of a packet in which the name of an event has to end for such a way."""


class Lane(NamedTuple):
    """One event on one namespace; ``start`` is where its packet's JSON array begins."""

    namespace: str
    event: str
    start: int


def lanes(namespaces: Sequence[str], events: Collection[str]) -> dict[bytes, Lane]:
    """Return lanes by what is before the first ``",`` of a packet such as ``42/chat,["roomMessage",{…}]``.

    Packets that ask for an acknowledgement, or are spelled otherwise, go the ordinary way.
    """
    return {
        f'{_prefix(namespace)}["{event}'.encode(): Lane(namespace, event, len(_prefix(namespace)))
        for namespace in namespaces
        for event in events
    }


def _prefix(namespace: str) -> str:
    return "42" if namespace == "/" else f"42{namespace},"
