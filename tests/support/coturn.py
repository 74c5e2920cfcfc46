"""A real STUN and TURN server: Debian's coturn in a folder of its own, on free ports of 127.0.0.1.

    def test_relay(make_coturn: MakeCoturn, make_server: MakeServer) -> None:
        turn = make_coturn()                         # one user with a password; UDP and TCP
        turn = make_coturn(secret="north")           # credentials that expire: use-auth-secret
        turn = make_coturn(tls=True)                 # and TLS, by a certificate that `turn.ca` signed
        turn = make_coturn(tcp=False)                # UDP and nothing else
        server = make_server(**turn.settings)        # COTURN_SERVER and its companions

`turn.stop()` ends it, `turn.start()` brings it back on the same ports; `turn.log()` is what it wrote. For
other scopes than a test's, `running_coturn(…)` is the same as a context manager.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import trustme

from tests.support.require import need
from tests.support.server import ROOT, free_port, until

__all__ = ["Coturn", "ExampleCoturn", "MakeCoturn", "make_coturn", "running_coturn"]

EXAMPLE = ROOT / "deploy/coturn/turnserver.conf.example"

START_SECONDS = 20
STOP_SECONDS = 10
BINDING_REQUEST = b"\x00\x01\x00\x00\x21\x12\xa4\x42"  # no attributes, the magic cookie; an id follows


@dataclass(frozen=True, slots=True)
class Options:
    """How a turnserver is set up; with a secret, user and password mean nothing."""

    user: str = "vws"
    password: str = "p@ss w:rd"
    secret: str = ""
    realm: str = "turn.example"
    tcp: bool = True
    tls: bool = False
    loopback_peers: bool = True
    """Whether it relays to 127.0.0.1, where everybody in the tests is."""


class MakeCoturn(Protocol):
    """What `make_coturn` is; options as in `Options`."""

    def __call__(self, **options: Any) -> Coturn: ...


class Coturn:
    """One turnserver; `server` is its address as COTURN_SERVER has it."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.options = options
        self.port = free_port()
        self.server = f"127.0.0.1:{self.port}"
        self.tls_port = free_port() if options.tls else None
        self.ca = trustme.CA()
        self._write_settings()

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of a server that gives its clients this one."""
        options = self.options
        login = {"COTURN_USER": options.user, "COTURN_PASSWORD": options.password}
        return {
            "COTURN_SERVER": self.server,
            **({"COTURN_SECRET": options.secret} if options.secret else login),
            **({"COTURN_TLS_PORT": str(self.tls_port)} if self.tls_port else {}),
        }

    def start(self) -> Coturn:
        """Start the process and return once it answers on every transport."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [need("turnserver"), "-c", str(self._folder / "turnserver.conf"), *self._arguments()],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until(self._answers, timeout=START_SECONDS, what=lambda: f"turnserver to start:\n{self.log()}")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process. Safe to repeat."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log(self) -> str:
        """Return everything it wrote so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _arguments(self) -> list[str]:
        return []

    def _write_settings(self) -> None:
        lines = [*self._access(), *self._transports(), *self._place()]
        (self._folder / "turnserver.conf").write_text("".join(f"{line}\n" for line in lines))

    def _access(self) -> list[str]:
        options = self.options
        login = ["lt-cred-mech", f"user={options.user}:{options.password}"]
        expiring = ["use-auth-secret", f"static-auth-secret={options.secret}"]
        loopback = ["allow-loopback-peers"] if options.loopback_peers else []
        return [*(expiring if options.secret else login), f"realm={options.realm}", *loopback]

    def _transports(self) -> list[str]:
        tcp = [] if self.options.tcp else ["no-tcp"]
        return [f"listening-port={self.port}", "no-dtls", *tcp, *(self._tls() or ["no-tls"])]

    def _tls(self) -> list[str]:
        if self.tls_port is None:
            return []
        certificate, key = self._write_certificate()
        return [f"tls-listening-port={self.tls_port}", f"cert={certificate}", f"pkey={key}"]

    def _write_certificate(self) -> tuple[Path, Path]:
        certificate, key = self._folder / "tls.crt", self._folder / "tls.key"
        leaf = self.ca.issue_cert("127.0.0.1", "localhost")
        leaf.private_key_pem.write_to_path(key)
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return certificate, key

    def _place(self) -> list[str]:
        return [
            "listening-ip=127.0.0.1",
            "relay-ip=127.0.0.1",
            f"userdb={self._folder / 'turndb'}",
            f"pidfile={self._folder / 'pid'}",
            "no-cli",  # a port of its own, always the same
            "log-file=stdout",
            "verbose",
        ]

    def _answers(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"turnserver ended with {code}:\n{self.log()}"
        tcp = not self.options.tcp or self._answers_tcp()
        return tcp and self._answers_udp() and (self.tls_port is None or self._answers_tls())

    def _answers_udp(self) -> bool:
        with socket.socket(type=socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.settimeout(0.5)
            probe.connect(("127.0.0.1", self.port))
            probe.send(BINDING_REQUEST + os.urandom(12))
            return probe.recv(2048).startswith(b"\x01\x01")
        return False

    def _answers_tcp(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _answers_tls(self) -> bool:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        address = ("127.0.0.1", self.tls_port)
        with (
            contextlib.suppress(OSError),
            socket.create_connection(address, timeout=1) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            return True
        return False


class ExampleCoturn(Coturn):
    """One on the example that people copy, with what it asks for filled in, and ports that are free."""

    def _write_settings(self) -> None:
        (self._folder / "turnserver.conf").write_text(self._filled_in(EXAMPLE.read_text()))

    def _filled_in(self, text: str) -> str:
        certificate, key = self._write_certificate()
        values = {
            r"203\.0\.113\.7": "127.0.0.1",
            r"(?<=^realm=).*": self.options.realm,
            r"^#static-auth-secret=": f"static-auth-secret={self.options.secret}",
            r"(?<=^listening-port=).*": str(self.port),
            r"(?<=^tls-listening-port=).*": str(self.tls_port),
            r"(?<=^cert=).*": str(certificate),
            r"(?<=^pkey=).*": str(key),
        }
        for pattern, value in values.items():
            text, count = re.subn(pattern, value.replace("\\", r"\\"), text, flags=re.MULTILINE)
            assert count, f"{pattern} is not in {EXAMPLE}"
        return text

    def _arguments(self) -> list[str]:
        """Say what the example leaves to Debian's package, and that in tests everybody is on this machine."""
        place = {"userdb": "turndb", "pidfile": "pid"}
        files = [f"--{option}={self._folder / name}" for option, name in place.items()]
        return [*files, "--allow-loopback-peers"]


@contextmanager
def running_coturn(kind: type[Coturn] = Coturn, **options: Any) -> Iterator[Coturn]:
    """Run turnserver for as long as the block lasts; options as in `Options`."""
    need("turnserver")
    folder = Path(tempfile.mkdtemp(prefix="vws-coturn-"))
    try:
        server = kind(folder, Options(**options))
        try:
            yield server.start()
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_coturn() -> Iterator[MakeCoturn]:
    """Return the maker of STUN and TURN servers for this test; they stop at its end."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(running_coturn(**options))
