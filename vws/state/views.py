"""Snapshots of live objects: what leaves the state is never changed by it afterwards."""

from __future__ import annotations

from vws.core.channels import Channel, Peer
from vws.core.facts import RoomEntered
from vws.core.rooms import Room
from vws.core.rtmp import RtmpSeat, RtmpStream
from vws.state.base import ChannelView, PeerView, RoomView, Route, RtmpView

__all__ = ["channel_view", "entered", "room_view", "route_to", "rtmp_view"]


def route_to(own: Peer, peer: Peer) -> Route:
    return Route(peer.socket_id, peer.account, peer.peer_id, peer.channel.name, own.peer_id)


def entered(room: Room, socket_id: str) -> RoomEntered:
    return RoomEntered(
        socket_id,
        room.name,
        tuple(room.participants.values()),
        tuple(room.streams.values()),
        tuple(room.recent()),
        dict(room.meta),
    )


def channel_view(channel: Channel) -> ChannelView:
    live = channel.broadcaster
    peers = tuple(PeerView(p.socket_id, p.peer_id, p.kind.value, p.account) for p in channel.peers.values())
    account = live.account if live else peers[0].account
    publisher = live.peer_id if live else None
    return ChannelView(channel.name, account, peers, publisher, channel.published_at, channel.params.raw)


def rtmp_view(stream: RtmpStream, live: RtmpSeat, viewers: int) -> RtmpView:
    return RtmpView(
        stream.name,
        stream.account,
        live.client.client_id,
        len(stream.players),
        viewers,
        stream.published_at,
        stream.params,
        live.client.shown,
    )


def room_view(room: Room) -> RoomView:
    participants = {p.socket_id: (p.name, p.joined_at) for p in room.participants.values()}
    return RoomView(room.name, room.scope, participants, tuple(room.streams), len(room.messages), room.locked)
