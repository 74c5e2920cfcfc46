"""The STUN and TURN servers that peers are given."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from vws.config import Config

__all__ = ["IceServers"]

_LONGEST_USER = 400
"""Characters: TURN allows 508 bytes in all, of which the expiry takes some."""


class IceServers:
    """Makes the `RTCPeerConnection` configuration of each client, credentials that expire included."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock

    def peer_config(self, account: str, user: str, *, lifetime: int | None = None) -> dict[str, Any]:
        """Give ``{"iceServers": […]}`` for one client; call again for each, as credentials may be its own.

        ``lifetime`` in seconds shortens that of credentials that expire.
        """
        entries = self._stun_entries()
        if self.relays:  # browsers refuse a whole configuration with a turn: URL that has no credentials
            username, credential = self._credentials(account, user, lifetime or self._config.coturn_ttl)
            entries.append({"username": username, "credential": credential, "urls": self._turn_urls()})
        return {"iceServers": entries}

    def public_config(self) -> dict[str, Any]:
        """Give the part that needs no credentials."""
        return {"iceServers": self._stun_entries()}

    @property
    def relays(self) -> bool:
        """Whether clients are given a TURN server."""
        config = self._config
        login = config.coturn_secret or (config.coturn_user and config.coturn_password)
        return bool(config.coturn_server and login)

    @property
    def shares_password(self) -> bool:
        """Whether every client gets one and the same TURN password, which is good for ever."""
        return self.relays and not self._config.coturn_secret

    def _stun_entries(self) -> list[dict[str, Any]]:
        server = self._config.coturn_server
        return [{"urls": [f"stun:{server}"] if server else list(self._config.stun_servers)}]

    def _turn_urls(self) -> list[str]:
        server, tls_port = self._config.coturn_server, self._config.coturn_tls_port
        urls = [f"turn:{server}?transport=udp", f"turn:{server}?transport=tcp"]
        if tls_port is not None:
            host = server.rpartition(":")[0]
            urls.append(f"turns:{host}:{tls_port}?transport=tcp")
        return urls

    def _credentials(self, account: str, user: str, lifetime: int) -> tuple[str, str]:
        config = self._config
        if not config.coturn_secret:
            return config.coturn_user, config.coturn_password
        expiry = int(self._clock()) + min(lifetime, config.coturn_ttl)
        return _expiring(config.coturn_secret, expiry, f"{account}/{user}")


def _expiring(secret: str, expiry: int, user: str) -> tuple[str, str]:
    """Make a username and its credential as coturn's ``use-auth-secret`` checks them.

    coturn refuses usernames with spaces, quotes or backslashes: those are percent-encoded.
    """
    username = f"{expiry}:{quote(user, safe='/', errors='replace')[:_LONGEST_USER]}"
    digest = hmac.digest(secret.encode(), username.encode(), hashlib.sha1)
    return username, base64.b64encode(digest).decode()
