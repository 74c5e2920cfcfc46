"""One line per event, whoever logs it."""

from __future__ import annotations

import importlib
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from vws import logs
from vws.logs import configure, event

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error|critical) [ -~]+")


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("vws")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture
def stream() -> io.StringIO:
    written = io.StringIO()
    configure("info", written)
    return written


def only_line(stream: io.StringIO) -> str:
    """The one line written, without its time, which is checked."""
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1, lines
    assert LINE.fullmatch(lines[0]), lines[0]
    return lines[0].partition(" ")[2]


def test_an_event_is_one_line_of_fields(stream: io.StringIO) -> None:
    event("connect", socket="abc", account="Test Account", user="alice", players=3, secure=True)
    assert (
        only_line(stream) == 'info connect socket=abc account="Test Account" user=alice players=3 secure=true'
    )


def test_fields_without_a_value_are_left_out(stream: io.StringIO) -> None:
    event("leave", user=None, channel="", reason="gone")
    assert only_line(stream) == 'info leave channel="" reason=gone'


def test_the_time_is_when_it_happened() -> None:
    record = logging.makeLogRecord({"msg": "start", "levelname": "INFO", "fields": {}})
    record.created = 1_795_416_644.123
    assert logs.LineFormatter().format(record) == "2026-11-23T06:50:44.123Z info start"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nb", r'"a\nb"'),
        ("a\r\n2026-11-23T06:50:44.123Z info forged", r'"a\r\n2026-11-23T06:50:44.123Z info forged"'),
        ("x=1", '"x=1"'),
        ('say "hi"', r'"say \"hi\""'),
        ("Ж", r'"\u0416"'),
        ("\u2028\x7f\x1b[31m", r'"\u2028\u007f\u001b[31m"'),
        ("\ud800", r'"\ud800"'),
        ("https://a.example:1/b", "https://a.example:1/b"),
    ],
)
def test_values_cannot_leave_their_field(stream: io.StringIO, value: str, shown: str) -> None:
    event("connect", user=value)
    assert only_line(stream) == f"info connect user={shown}"


def test_long_values_are_cut(stream: io.StringIO) -> None:
    event("connect", short="a" * 200, long="b" * 201)
    assert only_line(stream) == f"info connect short={'a' * 200} long={'b' * 197}..."


@given(name=st.text(), value=st.text())
def test_any_text_stays_on_its_line_and_can_be_read_back(name: str, value: str) -> None:
    stream = io.StringIO()
    configure("info", stream)
    event("connect", value=value)
    shown = only_line(stream).removeprefix("info connect value=")
    assert (json.loads(shown) if shown.startswith('"') else shown) == value[:200]
    logging.getLogger("flask").error("%s", name)
    assert len(stream.getvalue().splitlines()) == 2


def test_events_below_the_level_are_silent() -> None:
    stream = io.StringIO()
    configure("warning", stream)
    event("connect")
    event("relay", level=logging.DEBUG)
    event("login-failed", level=logging.WARNING)
    assert only_line(stream) == "warning login-failed"


def test_configuring_again_moves_the_lines(stream: io.StringIO) -> None:
    other = io.StringIO()
    configure("debug", other)
    event("relay", level=logging.DEBUG)
    assert stream.getvalue() == ""
    assert only_line(other) == "debug relay"


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    event("start")
    assert capsys.readouterr().err.endswith(" info start\n")


@pytest.mark.parametrize("library", ["flask.app", "engineio.server", "socketio.server"])
def test_libraries_speak_from_warnings_upwards(stream: io.StringIO, library: str) -> None:
    logger = logging.getLogger(library)
    logger.info("chatter")
    logger.warning("retry %s of\n%s", 1, 3)
    assert only_line(stream) == rf'warning {library} message="retry 1 of\n3"'


def test_urllib3_keeps_its_warnings_which_hold_addresses(stream: io.StringIO) -> None:
    logger = logging.getLogger("urllib3.connectionpool")
    logger.warning("Retrying: %s", "/hls/Acme?key=secret")
    assert stream.getvalue() == ""
    logger.error("broken")
    assert only_line(stream) == "error urllib3.connectionpool message=broken"


def test_a_library_with_a_handler_of_its_own_loses_it() -> None:
    noise, stream = io.StringIO(), io.StringIO()
    logger = logging.getLogger("geventwebsocket.handler")
    logger.addHandler(logging.StreamHandler(noise))
    logger.propagate = False
    configure("info", stream)
    logger.error("broken pipe")
    assert noise.getvalue() == ""
    assert only_line(stream) == 'error geventwebsocket.handler message="broken pipe"'


def test_a_server_made_later_adds_no_handler(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("engineio.server", "socketio.server"):
        logging.getLogger(name).setLevel(logging.NOTSET)  # as they are in a new process
    configure("info", stream)
    server = importlib.import_module("socketio").Server(async_mode="threading")  # has no types
    server.logger.warning("emit failed")
    server.eio.logger.error("packet refused")
    assert [line.partition(" ")[2] for line in stream.getvalue().splitlines()] == [
        'warning socketio.server message="emit failed"',
        'error engineio.server message="packet refused"',
    ]
    assert capsys.readouterr().err == ""


def test_an_applications_failure_is_folded_into_one_line(stream: io.StringIO) -> None:
    app = Flask("vws.somewhere")

    @app.get("/")
    def fail() -> str:
        raise ValueError("no such\ncolumn")

    assert app.test_client().get("/").status_code == 500
    assert only_line(stream) == (
        r'error vws.somewhere message="Exception on / [GET]" error="ValueError: no such\ncolumn"'
    )


def test_tracebacks_are_for_level_debug() -> None:
    stream = io.StringIO()
    configure("debug", stream)
    try:
        raise ValueError("no such column")
    except ValueError:
        logging.getLogger("flask").exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith('error flask message=failed error="ValueError: no such column"')
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: no such column"


def test_python_warnings_are_lines_too(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
    line = only_line(stream)
    assert line.startswith('warning py.warnings message="')
    assert "DeprecationWarning: old call" in line
