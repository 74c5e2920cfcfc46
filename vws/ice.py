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

    def peer_config(self, account: str, user: str) -> dict[str, Any]:
        """Give ``{"iceServers": […]}`` for one client; call again for each, as credentials may be its own."""
        server = self._config.coturn_server
        if not server:
            return {"iceServers": [{"urls": list(self._config.stun_servers)}]}
        entries: list[dict[str, Any]] = [{"urls": [f"stun:{server}"]}]
        username, credential = self._credentials(account, user)
        if username and credential:  # browsers refuse a whole configuration with a turn: URL that has none
            entries.append({"username": username, "credential": credential, "urls": self._turn_urls()})
        return {"iceServers": entries}

    def _turn_urls(self) -> list[str]:
        server, tls_port = self._config.coturn_server, self._config.coturn_tls_port
        urls = [f"turn:{server}?transport=udp", f"turn:{server}?transport=tcp"]
        if tls_port is not None:
            host = server.rpartition(":")[0]
            urls.append(f"turns:{host}:{tls_port}?transport=tcp")
        return urls

    def _credentials(self, account: str, user: str) -> tuple[str, str]:
        config = self._config
        if not config.coturn_secret:
            return config.coturn_user, config.coturn_password
        return _expiring(config.coturn_secret, int(self._clock()) + config.coturn_ttl, f"{account}/{user}")


def _expiring(secret: str, expiry: int, user: str) -> tuple[str, str]:
    """Make a username and its credential as coturn's ``use-auth-secret`` checks them.

    coturn refuses usernames with spaces, quotes or backslashes: those are percent-encoded.
    """
    username = f"{expiry}:{quote(user, safe='/', errors='replace')[:_LONGEST_USER]}"
    digest = hmac.digest(secret.encode(), username.encode(), hashlib.sha1)
    return username, base64.b64encode(digest).decode()
