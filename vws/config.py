"""Settings: one frozen `Config`, read from environment variables and `.env`.

Every attribute of `Config` is one variable, and its row says everything about it: name, reader, default,
meaning, how it may be shown. A blank value, and one that starts with ``#``, means the default: an old
``.env`` holds lines like ``STATIC_TOKEN=#explanation``, and the explanation must not become a token.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from dotenv import dotenv_values

from vws import readers as read
from vws.errors import ConfigError
from vws.readers import Setting

__all__ = ["SETTINGS", "Config", "TLSFiles", "load"]

T = TypeVar("T")
_MILLIARD = 1_000_000_000
_SQLITE = "sqlite:///vws.db"


def _row(
    name: str,
    reader: Callable[[str], T],
    *,
    about: str,
    default: str = "",
    development: str | None = None,
    show: Callable[[Any], str] = read.show_plain,
) -> T:
    setting = Setting(name, reader, about, default, development, show)
    value: T = field(default=reader(default), metadata={"setting": setting}, repr=setting.open)
    return value


def _secret(name: str, *, about: str, reader: Callable[[str], str] = read.text) -> str:
    return _row(name, reader, about=about, show=read.show_secret)


def _flag(name: str, *, about: str, development: str | None = None) -> bool:
    return _row(name, read.flag, about=about, default="false", development=development)


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """Paths of the PEM files the server speaks HTTPS with."""

    key: str
    cert: str


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Times are in seconds, sizes in bytes."""

    development: bool = _row(
        "VWS_ENV",
        read.mode,
        default="production",
        about="The word development, or production. When blank, NODE_ENV says it.",
        show=read.show_mode,
    )
    host: str = _row(
        "HOST", read.host, default="0.0.0.0", development="127.0.0.1", about="Address to listen on."
    )
    port: int = _row("PORT", read.port, default="3000", about="Port to listen on.")
    certificate: str = _row(
        "CERTIFICATE",
        read.text,
        about="Where .key and .crt (or .pem) files are, without the ending: turns HTTPS on.",
    )

    static_token: str = _secret("STATIC_TOKEN", about="One token for every client, known to all of them.")
    static_account: str = _row(
        "STATIC_ACCOUNT",
        read.text,
        about="Name of an account beside the database, for user/pin authentication.",
    )
    static_login: str = _row(
        "STATIC_LOGIN",
        read.url("http", "https"),
        show=read.show_url,
        about="URL that checks user and pin for STATIC_ACCOUNT.",
    )
    extra_security: bool = _flag(
        "EXTRA_SECURITY", about="In production, refuse clients without telling the reason."
    )
    api_key: str = _secret("API_KEY", about="Key of the HTTP API; without one it is closed in production.")

    database_url: str = _row(
        "DATABASE_URL",
        read.database_url,
        default=_SQLITE,
        show=read.show_url,
        about="sqlite:///path or mysql://user:password@host:port/name; wins over DB_HOST and its companions.",
    )
    account_retry: int = _row(
        "ACCOUNT_RETRY",
        read.whole(1, 86400),
        default="10",
        about="Seconds between tries to read the accounts.",
    )
    redis_url: str = _row(
        "REDIS_URL",
        read.url("redis", "rediss"),
        show=read.show_url,
        about="URL of a Redis server; does nothing yet.",
    )

    stun_servers: tuple[str, ...] = _row(
        "STUN_SERVERS",
        read.items(read.stun_url),
        default="stun:stun.l.google.com:19302",
        about="STUN URLs for clients, with commas between; used without COTURN_SERVER.",
    )
    coturn_server: str = _row(
        "COTURN_SERVER", read.host_port, about="The STUN and TURN server, as host:port."
    )
    coturn_user: str = _row("COTURN_USER", read.turn_text, about="TURN user, the same for every client.")
    coturn_password: str = _secret(
        "COTURN_PASSWORD", about="Password of COTURN_USER; every client gets it.", reader=read.turn_text
    )
    coturn_secret: str = _secret(
        "COTURN_SECRET",
        about="coturn's static-auth-secret: gives every client credentials of its own, which expire.",
        reader=read.turn_text,
    )
    coturn_ttl: int = _row(
        "COTURN_TTL",
        read.whole(60, 31_536_000),
        default="43200",
        about="Seconds those credentials are good for.",
    )
    coturn_tls_port: int | None = _row(
        "COTURN_TLS_PORT",
        read.maybe(read.port),
        about="Port where COTURN_SERVER speaks TLS; adds turns: for clients.",
    )

    enforce_sdp: bool = _flag("ENFORCE_SDP", about="Write the plan's limits into offers and answers.")
    publish_takeover: bool = _flag(
        "PUBLISH_TAKEOVER", about="The newest to use a name or a channel always gets it."
    )
    shared_channels: bool = _flag(
        "SHARED_CHANNELS", about="All accounts share one space of channels and rooms, moderators included."
    )
    demo: bool = _flag(
        "DEMO",
        development="true",
        about="Serve the demo pages; in production their visitors type a token or pin.",
    )

    nginx_host: str = _row(
        "NGINX_HOST",
        read.url("http", "https"),
        show=read.show_url,
        about="URL of nginx with RTMP and HLS, like https://nginxServer:port; turns the module on.",
    )
    nginx_rtmp: str = _row(
        "NGINX_RTMP",
        read.url("rtmp", "rtmps"),
        about="URL to broadcast to, like rtmp://nginxServer:1935/live.",
    )
    nginx_key: str = _secret("NGINX_KEY", about="Key that opens nginx's HLS playlists to this server.")
    nginx_hls_path: str = _row(
        "NGINX_HLS_PATH",
        read.text,
        about="nginx's hls_path, where it is on this machine: folders are made in it.",
    )
    nginx_stat: str = _row(
        "NGINX_STAT",
        read.url("http", "https"),
        show=read.show_url,
        about="URL of nginx's rtmp_stat page, like http://127.0.0.1:8081/stat, to measure streams by.",
    )
    nginx_update_interval: int = _row(
        "NGINX_UPDATE_INTERVAL",
        read.whole(1, 300),
        default="30",
        about="Seconds between nginx's updates of a stream: its notify_update_timeout.",
    )

    allowed_origins: tuple[str, ...] = _row(
        "ALLOWED_ORIGINS",
        read.origins,
        default="*",
        about="Origins of pages that may connect, and read answers, with commas between.",
    )
    trusted_proxies: tuple[read.Network, ...] = _row(
        "TRUSTED_PROXIES",
        read.items(read.network),
        about="Proxies whose X-Forwarded-For is believed: addresses or networks.",
    )
    auth_rate_limit: int = _row(
        "AUTH_RATE_LIMIT",
        read.whole(0, _MILLIARD),
        default="30",
        development="120",
        about="Failed logins per address in 10 minutes; 0 lifts the limit.",
    )
    event_rate_limit: int = _row(
        "EVENT_RATE_LIMIT",
        read.whole(0, _MILLIARD),
        default="1000",
        about="Events per second per client, twice that in bursts; 0 lifts the limit.",
    )
    max_connections: int = _row(
        "MAX_CONNECTIONS",
        read.whole(0, _MILLIARD),
        default="20000",
        about="Open connections; 0 lifts the limit.",
    )
    max_connections_per_address: int = _row(
        "MAX_CONNECTIONS_PER_ADDRESS",
        read.whole(0, _MILLIARD),
        default="0",
        about="Open connections per client address; 0 lifts the limit.",
    )
    max_viewers: int = _row(
        "MAX_VIEWERS",
        read.whole(0, _MILLIARD),
        default="20000",
        about="HLS viewers at once; 0 lifts the limit.",
    )
    max_viewers_per_address: int = _row(
        "MAX_VIEWERS_PER_ADDRESS",
        read.whole(0, _MILLIARD),
        default="5000",
        about="HLS viewers at once from one client address; 0 lifts the limit.",
    )
    viewer_timeout: int = _row(
        "VIEWER_TIMEOUT",
        read.whole(1, 3600),
        default="30",
        about="Seconds without a request after which an HLS viewer is gone.",
    )
    max_message_size: int = _row(
        "MAX_MESSAGE_SIZE", read.whole(1_000, 100_000_000), default="1000000", about="Bytes in one message."
    )
    max_send_buffer: int = _row(
        "MAX_SEND_BUFFER",
        read.whole(1_000, _MILLIARD),
        default="1048576",
        about="Bytes that may wait for a client beside the largest message; with more it is dropped.",
    )
    max_channels_per_client: int = _row(
        "MAX_CHANNELS_PER_CLIENT",
        read.whole(1, _MILLIARD),
        default="1000",
        about="Channels one client may be in.",
    )
    max_rooms_per_client: int = _row(
        "MAX_ROOMS_PER_CLIENT", read.whole(1, _MILLIARD), default="100", about="Rooms one client may be in."
    )
    chat_history_ttl: int = _row(
        "CHAT_HISTORY_TTL",
        read.whole(0, 31_536_000),
        default="600",
        about="Seconds an empty room keeps its chat.",
    )
    connect_timeout: int = _row(
        "CONNECT_TIMEOUT",
        read.whole(1, 600),
        default="10",
        about="Seconds to say who one is after connecting.",
    )
    login_timeout: int = _row(
        "LOGIN_TIMEOUT", read.whole(1, 60), default="5", about="Seconds a login site has for its answer."
    )
    max_logins: int = _row(
        "MAX_LOGINS",
        read.whole(1, 100_000),
        default="1000",
        about="Logins waiting for login sites at once; for one of them, three quarters of that.",
    )
    log_level: str = _row(
        "LOG_LEVEL",
        read.choice("debug", "info", "warning", "error"),
        default="info",
        about="What is logged: debug, info, warning or error, and all that is worse.",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Config:
        """Read the variables given, and nothing else. Raises `ConfigError` for the first malformed one."""
        given = {row.name: _given(environ.get(row.name, "")) for row in SETTINGS}
        given["VWS_ENV"] = given["VWS_ENV"] or given["NODE_ENV"]
        given["DATABASE_URL"] = given["DATABASE_URL"] or _mysql_url(given)
        development = read.mode(given["VWS_ENV"])
        values: dict[str, Any] = {
            attribute: row.value(given[row.name], development=development)
            for attribute, row in _attributes().items()
        }
        return cls(**values)

    @property
    def tls(self) -> TLSFiles | None:
        """The files CERTIFICATE leads to, None without it. Raises `ConfigError` where they are missing."""
        if not self.certificate:
            return None
        prefix = self.certificate.removesuffix(".")
        key, *certs = (f"{prefix}.{ending}" for ending in ("key", "crt", "pem"))
        cert = next(filter(os.path.isfile, certs), "")
        if not cert or not os.path.isfile(key):
            raise ConfigError(f"CERTIFICATE must lead to two files: {key}, and {certs[0]} or {certs[1]}")
        return TLSFiles(key, cert)

    def describe(self) -> list[tuple[str, str]]:
        """List every variable with the value in effect, secrets masked."""
        return [(row.name, row.show(getattr(self, name))) for name, row in _attributes().items()]

    def problems(self) -> list[str]:
        """List what is allowed but worth a warning. Raises `ConfigError` for missing certificate files."""
        _ = self.tls  # raises
        production = not self.development
        nobody = not self.static_token and not self.static_account and self.database_url == _SQLITE
        turn = self.coturn_secret or (self.coturn_user and self.coturn_password)
        account, login = self.static_account, self.static_login
        nginx = self.nginx_rtmp or self.nginx_key or self.nginx_hls_path or self.nginx_stat
        checks = (
            (production and not self.api_key, "API_KEY is blank: in production that closes the HTTP API."),
            (production and self.static_token, "STATIC_TOKEN lets anybody in who has seen it."),
            (
                production and self.static_token and self.nginx_host,
                "STATIC_TOKEN opens the RTMP and HLS streams of every account.",
            ),
            (nobody, "STATIC_TOKEN is blank: only accounts in the file vws.db can connect, if it has some."),
            (self.development and self.extra_security, "EXTRA_SECURITY does nothing in development."),
            (account and not login, "STATIC_ACCOUNT does nothing without STATIC_LOGIN."),
            (login and not account, "STATIC_LOGIN does nothing without STATIC_ACCOUNT."),
            (self.coturn_user and not turn, "COTURN_USER does nothing without COTURN_PASSWORD."),
            (self.coturn_secret and self.coturn_password, "COTURN_SECRET is used, COTURN_PASSWORD is not."),
            (self.coturn_server and not turn, "COTURN_SERVER has no credentials: STUN only, no TURN."),
            (turn and not self.coturn_server, "COTURN credentials do nothing without COTURN_SERVER."),
            (
                self.coturn_tls_port and not self.coturn_server,
                "COTURN_TLS_PORT does nothing without COTURN_SERVER.",
            ),
            (self.redis_url, "REDIS_URL does nothing yet: this version keeps live state in memory."),
            (nginx and not self.nginx_host, "NGINX_… settings do nothing without NGINX_HOST."),
        )
        return [warning for applies, warning in checks if applies]


def load(directory: Path | None = None, environ: Mapping[str, str] | None = None) -> tuple[Config, list[str]]:
    """Read the environment and ``.env`` in the directory (the current one), the environment winning.

    Returns the warnings too: names in ``.env`` that mean nothing, then `Config.problems`.
    """
    environ = os.environ if environ is None else environ
    written = _read_env_file((directory or Path.cwd()) / ".env")
    config = Config.from_env({**written, **environ})
    return config, [*_unknown(written), *_unknown_mode({**written, **environ}), *config.problems()]


def _unknown_mode(given: Mapping[str, str]) -> list[str]:
    mode = _given(given.get("VWS_ENV", "")) or _given(given.get("NODE_ENV", ""))
    if mode in ("", "development", "production"):
        return []
    return [f"VWS_ENV or NODE_ENV is {mode[:40]!r}: anything but development means production."]


def _attributes() -> dict[str, Setting]:
    return {attribute.name: attribute.metadata["setting"] for attribute in fields(Config)}


_DB_HOST = Setting(
    "DB_HOST", read.host, about="MySQL or MariaDB server; when blank, accounts are in the file vws.db."
)
_DB_PORT = Setting("DB_PORT", read.port, about="Port of DB_HOST.", default="3306")
_FALLBACKS = (
    Setting("NODE_ENV", read.mode, about="Older name of VWS_ENV."),
    _DB_HOST,
    _DB_PORT,
    Setting("DB_USER", read.text, about="User at DB_HOST."),
    Setting("DB_PASSWORD", read.text, about="Password of DB_USER.", show=read.show_secret),
    Setting("DB_NAME", read.text, about="Database at DB_HOST."),
)

SETTINGS: tuple[Setting, ...] = (*_attributes().values(), *_FALLBACKS)
"""Every variable that is read: those of `Config`'s attributes, and those that stand in for one of them."""


def _given(raw: str) -> str:
    value = raw.strip()
    return "" if value.startswith("#") else value


def _mysql_url(given: Mapping[str, str]) -> str:
    """Make DATABASE_URL out of DB_HOST and its companions; blank without DB_HOST."""
    if not given["DB_HOST"]:
        return ""
    for name in ("DB_USER", "DB_NAME"):
        if not given[name]:
            raise ConfigError(f"{name} must be given, as DB_HOST is")
    user, password, name = (quote(given[part], safe="") for part in ("DB_USER", "DB_PASSWORD", "DB_NAME"))
    server = str(_DB_HOST.value(given["DB_HOST"]))
    address = f"[{server}]" if ":" in server else server
    return f"mysql://{user}:{password}@{address}:{_DB_PORT.value(given['DB_PORT'])}/{name}"


def _read_env_file(path: Path) -> dict[str, str]:
    """Read the file as it is written: no ``${...}`` expansion, passwords may hold that. None is no error."""
    try:
        written = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error.__class__.__name__}") from None
    return {name: value or "" for name, value in written.items()}


def _unknown(names: Mapping[str, str]) -> list[str]:
    known = [row.name for row in SETTINGS]
    return [f".env: nothing is called {name}{_hint(name, known)}" for name in names if name not in known]


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""
