"""Whether a stream and an account's use of the server fit its plan."""

from __future__ import annotations

from vws.core.accounts import Plan, Restriction
from vws.core.commands import StreamParams
from vws.errors import Forbidden

__all__ = ["Unfit", "measured_issues", "name_allowed", "stream_issues", "usage_issues"]

SLACK = 1.25
"""How far what is measured of a stream may be over its plan: encoders only aim at a rate."""


class Unfit(Forbidden):
    """A plan refuses a stream; ``issues`` in the order that clients are told them."""

    code = "unfit"

    def __init__(self, issues: list[str]) -> None:
        super().__init__(f"Unfit: {', '.join(issues)}.")
        self.issues = issues


def name_allowed(restriction: Restriction, channel: str, peer_id: str) -> bool:
    """Say whether `restrictPublish` lets this peer publish in a channel of this name."""
    match restriction:
        case Restriction.USERNAME:
            return channel == peer_id
        case Restriction.PREFIX:
            return channel.startswith(peer_id)
        case Restriction.SUFFIX:
            return channel.endswith(peer_id)
        case Restriction.CONTAIN:
            return peer_id in channel
        case Restriction.NONE:
            return True


def stream_issues(plan: Plan, params: StreamParams) -> list[str]:
    """List what a stream alone has too much of."""
    return [
        *_size_issues(plan, params),
        *_over("bitrate", params.bitrate, plan.bitrate),
        *_over("frameRate", params.frame_rate, plan.frame_rate),
        *_over("audioBitrate", params.audio_bitrate, plan.audio_bitrate),
    ]


def measured_issues(plan: Plan, params: StreamParams) -> list[str]:
    """List what a stream has too much of, as it was measured."""
    return [
        *_size_issues(plan, params),
        *_over("bitrate", params.bitrate / SLACK, plan.bitrate),
        *_over("frameRate", params.frame_rate / SLACK, plan.frame_rate),
        *_over("audioBitrate", params.audio_bitrate / SLACK, plan.audio_bitrate),
    ]


def usage_issues(plan: Plan, *, total_bitrate: float, connections: int) -> list[str]:
    """List which totals of the account would be over its plan; rates in kbps."""
    return [
        *_over("totalBitrate", total_bitrate, plan.total_bitrate),
        *_over("connections", connections, plan.connections),
    ]


def _size_issues(plan: Plan, params: StreamParams) -> list[str]:
    """Compare the longer side with the plan's width: a portrait video may be turned, not larger."""
    longer, shorter = max(params.width, params.height), min(params.width, params.height)
    issues = [*_over("width", longer, plan.width), *_over("height", shorter, plan.height)]
    if issues and params.height > params.width:
        issues.append("portrait")
    return issues


def _over(issue: str, value: float, limit: float | None) -> list[str]:
    return [issue] if limit is not None and value > limit else []
