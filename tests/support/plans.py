"""Accounts with plans of their own on a running server, and peers that publish and subscribe under them.

    name = plans.account({"bitrate": 500})
    alice = clients.token(f"{name}-token", server=plans.server)
    assert publish(alice, {"bitrate": 501}) == "Unfit: bitrate."

Accounts are never removed: each test has its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import peewee

from tests.support.client import Client
from tests.support.server import Server
from vws.db import AccountTable, PlanTable, connected

__all__ = ["Plans", "publish", "subscribe"]


@dataclass
class Plans:
    """A running server and the accounts in its database."""

    server: Server
    database: peewee.Database
    login_url: str
    accounts: int = 0

    def account(self, plan: dict[str, Any] | None = None, **properties: Any) -> str:
        """Add an account of its own for a test; return its name. Its token is `<name>-token`."""
        self.accounts += 1
        name = f"Account {self.accounts}"
        with connected(self.database):
            plan_id = self._insert_plan(name, plan) if plan is not None else 0
            properties = {"loginURL": self.login_url, **properties}
            row = {"name": name, "token": f"{name}-token", "properties": json.dumps(properties)}
            AccountTable.insert({**row, "plan_id": plan_id, "created": 0}).execute(self.database)
        self.server.api("/update-accounts")
        return name

    def _insert_plan(self, name: str, plan: dict[str, Any]) -> int:
        row = {"name": name, "properties": json.dumps(plan)}
        return int(PlanTable.insert(row).execute(self.database))

    def change(self, name: str, plan: dict[str, Any]) -> None:
        """Change an account's plan, and have the server read it."""
        with connected(self.database):
            query = PlanTable.update(properties=json.dumps(plan)).where(PlanTable.name == name)
            assert query.execute(self.database) == 1
        self.server.api("/update-accounts")

    def stats(self, name: str) -> dict[str, Any]:
        """Return the account's statistics; nothing when there are none."""
        found: dict[str, Any] = self.server.api("/stats").get(name, {})
        return found

    def issues(self, name: str) -> dict[str, int]:
        found: dict[str, int] = self.stats(name).get("issues", {})
        return found


def publish(client: Client, params: Any = None, *, peer: str = "Alice", channel: str = "Lobby") -> str:
    """Publish; return nothing when the client is live, else what both error messages say."""
    args = [peer, channel] if params is None else [peer, channel, params]
    answer = client.call("publish", *args)
    if answer == {"ok": True}:
        assert client.message("peers")["target"] == peer
        return ""
    assert answer["ok"] is False
    shown = client.wait("publishError")
    assert shown == [{"from": "_server_", "to": peer, "message": answer["error"]["message"]}]
    return str(answer["error"]["message"])


def subscribe(client: Client, peer: str, channel: str = "Lobby") -> str:
    """Subscribe; return nothing when the client is in the channel, else what both error messages say."""
    answer = client.call("subscribe", peer, channel)
    if answer == {"ok": True}:
        return ""
    shown = client.wait("subscribeError")
    assert shown == [{"from": "_server_", "to": peer, "message": answer["error"]["message"]}]
    return str(answer["error"]["message"])
