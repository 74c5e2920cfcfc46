"""A real nginx with RTMP and HLS beside a server, on exactly what `python -m vws nginx-config` prints.

    def test_publishing(rtmp: Rtmp) -> None:
        server = rtmp.server(accounts=[row("Acme", broadcastPin="1234")])
        alice = rtmp.publish("Acme/Stage?pin=1234")          # ffmpeg with a test picture and a tone
        alice.wait_live()
        probe(rtmp.hls("Acme/Stage"))                        # ffprobe; nginx's own HLS, with its key

`rtmp.server` starts a server, and an nginx for it on free ports in a temporary folder; both stop at the end
of the test, as do the ffmpegs. Tests that can do with a server that others used take `live` instead: it has
one already, and `live.accounts(row("Acme", broadcastPin="1234"))` gives it accounts for this test; issues,
files and the log go on, so what is looked for there needs an account's name of its own.
`rtmp_settings` says what a server is given. Without nginx, its RTMP module
or ffmpeg the tests are skipped, or fail where VWS_TEST_REQUIRE=all.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.require import missing, need
from tests.support.server import Row, Server, free_port, row, until

__all__ = [
    "KEY",
    "SILENCE_SECONDS",
    "UPDATE_SECONDS",
    "Nginx",
    "Player",
    "Publisher",
    "Rtmp",
    "live",
    "make_rtmp",
    "module_rtmp",
    "probe",
    "rtmp",
    "rtmp_settings",
]

KEY = "hls-key"
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
STOP_SECONDS = 10
START_SECONDS = 20
UPDATE_SECONDS = 2
SILENCE_SECONDS = 8


def rtmp_settings(folder: Path, **settings: str) -> dict[str, str]:
    """Return settings of a server for an nginx in the folder, on ports that are free."""
    return {
        "NGINX_HOST": f"http://127.0.0.1:{free_port()}",
        "NGINX_RTMP": f"rtmp://127.0.0.1:{free_port()}/live",
        "NGINX_STAT": f"http://127.0.0.1:{free_port()}/stat",
        "NGINX_KEY": KEY,
        "NGINX_HLS_PATH": str(folder / "hls"),
        "NGINX_UPDATE_INTERVAL": str(UPDATE_SECONDS),
        **settings,
    }


class Nginx:
    """One nginx, configured by the server's own command line."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._program = need("nginx")
        self.folder = folder
        self.path = folder / "nginx.conf"
        self.path.write_text(
            server.run_cli("nginx-config", "--folder", str(folder), "--user", getpass.getuser())
        )
        self._port = int(server.settings["NGINX_RTMP"].rpartition(":")[2].partition("/")[0])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Nginx:
        """Start, and return once it listens."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self.path), "-g", "daemon off;"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until(self._listens, timeout=START_SECONDS, what=lambda: f"nginx to start:\n{self.log()}")
        return self

    def limit_connections(self, workers: int, *, rtmp: int) -> None:
        """Start again with room for fewer connections: for all, and for those of RTMP."""
        self.stop()
        text = self.path.read_text()
        for name, number in (("worker_connections", workers), ("max_connections", rtmp)):
            text = re.sub(rf"\b{name} \d+;", f"{name} {number};", text)
        self.path.write_text(text)
        self.start()

    def stop(self) -> None:
        """Stop at once, telling the server of the streams that end. Safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            _end(process)

    def kill(self) -> None:
        """End master and worker without a word to anybody."""
        process, self._process = self._process, None
        assert process is not None
        for pid in [process.pid, *_children(process.pid)]:
            os.kill(pid, 9)
        process.wait()

    def log(self) -> str:
        """Return what it wrote on starting and into its error log."""
        files = [self.folder / "output", self.folder / "error.log"]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"nginx ended:\n{self.log()}"
        with socket.socket() as probe_socket:
            return probe_socket.connect_ex(("127.0.0.1", self._port)) == 0


class Publisher:
    """An ffmpeg that sends a moving picture and a tone until it is stopped, or thrown out."""

    def __init__(
        self,
        url: str,
        key: str,
        log: Path,
        *,
        server: Server,
        size: str = "160x120",
        options: tuple[str, ...] = (),
    ) -> None:
        self.stream = key.partition("?")[0].lstrip("/").partition("/")[2]
        self._server = server
        self._log = log
        app = url.rpartition("/")[2]
        target = ["-f", "flv", *options, "-rtmp_app", app, "-rtmp_playpath", key, url]
        self._process = _ffmpeg([*_picture(size), *target], log)

    def wait_live(self) -> Publisher:
        """Return once the server lists the stream; fail when ffmpeg ended before."""

        def live() -> bool:
            assert self._process.poll() is None, f"ffmpeg ended: {self.log()}"
            return self.stream in {name for name, shown in self._server.api("/channels")}

        until(live, timeout=20, what=lambda: f"{self.stream} to be live: {self.log()}")
        return self

    def wait_ended(self, *, timeout: float = 20) -> None:
        """Return once ffmpeg has ended because nginx refused it or threw it out."""
        until(lambda: self._process.poll() is not None, timeout=timeout, what=f"{self.stream} to end")
        assert self._process.returncode != 0, f"ffmpeg ended by itself: {self.log()}"

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End the broadcast in order. Safe to repeat."""
        if self.running:
            self._process.terminate()
        _end(self._process)

    def log(self) -> str:
        return self._log.read_text(errors="replace")


class Player:
    """An ffmpeg that reads a stream over RTMP until it is stopped, or thrown out."""

    def __init__(self, url: str, key: str, log: Path) -> None:
        self._log = log
        app = url.rpartition("/")[2]
        source = ["-rtmp_app", app, "-rtmp_playpath", key, "-i", url]
        self._process = _ffmpeg([*source, "-c", "copy", "-f", "null", "-"], log)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_ended(self, *, timeout: float = 20) -> None:
        until(
            lambda: not self.running,
            timeout=timeout,
            what=lambda: f"a player to end: {self._log.read_text()}",
        )

    def stop(self) -> None:
        if self.running:
            self._process.terminate()
        _end(self._process)


class Rtmp:
    """Starts servers with an nginx each, and ffmpegs that publish to the latest of them."""

    def __init__(self, make_server: Any, folder: Path) -> None:
        self._make_server = make_server
        self._folder = folder
        self._server: Server | None = None
        self._nginx: list[Nginx] = []
        self._ffmpegs: list[Publisher | Player] = []

    def server(self, **options: Any) -> Server:
        """Start a server, options as for `make_server`, and its nginx."""
        folder = self._folder / str(len(self._nginx))
        folder.mkdir()
        server: Server = self._make_server(**{**rtmp_settings(folder), **options})
        self._server = server
        self._nginx.append(Nginx(folder, server).start())
        return server

    def accounts(self, *accounts: Row) -> Server:
        """Have the server know these accounts and no others; return it."""
        assert self._server is not None
        self._server.sql("DELETE FROM accounts")
        self._server.add_accounts(*accounts)
        self._server.api("/update-accounts")
        return self._server

    def rest(self) -> None:
        """Stop what the test left, and return once nobody is there."""
        self._stop_ffmpegs()
        self.accounts().idle()

    @property
    def nginx(self) -> Nginx:
        return self._nginx[-1]

    def publish(self, key: str, **options: Any) -> Publisher:
        """Broadcast with a stream key like `Acme/Stage?pin=1234`."""
        assert self._server is not None
        publisher = Publisher(self._url, key, self._log(), server=self._server, **options)
        self._ffmpegs.append(publisher)
        return publisher

    def play(self, key: str) -> Player:
        """Play over RTMP, with a key like `Acme/Stage?pin=1234`."""
        player = Player(self._url, key, self._log())
        self._ffmpegs.append(player)
        return player

    def hls(self, stream: str) -> str:
        """Return the address of a stream's playlist on nginx itself; no viewer gets this one."""
        assert self._server is not None
        return f"{self._server.settings['NGINX_HOST']}/hls/{stream}/index.m3u8?key={KEY}"

    def wait_hls(self, stream: str) -> None:
        """Return once nginx has a playlist of the stream."""
        url = self.hls(stream)
        until(lambda: requests.get(url, timeout=5).ok, timeout=30, what=f"{url}")

    def _stop_ffmpegs(self) -> None:
        for ffmpeg in self._ffmpegs:
            ffmpeg.stop()
        self._ffmpegs.clear()

    def close(self) -> None:
        self._stop_ffmpegs()
        for nginx in self._nginx:
            nginx.stop()

    @property
    def _url(self) -> str:
        assert self._server is not None
        return self._server.settings["NGINX_RTMP"]

    def _log(self) -> Path:
        return self._folder / f"ffmpeg-{len(self._ffmpegs)}.log"


@contextlib.contextmanager
def make_rtmp(make_server: Any) -> Iterator[Rtmp]:
    """Run a block with an `Rtmp`, in a folder of its own: pytest's may be closed to nginx's worker."""
    need("nginx")
    need("ffmpeg")
    if not MODULE.exists():
        missing("nginx's RTMP module (libnginx-mod-rtmp)")
    folder = Path(tempfile.mkdtemp(prefix="vws-nginx-"))
    maker = Rtmp(make_server, folder)
    try:
        yield maker
    finally:
        maker.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def rtmp(make_server: Any) -> Iterator[Rtmp]:
    with make_rtmp(make_server) as maker:
        yield maker


@pytest.fixture(scope="module")
def module_rtmp(start_server: Any) -> Iterator[Rtmp]:
    """Return an `Rtmp` with a server; viewers of HLS are gone after `SILENCE_SECONDS` of silence there."""
    with contextlib.ExitStack() as servers:

        def make(**options: Any) -> Server:
            server: Server = start_server(**options)
            servers.callback(server.finish)
            return server

        with make_rtmp(make) as maker:
            maker.server(VIEWER_TIMEOUT=str(SILENCE_SECONDS), accounts=[row("Nobody")])
            yield maker


@pytest.fixture
def live(module_rtmp: Rtmp) -> Iterator[Rtmp]:
    yield module_rtmp
    module_rtmp.rest()


def probe(url: str) -> dict[str, Any]:
    """Have ffprobe look at an address; return the stream it found of each kind, by kind."""
    found = subprocess.run(
        [need("ffprobe"), "-v", "error", "-show_streams", "-of", "json", url],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )
    assert found.returncode == 0, found.stderr
    return {stream["codec_type"]: stream for stream in json.loads(found.stdout)["streams"]}


def _picture(size: str) -> list[str]:
    """Make 15 pictures and one key frame a second; nothing in it needs much of the machine."""
    return [
        *("-re", "-f", "lavfi", "-i", f"testsrc=size={size}:rate=15"),
        *("-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"),
        *("-g", "15", "-b:v", "100k", "-c:a", "aac", "-b:a", "32k"),
    ]


def _ffmpeg(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [need("ffmpeg"), "-nostdin", "-hide_banner", "-loglevel", "warning", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
