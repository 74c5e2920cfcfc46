"""One client's WebSocket, driven by gevent's hub: no greenlet, frames in, frames out, bounded both ways.

Everything here runs in callbacks of the hub or in the greenlet that sends; nothing ever waits.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

import gevent

from vws.transport.frames import CloseCode, Decoder, Frame, FrameError, Opcode, encode, encode_close
from vws.transport.streams import READ, WRITE, Stream

__all__ = ["NOT_READING", "Connection", "Flusher", "Receiver"]

NOT_READING = "client does not read"

FLUSH_AT = 65_536
"""Bytes queued for a client that are written at once instead of at the end of the loop's turn."""

_LOGGER = logging.getLogger(__name__)


class Receiver(Protocol):
    """Who is told what happens on a connection."""

    def text(self, message: bytes) -> None: ...

    def lost(self, reason: str) -> None:
        """Hear that the peer is gone, or has to go, maybe twice; ``reason`` is "" when it just went."""

    def gone(self) -> None:
        """Hear that the connection is no more."""


class Flusher:
    """Writes what was queued for connections once per turn of the loop: many messages, one system call."""

    def __init__(self) -> None:
        self._due: list[Connection] = []

    def add(self, connection: Connection) -> None:
        if not self._due:
            gevent.get_hub().loop.run_callback(self._flush)
        self._due.append(connection)

    def _flush(self) -> None:
        """Write each connection's frames; those of a broadcast are joined once for all its recipients."""
        due, self._due = self._due, []
        last: list[bytes] = []
        joined = b""
        for connection in due:
            frames = connection.take_queued()
            if len(frames) == 1:
                connection.write(frames[0])
            elif frames:
                if frames != last:
                    last, joined = frames, b"".join(frames)
                connection.write(joined)


class Connection:
    """``waiting`` is the number of bytes for the client that the system has not taken yet.

    ``max_waiting`` bounds them, the largest message aside: it may be larger than all that may wait, and who
    reads gets it all the same. Who does not read is given up.
    """

    __slots__ = (
        "_decoder",
        "_flusher",
        "_frames",
        "_largest",
        "_max_waiting",
        "_stream",
        "_unsent",
        "_watcher",
        "_write_watcher",
        "closed",
        "closing",
        "receiver",
        "waiting",
    )

    def __init__(self, stream: Stream, *, flusher: Flusher, max_size: int, max_waiting: int) -> None:
        self.receiver: Receiver
        self._stream = stream
        self._flusher = flusher
        self._max_waiting = max_waiting
        self._decoder = Decoder(max_size)
        self._frames: list[bytes] | None = None
        self._unsent = b""
        self._largest = 0
        self._watcher: Any = None
        self._write_watcher: Any = None
        self.waiting = 0
        self.closing = self.closed = False

    # --- reading ---

    def start(self, early: bytes = b"") -> None:
        """Begin to read; ``early`` arrived together with the handshake."""
        loop = gevent.get_hub().loop
        self._watcher = loop.io(self._stream.fd, READ)
        self._watcher.start(self._readable)
        if early:
            loop.run_callback(self._take, early)

    def allow(self, max_size: int) -> None:
        """Change the number of bytes that a message may have."""
        self._decoder.max_size = max_size

    def pause(self) -> None:
        """Leave what arrives where it is until `resume`."""
        if self._watcher is not None:
            self._watcher.stop()

    def resume(self) -> None:
        if self._watcher is not None:
            self._watcher.start(self._readable)

    def _readable(self) -> None:
        try:
            data = self._stream.read()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:
            self._lose("")

    def _take(self, data: bytes) -> None:
        try:
            for item in self._decoder.feed(data):
                if self.closing:
                    self._after_goodbye(item)
                elif item.__class__ is bytes:
                    self.receiver.text(item)
                else:
                    self._control(item)
        except Exception:  # a fault of the program must not reach the hub, and costs this client alone
            _LOGGER.error("message failed", exc_info=True)
            self._lose("internal error")

    def _control(self, item: bytes | Frame | FrameError) -> None:
        if isinstance(item, FrameError):
            self.close(item.code)
            self.receiver.lost(str(item))
        elif isinstance(item, Frame) and item.opcode is Opcode.PING:
            self.push(encode(Opcode.PONG, item.data))
        elif isinstance(item, Frame) and item.opcode is Opcode.CLOSE:
            self._answer_close(item.data)

    def _answer_close(self, payload: bytes) -> None:
        self.push(encode(Opcode.CLOSE, payload[:2]) if payload else encode_close(CloseCode.NORMAL))
        self.closing = True
        self.receiver.lost("")

    def _after_goodbye(self, item: object) -> None:
        """Wait for the peer's own goodbye, and for nothing else."""
        if isinstance(item, Frame) and item.opcode is Opcode.CLOSE:
            self.cut()

    # --- writing ---

    def push(self, frame: bytes) -> None:
        """Queue a frame; it leaves at the end of the loop's turn. Never waits, never switches greenlets."""
        if self.closing:
            return
        self.waiting += len(frame)
        if self._frames is None:
            self._frames = [frame]
            self._flusher.add(self)
        else:
            self._frames.append(frame)
        if self.waiting > FLUSH_AT:
            self._flush_early(len(frame))

    def _flush_early(self, size: int) -> None:
        """Write what is queued, the last of it a frame of this size, unless too much is waiting."""
        self._largest = max(self._largest, size)
        if not self._unsent:
            self.write(b"".join(self.take_queued()))
        if self.waiting - self._largest > self._max_waiting:
            self._give_up()
        self._forget_largest()

    def _forget_largest(self) -> None:
        if not self.waiting:
            self._largest = 0

    def _give_up(self) -> None:
        """Drop who does not read; not before whoever is sending has finished what it does."""
        self.closing = True
        gevent.get_hub().loop.run_callback(self._lose, NOT_READING)

    def take_queued(self) -> list[bytes]:
        """Return what is to be written now; nothing while earlier bytes wait for the peer."""
        frames = self._frames
        if frames is None or self._unsent or self.closed:
            return []
        self._frames = None
        return frames

    def write(self, data: bytes) -> None:
        """Hand bytes to the system, and keep what it does not take."""
        if self.closed:
            return
        try:
            sent = self._stream.write(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            gevent.get_hub().loop.run_callback(self._lose, "")
            return
        self.waiting -= sent
        if sent < len(data):
            self._wait_for_peer(data[sent:])
        elif self.closing and not self.waiting:
            self._stream.finish()

    def _wait_for_peer(self, unsent: bytes) -> None:
        self._unsent = unsent
        if self._write_watcher is None:
            self._write_watcher = gevent.get_hub().loop.io(self._stream.fd, WRITE)
        if not self._write_watcher.active:
            self._write_watcher.start(self._writable)

    def _writable(self) -> None:
        data, self._unsent = self._unsent, b""
        self.write(data)
        if not self._unsent:
            self._write_watcher.stop()
            queued = self.take_queued()
            if queued:
                self.write(b"".join(queued))
        self._forget_largest()

    # --- the end ---

    def close(self, code: CloseCode = CloseCode.NORMAL) -> None:
        """Say goodbye after what is queued; the receiver hears nothing more. `cut` has to follow in time."""
        if not self.closing:
            self.push(encode_close(code))
            self.closing = True

    def cut(self) -> None:
        """End the connection without a word."""
        if self.closed:
            return
        self.closing = self.closed = True
        for watcher in (self._watcher, self._write_watcher):
            if watcher is not None:  # before the descriptor's number is used again
                watcher.stop()
                watcher.close()
        self._watcher = self._write_watcher = self._frames = None
        self._unsent = b""
        self._decoder.end()  # timers may hold this for a while, and with it what was begun
        self._stream.close()
        self.receiver.gone()

    def _lose(self, reason: str) -> None:
        """Cut the connection and say so, also where the peer's goodbye has cut it since it was given up."""
        self.cut()
        self.receiver.lost(reason)
