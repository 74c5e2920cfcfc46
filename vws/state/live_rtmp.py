"""What happens to RTMP streams: nginx reports who comes, who is still there, and who has gone."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from vws.core.accounts import Account, Plan
from vws.core.commands import StreamParams
from vws.core.facts import Fact, StreamAdded, StreamRemoved
from vws.core.ledger import Ledger
from vws.core.limits import Unfit, measured_issues, usage_issues
from vws.core.rooms import Room, Stream, size_shown
from vws.core.rtmp import RtmpClient, RtmpKind, RtmpSeat, RtmpStream
from vws.errors import NotFound, Refused
from vws.state.room_book import RoomBook

__all__ = ["LiveRtmp"]

GONE_AFTER = 3.5
"""Updates that nginx owes of a client until it is gone: three are missed, and the third is overdue."""

HELD_FOR = 1.5
"""Updates that a client may owe and still keep its stream, or its connection, from another."""


class LiveRtmp:
    """The streams by account and name; their connections and rates are in the account's totals.

    ``update`` is how often nginx speaks of each client, milliseconds.
    """

    def __init__(self, ledger: Ledger, *, rooms: RoomBook, update: int) -> None:
        self._ledger = ledger
        self._rooms = rooms
        self._update = update
        self._streams: dict[tuple[str, str], RtmpStream] = {}

    def all(self) -> list[RtmpStream]:
        return list(self._streams.values())

    # --- coming and going ---

    def enter(self, client: RtmpClient, account: Account, *, when: int, at: int) -> list[Fact]:
        """Count a client that was let in.

        Raises `Unfit` over the plan, `Refused` where another is live, or where the connection has a stream.
        """
        stream = self._streams.get((client.account, client.stream))
        stream = stream or RtmpStream(client.account, client.scope, client.stream, account.scope)
        own = stream.seat(client)
        if own is not None:
            own.client, own.seen = replace(own.client, token=client.token), when
            return []
        if self._has_stream(client, when):
            raise Refused("One connection carries one stream.", code="one-stream")
        if client.kind is RtmpKind.PLAY:
            return self._play(stream, client, account, when)
        return self._publish(stream, client, account, when=when, at=at)

    def renew(self, client: RtmpClient, when: int) -> None:
        """Note that the client is there; raise `NotFound` for an unknown one, `Refused` if it has to go."""
        stream = self._streams.get((client.account, client.stream))
        seat = stream.seat(client) if stream else None
        if stream is None or seat is None:
            raise NotFound("No such RTMP client.", code="no-such-client")
        if stream.dismissed and client.kind is RtmpKind.PUBLISH:
            raise Refused(stream.dismissed, code="dismissed")
        if seat.client.token != client.token:
            raise Refused("account token changed", code="token-changed")
        seat.seen = when

    def leave(self, client: RtmpClient) -> list[Fact]:
        """Take a client out; raise `NotFound` for an unknown one."""
        stream = self._streams.get((client.account, client.stream))
        if stream is None or stream.seat(client) is None:
            raise NotFound("No such RTMP client.", code="no-such-client")
        return self._end(stream) if client.kind is RtmpKind.PUBLISH else self._stop(stream, client)

    def expire(self, when: int) -> list[tuple[RtmpClient, list[Fact]]]:
        """Take out those of whom nginx has not spoken for too long, as when it was killed."""
        limit = when - GONE_AFTER * self._update
        silent = [seat.client for stream in self.all() for seat in stream.seats if seat.seen < limit]
        return [(client, self.leave(client)) for client in silent]

    def _has_stream(self, client: RtmpClient, when: int) -> bool:
        """Say whether a newcomer's connection has a stream already: nginx would speak of the newest only."""
        wanted = (client.client_id, client.address)
        seats = [seat for stream in self.all() for seat in stream.seats]
        found = [seat for seat in seats if (seat.client.client_id, seat.client.address) == wanted]
        return any(self._lives(seat, when) for seat in found)

    def _lives(self, seat: RtmpSeat, when: int) -> bool:
        """Say whether there may be life in a client, though nginx may have been killed."""
        return when - seat.seen <= HELD_FOR * self._update

    def _rival(self, stream: RtmpStream, when: int) -> RtmpSeat | None:
        """Return the publisher that a newcomer replaces; raise `Refused` while there may be life in it."""
        live = stream.publisher
        if live is not None and self._lives(live, when):
            raise Refused("Stream is already live.", code="held")
        return live

    def _publish(
        self, stream: RtmpStream, client: RtmpClient, account: Account, *, when: int, at: int
    ) -> list[Fact]:
        rival, params = self._rival(stream, when), _most(account.plan)
        rate = (len(stream.players) + 1) * params.rate - len(stream.seats) * stream.params.rate
        self._fit(account, rate=rate, connections=0 if rival else 1)
        facts = self._end(stream) if rival else []
        self._streams[stream.account, stream.name] = stream
        stream.publisher, stream.published_at = RtmpSeat(client, when), at
        self._count(client, 1, StreamParams())
        self._show(stream, params)
        return [*facts, *self._announce(stream)]

    def _end(self, stream: RtmpStream) -> list[Fact]:
        live = stream.publisher
        if live is None:
            return []
        self._show(stream, StreamParams())
        stream.publisher, stream.dismissed = None, ""
        self._count(live.client, -1, StreamParams())
        self._forget_idle(stream)
        stream.banished.clear()
        return [fact for room in list(stream.rooms.values()) for fact in _withdraw(stream, room)]

    def _play(self, stream: RtmpStream, client: RtmpClient, account: Account, when: int) -> list[Fact]:
        self._fit(account, rate=stream.params.rate, connections=1)
        self._streams[stream.account, stream.name] = stream
        stream.players[client.client_id] = RtmpSeat(client, when)
        self._count(client, 1, stream.params)
        return []

    def _stop(self, stream: RtmpStream, client: RtmpClient) -> list[Fact]:
        del stream.players[client.client_id]
        self._count(client, -1, stream.params)
        self._forget_idle(stream)
        return []

    def _forget_idle(self, stream: RtmpStream) -> None:
        if not stream.seats:
            self._streams.pop((stream.account, stream.name), None)

    # --- what they use ---

    def measure(self, name: str, params: StreamParams, account: Account) -> list[str]:
        """Count what a publisher really sends; return what the plan has against it, which dismisses it."""
        stream = self._streams.get((account.label, name))
        if stream is None or stream.publisher is None:
            return []
        self._show(stream, params)
        return self._judge(stream, account.plan)

    def dismiss(self, account: str, name: str, reason: str, *, client_id: str) -> bool:
        """Have a stream's publisher thrown out when nginx asks next; False where it is another, or none."""
        stream = self._streams.get((account, name))
        live = stream.publisher if stream else None
        if stream is None or live is None or live.client.client_id != client_id:
            return False
        return _dismiss(stream, reason)

    def _judge(self, stream: RtmpStream, plan: Plan) -> list[str]:
        issues = measured_issues(plan, stream.params)
        if not issues or not _dismiss(stream, Unfit(issues).message):
            return []
        self._ledger.refused(stream.account, issues)
        return issues

    def _fit(self, account: Account, *, rate: int, connections: int) -> None:
        usage = self._ledger.of(account.label)
        issues = usage_issues(
            account.plan,
            total_bitrate=usage.total_bitrate + rate,
            connections=usage.connections + connections,
        )
        if issues:
            self._ledger.refused(account.label, issues)
            raise Unfit(issues)

    def _show(self, stream: RtmpStream, params: StreamParams) -> None:
        """Change the stream's parameters: everybody on it counts with its rates."""
        old = stream.params
        for seat in stream.seats:
            self._ledger.rate(
                seat.client.account, params.bitrate - old.bitrate, params.audio_bitrate - old.audio_bitrate
            )
        stream.params = params

    def _count(self, client: RtmpClient, sign: int, params: StreamParams) -> None:
        self._ledger.connection(client.account, sign)
        self._ledger.peer(client.account, broadcaster=client.kind is RtmpKind.PUBLISH, change=sign)
        self._ledger.rate(client.account, sign * params.bitrate, sign * params.audio_bitrate)

    # --- rooms that show them ---

    def arrange(self, room: Room) -> list[Fact]:
        """Show in a room the streams that are for it, and no others."""
        wanted = [stream for stream in self.all() if _is_for(stream, room)]
        others = [stream for stream in self._in(room) if not _is_for(stream, room)]
        facts = [fact for stream in others for fact in _withdraw(stream, room)]
        return [*facts, *(fact for stream in wanted for fact in _add(stream, room))]

    def banish(self, room: Room, name: str) -> list[Fact]:
        """Take a stream out of a room until it is broadcast anew, or named there again."""
        facts: list[Fact] = []
        for stream in self._in(room):
            if stream.name == name:
                stream.banished.add(room.name)
                facts += _withdraw(stream, room)
        return facts

    def readmit(self, room: Room) -> None:
        """Let the streams that the room's meta names come back."""
        for stream in self.all():
            if room.names(stream.name, stream.home):
                stream.banished.discard(room.name)

    def _in(self, room: Room) -> list[RtmpStream]:
        return [stream for stream in self.all() if stream.rooms.get(room.name) is room]

    def _announce(self, stream: RtmpStream) -> list[Fact]:
        rooms = [room for room in self._rooms.all() if _is_for(stream, room)]
        return [fact for room in rooms for fact in _add(stream, room)]


def _dismiss(stream: RtmpStream, reason: str) -> bool:
    """Note why the publisher has to go; False when it has to already."""
    if stream.dismissed:
        return False
    stream.dismissed = reason
    return True


def _is_for(stream: RtmpStream, room: Room) -> bool:
    """Say whether a room is to show a stream: its meta names it, or the broadcaster the room."""
    live = stream.publisher
    if live is None or stream.scope != room.scope or room.name in stream.banished:
        return False
    if room.names(stream.name, stream.home):
        return True
    here = stream.rooms.get(room.name) is room
    return live.client.room == room.name and room.admits_stream(here=here)


def _add(stream: RtmpStream, room: Room) -> list[Fact]:
    live = stream.publisher
    if live is None or stream.name in room.streams:
        return []
    shown = _shown(stream, live.client)
    if not room.has_space(stream.name, shown.size):
        return []
    room.show(shown)
    stream.rooms[room.name] = room
    return [StreamAdded(room.name, room.members, shown)]


def _withdraw(stream: RtmpStream, room: Room) -> list[Fact]:
    del stream.rooms[room.name]
    room.hide(stream.name)
    return [StreamRemoved(room.name, room.members, stream.name)]


def _most(plan: Plan) -> StreamParams:
    """Return what a stream may send at most, which counts until it is measured."""
    return StreamParams(
        bitrate=math.ceil(plan.bitrate or 0), audio_bitrate=math.ceil(plan.audio_bitrate or 0)
    )


def _shown(stream: RtmpStream, client: RtmpClient) -> Stream:
    size = size_shown(len(json.dumps(client.shown)), stream.name)
    return Stream(stream.name, "", "", stream.published_at, client.shown, size)
