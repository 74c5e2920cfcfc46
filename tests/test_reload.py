"""Accounts change while the server runs, and databases come and go."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import peewee
import pytest

from tests.conftest import ACCOUNT, TOKEN, Clients, MakeServer
from tests.support.client import Client, ConnectRefused
from tests.support.mariadb import MariaDB
from tests.support.server import Server, free_port, row, until
from tests.support.shell import insert_account
from vws.db import AccountTable, PlanTable, connected, migrate, open_database

SUSPENDED = json.dumps({"suspended": True})


@pytest.fixture
def server_on(make_server: MakeServer, database: peewee.Database, database_url: str) -> Server:
    """A server with the accounts Alpha and Beta; every test that asks for it runs on both engines."""
    migrate(database)
    insert_account(database, "Alpha", "Alpha-token")
    insert_account(database, "Beta", "Beta-token")
    return make_server(DATABASE_URL=database_url)


@pytest.fixture
def quiet(make_server: MakeServer) -> Server:
    """A server in production on SQLite, for the command line."""
    return make_server(
        VWS_ENV="production",
        API_KEY="key",
        accounts=[row("Alpha", plan={"connections": 5}), row("Beta")],
    )


def change(database: peewee.Database, name: str, **columns: Any) -> None:
    with connected(database):
        query = AccountTable.update(columns).where(AccountTable.name == name)
        assert query.execute(database) == 1


def refusal(client: Client, auth: Any) -> str:
    with pytest.raises(ConnectRefused) as refused:
        client.connect(auth)
    return refused.value.message


def works(*connections: Client) -> bool:
    """Tell whether the server still answers each of the clients as one it knows."""
    answers = [client.call("unsubscribe", "Somebody", "Nowhere") for client in connections]
    return all(answer["error"]["code"] == "not-in-channel" for answer in answers)


# --- through the database and /update-accounts ---


def test_whoever_lost_the_right_to_be_here_is_disconnected_and_nobody_else(
    server_on: Server, clients: Clients, database: peewee.Database
) -> None:
    ended = {"Suspended": "account suspended", "Deleted": "account deleted", "Other": "account token changed"}
    for name in ended:
        insert_account(database, name, f"{name}-token")
    server_on.api("/update-accounts")
    static, beta = clients.token(server=server_on), clients.token("Beta-token", server=server_on)
    user = clients.verified("Alice", server=server_on)
    assert beta.call("publish", "Alice", "Lobby", {})["ok"]
    gone = [clients.token(f"{name}-token", server=server_on) for name in ended for _ in range(2)]
    for alice, bob in zip(gone[::2], gone[1::2], strict=True):
        assert alice.call("publish", "Alice", "Lobby", {})["ok"]
        assert bob.call("subscribe", "Bob", "Lobby")["ok"]
    change(database, "Suspended", properties=SUSPENDED)
    change(database, "Other", token="Other-token-2")
    with connected(database):
        AccountTable.delete().where(AccountTable.name == "Deleted").execute(database)
    assert works(*gone)  # nothing happens before the reload
    assert server_on.api("/update-accounts") == {
        "status": "Updating Accounts",
        "accounts": 4,
        "plans": 0,
        "skipped": [],
        "warnings": [],
        "disconnected": 6,
    }
    for client in gone:
        client.wait_closed()
    assert works(static, beta, user)
    # They left everything at once, and their old tokens are good for nothing.
    assert [[name, list(peers)] for name, peers in server_on.api("/connections")] == [["Lobby", ["Alice"]]]
    assert set(server_on.api("/stats")) == {"_static", ACCOUNT, "Beta"}
    suspended = "ERROR: Account is suspended: Suspended"
    assert refusal(clients(server_on), {"token": "Suspended-token"}) == suspended
    for name in ("Deleted", "Other"):
        assert refusal(clients(server_on), {"token": f"{name}-token"}) == "ERROR: Authentication error"
    assert clients.token("Other-token-2", server=server_on).is_open()
    for name, reason in ended.items():
        server_on.wait_log(f'disconnect .*account={name} .*reason="{reason}"', count=2)


def test_what_a_reload_brings_holds_from_then_on(
    server_on: Server, clients: Clients, database: peewee.Database
) -> None:
    alpha = clients.token("Alpha-token", server=server_on)
    assert refusal(clients(server_on), {"token": "Gamma-token"}) == "ERROR: Authentication error"
    with connected(database):
        plan = PlanTable.insert({"name": "Small", "properties": '{"bitrate": 100}'}).execute(database)
    change(database, "Alpha", plan_id=plan)
    insert_account(database, "Gamma", "Gamma-token")
    insert_account(database, "Broken", "Broken-token", "{")
    answer = server_on.api("/update-accounts")
    assert (answer["accounts"], answer["plans"], answer["disconnected"]) == (3, 1, 0)
    assert [skipped["row"] for skipped in answer["skipped"]] == ["account 4 'Broken'"]
    assert clients.token("Gamma-token", server=server_on).is_open()
    # The live socket stays, under the new plan.
    assert alpha.call("publish", "Alice", "Lobby", {"bitrate": 101})["error"]["message"] == "Unfit: bitrate."
    with connected(database):
        PlanTable.update(properties="{}").execute(database)
    assert server_on.api("/update-accounts")["disconnected"] == 0
    assert alpha.call("publish", "Alice", "Lobby", {"bitrate": 101})["ok"]


def test_a_table_that_is_gone_keeps_the_accounts(
    server_on: Server, clients: Clients, database: peewee.Database
) -> None:
    alpha = clients.token("Alpha-token", server=server_on)
    with connected(database):
        peewee.RawQuery("ALTER TABLE accounts RENAME TO elsewhere").execute(database)
    failed = server_on.get("/update-accounts")
    assert failed.status_code == 503
    assert failed.json()["status"] == "Update failed"
    assert "accounts" in failed.json()["error"]
    server_on.wait_log("error reload-failed")
    assert works(alpha, clients.token("Beta-token", server=server_on))
    with connected(database):
        peewee.RawQuery("ALTER TABLE elsewhere RENAME TO accounts").execute(database)
    assert server_on.api("/update-accounts")["accounts"] == 2
    assert works(alpha)


# --- through the command line, which asks for the reload itself ---


def test_every_change_on_the_command_line_takes_effect_at_once(quiet: Server, clients: Clients) -> None:
    static, beta = clients.token(server=quiet), clients.token("Beta-token", server=quiet)
    alpha = clients.token("Alpha-token", server=quiet)
    assert '"disconnected":1' in quiet.run_cli("accounts", "suspend", "Alpha")
    alpha.wait_closed()
    assert refusal(clients(quiet), {"token": "Alpha-token"}) == "ERROR: Account is suspended: Alpha"
    quiet.run_cli("accounts", "suspend", "Alpha", "--off")
    alpha = clients.token("Alpha-token", server=quiet)
    quiet.run_cli("plans", "update", "Alpha plan", "--connections", "1", "--bitrate", "100")
    full = "ERROR: Account connection limit exceeded:1/1"
    assert refusal(clients(quiet), {"token": "Alpha-token"}) == full
    assert alpha.call("publish", "Alice", "Lobby", {"bitrate": 101})["error"]["message"] == "Unfit: bitrate."
    quiet.run_cli("accounts", "rotate-token", "Alpha", "--token", "Alpha-token-2")
    alpha.wait_closed()
    assert refusal(clients(quiet), {"token": "Alpha-token"}) == "ERROR: Authentication error"
    alpha = clients.token("Alpha-token-2", server=quiet)
    quiet.run_cli("accounts", "remove", "Alpha")
    alpha.wait_closed()
    assert refusal(clients(quiet), {"token": "Alpha-token-2"}) == "ERROR: Authentication error"
    quiet.run_cli("accounts", "add", "Gamma", "--token", "Gamma-token")
    assert works(static, beta, clients.token("Gamma-token", server=quiet))
    assert "-token" not in "\n".join(line for line in quiet.log().splitlines() if line[:2] == "20")


# --- a database that comes and goes ---


class Cable:
    """A port of 127.0.0.1 that leads to a database server while it is plugged in."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._ends: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def plug(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._carry, args=(self._listener,), daemon=True).start()

    def pull(self) -> None:
        """Cut every connection, and refuse new ones."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _carry(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                threading.Thread(target=_join, args=(near, far), daemon=True).start()


def _join(near: socket.socket, far: socket.socket) -> None:
    with near, far, contextlib.suppress(OSError):
        while True:
            for end in select.select([near, far], [], [])[0]:
                data = end.recv(65536)
                if not data:
                    return
                (far if end is near else near).sendall(data)


@pytest.fixture
def cable(mariadb: MariaDB) -> Iterator[Cable]:
    cable = Cable(mariadb.port)
    yield cable
    cable.pull()


@pytest.fixture
def filled(mariadb: MariaDB) -> str:
    """Return the URL of a database in MariaDB that has an account."""
    url = mariadb.new_database()
    database = open_database(url)
    migrate(database)
    insert_account(database, "Alpha", "Alpha-token")
    return url


def through(cable: Cable, url: str) -> str:
    return url.replace(f":{urlsplit(url).port}/", f":{cable.port}/")


def readiness(server: Server) -> tuple[int, dict[str, str]]:
    answer = server.get("/ready")
    return answer.status_code, answer.json()["components"]


def test_a_database_that_stops_keeps_everybody_and_one_that_is_back_is_read(
    make_server: MakeServer, clients: Clients, cable: Cable, filled: str
) -> None:
    cable.plug()
    server = make_server(DATABASE_URL=through(cable, filled))
    alpha = clients.token("Alpha-token", server=server)
    assert readiness(server) == (200, {"database": "ok", "accounts": "ok"})
    cable.pull()
    failed = server.get("/update-accounts")
    assert (failed.status_code, failed.json()["status"]) == (503, "Update failed")
    assert failed.json()["error"]
    until(lambda: readiness(server)[0] == 503)
    components = readiness(server)[1]
    assert components["accounts"] == "ok"
    assert components["database"] != "ok"
    assert server.get("/health").status_code == 200
    assert works(alpha, clients.token("Alpha-token", server=server), clients.token(server=server))
    cable.plug()
    assert server.api("/update-accounts")["disconnected"] == 0
    until(lambda: readiness(server) == (200, {"database": "ok", "accounts": "ok"}))
    assert works(alpha)
    assert "p@ss" not in server.log()
    assert "p%40ss" not in server.log()


def test_a_database_that_is_down_at_start_is_tried_again_beside_the_static_token(
    make_server: MakeServer, clients: Clients, cable: Cable, filled: str
) -> None:
    server = make_server(DATABASE_URL=through(cable, filled), ACCOUNT_RETRY="1")
    static, user = clients.token(server=server), clients.verified("Alice", server=server)
    assert works(static, user)
    assert refusal(clients(server), {"token": "Alpha-token"}) == "ERROR: Authentication error"
    status, components = readiness(server)
    assert (status, components["accounts"]) == (503, "not loaded yet")
    assert server.get("/update-accounts").status_code == 503
    cable.plug()
    until(lambda: readiness(server) == (200, {"database": "ok", "accounts": "ok"}))
    assert clients.token("Alpha-token", server=server).is_open()
    assert works(static, user)


def test_tables_that_are_missing_at_start_are_no_reason_not_to_start(
    make_server: MakeServer, clients: Clients, mariadb: MariaDB
) -> None:
    server = make_server(DATABASE_URL=mariadb.new_database(), ACCOUNT_RETRY="1")
    assert works(clients.token(server=server), clients.verified("Alice", account=ACCOUNT, server=server))
    assert readiness(server)[1]["accounts"] == "not loaded yet"
    server.run_cli("migrate")
    until(lambda: readiness(server) == (200, {"database": "ok", "accounts": "ok"}))


def test_static_sockets_survive_whatever_the_database_says(make_server: MakeServer, clients: Clients) -> None:
    """A row may have the name of the static account, or its token: neither is the static one."""
    server = make_server(accounts=[row("Alpha")])
    static, user = clients.token(server=server), clients.verified("Alice", server=server)
    server.add_accounts(row(ACCOUNT, "other-token", suspended=True), row("_static", "third-token"))
    server.add_accounts(row("Thief", TOKEN, suspended=True))
    assert server.api("/update-accounts")["disconnected"] == 0
    assert works(static, user, clients.token(server=server), clients.verified("Bob", server=server))
