"""Logging: one line per event, whoever logs it.

The server's own lines come from `event`, like
``2026-11-23T06:50:44.123Z info connect socket=abc account="My site" user=alice``.
What libraries and Python's warnings say comes out in the same form, from WARNING upwards. Every line is ASCII
and really one line: a client's name holding a line break cannot forge another.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

from vws.core.rate import Allowance, Rate

__all__ = ["FewLines", "LineFormatter", "configure", "event", "failure"]

_LONGEST = 200
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]+")
_LOGGER = logging.getLogger("vws")
_LIBRARIES = ("engineio", "flask", "gevent", "geventwebsocket", "socketio", "urllib3", "vws", "werkzeug")
_CHATTY = frozenset({"engineio", "geventwebsocket", "socketio"})
CHATTER_RATE = Rate(1, burst=10)
"""Lines that these libraries may write."""

LINE_RATE = Rate(1, burst=100)
"""Lines that one thing may take which anybody can cause."""

_SELF_HANDLING = ("engineio.client", "engineio.server", "socketio.client", "socketio.server", "werkzeug")
"""Loggers that add a handler of their own, unless they have a level."""


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every line to the stream (standard error), events from the level named upwards.

    May be called again: the last call counts. Tracebacks are written at level debug only.
    """
    lowest = logging.getLevelNamesMapping()[level.upper()]
    handler = _LineHandler(stream)
    handler.addFilter(_Few())
    handler.setFormatter(LineFormatter(tracebacks=lowest <= logging.DEBUG))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(lowest, logging.WARNING))
    _LOGGER.setLevel(lowest)
    logging.captureWarnings(True)
    for logger in _library_loggers():
        logger.handlers.clear()
        logger.propagate = True
        # What urllib3 warns of comes with the whole address, which may hold a key.
        logger.setLevel(logging.ERROR if logger.name.startswith("urllib3") else root.level)


def event(name: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Log one event; fields that are None are left out. Give chosen fields only, never a secret."""
    if not _LOGGER.isEnabledFor(level):
        return
    handlers = logging.root.handlers
    if len(handlers) == 1 and type(handlers[0]) is _LineHandler:
        handlers[0].write(_line(time.time(), logging.getLevelName(level), name, fields))
    else:  # somebody else listens too, a test for one
        _LOGGER.log(level, name, extra={"fields": fields})


def failure(during: str, error: Exception) -> None:
    """Say in one line where a fault of the program's own happened."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
    what = f"{type(error).__name__}: {error}"
    event("failure", level=logging.ERROR, during=during, error=what, at=where)


class FewLines:
    """Logs events that anybody can cause any number of: not all of them when they are many."""

    def __init__(self) -> None:
        self._lines = Allowance(LINE_RATE)

    def event(self, name: str, /, *, level: int = logging.INFO, **fields: object) -> None:
        if self._lines.take(time.monotonic()):
            event(name, level=level, **fields)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; those of the server's own events come ready, as a record each would take far longer."""

    def write(self, line: str) -> None:
        """Write a line; one that cannot be written is lost, and nobody is kept from working."""
        try:
            self.stream.write(line + self.terminator)
            self.stream.flush()
        except (OSError, ValueError):
            pass


class _Few(logging.Filter):
    """Lets few warnings of the libraries pass that speak with clients: those can cause any number of them."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = Allowance(CHATTER_RATE)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] not in _CHATTY or self._lines.take(time.monotonic())


def _library_loggers() -> Iterator[logging.Logger]:
    for name in {*logging.root.manager.loggerDict, *_SELF_HANDLING}:
        logger = logging.getLogger(name)
        if logger is not _LOGGER and name.partition(".")[0] in _LIBRARIES:
            yield logger


class LineFormatter(logging.Formatter):
    """Format a record as time, level, name and fields; with ``tracebacks``, lines of traceback follow."""

    def __init__(self, *, tracebacks: bool = False) -> None:
        super().__init__()
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, object] | None = getattr(record, "fields", None)
        name = record.msg
        if fields is None:  # a library's
            name, fields = record.name, {"message": record.getMessage().strip()}
        return _line(record.created, record.levelname, name, fields) + self._failure(record)

    def _failure(self, record: logging.LogRecord) -> str:
        if not record.exc_info or record.exc_info[1] is None:
            return ""
        last = traceback.format_exception_only(record.exc_info[1])[-1].strip()
        folded = f" error={_quoted(last)}"
        return f"{folded}\n{self.formatException(record.exc_info)}" if self._tracebacks else folded


def _line(seconds: float, level: str, name: str, fields: Mapping[str, object]) -> str:
    words = [_time(seconds), level.lower(), _quoted(name)]
    words += [f"{key}={_quoted(value)}" for key, value in fields.items() if value is not None]
    return " ".join(words)


def _time(seconds: float) -> str:
    whole, microseconds = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{microseconds // 1000:03}Z"


@lru_cache(maxsize=1)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _quoted(value: object) -> str:
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    if len(shown) > _LONGEST:
        shown = shown[: _LONGEST - 3] + "..."
    if _PLAIN.fullmatch(shown):
        return shown
    return json.dumps(shown).replace("\x7f", "\\u007f")
