"""What the HTTP edge needs of the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vws.accounts import AccountDirectory
from vws.clock import Clock
from vws.config import Config
from vws.core.attempts import FailedAttempts
from vws.core.counters import Counters
from vws.hls import Hls
from vws.ice import IceServers
from vws.ice_check import IceCheck
from vws.reload import ReloadResult
from vws.rtmp import Rtmp
from vws.state.base import LiveState

__all__ = ["Nginx", "Services"]


@dataclass(frozen=True, slots=True)
class Nginx:
    """What works together with nginx."""

    hls: Hls
    rtmp: Rtmp


@dataclass(frozen=True, slots=True)
class Services:
    """Parts of the program that requests are answered from.

    ``attempts`` are counted together with those to connect: a token is guessed at either door.
    ``reload`` raises `Unavailable`; ``ready`` gives each component this server depends on with what is wrong
    with it, "" when nothing is; deadlines count by ``clock``; ``messages_sent`` counts
    since the start, one for each recipient; ``started_at`` is when that was; ``nginx`` is None
    where none is set up.
    """

    config: Config
    state: LiveState
    accounts: AccountDirectory
    attempts: FailedAttempts
    counters: Counters
    ice: IceServers
    ice_check: IceCheck
    messages_sent: Callable[[], int]
    reload: Callable[[], ReloadResult]
    ready: Callable[[], dict[str, str]]
    clock: Clock
    started_at: int
    nginx: Nginx | None
