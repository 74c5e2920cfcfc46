"""Builders: what the HTTP API shows. Source of the shapes: vws/http/openapi.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vws.core.account_rows import LIMIT_KEYS, Problem
from vws.core.accounts import Account, Plan
from vws.core.commands import StreamParams
from vws.core.ice import IceReport, IceResult
from vws.core.ledger import Usage

__all__ = [
    "account_status",
    "channel",
    "ice_result",
    "overview",
    "participant",
    "peer",
    "plan_limits",
    "reload_failed",
    "reloaded",
    "room",
    "rtmp_shown",
    "rtmp_stream",
    "server_info",
    "server_live",
    "usage",
]

Payload = dict[str, Any]


def server_info(
    version: str, features: list[str], *, nginx: bool, report: IceReport | None, when: int
) -> Payload:
    """Introduce the server, with the outcome of its last STUN and TURN test."""
    return {
        "server": "VWS",
        "version": version,
        "features": features,
        "nginx-module": nginx,
        "webrtc-test": report.summary if report else "not run",
        "stun": report.stun if report else None,
        "turn": report.turn if report else None,
        "webrtcTestAge": _age(report, when),
    }


def server_live(
    *, uptime: int, usages: Iterable[Usage], report: IceReport | None, running: bool, when: int
) -> Payload:
    """Show what changes while the server runs."""
    usages = list(usages)
    return {
        "uptime": uptime,
        "clients": sum(each.connections for each in usages),
        "broadcasters": sum(each.broadcasters for each in usages),
        "players": sum(each.players for each in usages),
        "webrtcTest": {
            "running": running,
            "summary": report.summary if report else "not run",
            "age": _age(report, when),
            "results": [ice_result(each) for each in report.results] if report else [],
        },
    }


def ice_result(result: IceResult) -> Payload:
    """Show how one server answered over one transport."""
    return {
        "server": result.url.server,
        "transport": result.url.label,
        "ok": result.ok,
        "ms": result.milliseconds,
        "error": result.error or None,
    }


def _age(report: IceReport | None, when: int) -> int | None:
    return max(0, when - report.finished_at) if report else None


def peer(socket_id: str, peer_id: str, *, kind: str, account: str) -> Payload:
    return {"socketId": socket_id, "peerID": peer_id, "type": kind, "account": account}


def channel(
    params: Mapping[str, Any], *, publisher: str | None, published_at: int, peers: int, account: str
) -> Payload:
    """Describe a live channel: the publisher's parameters, and over them what the server knows."""
    return {**params, "publisher": publisher, "time": published_at, "peers": peers, "account": account}


def rtmp_shown(hls: str) -> Payload:
    """Tell viewers what an RTMP stream is; ``hls`` is its address on this server."""
    return {"type": "rtmp", "hls": hls}


def rtmp_stream(
    shown: Mapping[str, Any], params: StreamParams, *, published_at: int, viewers: int
) -> Payload:
    """Describe a live RTMP stream, with what is known of its rates and its picture; ``viewers`` of HLS."""
    measured = {"bitrate": params.bitrate, "audioBitrate": params.audio_bitrate}
    picture = {"width": params.width, "height": params.height, "frameRate": params.frame_rate}
    known = {key: value for key, value in picture.items() if value}
    return {**shown, **measured, **known, "time": published_at, "viewers": viewers}


def usage(used: Usage, issues: Mapping[str, int]) -> Payload:
    """Show what one account uses, rates in kbps; ``issues`` only when there are some."""
    shown: Payload = {
        "connections": used.connections,
        "bitrate": used.bitrate,
        "audioBitrate": used.audio_bitrate,
        "players": used.players,
        "broadcasters": used.broadcasters,
    }
    return {**shown, "issues": dict(issues)} if issues else shown


def plan_limits(plan: Plan) -> Payload:
    """Show the limits that are set, by their first spelling in the table."""
    limits = {keys[0]: getattr(plan, name) for name, keys in LIMIT_KEYS.items()}
    return {key: limit for key, limit in limits.items() if limit is not None}


def account_status(
    account: Account, *, stats: Payload | None, streams: Mapping[str, Any], rtmp: Mapping[str, Any]
) -> Payload:
    """Show an account to its owner; ``stats`` is left out when there are none."""
    shown: Payload = {
        "account": account.label,
        "status": "Inactive" if account.suspended else "Active",
        "webrtc": dict(streams),
        "rtmp": dict(rtmp),
        "plan": plan_limits(account.plan),
    }
    return shown if stats is None else {**shown, "stats": stats}


def overview(connections: list[Any], stats: Payload, *, channels: list[Any], rtmp: list[Any]) -> Payload:
    return {"connections": connections, "stats": stats, "webrtc": channels, "rtmp": rtmp}


def participant(name: str, joined_at: int) -> Payload:
    return {"name": name, "joinedAt": joined_at}


def room(
    name: str,
    *,
    account: str,
    participants: Mapping[str, Payload],
    streams: Iterable[str],
    messages: int,
    locked: bool,
) -> Payload:
    return {
        "room": name,
        "account": account,
        "participants": dict(participants),
        "streams": list(streams),
        "messages": messages,
        "locked": locked,
    }


def reloaded(
    *, accounts: int, plans: int, skipped: Iterable[Problem], warnings: Iterable[Problem], disconnected: int
) -> Payload:
    return {
        "status": "Updating Accounts",
        "accounts": accounts,
        "plans": plans,
        "skipped": [_problem(each) for each in skipped],
        "warnings": [_problem(each) for each in warnings],
        "disconnected": disconnected,
    }


def reload_failed(why: str) -> Payload:
    return {"status": "Update failed", "error": why}


def _problem(problem: Problem) -> Payload:
    return {"row": problem.row, "why": problem.why}
