"""The composition root: the one place that knows which class stands behind which name."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import gevent
import peewee
from flask import Flask

from vws import clock, db, http
from vws.accounts import AccountDirectory
from vws.announce import Announcer
from vws.auth import Gatekeeper
from vws.background import repeat
from vws.claims import Claims
from vws.config import Config
from vws.core import strict_json
from vws.core.account_rows import Rows
from vws.core.address import client_address, is_trusted
from vws.core.attempts import FailedAttempts
from vws.core.counters import Counters
from vws.demo import DEMOS
from vws.demo_login import DemoLogins, has_demo_account, with_demo_account
from vws.errors import Unavailable
from vws.hls import Hls
from vws.ice import IceServers
from vws.ice_check import IceCheck
from vws.login import LoginSites
from vws.lookups import look_up_together
from vws.namespaces.base import EventTable
from vws.namespaces.chat import chat_events
from vws.namespaces.dispatcher import Dispatcher
from vws.namespaces.room import room_events
from vws.namespaces.signaling import signaling_events
from vws.nginx_files import NginxFiles
from vws.nginx_stat import NginxStat
from vws.notices import Notices
from vws.readiness import Readiness
from vws.reload import Reloader
from vws.rooms import Rooms
from vws.rtmp import Rtmp
from vws.rtmp_news import RtmpNews
from vws.rtmp_upkeep import RtmpUpkeep
from vws.signaling import Signaling
from vws.state.base import LiveState, StateLimits
from vws.state.memory import MemoryState
from vws.stream_access import StreamAccess
from vws.stream_sites import StreamSites
from vws.transport.gate import Gate
from vws.transport.server import Server, SocketIO

__all__ = ["create_app"]

PROJECT = Path(__file__).resolve().parent.parent
PING_INTERVAL, PING_TIMEOUT = 5, 10
SWEEP_EVERY = 5
LOOK_AFTER_RTMP_EVERY = 5
SITE_TIMEOUT, NGINX_TIMEOUT = 5, 5
QUESTIONS_WINDOW = 60_000
"""Milliseconds for which a question to a stream site that came to nothing counts."""


def create_app(config: Config, *, state: LiveState | None = None) -> tuple[Flask, SocketIO]:
    """Build the whole program; what it needs in the background is started, nothing listens yet."""
    look_up_together()
    config = with_demo_account(config)
    if state is None:
        state = MemoryState(_state_limits(config))
    database = db.open_database(config.database_url)
    accounts = AccountDirectory(config, partial(_read_accounts, database))
    server = _server(config)
    ice = IceServers(config)
    announcer = Announcer(ice)
    attempts = FailedAttempts(config.auth_rate_limit)
    gatekeeper = _gatekeeper(config, state, accounts, announcer=announcer, attempts=attempts)
    counters = Counters()
    dispatcher = Dispatcher(
        _tables(config, state, accounts, announcer=announcer, ice=ice, server=server),
        gatekeeper,
        deliver=server.deliver,
        rate=config.event_rate_limit,
        counters=counters,
    )
    server.drive(dispatcher)
    nginx = _nginx(config, state, accounts, announcer=announcer, attempts=attempts, server=server)
    reloader = Reloader(accounts, gatekeeper, drop=server.drop)
    app = _flask(config)
    services = http.Services(
        config=config,
        state=state,
        accounts=accounts,
        reload=reloader.reload,
        attempts=attempts,
        counters=counters,
        ice=ice,
        ice_check=IceCheck(ice, clock=clock.steady),
        messages_sent=lambda: server.messages_sent,
        ready=Readiness(partial(_ready, database, accounts), clock=clock.steady),
        clock=clock.steady,
        started_at=clock.steady(),
        nginx=nginx,
    )
    http.register(app, services)
    socketio = _mount(app, server, config)
    _start(config, reloader, accounts, state=state)
    return app, socketio


def _read_accounts(database: Any) -> Rows:
    """Read the tables; those of an SQLite file are made first, so that there is nothing to set up."""
    if isinstance(database, peewee.SqliteDatabase):
        db.migrate(database)
    return db.read_rows(database)


def _state_limits(config: Config) -> StateLimits:
    return StateLimits(
        newest_wins=config.publish_takeover,
        rooms_per_client=config.max_rooms_per_client,
        channels_per_client=config.max_channels_per_client,
        history_ttl=config.chat_history_ttl * 1000,
        viewers=config.max_viewers,
        viewers_per_address=config.max_viewers_per_address,
        viewer_silence=config.viewer_timeout * 1000,
        rtmp_update=config.nginx_update_interval * 1000,
    )


def _gatekeeper(
    config: Config,
    state: LiveState,
    accounts: AccountDirectory,
    *,
    announcer: Announcer,
    attempts: FailedAttempts,
) -> Gatekeeper:
    sites = DemoLogins if has_demo_account(config) else LoginSites
    return Gatekeeper(
        state,
        accounts,
        announcer=announcer,
        sites=sites(timeout=config.login_timeout, at_once=config.max_logins),
        attempts=attempts,
        clock=clock.steady,
        wall=clock.wall,
        shared_channels=config.shared_channels,
        generic_refusals=config.extra_security and not config.development,
    )


def _nginx(
    config: Config,
    state: LiveState,
    accounts: AccountDirectory,
    *,
    announcer: Announcer,
    attempts: FailedAttempts,
    server: Server,
) -> http.Nginx | None:
    """Build what works together with nginx, where one is set up."""
    if not config.nginx_host:
        return None
    sites = StreamSites(timeout=SITE_TIMEOUT, at_once=config.max_logins)
    questions = FailedAttempts(config.auth_rate_limit, window=QUESTIONS_WINDOW)
    access = StreamAccess(accounts, sites, guesses=attempts, questions=questions)
    notices = Notices(state, accounts, sites=sites, spawn=gevent.spawn, clock=clock.steady)
    news = RtmpNews(announcer, deliver=server.deliver, notices=notices, wall=clock.wall)
    stat = NginxStat(config.nginx_stat, timeout=NGINX_TIMEOUT)
    upkeep = RtmpUpkeep(state, accounts, stat=stat, news=news, notices=notices, clock=clock.steady)
    seconds = min(config.nginx_update_interval, LOOK_AFTER_RTMP_EVERY)
    gevent.spawn(repeat, "rtmp", upkeep.look_after, sleep=partial(gevent.sleep, seconds))
    rtmp = Rtmp(
        state,
        access=access,
        news=news,
        hls_path=config.nginx_hls_path,
        clock=clock.steady,
        wall=clock.wall,
        shared_channels=config.shared_channels,
    )
    files = NginxFiles(config.nginx_host, config.nginx_key, timeout=NGINX_TIMEOUT)
    hls = Hls(state, access=access, files=files, clock=clock.steady)
    return http.Nginx(hls, rtmp)


def _tables(
    config: Config,
    state: LiveState,
    accounts: AccountDirectory,
    *,
    announcer: Announcer,
    ice: IceServers,
    server: Server,
) -> dict[str, EventTable]:
    """Say which namespace takes which events; existing clients use `/` for all of them."""
    claims = Claims(accounts, alive=server.answers, clock=clock.steady)
    signaling = Signaling(
        state,
        accounts,
        announcer=announcer,
        ice=ice,
        claims=claims,
        busy=server.is_busy,
        clock=clock.steady,
        wall=clock.wall,
        enforce_sdp=config.enforce_sdp,
    )
    rooms = Rooms(state, accounts, announcer=announcer, claims=claims, clock=clock.steady, wall=clock.wall)
    groups = {
        "/signaling": signaling_events(signaling),
        "/room": room_events(rooms),
        "/chat": chat_events(rooms),
    }
    everything = {event: handler for table in groups.values() for event, handler in table.items()}
    return {"/": everything, **groups}


def _flask(config: Config) -> Flask:
    app = Flask("vws", template_folder=str(PROJECT / "templates"), static_folder=str(PROJECT / "static"))
    app.url_map.merge_slashes = False  # or a redirect would lead to whatever host the request names
    app.config["MAX_CONTENT_LENGTH"] = config.max_message_size
    app.jinja_env.globals["demos"] = DEMOS if config.demo else {}
    return app


def _server(config: Config) -> Server:
    engine_options: dict[str, Any] = {
        "async_mode": "gevent",
        "ping_interval": PING_INTERVAL,
        "ping_timeout": PING_TIMEOUT,
        "max_http_buffer_size": config.max_message_size,
        "max_send_buffer": config.max_send_buffer,
        "cors_allowed_origins": "*" if "*" in config.allowed_origins else list(config.allowed_origins),
        "address_of": lambda environ: client_address(environ, config.trusted_proxies),
    }
    return Server(
        engine_options=engine_options,
        connect_timeout=config.connect_timeout,
        json=strict_json,
        async_handlers=False,
    )


def _mount(app: Flask, server: Server, config: Config) -> SocketIO:
    """Put the Socket.IO server in front of the Flask app, and the gate in front of both."""
    pages = app.wsgi_app
    socketio = SocketIO(server)
    socketio.init_app(app)
    gate = Gate(
        app.wsgi_app,
        pages,
        server.eio,
        at_once=config.max_connections,
        per_address=config.max_connections_per_address,
        is_proxy=lru_cache(partial(_is_proxy, config)),
    )
    socketio.entrance = gate
    app.wsgi_app = gate  # type: ignore[method-assign]  # how Flask is meant to be wrapped
    return socketio


def _is_proxy(config: Config, address: str) -> bool:
    """Tell whether an address stands for many clients; on a Unix socket there is none, but a proxy."""
    return not address or is_trusted(address, config.trusted_proxies)


def _ready(database: Any, accounts: AccountDirectory) -> dict[str, str]:
    """Check what the program depends on; each component with what is wrong, or an empty string."""
    problem = ""
    try:
        db.ping(database)
    except Unavailable as error:
        problem = error.message
    return {"database": problem, "accounts": "" if accounts.loaded else "not loaded yet"}


def _start(config: Config, reloader: Reloader, accounts: AccountDirectory, *, state: LiveState) -> None:
    """Load the accounts, and begin with what is done beside everything else."""
    reloader.try_to_reload()
    again = partial(gevent.sleep, config.account_retry)
    gevent.spawn(repeat, "reload", reloader.try_to_reload, sleep=again, done=lambda: accounts.loaded)
    gevent.spawn(repeat, "sweep", partial(_sweep, state), sleep=partial(gevent.sleep, SWEEP_EVERY))


def _sweep(state: LiveState) -> None:
    state.sweep(when=clock.steady())
