"""The demos: which pages there are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEMOS", "Demo"]


@dataclass(frozen=True, slots=True)
class Demo:
    """A page; ``calls`` says whether it makes calls, with the Socket.IO client."""

    title: str
    about: str
    calls: bool = True


DEMOS = {
    "broadcast": Demo("Broadcast", "Send a camera or a screen to everybody who watches."),
    "watch": Demo("Watch", "See what is broadcast, by whoever is live in the channel."),
    "room": Demo("Room", "A call of everybody in the room, with chat."),
    "hls": Demo("HLS", "Play what is broadcast by RTMP, from OBS for one.", calls=False),
}
"""The pages by name: /demo/<name>."""
