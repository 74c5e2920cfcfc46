"""Who sits in which channel, with the account's totals kept right at every move."""

from __future__ import annotations

from vws.core.channels import Channel, Peer, PeerKind
from vws.core.commands import StreamParams
from vws.core.ledger import Ledger
from vws.state.connections import Connection

__all__ = ["Seats"]


class Seats:
    """The channels that have peers, by scope and name."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._channels: dict[tuple[str, str], Channel] = {}

    def all(self) -> list[Channel]:
        return list(self._channels.values())

    def open(self, scope: str, name: str) -> Channel:
        """Return the channel, or a new one that is kept as soon as somebody sits down in it."""
        return self._channels.get((scope, name)) or Channel(scope, name)

    def sit(self, connection: Connection, channel: Channel, peer: Peer) -> None:
        self._channels[channel.scope, channel.name] = channel
        channel.peers[peer.peer_id] = peer
        connection.peers[channel.name] = peer
        self._count(channel, peer, 1)
        if peer.kind is PeerKind.BROADCASTER:
            channel.broadcaster = peer

    def rise(self, connection: Connection, channel: Channel, peer: Peer) -> None:
        """Free the peer's seat; a stream ends with its broadcaster, a channel with its last peer."""
        if peer is channel.broadcaster:
            self.show(channel, StreamParams())
            channel.broadcaster = None
        self._count(channel, peer, -1)
        del channel.peers[peer.peer_id]
        del connection.peers[channel.name]
        if not channel.peers:
            del self._channels[channel.scope, channel.name]

    def show(self, channel: Channel, params: StreamParams) -> None:
        """Change the channel's stream: each peer's share of its account's rate changes with it."""
        bitrate = params.bitrate - channel.params.bitrate
        audio_bitrate = params.audio_bitrate - channel.params.audio_bitrate
        for peer in channel.peers.values():
            self._ledger.rate(peer.account, bitrate, audio_bitrate)
        channel.params = params

    def _count(self, channel: Channel, peer: Peer, sign: int) -> None:
        params = channel.params
        broadcaster = peer.kind is PeerKind.BROADCASTER
        self._ledger.peer(peer.account, broadcaster=broadcaster, change=sign)
        self._ledger.rate(peer.account, sign * params.bitrate, sign * params.audio_bitrate)
