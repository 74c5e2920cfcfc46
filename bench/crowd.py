"""Clients where the load wants them: let in, in pairs, in channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench import messages
from bench.client import Client
from bench.loop import Loop
from bench.servers import Server
from bench.traffic import Flow

__all__ = ["CHANNEL", "Pair", "arrive", "enter_channels", "flows", "pair_up"]

CHANNEL = 10
"""Clients in a channel: a broadcaster and its players."""

Pair = tuple[Client, Client]


def arrive(server: Server, loop: Loop, count: int) -> list[Client]:
    """Let clients with the static token in."""
    return loop.connect([server.auth()] * count)


def pair_up(loop: Loop, clients: Sequence[Client]) -> list[Pair]:
    """Put two clients into each of many channels, the first broadcasting."""
    pairs = list(zip(clients[::2], clients[1::2], strict=True))
    loop.ask([(first, messages.publish(number)) for number, (first, _) in enumerate(pairs)])
    loop.ask([(second, messages.subscribe(number, "Bob")) for number, (_, second) in enumerate(pairs)])
    return pairs


def flows(pairs: Sequence[Pair], message: Callable[[int], bytes]) -> list[Flow]:
    """Return what goes from the first of each pair to the second; ``message`` takes the pair's number."""
    return [Flow(first, second, message(number)) for number, (first, second) in enumerate(pairs)]


def enter_channels(loop: Loop, clients: Sequence[Client], *, first: int = 0) -> list[list[Client]]:
    """Fill channels, numbered from ``first``, with a broadcaster and players each; the broadcaster leads."""
    channels = [list(clients[at : at + CHANNEL]) for at in range(0, len(clients), CHANNEL)]
    numbered = list(enumerate(channels, first))
    loop.ask([(channel[0], messages.publish(number)) for number, channel in numbered])
    loop.ask(
        [
            (player, messages.subscribe(number, f"Player {seat}"))
            for number, channel in numbered
            for seat, player in enumerate(channel[1:])
        ]
    )
    return channels
