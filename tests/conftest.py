"""Fixtures for every test: servers, clients, a login site, certificates. See the modules of `tests.support`.

`server` is one development server for the whole session, left idle by each test that uses it: the static
token is `TOKEN`, the static account `ACCOUNT` with user/pin logins at the login site's /moderator (the pin
`wrong` is refused, users named `mod…` are moderators). `make_server` starts others, for one test. `clients`
opens test clients, to `server` unless told otherwise, and closes them; `python_client` does so with
python-socketio's own client. `log` is what this process logs.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import requests
import socketio
import trustme
from hypothesis import HealthCheck, settings

from tests.support.client import Client
from tests.support.login_site import LoginSite
from tests.support.login_site import login_site as run_login_site
from tests.support.server import Row, Runner, Server
from vws import logs

pytest_plugins = [
    "tests.support.browser",
    "tests.support.coturn",
    "tests.support.mariadb",
    "tests.support.nginx",
    "tests.support.shell",
    "tests.support.visits",
]

# How busy the machine is says nothing about what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

TOKEN = "static-token"
ACCOUNT = "Test Account"  # with a space: user/pin works for any name
NO_STUN = "stun:127.0.0.1:9"  # nobody answers there: no test asks servers of others


class MakeServer(Protocol):
    """What `make_server` is: settings by name, over the static token, account and login site of the tests."""

    def __call__(
        self,
        *,
        runner: Runner = Runner.APP,
        accounts: Iterable[Row] = (),
        tls: bool = False,
        start: bool = True,
        **settings: str,
    ) -> Server: ...


class Clients:
    """Opens clients for a test; what is still open at its end is closed."""

    def __init__(self, server: Callable[[], Server]) -> None:
        self._server = server
        self._open: list[Client] = []

    def __call__(self, server: Server | None = None, **options: Any) -> Client:
        """Open a connection without a namespace yet; options as for `Client`."""
        server = server or self._server()
        client = Client(server.url, ca=server.ca, **options)
        self._open.append(client)
        return client

    def token(
        self, token: str = TOKEN, *, server: Server | None = None, namespace: str = "/", **options: Any
    ) -> Client:
        """Connect with a token: an unverified user."""
        return self._connect({"token": token}, server, namespace, **options)

    def verified(
        self,
        user: str,
        *,
        pin: str = "1234",
        account: str = ACCOUNT,
        server: Server | None = None,
        namespace: str = "/",
        **options: Any,
    ) -> Client:
        """Connect with account, user and pin: a verified user."""
        return self._connect({"account": account, "user": user, "pin": pin}, server, namespace, **options)

    def _connect(self, auth: dict[str, str], server: Server | None, namespace: str, **options: Any) -> Client:
        client = self(server, **options)
        client.connect(auth, namespace)
        return client

    def close(self) -> None:
        for client in self._open:
            client.close()


@pytest.fixture(scope="session")
def session_login_site() -> Iterator[LoginSite]:
    with run_login_site() as site:
        yield site


@pytest.fixture
def login_site(session_login_site: LoginSite) -> Iterator[LoginSite]:
    """Return the login site, with nothing asked yet and nobody left waiting."""
    session_login_site.reset()
    yield session_login_site
    session_login_site.release()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return the certificate authority that signs the servers' certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def start_server(
    session_login_site: LoginSite, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> MakeServer:
    """Return the maker of servers for fixtures of any scope; who calls it ends them with `finish`."""

    def start(
        *,
        runner: Runner = Runner.APP,
        accounts: Iterable[Row] = (),
        tls: bool = False,
        start: bool = True,
        **settings: str,
    ) -> Server:
        folder = tmp_path_factory.mktemp("server")
        static = {
            "STATIC_TOKEN": TOKEN,
            "STATIC_ACCOUNT": ACCOUNT,
            "STATIC_LOGIN": session_login_site.url("/moderator"),
            "STUN_SERVERS": NO_STUN,
        }
        if tls:
            static["CERTIFICATE"] = _write_certificate(authority, folder)
        server = Server(
            folder,
            static | settings,
            runner=runner,
            accounts=accounts,
            ca=str(folder / "ca.pem") if tls else None,
        )
        return server.start() if start else server

    return start


@pytest.fixture(scope="session")
def session_server(start_server: MakeServer) -> Iterator[Server]:
    # Tests that are refused on purpose share one address; they must not run into the limit for guessing.
    server = start_server(AUTH_RATE_LIMIT="0")
    with finishing([server]):
        yield server


@pytest.fixture
def server(session_server: Server) -> Iterator[Server]:
    """Return the session's server; nobody may be left in a channel or room after the test."""
    yield session_server
    session_server.idle()


@pytest.fixture
def make_server(start_server: MakeServer) -> Iterator[MakeServer]:
    """Return the maker of servers for this test; they stop at its end, in order and without a traceback."""
    servers: list[Server] = []

    def make(*, start: bool = True, **options: Any) -> Server:
        server = start_server(start=False, **options)
        servers.append(server)
        return server.start() if start else server

    with finishing(servers):
        yield make


@pytest.fixture
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Return the opener of test clients: `clients.token()`, `clients.verified("Alice")`, `clients()`."""
    opened = Clients(_servers_first(request))
    yield opened
    opened.close()


@pytest.fixture
def python_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., socketio.Client]]:
    """Return a maker of python-socketio's own client: polling, upgrades, several namespaces.

    `python_client(server, transports=["polling"], auth={"token": TOKEN})` connects and returns it.
    """
    _servers_first(request)
    opened: list[socketio.Client] = []

    def connect(server: Server, **options: Any) -> socketio.Client:
        session = requests.Session()
        session.trust_env = False  # another CA in the environment would win over ours
        session.verify = server.ca or True
        client = socketio.Client(reconnection=False, http_session=session)
        opened.append(client)
        client.connect(server.url, wait_timeout=10, **options)
        return client

    yield connect
    for client in opened:
        client.disconnect()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged at level info; pytest's own handlers are away meanwhile."""
    root, own = logging.getLogger(), logging.getLogger("vws")
    handlers, levels = root.handlers[:], (root.level, own.level)
    written = io.StringIO()
    logs.configure("info", written)
    yield written
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@contextlib.contextmanager
def finishing(servers: list[Server]) -> Iterator[None]:
    """Finish every server after the block, the others too when it raises, or one does not end in order."""
    with contextlib.ExitStack() as stack:
        stack.callback(_finish_all, servers)
        yield


def _finish_all(servers: list[Server]) -> None:
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.callback(server.finish)


def _servers_first(request: pytest.FixtureRequest) -> Callable[[], Server]:
    """Have the test's servers set up before its clients, so that they stop after the clients left."""
    if "make_server" in request.fixturenames:
        request.getfixturevalue("make_server")
    others = {"live", "make_server"}.intersection(request.fixturenames)
    if "live" in others:
        request.getfixturevalue("live")
    if "server" in request.fixturenames or not others:
        request.getfixturevalue("server")
    return lambda: request.getfixturevalue("server")


def _write_certificate(authority: trustme.CA, folder: Path) -> str:
    """Write ca.pem, tls.key and tls.crt; return the prefix for CERTIFICATE."""
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf.private_key_pem.write_to_path(folder / "tls.key")
    for index, blob in enumerate(leaf.cert_chain_pems):
        blob.write_to_path(folder / "tls.crt", append=index > 0)
    return str(folder / "tls")
