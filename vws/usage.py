"""What is going on: snapshots of the live state, in the shapes that the HTTP API shows."""

from __future__ import annotations

from typing import Any

from vws import __version__
from vws.config import Config
from vws.core.accounts import Account
from vws.core.ice import IceReport
from vws.core.ledger import Usage
from vws.core.wire import listings
from vws.reload import ReloadResult
from vws.state.base import ChannelView, LiveState, RoomView, RtmpView

__all__ = [
    "describe_server",
    "list_channels",
    "list_connections",
    "list_rooms",
    "list_rtmp",
    "show_account",
    "show_everything",
    "show_live",
    "sum_up_usage",
    "summarize_reload",
]

Payload = dict[str, Any]
Listing = list[tuple[str, Payload]]
"""Pairs, as two accounts may each have a channel of the same name."""

FEATURES = ("signaling", "rooms", "chat", "moderation", "accounts", "plans", "api")


def describe_server(config: Config, report: IceReport | None, *, when: int) -> Payload:
    """Say what this server is; ``report`` is its last STUN and TURN test."""
    more = {"enforce-sdp": config.enforce_sdp, "rtmp": config.nginx_host, "hls": config.nginx_host}
    features = [*FEATURES, *(name for name, enabled in more.items() if enabled)]
    nginx = bool(config.nginx_host)
    return listings.server_info(__version__, features, nginx=nginx, report=report, when=when)


def show_live(
    state: LiveState, report: IceReport | None, *, running: bool, started_at: int, when: int
) -> Payload:
    """Show how long the server runs, how much is going on, and each result of the STUN and TURN test."""
    return listings.server_live(
        uptime=when - started_at,
        usages=state.usage().values(),
        report=report,
        running=running,
        when=when,
    )


def list_connections(state: LiveState) -> Listing:
    """List every channel with its peers by peerID."""
    return [(channel.name, _peers(channel)) for channel in state.channels()]


def list_channels(state: LiveState) -> Listing:
    """List the channels that have a broadcaster, the WebRTC ones."""
    return [
        (
            channel.name,
            listings.channel(
                channel.params,
                publisher=channel.publisher,
                published_at=channel.published_at,
                peers=len(channel.peers),
                account=channel.account,
            ),
        )
        for channel in _live(state)
    ]


def list_rtmp(state: LiveState) -> Listing:
    """List the RTMP streams that have a publisher; nobody there has a peerID."""
    return [
        (
            stream.name,
            listings.channel(
                _rtmp(stream),
                publisher="",
                published_at=stream.published_at,
                peers=stream.players + 1,
                account=stream.account,
            ),
        )
        for stream in state.rtmp_streams()
    ]


def sum_up_usage(state: LiveState) -> dict[str, Payload]:
    """Show the use of every account that uses something, or was refused something since the start."""
    used, refused = state.usage(), state.issues()
    return {
        label: listings.usage(used.get(label) or Usage(), refused.get(label, {}))
        for label in sorted({*used, *(label for label, issues in refused.items() if issues)})
    }


def show_everything(state: LiveState) -> Payload:
    """Put the lists above into one answer."""
    return listings.overview(
        list_connections(state), sum_up_usage(state), channels=list_channels(state), rtmp=list_rtmp(state)
    )


def show_account(state: LiveState, account: Account) -> Payload:
    """Show an account's owner its status, plan, use, and the parameters of its live channels by name."""
    streams = {channel.name: channel.params for channel in _live(state) if channel.account == account.label}
    rtmp = {one.name: _rtmp(one) for one in state.rtmp_streams() if one.account == account.label}
    stats = sum_up_usage(state).get(account.label)
    return listings.account_status(account, stats=stats, streams=streams, rtmp=rtmp)


def list_rooms(state: LiveState) -> list[Payload]:
    return [_room(room) for room in state.rooms()]


def summarize_reload(result: ReloadResult) -> Payload:
    """Say what a reload brought, and which rows it left out or read with reservations."""
    problems = result.report.problems
    return listings.reloaded(
        accounts=result.report.loaded,
        plans=result.report.plans,
        skipped=[each for each in problems if each.skipped],
        warnings=[each for each in problems if not each.skipped],
        disconnected=result.disconnected,
    )


def _live(state: LiveState) -> list[ChannelView]:
    return [channel for channel in state.channels() if channel.publisher is not None]


def _rtmp(stream: RtmpView) -> Payload:
    return listings.rtmp_stream(
        stream.shown, stream.params, published_at=stream.published_at, viewers=stream.viewers
    )


def _peers(channel: ChannelView) -> Payload:
    return {
        one.peer_id: listings.peer(one.socket_id, one.peer_id, kind=one.kind, account=one.account)
        for one in channel.peers
    }


def _room(room: RoomView) -> Payload:
    return listings.room(
        room.name,
        account=room.scope,
        participants={sid: listings.participant(*one) for sid, one in room.participants.items()},
        streams=room.streams,
        messages=room.messages,
        locked=room.locked,
    )
