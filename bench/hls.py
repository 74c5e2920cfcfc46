"""`python -m bench.hls`: what do viewers of HLS cost the server, in memory above all?

nginx serves a live stream of made-up pieces, the server passes it on, and viewers pull it as players do: a
playlist each time that a piece is due, and the piece. Then as many ask for a large piece and do not read it.
With its own numbers, none changed, the table goes into docs/hls.md.
"""

from __future__ import annotations

import argparse
import getpass
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.loop import Failed
from bench.machine import describe_machine, raise_file_limit
from bench.process import end
from bench.servers import ROOT, TOKEN, Contender, Launch, Server, free_port, started
from bench.signals import end_in_order

__all__ = ["main"]

KEY = "hls-key"
STREAM = "/hls/_static/Stage"
WINDOW = 5  # pieces in the playlist
PREPARED = 20  # pieces that the stream is made of, over and over
LARGE = 50_000_000  # bytes of the piece that nobody reads
DOCUMENT = ROOT / "docs" / "hls.md"
BEGIN, END = "<!-- from make bench-hls: -->\n", "<!-- until here -->\n"
GROWTH_MB = 5.0  # what pages may come and go without a leak
STALLED_KB = 400.0  # for each viewer that does not read

CONFIG = """
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /hls/ {{
            if ($arg_key != "{key}") {{ return 403; }}
            alias {folder}/hls/;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of viewers, kbps of the stream, and seconds: of a piece, and in all."""

    viewers: int = 200
    bitrate: int = 1500
    piece: float = 2.0
    seconds: float = 120.0

    @property
    def piece_bytes(self) -> int:
        return int(self.bitrate * 1000 / 8 * self.piece)


FULL = Plan()
"""What the documentation shows."""


HEAD = ("what", "measured", "bound", "held")


@dataclass(frozen=True, slots=True)
class Row:
    """What was asked and what came out, with its bound where there is one."""

    what: str
    measured: str
    bound: str = ""
    held: bool = True

    def cells(self) -> tuple[str, ...]:
        return (self.what, self.measured, self.bound, ("yes" if self.held else "NO") if self.bound else "")


@dataclass(slots=True)
class Tally:
    """What the viewers saw: seconds that playlists and pieces took, bytes, and what went wrong."""

    playlists: list[float] = field(default_factory=list)
    pieces: list[float] = field(default_factory=list)
    taken: int = 0
    errors: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both trials, say what they showed, and return 1 unless every bound holds."""
    plan = Plan(**vars(_parser().parse_args(arguments)))
    end_in_order()
    raise_file_limit()
    try:
        rows = _measure_both(plan)
    except Failed as error:
        _say(f"hls: {error}")
        return 1
    _say(_table(rows))
    held = all(row.held for row in rows)
    if plan == FULL and held:
        _document(_table(rows))
    return 0 if held else 1


def _measure_both(plan: Plan) -> list[Row]:
    with _upstream(plan) as (folder, settings):
        launch = Launch(settings=settings)
        with started(Contender.OURS, launch) as server:
            rows = _watch(plan, server)
        with started(Contender.OURS, launch) as server:
            return [*rows, _stall(plan, server, folder)]


def _table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, wide enough to be read as it is."""
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    lines = [" | ".join(map(str.ljust, row, widths)) for row in cells]
    return "\n".join(f"| {line} |" for line in lines)


def _document(table: str) -> None:
    """Put the table into the documentation, in the place of the last one."""
    machine = describe_machine()
    text = DOCUMENT.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    place = f"On {machine['CPU']}, {machine['kernel']}, Python {machine['Python']}:"
    DOCUMENT.write_text(f"{before}{BEGIN}\n{place}\n\n{table}\n\n{END}{after}")
    _say(f"written: {DOCUMENT}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.hls", description=__doc__)
    parser.add_argument("--viewers", type=int, default=FULL.viewers)
    parser.add_argument("--bitrate", type=int, default=FULL.bitrate, help="kbps of the stream")
    parser.add_argument("--piece", type=float, default=FULL.piece, help="seconds of a piece")
    parser.add_argument("--seconds", type=float, default=FULL.seconds)
    return parser


# The stream


@contextmanager
def _upstream(plan: Plan) -> Iterator[tuple[Path, dict[str, str]]]:
    """Run nginx with a live stream; yield the stream's folder, and the settings of a server for it."""
    folder = Path(tempfile.mkdtemp(prefix="vws-bench-hls-"))
    folder.chmod(0o755)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        stream = folder / "hls/_static/Stage"
        stream.mkdir(parents=True)
        for number in range(PREPARED):
            (stream / f"{number}.ts").write_bytes(os.urandom(plan.piece_bytes))
        port = free_port()
        undo.enter_context(_nginx(folder, port))
        undo.enter_context(_background(partial(_broadcast, plan, stream)))
        yield stream, {"NGINX_HOST": f"http://127.0.0.1:{port}", "NGINX_KEY": KEY}


@contextmanager
def _nginx(folder: Path, port: int) -> Iterator[None]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise Failed("nginx is not installed")
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, key=KEY, user=user))
    command = [program, "-c", str(config), "-p", str(folder), "-g", "daemon off;"]
    process = subprocess.Popen(command, start_new_session=True)  # noqa: S603
    try:
        _wait(lambda: _listens(port), "nginx to start")
        yield
    finally:
        end(process, 10)


def _broadcast(plan: Plan, stream: Path, stop: threading.Event) -> None:
    """Move the playlist on whenever a piece is due, replacing it in one step as nginx's module does."""
    number = 0
    while not stop.is_set():
        lines = ["#EXTM3U", f"#EXT-X-TARGETDURATION:{plan.piece:.0f}", f"#EXT-X-MEDIA-SEQUENCE:{number}"]
        for each in range(number, number + WINDOW):
            lines += [f"#EXTINF:{plan.piece:.3f},", f"{each % PREPARED}.ts"]
        new = stream / "index.m3u8.bak"
        new.write_text("\n".join([*lines, ""]))
        new.replace(stream / "index.m3u8")
        number += 1
        stop.wait(plan.piece)


# Watching


def _watch(plan: Plan, server: Server) -> list[Row]:
    """Let everybody watch; from when all are in, after a third of the time, look at the memory."""
    empty = server.memory() / 1024
    tallies = [Tally() for _ in range(plan.viewers)]
    with ExitStack() as undo:
        for number, tally in enumerate(tallies):
            delay = plan.piece * number / plan.viewers
            undo.enter_context(_background(partial(_view, plan, server, tally, delay)))
        time.sleep(plan.seconds / 3)
        with suppress(Failed):  # how many are in is a figure of its own
            _wait(lambda: server.count()[1] >= plan.viewers, "all viewers")
        counted = server.count()[1]
        rows = _look_on(plan, server, tallies, empty)
    errors = [error for tally in tallies for error in tally.errors]
    shown = ", ".join([str(len(errors)), *sorted(set(errors))])
    return [
        Row("viewers counted", str(counted), str(plan.viewers), counted == plan.viewers),
        Row("viewers with errors", shown, "0", not errors),
        *rows,
        Row("playlists", _spread(tallies, "playlists")),
        Row("pieces", _spread(tallies, "pieces")),
    ]


def _look_on(plan: Plan, server: Server, tallies: Sequence[Tally], empty: float) -> list[Row]:
    """Look on for the rest of the time: at the memory, and at what is passed on."""
    cpu, taken, since = server.cpu(), sum(tally.taken for tally in tallies), time.monotonic()
    memory = [server.memory() / 1024]
    while time.monotonic() - since < plan.seconds * 2 / 3:
        time.sleep(plan.seconds / 60)
        memory.append(server.memory() / 1024)
    elapsed = time.monotonic() - since
    rate = (sum(tally.taken for tally in tallies) - taken) / elapsed
    growth = memory[-1] - memory[0]
    return [
        Row("passed on", f"{rate / 1e6:.1f} MB/s"),
        Row("CPU", f"{(server.cpu() - cpu) / elapsed:.0%} of a core"),
        Row("memory before, with all, at most", f"{empty:.1f}, {memory[0]:.1f}, {max(memory):.1f} MB"),
        Row("memory grown with all", f"{growth:.1f} MB", f"≤ {GROWTH_MB:g} MB", growth <= GROWTH_MB),
    ]


def _view(plan: Plan, server: Server, tally: Tally, delay: float, stop: threading.Event) -> None:
    """Do as a player does until it is stopped: ask for the playlist, and for its newest piece."""
    if stop.wait(delay):
        return
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        playlist = _fetch(connection, f"{STREAM}/index.m3u8?token={TOKEN}", tally).splitlines()[-1].decode()
        last = ""
        while not stop.is_set():
            began = time.monotonic()
            piece = _fetch(connection, f"{STREAM}/{playlist}", tally).splitlines()[-1].decode()
            tally.playlists.append(time.monotonic() - began)
            if piece != last:
                asked = time.monotonic()
                _fetch(connection, f"{STREAM}/{piece}", tally)
                tally.pieces.append(time.monotonic() - asked)
            last = piece
            stop.wait(max(0.0, plan.piece - (time.monotonic() - began)))
    except (OSError, http.client.HTTPException, Failed) as error:
        tally.errors.append(f"{type(error).__name__}: {error}")


def _fetch(connection: http.client.HTTPConnection, path: str, tally: Tally) -> bytes:
    """Read a file; pieces are not kept."""
    connection.request("GET", path)
    answer = connection.getresponse()
    if answer.status != 200:
        raise Failed(f"{answer.status} {path.partition('?')[0]}")
    if "m3u8" in path:
        return answer.read()
    while data := answer.read(65_536):
        tally.taken += len(data)
    return b""


def _spread(tallies: Sequence[Tally], kind: str) -> str:
    ordered = sorted(each for tally in tallies for each in getattr(tally, kind)) or [0.0]
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return f"{len(ordered):,}, p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms"


# Not reading


def _stall(plan: Plan, server: Server, stream: Path) -> Row:
    """Let everybody ask for a large piece and not read it."""
    with (stream / "large.ts").open("wb") as large:
        large.truncate(LARGE)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    playlist = _fetch(connection, f"{STREAM}/index.m3u8?token={TOKEN}", Tally()).splitlines()[-1].decode()
    session = playlist.partition("?")[2]
    empty = server.memory()
    with ExitStack() as undo:
        for _ in range(plan.viewers):
            viewer = undo.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            viewer.sendall(f"GET {STREAM}/large.ts?{session} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            viewer.recv(1000)
        _wait(lambda: _settled(server), "memory to settle")
        each = (server.memory() - empty) / plan.viewers
    what = f"memory of each that does not read its {LARGE / 1e6:.0f} MB"
    return Row(what, f"{each:.0f} KB", f"≤ {STALLED_KB:g} KB", each <= STALLED_KB)


def _settled(server: Server) -> bool:
    spent = server.cpu()
    time.sleep(0.5)
    return server.cpu() - spent < 0.05


# Helpers


@contextmanager
def _background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run something in a thread while the block lasts; it is told when to stop."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _wait(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"waited in vain for {what}")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
