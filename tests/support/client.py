"""A Socket.IO client for tests: one thread reads, the test waits for what it expects.

    alice = clients.verified("Alice")                 # or clients.token(), or clients() and connect() by hand
    bob = clients.token()
    alice.call("publish", "Alice", "Lobby", {})       # -> the acknowledgement's first value
    bob.emit("subscribe", "Bob", "Lobby")
    alice.message("peer")["peerID"]                   # the next `message` of that type
    alice.update("messageNew")                        # the next `roomUpdate` with that key
    args = bob.wait("publishError", lambda error: error["to"] == "Bob")
    bob.nothing("message")                            # after a round trip: none came

Waiting takes the event out of the inbox, so that the same wait twice means two events; `received` shows all
that ever came. Every wait that fails says what came instead. `drop` resets the connection the way a crashed
machine does, `freeze` stops reading and answering pings, `send_raw` sends any frame.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import websocket

__all__ = ["Client", "ConnectRefused", "refusal"]

Args = list[Any]
Predicate = Callable[..., bool]
_NOBODY = {"type": "ping", "target": "_nobody_"}  # an event that reaches nobody and is acknowledged


class ConnectRefused(Exception):
    """The server's `connect_error`; `message` is what a browser client would show."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Client:
    """One WebSocket connection; namespaces are opened on it with `connect`.

    ``source`` is the local address to come from (any of 127.0.0.0/8 works on Linux), ``receive_buffer`` the
    kernel's buffer in bytes (small ones make a slow reader), ``ca`` a file of the certificates to trust.
    Raises `websocket.WebSocketException` or OSError when the server does not let the WebSocket open.
    """

    def __init__(
        self,
        url: str,
        *,
        ca: str | None = None,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        source: str = "",
        receive_buffer: int | None = None,
        path: str = "/socket.io/?EIO=4&transport=websocket",
        timeout: float = 10,
    ) -> None:
        self.handshake: dict[str, Any] = {}
        self.closed = threading.Event()
        self.close_code: int | None = None
        self._raw = _open_socket(url, ca=ca, source=source, receive_buffer=receive_buffer, timeout=timeout)
        try:
            self._ws = _upgrade(
                self._raw, url.replace("http", "ws", 1) + path, headers=headers, origin=origin
            )
        except BaseException:
            self._raw.close()
            raise
        self._raw.settimeout(None)
        self._inbox: list[tuple[str, str, Args]] = []
        self._history: list[tuple[str, str, Args]] = []
        self._acks: dict[tuple[str, int], Args] = {}
        self._answers: dict[str, tuple[str, Any]] = {}
        self._next_ack = 0
        self._changed = threading.Condition()
        self._send_lock = threading.Lock()
        self._reading = threading.Event()
        self._reading.set()
        self._ending = False
        self._wake, self._woken = socket.socketpair()
        self._reader = threading.Thread(target=self._read, name="test client", daemon=True)
        self._reader.start()

    # Connecting

    def connect(self, auth: Any = None, namespace: str = "/", *, timeout: float = 10) -> str:
        """Open a namespace; return the socket id. Raises ConnectRefused with the server's message."""
        with self._changed:
            self._answers.pop(namespace, None)
        self.send_raw("40" + _prefix(namespace) + ("" if auth is None else _dump(auth)))
        self._expect(
            lambda: namespace in self._answers or self.closed.is_set(), timeout, f"connecting to {namespace}"
        )
        kind, payload = self._answers.get(namespace, ("closed", None))
        assert kind != "closed", f"the server closed the connection ({self.close_code}) instead of answering"
        if kind == "refused":
            raise ConnectRefused(payload["message"])
        return str(payload["sid"])

    @property
    def sid(self) -> str:
        """The socket id on the namespace `/` (or the only one that is open)."""
        opened = {ns: payload for ns, (kind, payload) in self._answers.items() if kind == "open"}
        return str((opened.get("/") or next(iter(opened.values())))["sid"])

    def is_open(self, namespace: str = "/") -> bool:
        """Tell whether the namespace is open, as far as the server said."""
        return not self.closed.is_set() and self._answers.get(namespace, ("", None))[0] == "open"

    def wait_closed(self, *, timeout: float = 15) -> None:
        """Return once the server has closed the connection."""
        assert self.closed.wait(timeout), f"the server did not close the connection in {timeout} s"

    def wait_disconnected(self, namespace: str = "/", *, timeout: float = 15) -> None:
        """Return once the server has closed the namespace, or the whole connection."""
        self._expect(lambda: not self.is_open(namespace), timeout, f"the server to disconnect {namespace}")

    # Sending

    def emit(self, event: str, *args: Any, namespace: str = "/") -> None:
        """Send an event and expect no acknowledgement."""
        self.send_raw("42" + _prefix(namespace) + _dump([event, *args]))

    def call(self, event: str, *args: Any, namespace: str = "/", timeout: float = 15) -> Any:
        """Send an event and return the first value of its acknowledgement."""
        return self.acknowledged(self.send(event, *args, namespace=namespace), namespace, timeout=timeout)

    def send(self, event: str, *args: Any, namespace: str = "/") -> int:
        """Send an event that asks for an acknowledgement; return its id, for `acknowledged`."""
        with self._changed:
            self._next_ack += 1
            number = self._next_ack
        self.send_raw(f"42{_prefix(namespace)}{number}{_dump([event, *args])}")
        return number

    def acknowledged(self, number: int, namespace: str = "/", *, timeout: float = 15) -> Any:
        """Wait for the acknowledgement of an earlier `send`."""
        key = (namespace, number)
        self._expect(lambda: key in self._acks, timeout, f"acknowledgement {number}")
        args = self._acks.pop(key)
        return args[0] if args else None

    def send_raw(self, frame: str | bytes) -> None:
        """Send one frame as it is: text for a str, binary for bytes."""
        opcode = websocket.ABNF.OPCODE_TEXT if isinstance(frame, str) else websocket.ABNF.OPCODE_BINARY
        with self._send_lock:
            self._ws.send(frame, opcode)

    def send_bytes(self, data: bytes) -> None:
        """Put bytes on the wire below the WebSocket: broken frames, half frames."""
        with self._send_lock:
            self._raw.sendall(data)

    # Receiving

    def wait(
        self,
        event: str,
        predicate: Predicate | None = None,
        *,
        namespace: str | None = None,
        timeout: float = 15,
    ) -> Args:
        """Take the oldest matching event out of the inbox, waiting for it; return its arguments."""
        with self._changed:
            self._expect(
                lambda: self._find(event, predicate, namespace) is not None, timeout, f"event {event!r}"
            )
            return self._inbox.pop(self._find(event, predicate, namespace) or 0)[2]

    def message(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """Wait for a `message` of this type, with these values in it; return the object."""
        wanted["type"] = kind
        found: dict[str, Any] = self.wait("message", lambda message: _has(message, wanted))[0]
        return found

    def update(self, key: str, **wanted: Any) -> dict[str, Any]:
        """Wait for a `roomUpdate` that has this key, and these values; return the object."""
        found: dict[str, Any] = self.wait(
            "roomUpdate", lambda update: key in update and _has(update, wanted)
        )[0]
        return found

    def nothing(self, event: str, predicate: Predicate | None = None, *, via: tuple[Any, ...] = ()) -> None:
        """Assert that no such event waits in the inbox, after a round trip to the server.

        What the server had sent before has then arrived, as one connection keeps its order. ``via`` is the
        event to go round with, by default one that reaches nobody on `/` or `/signaling`.
        """
        namespace = "/" if self.is_open("/") or via else "/signaling"
        self.call(*(via or ("messagePeer", _NOBODY)), namespace=namespace)
        with self._changed:
            found = self._find(event, predicate, None)
            assert found is None, f"unexpected: {self._inbox[found or 0]}"

    def received(self, event: str, namespace: str | None = None) -> list[Args]:
        """Return the arguments of every such event that ever came, taken or not, oldest first."""
        with self._changed:
            return [args for ns, name, args in self._history if name == event and namespace in (None, ns)]

    # Ending

    def close(self) -> None:
        """Leave as a browser client does: disconnect, then close the WebSocket. Safe to repeat."""
        if not self._ending and not self.closed.is_set():
            with contextlib.suppress(OSError, websocket.WebSocketException):
                self.send_raw("41")
                self._ws.send_close()
        self._end()

    def drop(self) -> None:
        """Vanish: reset the TCP connection without a word. Safe to repeat."""
        if not self._ending:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end()

    def freeze(self) -> None:
        """Stop reading and answering pings, with the connection left open."""
        self._reading.clear()
        self._wake.send(b".")

    def thaw(self) -> None:
        """Read again after `freeze`."""
        self._reading.set()

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        self._reading.set()
        self._wake.send(b".")
        self._reader.join(5)
        for each in (self._raw, self._wake, self._woken):
            each.close()

    # The reader thread

    def _read(self) -> None:
        try:
            while not self._ending:
                if self._readable() and self._reading.is_set():
                    self._take_frame()
                self._reading.wait()
        except (OSError, websocket.WebSocketException):
            pass
        finally:
            with self._changed:
                self.closed.set()
                self._changed.notify_all()

    def _readable(self) -> bool:
        if isinstance(self._raw, ssl.SSLSocket) and self._raw.pending():
            return True
        ready, _, _ = select.select([self._raw, self._woken], [], [])
        if self._woken in ready:
            self._woken.recv(64)
        return self._raw in ready and not self._ending

    def _take_frame(self) -> None:
        opcode, data = self._ws.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.close_code = int.from_bytes(data[:2], "big") if len(data) >= 2 else None
            raise websocket.WebSocketConnectionClosedException("closed by the server")
        if opcode == websocket.ABNF.OPCODE_TEXT:
            self._take_packet(data.decode())

    def _take_packet(self, packet: str) -> None:
        match packet[:1]:
            case "0":
                self.handshake = json.loads(packet[1:])
            case "1":
                raise websocket.WebSocketConnectionClosedException("closed by the server")
            case "2":
                self.send_raw("3" + packet[1:])
            case "4":
                with self._changed:
                    self._sort(packet[1], *_split(packet[2:]))
                    self._changed.notify_all()

    def _sort(self, kind: str, namespace: str, number: int | None, payload: Any) -> None:
        match kind:
            case "0":
                self._answers[namespace] = ("open", payload)
            case "1":
                self._answers[namespace] = ("left", None)
            case "2":
                self._inbox.append((namespace, payload[0], payload[1:]))
                self._history.append((namespace, payload[0], payload[1:]))
            case "3" if number is not None:
                self._acks[namespace, number] = payload
            case "4":
                self._answers[namespace] = ("refused", payload)

    def _find(self, event: str, predicate: Predicate | None, namespace: str | None) -> int | None:
        for index, (ns, name, args) in enumerate(self._inbox):
            if name == event and namespace in (None, ns) and (predicate is None or predicate(*args)):
                return index
        return None

    def _expect(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: condition() or self.closed.is_set(), timeout)
            assert condition(), self._explain(what, timeout)

    def _explain(self, what: str, timeout: float) -> str:
        state = f"closed by the server ({self.close_code})" if self.closed.is_set() else "open"
        return f"waited {timeout} s for {what}; the connection is {state}; in the inbox: {self._inbox}"


def refusal(client: Client, auth: Any) -> str:
    """Try to connect and return what the client is shown; AssertionError when it is let in."""
    with pytest.raises(ConnectRefused) as refused:
        client.connect(auth)
    return refused.value.message


def _open_socket(
    url: str, *, ca: str | None, source: str, receive_buffer: int | None, timeout: float
) -> socket.socket:
    parts = urlsplit(url)
    raw = socket.socket()
    try:
        raw.settimeout(timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.bind((source, 0))
        raw.connect((parts.hostname, parts.port))
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            raw = context.wrap_socket(raw, server_hostname=parts.hostname)
    except BaseException:
        raw.close()
        raise
    return raw


def _upgrade(
    raw: socket.socket, url: str, *, headers: Mapping[str, str] | None, origin: str | None
) -> websocket.WebSocket:
    ws = websocket.WebSocket()
    options = {"header": dict(headers or {}), "origin": origin, "suppress_origin": origin is None}
    ws.connect(url, socket=raw, **options)  # type: ignore[no-untyped-call]
    return ws


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _prefix(namespace: str) -> str:
    return "" if namespace == "/" else namespace + ","


def _split(packet: str) -> tuple[str, int | None, Any]:
    """Read a Socket.IO packet after its type: `[/namespace,][number][JSON]`."""
    namespace = "/"
    if packet.startswith("/"):
        namespace, _, packet = packet.partition(",")
    digits = packet[: len(packet) - len(packet.lstrip("0123456789"))]
    rest = packet[len(digits) :]
    return namespace, int(digits) if digits else None, json.loads(rest) if rest else None


def _has(given: Any, wanted: Mapping[str, Any]) -> bool:
    return isinstance(given, dict) and all(key in given and given[key] == wanted[key] for key in wanted)
