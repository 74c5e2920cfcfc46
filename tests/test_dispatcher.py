"""The whole program but its transport: what an event becomes, byte for byte, and what its own faults do."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from typing import Any, cast

import pytest

from vws.accounts import AccountDirectory
from vws.announce import Announcer, Outgoing
from vws.auth import Gatekeeper
from vws.claims import Claims
from vws.config import Config
from vws.core.account_rows import AccountRow, PlanRow, Rows
from vws.core.attempts import FailedAttempts
from vws.core.counters import Counters
from vws.core.session import Role, Session
from vws.core.wire.names import Concern, Event
from vws.errors import Refused, VWSError
from vws.ice import IceServers
from vws.login import LoginAnswer, LoginSites
from vws.namespaces.base import Handler, no_event
from vws.namespaces.dispatcher import Dispatcher
from vws.namespaces.room import room_events
from vws.namespaces.signaling import signaling_events
from vws.rooms import Rooms
from vws.signaling import Signaling
from vws.state.memory import MemoryState

OK = {"ok": True}
STUN = b'{"iceServers":[{"urls":["stun:stun.l.google.com:19302"]}]}'
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"


class Sites:
    """A login site that lets everybody in whose pin is 1234."""

    def login(self, _url: str, body: dict[str, Any]) -> LoginAnswer:
        if body["pin"] not in ("1234", 1234):
            raise Refused("Wrong pin")
        return LoginAnswer(Role.USER)


class Program:
    """Alice broadcasts in Lobby, Bob watches; ``sent`` is what went out since."""

    def __init__(self, *, enforce_sdp: bool = False, failures: int = 0, rate: int = 0) -> None:
        self.sent: list[Outgoing] = []
        self.busy: dict[str, int] = {}
        config = Config.from_env({})
        rows = Rows(
            (AccountRow(1, "Acme", "Acme-token", '{"loginURL":"http://site.example/"}', "1"),),
            (PlanRow(1, "Small", '{"bitrate":100}'),),
        )
        state, accounts = MemoryState(), AccountDirectory(config, lambda: rows)
        accounts.reload()
        ice = IceServers(config)
        announcer = Announcer(ice)
        claims = Claims(accounts, alive=lambda _socket: True, clock=lambda: 1_000)
        signaling = Signaling(
            state,
            accounts,
            announcer=announcer,
            ice=ice,
            claims=claims,
            busy=lambda socket, size: size > self.busy.get(socket, size),
            clock=lambda: 1_000,
            wall=lambda: 1_000,
            enforce_sdp=enforce_sdp,
        )
        gatekeeper = Gatekeeper(
            state,
            accounts,
            announcer=announcer,
            sites=cast("LoginSites", Sites()),
            attempts=FailedAttempts(failures),
            clock=lambda: 1_000,
            wall=lambda: 1_000,
        )
        rooms = Rooms(
            state,
            accounts,
            announcer=announcer,
            claims=claims,
            clock=lambda: 1_000,
            wall=lambda: 1_000,
        )
        table = {**signaling_events(signaling), **room_events(rooms)}
        tables = {"/": table, "/signaling": table}
        self.dispatcher = Dispatcher(
            tables, gatekeeper, deliver=self.sent.extend, rate=rate, counters=Counters()
        )
        for socket in ("alice", "bob", "carol"):
            self.connect(socket, {"token": "Acme-token"})
        assert self.send("alice", b'["publish","Alice","Lobby",{}]') == OK
        assert self.send("bob", b'["subscribe","Bob","Lobby"]') == OK
        assert self.send("carol", b'["subscribe","Carol","Lobby"]') == OK
        self.sent.clear()

    def connect(self, socket: str, auth: object, namespace: str = "/", *, address: str = "127.0.0.1") -> None:
        self.dispatcher.connect(socket, namespace, address=address, auth=auth)

    def send(self, socket: str, payload: bytes) -> dict[str, Any]:
        name = payload.partition(b'"')[2].partition(b'"')[0].decode()
        return dict(self.dispatcher.event(socket, "/", name, payload))

    def relayed(self, body: bytes, event: bytes = b"messagePeer") -> bytes:
        """Let Alice send an object; return what went to Bob as it goes out, the only or first of all."""
        self.sent.clear()
        assert self.send("alice", b'["' + event + b'",' + body + b"]") == OK
        assert {message.event for message in self.sent} == {"message"}
        assert self.sent[0].to[0] == "bob"
        args = self.sent[0].args
        assert isinstance(args, bytes)
        return args

    def refused(self, payload: bytes) -> str:
        """Let Alice send what is refused; nobody is sent anything of it. Return the code."""
        self.sent.clear()
        answer = self.send("alice", payload)
        assert answer["ok"] is False
        assert answer["error"]["message"]
        assert not any(message.to != ("alice",) for message in self.sent)
        return str(answer["error"]["code"])


@pytest.fixture(scope="module")
def program() -> Program:
    return Program()


# --- what is relayed ---

TO_BOB = b'"type":"x","target":"Bob"'

VALUES = [
    b"1.0",
    b"1e5",
    b"-0.0",
    b"1E+2",
    b"1e999",
    b"123456789012345678901234567890",
    b"0.1000000000000000055511151231257827",
    b'"\\u00e9\xc3\xa9\\/\\ud83d\\ude00"',
    b'"\\u0000\\u2028\xe2\x80\xa8\x7f"',
    b'{ "a" :\t[ 1 , {"b":[]} ] }',
    b'{"a":1,"a":2}',
    b'{"from":"Mallory"}',
    b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["',
    b"[" + b"[1.0]," * 100 + b"1e2]",
    b'"' + b"9" * 10_000 + b'"',
    b"[" * 30 + b"1.50" + b"]" * 30,
    b"null",
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:16])
@pytest.mark.parametrize("event", [b"messagePeer", b"message"])
def test_values_that_nobody_here_reads_go_out_byte_for_byte(
    program: Program, event: bytes, value: bytes
) -> None:
    body = b'{"own":' + value + b"," + TO_BOB + b',"\xc3\xa9": ' + value + b' , "from":"Alice"}'
    expected = b'{"own":' + value + b"," + TO_BOB + b',"\xc3\xa9":' + value + b',"from":"Alice"}'
    assert program.relayed(body, event) == expected


@pytest.mark.parametrize(
    "claimed",
    [
        b"",
        b',"from":"Mallory"',
        b',"from":"Alice","from":"Mallory"',
        b',"from":null,"\\u0066rom":"Mallory"',
        b',"fr\\u006fm":"Mallory","from":{"a":1},"\\u0066\\u0072\\u006f\\u006d":["Mallory"]',
    ],
)
@pytest.mark.parametrize("event", [b"messagePeer", b"message"])
def test_whatever_a_client_claims_there_is_one_sender_and_it_is_the_true_one(
    program: Program, event: bytes, claimed: bytes
) -> None:
    text = program.relayed(b"{" + TO_BOB + claimed + b',"last":1}', event)
    members = json.loads(text, object_pairs_hook=list)
    assert [value for key, value in members if key == "from"] == ["Alice"]
    assert sorted(key for key, _ in members) == ["from", "last", "target", "type"]


def test_a_key_that_comes_twice_goes_out_once(program: Program) -> None:
    text = program.relayed(b'{"type":"peers","\\u0074ype":"x","target":"Nobody","target":"Bob"}')
    assert text == b'{"type":"x","target":"Bob","from":"Alice"}'


def test_names_are_understood_however_they_are_spelled(program: Program) -> None:
    body = b'{"type":"x","target":"\\u0042ob","channel":"Lobb\\u0079"}'
    assert json.loads(program.relayed(body))["target"] == "Bob"


def test_half_a_surrogate_pair_is_relayed(program: Program) -> None:
    text = program.relayed(b"{" + TO_BOB + b',"own":["\\ud800 alone",1.0]}')
    assert json.loads(text) == {"type": "x", "target": "Bob", "own": ["\ud800 alone", 1.0], "from": "Alice"}


@pytest.mark.parametrize("event", [b"messagePeer", b"message"])
@pytest.mark.parametrize(
    "argument",
    [
        b"{" + TO_BOB + b',"own":NaN}',
        b"{" + TO_BOB + b',"own":[-Infinity]}',
        b"{" + TO_BOB + b',"own":"\\x"}',
        b"{" + TO_BOB + b',"own":"\n"}',
        b"{" + TO_BOB + b',"own":01}',
        b"{" + TO_BOB + b',"own":1,}',
        b"{" + TO_BOB + b',"\\ud800":1}',
        b"{" + TO_BOB + b',"own":' + b"9" * 5_000 + b"}",
        b"{" + TO_BOB + b',"own":[' + b"1.5," * 3_000 + b"9" * 5_000 + b"]}",
        b"{" + TO_BOB + b',"own":' + b"[" * 40 + b"]" * 40 + b"}",
        b"{" + TO_BOB + b',"own":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
        b"{" + TO_BOB + b',"own":' + b"[ " * 5_000 + b"]" * 5_000 + b"}",
        b"{" + TO_BOB + b',"own":' + b"[" * 500_000,
        b"{" + TO_BOB + b"},{}",
        b"{" + TO_BOB + b"}]",
        b"{" + TO_BOB,
        b"[]",
        b"null",
        b"1e999",
        b'{"type":1e999,"target":"Bob"}',
        b'{"type":1,"target":"Bob"}',
    ],
    ids=lambda argument: argument[:12] + b".." + argument[30:44],
)
def test_what_is_not_one_object_of_plain_json_is_relayed_to_nobody(
    program: Program, event: bytes, argument: bytes
) -> None:
    assert program.refused(b'["' + event + b'",' + argument + b"]") == "bad-input"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (b'"target":"Bob"', "message.type must be a string"),
        (b'"type":"","target":"Bob"', "message.type must be a string"),
        (b'"type":null,"target":"Bob"', "message.type must be a string"),
        (b'"type":"x"', "target must be a string of 1 to 255 characters"),
        (b'"type":"x","target":""', "target must be a string of 1 to 255 characters"),
        (b'"type":"x","target":7', "target must be a string of 1 to 255 characters"),
        (b'"type":"x","target":"' + b"b" * 256 + b'"', "target must be a string of 1 to 255 characters"),
        (b'"type":"x","target":"\\ud800"', "target must be a string of 1 to 255 characters"),
        (b'"type":"x","target":"Bob","channel":7', "channel must be a string of 1 to 255 characters"),
        (b'"type":"x","target":"Bob","channel":"\\udc00"', "channel must be a string of 1 to 255 characters"),
        (b'"type":"peers","target":"Bob"', "only the server sends messages of type peers"),
        (b'"type":"x","target":"Dave"', "No such peer in your channel: Dave"),
        (b'"type":"x","target":"Bob","channel":"Attic"', "You are not in this channel."),
    ],
)
def test_a_refused_signal_says_why(program: Program, members: bytes, message: str) -> None:
    answer = program.send("alice", b'["messagePeer",{' + members + b"}]")
    assert answer["error"]["message"] == message


@pytest.mark.parametrize("channel", [b"null", b'""', b'"Lobby"'])
@pytest.mark.parametrize("name", [b"b" * 255, "é".encode() * 255])
def test_names_may_be_long_and_the_channel_may_be_left_out(name: bytes, channel: bytes) -> None:
    program = Program()
    program.connect("dave", {"token": "Acme-token"})
    assert program.send("dave", b'["subscribe","' + name + b'","Lobby"]') == OK
    body = b'{"type":"x","target":"' + name + b'","channel":' + channel + b"}"
    program.sent.clear()
    assert program.send("alice", b'["messagePeer",' + body + b"]") == OK
    assert program.sent[0].to == ("dave",)


def test_a_message_for_a_channel_names_its_sender_once_for_all(program: Program) -> None:
    text = program.relayed(b'{"text":"Hi","from":"Mallory"}', b"message")
    assert text == b'{"text":"Hi","from":"Alice"}'
    assert [message.to for message in program.sent] == [("bob", "carol")]


def test_messages_of_the_servers_types_are_not_relayed_to_a_channel_either(program: Program) -> None:
    assert program.refused(b'["message",{"type":"unpublished"}]') == "reserved-type"
    assert program.refused(b'["message",{"channel":7}]') == "bad-input"
    assert program.refused(b'["message",{"channel":"Attic"}]') == "not-in-channel"


# --- what comes back ---


def test_a_thousand_players_do_not_cost_their_broadcaster_its_rate() -> None:
    program = Program(rate=Config.from_env({}).event_rate_limit)
    for number in range(1_000):
        program.connect(f"player-{number:013}", {"token": "Acme-token"})
        event = f'["subscribe","Viewer {number}","Lobby"]'.encode()
        assert program.send(f"player-{number:013}", event) == OK
    for _ in range(5):
        program.sent.clear()
        assert program.send("alice", b'["publish","Alice","Lobby",{}]') == OK
        shown = program.sent[0].args
        assert isinstance(shown, bytes)
        assert len(json.loads(shown)["peers"]) == 1_003
    for number in range(1_000):
        offer = b'{"type":"offer","target":"Viewer %d","content":{"sdp":"%s"}}' % (number, b"x" * 3_000)
        assert program.send("alice", b'["messagePeer",' + offer + b"]") == OK


# --- offers ---


@pytest.mark.parametrize(
    ("brought", "sent"),
    [
        (b"", b',"from":"Alice","peerConfig":' + STUN),
        (b',"peerConfig":null', b',"peerConfig":' + STUN + b',"from":"Alice"'),
        (b',"peerConfig":[{"a":1}]', b',"peerConfig":' + STUN + b',"from":"Alice"'),
        (
            b',"peerConfig":{"x": 1e1,"iceServers":[]}',
            b',"peerConfig":{"x":1e1,' + STUN[1:] + b',"from":"Alice"',
        ),
        (
            b',"peerConfig":{"iceServers":[{"urls": "stun:own" }]}',
            b',"peerConfig":{"iceServers":[{"urls": "stun:own" }]},"from":"Alice"',
        ),
    ],
)
def test_an_offer_gets_ice_servers_where_it_brings_none(
    program: Program, brought: bytes, sent: bytes
) -> None:
    body = b'{"type":"offer","target":"Bob","content":{"sdp": "v=0"}' + brought + b"}"
    out = b'{"type":"offer","target":"Bob","content":{"sdp": "v=0"}' + sent + b"}"
    assert json.loads(program.relayed(body)) == json.loads(out)
    for kept in (b'{"sdp": "v=0"}', sent.removeprefix(b',"from":"Alice"').removesuffix(b',"from":"Alice"')):
        assert kept in program.relayed(body)


def test_a_peer_config_with_half_a_surrogate_pair_is_completed_too(program: Program) -> None:
    body = b'{"type":"offer","target":"Bob","peerConfig":{"x":"\\ud800"}}'
    assert json.loads(program.relayed(body))["peerConfig"] == {"x": "\ud800", **json.loads(STUN)}
    for broken in (b'{"\\ud800":1}', b'{"iceServers":1e999}'):
        offer = b'["messagePeer",{"type":"offer","target":"Bob","peerConfig":' + broken + b"}]"
        assert program.refused(offer) == "bad-input"


@pytest.mark.parametrize("event", [b"messagePeer", b"message"])
@pytest.mark.parametrize("within", [True, False])
def test_only_the_description_is_rewritten_where_plans_are_enforced(event: bytes, within: bool) -> None:
    program = Program(enforce_sdp=True)
    sdp = json.dumps(SDP).encode()
    content = b'{"x": 1.0,"sdp":' + sdp + b',"y":"\\u0041"}' if within else sdp
    text = program.relayed(b"{" + TO_BOB + b',"own":1e5,"content":' + content + b"}", event)
    decoded = json.loads(text)
    limited = decoded["content"]["sdp"] if within else decoded["content"]
    assert "b=AS:100" in limited
    assert b'"own":1e5,' in text
    if within:
        assert b'{"x":1.0,"sdp":' in text
        assert b'"y":"\\u0041"}' in text


@pytest.mark.parametrize(
    "content", [b"1.0", b'"Hello"', b'{"sdp": 7}', b'{"text" :"v=0"}', b"[ ]", b'"\\ud800"', None]
)
def test_content_that_is_no_description_is_left_alone_where_plans_are_enforced(
    content: bytes | None,
) -> None:
    body = b"{" + TO_BOB + (b',"content":' + content if content else b"") + b"}"
    text = Program(enforce_sdp=True).relayed(body)
    assert text == body[:-1] + b',"from":"Alice"}'


def test_a_description_that_is_none_is_refused_where_plans_are_enforced() -> None:
    program = Program(enforce_sdp=True)
    for content in (b'"v=1"', b'{"sdp":"nonsense"}', b'{"sdp":"v=0\\r\\n\\ud800"}'):
        assert program.refused(b'["messagePeer",{' + TO_BOB + b',"content":' + content + b"}]") == "bad-input"


def test_a_peer_for_whom_too_much_waits_is_sent_no_more() -> None:
    program = Program()
    program.busy["bob"] = len(b"{" + TO_BOB + b',"own":"","from":"Alice"}') + 100
    program.relayed(b"{" + TO_BOB + b',"own":"' + b"x" * 100 + b'"}')
    assert program.refused(b'["messagePeer",{' + TO_BOB + b',"own":"' + b"x" * 101 + b'"}]') == "busy"


# --- other events ---


@pytest.mark.parametrize("payload", [b'["publish","Alice"', b'["publish",NaN]', b'["publish","\xff"]', b"{}"])
def test_an_event_that_is_no_json_is_refused_with_its_error_event(program: Program, payload: bytes) -> None:
    program.sent.clear()
    answer = dict(program.dispatcher.event("alice", "/", "publish", payload))
    assert answer["error"]["code"] == "bad-input"
    [message] = program.sent
    assert (message.to, message.event) == (("alice",), "publishError")
    assert message.args == ({"from": "_server_", "to": "", "message": answer["error"]["message"]},)


def test_error_events_name_what_the_event_named(program: Program) -> None:
    program.sent.clear()
    program.send("alice", b'["subscribe","Alice",7]')
    program.send("alice", b'["roomJoin",{"room":"Hall"}]')
    [subscribe_error, room_update] = program.sent
    assert cast("Any", subscribe_error.args)[0]["to"] == "Alice"
    assert cast("Any", room_update.args)[0]["room"] == "Hall"
    assert (room_update.event, room_update.concern) == ("roomUpdate", Concern.ROOM)


def test_only_what_may_have_to_ask_somebody_waits(program: Program) -> None:
    assert set(Event) - set(program.dispatcher.instant) == {"publish", "subscribe", "roomPublish"}


# --- one more namespace ---


TOKEN = {"token": "Acme-token"}
DAVE = {"account": "Acme", "user": "Dave", "pin": 1234}


@pytest.mark.parametrize(
    ("first", "again", "welcome"),
    [
        (TOKEN, TOKEN, True),
        (TOKEN, None, True),
        (TOKEN, {"token": "other"}, False),
        (TOKEN, {"token": ["Acme-token"]}, False),
        (TOKEN, DAVE, False),
        (DAVE, DAVE, True),
        (DAVE, None, True),
        (DAVE, TOKEN, False),
        (DAVE, {**DAVE, "pin": "1234"}, False),
        (DAVE, {**DAVE, "user": "Eve"}, False),
        (DAVE, {**DAVE, "account": "Shop"}, False),
    ],
)
def test_another_namespace_opens_for_the_same_credentials_only(
    program: Program, first: object, again: object, welcome: bool
) -> None:
    program.connect("dave", first)
    try:
        if welcome:
            program.connect("dave", again, "/signaling")
        else:
            with pytest.raises(Refused, match="ERROR: Authentication error"):
                program.connect("dave", again, "/signaling")
    finally:
        program.dispatcher.disconnect("dave", "gone")


def test_failures_are_held_against_addresses_of_any_kind() -> None:
    program = Program(failures=1)
    for address in ("127.0.0.2", "::1", "unix:/run/vws", "unknown"):
        for message in ("Authentication error", "Too many requests"):
            with pytest.raises(Refused, match=message):
                program.connect("dave", {"token": "wrong"}, address=address)
    program.connect("dave", TOKEN, address="127.0.0.3")


# --- faults ---


class Doorman:
    """Lets everybody in but Mallory, at whom it stumbles."""

    def admit(self, auth: dict[str, Any], *, socket_id: str, address: str) -> Session:
        if auth["user"] == "Mallory":
            raise ZeroDivisionError("the door is broken")
        return Session(socket_id, account="Acme", scope="Acme", user=auth["user"], address=address)


def stumble(_session: Session, _args: Sequence[Any]) -> list[Outgoing]:
    raise ZeroDivisionError("the handler is broken")


@pytest.fixture
def broken() -> Dispatcher:
    table = {Event.MESSAGE: Handler(parse=list, run=stumble, refuse=no_event)}
    gatekeeper = cast("Gatekeeper", Doorman())
    return Dispatcher({"/": table}, gatekeeper, deliver=lambda _outgoing: None, rate=10, counters=Counters())


def auth(user: str) -> dict[str, str]:
    return {"account": "Acme", "user": user, "pin": "1234"}


def test_a_fault_in_a_use_case_is_answered_and_logged_in_one_line(
    broken: Dispatcher, log: io.StringIO
) -> None:
    broken.connect("alice", "/", address="127.0.0.1", auth=auth("Alice"))
    answer = broken.event("alice", "/", "message", b'["message",{}]')
    assert answer == {"ok": False, "error": {"code": "internal", "message": "Internal error"}}
    [line] = log.getvalue().splitlines()
    assert ' error failure during=message error="ZeroDivisionError: the handler is broken" at=' in line
    assert "test_dispatcher.py:" in line


def test_a_fault_on_connecting_refuses_the_client(broken: Dispatcher) -> None:
    with pytest.raises(Refused, match="ERROR: Internal error"):
        broken.connect("mallory", "/", address="127.0.0.1", auth=auth("Mallory"))
    answer = broken.event("mallory", "/", "message", b'["message",{}]')
    assert answer["error"]["code"] == "disconnected"


def test_an_event_that_comes_after_the_client_was_forgotten_is_refused(broken: Dispatcher) -> None:
    assert broken.event("nobody", "/", "message", b'["message",{}]')["error"]["code"] == "disconnected"
    assert broken.malformed("nobody", "/", "message", size=20)["ok"] is False


def test_unreadable_events_spend_the_budget_as_well(broken: Dispatcher) -> None:
    broken.connect("alice", "/", address="127.0.0.1", auth=auth("Alice"))
    codes = [broken.malformed("alice", "/", "message", size=20)["error"]["code"] for _ in range(21)]
    assert codes == ["bad-input"] * 20 + ["too-many-events"]


@pytest.mark.parametrize(
    ("payload", "costs"),
    [(b"x" * 100, 1), (b"x" * 2_048, 2), (b'["message",{"text":"' + b"x" * 6_200 + b'"}]', 4)],
)
def test_an_event_costs_by_its_size_whether_it_can_be_read_or_not(
    broken: Dispatcher, payload: bytes, costs: int
) -> None:
    broken.connect("alice", "/", address="127.0.0.1", auth=auth("Alice"))
    codes = [broken.event("alice", "/", "message", payload)["error"]["code"] for _ in range(20 // costs + 1)]
    assert codes == ["internal"] * (20 // costs) + ["too-many-events"]


def test_a_large_event_that_is_one_too_many_is_not_even_read() -> None:
    read: list[bytes] = []

    def refuse(_session: Session, payload: bytes, _error: VWSError) -> list[Outgoing]:
        read.append(payload)
        return []

    table = {Event.PUBLISH: Handler(parse=list, run=stumble, refuse=refuse)}
    dispatcher = Dispatcher(
        {"/": table},
        cast("Gatekeeper", Doorman()),
        deliver=lambda _outgoing: None,
        rate=1,
        counters=Counters(),
    )
    dispatcher.connect("alice", "/", address="127.0.0.1", auth=auth("Alice"))
    small, large = b'["publish"]', b'["publish",' + b" " * 2_048 + b"1]"
    for payload in (large, small, large):
        dispatcher.event("alice", "/", "publish", payload)
    assert read == [large, small, b""]


def test_a_log_that_cannot_be_written_stops_nobody(program: Program, log: io.StringIO) -> None:
    program.connect("dave", {"token": "Acme-token"})
    assert len(log.getvalue().splitlines()) == 1
    log.close()
    assert program.send("dave", b'["subscribe","Dave","Lobby"]') == OK
    program.dispatcher.disconnect("dave", "gone")


def test_those_who_listen_to_the_log_get_records(
    program: Program, log: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger().addHandler(caplog.handler)
    program.connect("dave", {"token": "Acme-token"})
    program.dispatcher.disconnect("dave", "gone")
    assert [record.msg for record in caplog.records] == ["connect", "disconnect"]
    assert [line.split(" ")[2] for line in log.getvalue().splitlines()] == ["connect", "disconnect"]
