"""What becomes of untidy rows: read, skipped or read as something milder, and always reported."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vws.core.account_rows import (
    AccountRow,
    PlanRow,
    Problem,
    Rows,
    decode_properties,
    property_complaints,
    read_accounts,
)
from vws.core.accounts import UNLIMITED, Account, Plan, Restriction


def alice(properties: str = "{}", **columns: Any) -> AccountRow:
    return AccountRow(
        **{"id": 1, "name": "Alice", "token": "alice-token", "properties": properties, **columns}
    )


def bob(properties: str = "{}", **columns: Any) -> AccountRow:
    return AccountRow(**{"id": 2, "name": "Bob", "token": "bob-token", "properties": properties, **columns})


def read(
    *accounts: AccountRow, plans: tuple[PlanRow, ...] = (), **static: str
) -> tuple[list[Account], list[str]]:
    loaded, problems = read_accounts(Rows(accounts, plans), **static)
    return loaded, [f"{problem.row}: {problem.why}" for problem in problems]


def read_one(row: AccountRow, *plans: PlanRow) -> tuple[Account, list[str]]:
    loaded, problems = read(row, plans=plans)
    assert len(loaded) == 1
    return loaded[0], problems


def read_plan(properties: str) -> tuple[Plan, list[str]]:
    account, problems = read_one(alice(plan_id="3"), PlanRow(3, "Developers Plan", properties))
    return account.plan, problems


def test_a_tidy_row() -> None:
    row = alice(
        '{"loginURL": "https://alice.example/login.php?a=b", "restrictPublish": "prefix", "roomOwner": true,'
        ' "broadcastPin": "b-pin", "playbackPin": "p-pin", "streamUrl": "http://alice.example/stream",'
        ' "notifyUrl": "http://alice.example/notify", "colour": "unknown to us"}'
    )
    account, problems = read_one(row)
    assert problems == []
    assert account == Account(
        id=1,
        name="Alice",
        label="Alice",
        scope="Alice",
        token="alice-token",
        login_url="https://alice.example/login.php?a=b",
        restrict_publish=Restriction.PREFIX,
        room_owner=True,
        broadcast_pin="b-pin",
        playback_pin="p-pin",
        stream_url="http://alice.example/stream",
        notify_url="http://alice.example/notify",
    )


@pytest.mark.parametrize("text", ["", "  ", "[]", " [ ] ", "null", "{}"])
def test_what_php_writes_for_nothing_reads_as_empty(text: str) -> None:
    account, problems = read_one(alice(text))
    assert not account.suspended
    assert problems == []


@pytest.mark.parametrize("text", ["{", "[1]", '"text"', "7", "true", "{'a': 1}", "[" * 100_000])
def test_a_row_with_broken_properties_is_skipped_and_the_others_stay(text: str) -> None:
    loaded, problems = read(alice(text), bob())
    assert [account.name for account in loaded] == ["Bob"]
    assert problems == ["account 1 'Alice': skipped: properties are not a JSON object"]


@pytest.mark.parametrize("token", ["", "   "])
def test_a_row_without_a_token_is_skipped(token: str) -> None:
    assert read(alice(token=token)) == ([], ["account 1 'Alice': skipped: the token is empty"])


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_name_must_have_1_to_255_characters(name: str) -> None:
    loaded, problems = read(alice(name=name), bob())
    assert [account.name for account in loaded] == ["Bob"]
    assert [problem.endswith("skipped: the name must have 1 to 255 characters") for problem in problems] == [
        True
    ]


@pytest.mark.parametrize("name", [" ", "🎥 Café", "a/b?c", "__proto__", "line\nbreak", "x" * 255])
def test_a_name_may_hold_anything(name: str) -> None:
    account, problems = read_one(alice(name=name))
    assert (account.name, account.label, account.scope, problems) == (name, name, name, [])


# --- names and tokens that meet ---


def test_the_lowest_id_answers_to_a_name_that_occurs_twice() -> None:
    loaded, problems = read(alice(), bob(name="Alice"), bob(id=3, name="Alice", token="t3"))
    assert [(account.name, account.label, account.scope) for account in loaded] == [
        ("Alice", "Alice", "Alice"),
        ("Alice", "Alice#2", "Alice#2"),
        ("Alice", "Alice#3", "Alice#3"),
    ]
    assert problems == [
        "account 2 'Alice': the name is taken: this account is 'Alice#2' and answers to its token only",
        "account 3 'Alice': the name is taken: this account is 'Alice#3' and answers to its token only",
    ]


def test_a_label_never_meets_an_account_that_is_really_called_so() -> None:
    rows = alice(name="Alice#7"), bob(name="Alice"), bob(id=7, name="Alice", token="t7")
    labels = [account.label for account in read(*rows)[0]]
    assert labels == ["Alice#7", "Alice", "Alice#7#7"]


@pytest.mark.parametrize("broken", [{"properties": "{"}, {"token": ""}])
def test_nobody_inherits_the_name_of_a_row_that_is_skipped(broken: dict[str, str]) -> None:
    loaded, _ = read(alice(**broken), bob(name="Alice"))
    assert [account.label for account in loaded] == ["Alice#2"]


@pytest.mark.parametrize("name", ["_static", "Static Account"])
def test_the_static_names_are_taken(name: str) -> None:
    loaded, problems = read(alice(name=name), static_account="Static Account")
    assert [account.label for account in loaded] == [f"{name}#1"]
    assert [problem.startswith(f"account 1 '{name}': the name is taken") for problem in problems] == [True]


def test_the_lowest_id_keeps_a_token_that_occurs_twice() -> None:
    loaded, problems = read(alice(), bob(token="alice-token"))
    assert [account.name for account in loaded] == ["Alice"]
    assert problems == ["account 2 'Bob': skipped: account 1 has the same token"]


def test_a_token_equal_to_the_static_one_is_reported() -> None:
    loaded, problems = read(alice(), static_token="alice-token")
    assert len(loaded) == 1
    assert problems == [
        "account 1 'Alice': the token equals STATIC_TOKEN: clients with it are not in this account"
    ]


# --- properties ---


@pytest.mark.parametrize("value", [True, 1, "1", "true", "TRUE", " yes "])
def test_suspended(value: object) -> None:
    account, problems = read_one(alice(json.dumps({"suspended": value})))
    assert account.suspended
    assert problems == []


@pytest.mark.parametrize("value", [False, 0, "0", "", "false", None, [], "no"])
def test_not_suspended(value: object) -> None:
    account, problems = read_one(alice(json.dumps({"suspended": value})))
    assert not account.suspended
    assert problems == []


def test_an_unknown_word_suspends_and_owns_nothing() -> None:
    account, problems = read_one(alice('{"suspended": "since May", "roomOwner": "perhaps"}'))
    assert account.suspended
    assert not account.room_owner
    assert problems == [
        "account 1 'Alice': suspended is neither true nor false: read as true",
        "account 1 'Alice': roomOwner is neither true nor false: read as false",
    ]


@pytest.mark.parametrize("value", ["username", "prefix", "suffix", "contain", "no"])
def test_restrictions(value: str) -> None:
    account, problems = read_one(alice(json.dumps({"restrictPublish": value})))
    assert account.restrict_publish == value
    assert problems == []


@pytest.mark.parametrize("value", ["sometimes", 5, ["prefix"], {"a": 1}, "Prefix"])
def test_an_unknown_restriction_restricts_nothing(value: object) -> None:
    account, problems = read_one(alice(json.dumps({"restrictPublish": value})))
    assert account.restrict_publish is Restriction.NONE
    assert problems == [
        "account 1 'Alice': restrictPublish has an unknown value: publishing is not restricted"
    ]


@pytest.mark.parametrize("key", ["loginURL", "streamUrl", "notifyUrl"])
@pytest.mark.parametrize(
    "value", ["ftp://a.example", "javascript:alert(1)", "http://", "http://[", "login", 5, {"a": 1}]
)
def test_an_address_must_be_http(key: str, value: object) -> None:
    account, problems = read_one(alice(json.dumps({key: value})))
    assert (account.login_url, account.stream_url, account.notify_url) == ("", "", "")
    assert problems == [f"account 1 'Alice': {key} is not an http:// or https:// address: it is ignored"]


@pytest.mark.parametrize("value", [None, "", False, []])
def test_no_address_is_nothing_to_report(value: object) -> None:
    assert read_one(alice(json.dumps({"loginURL": value})))[1] == []


@pytest.mark.parametrize(("value", "pin"), [("0012", "0012"), (1234, "1234"), (0, "0"), (None, ""), ("", "")])
def test_pins_become_strings(value: object, pin: str) -> None:
    account, problems = read_one(alice(json.dumps({"broadcastPin": value})))
    assert (account.broadcast_pin, problems) == (pin, [])


@pytest.mark.parametrize("value", [True, ["1"], {"a": 1}])
def test_a_pin_of_another_kind_never_matches(value: object) -> None:
    account, problems = read_one(alice(json.dumps({"playbackPin": value})))
    assert account.playback_pin == ""
    assert problems == ["account 1 'Alice': playbackPin is not a string: it is ignored"]


def test_complaints_before_writing() -> None:
    assert property_complaints({"loginURL": "https://a.example", "anything": [1]}) == []
    assert property_complaints({"loginURL": "nowhere"}) == [
        "loginURL is not an http:// or https:// address: it is ignored"
    ]


# --- plans ---


def test_a_plan_as_the_manual_shows_it() -> None:
    plan, problems = read_plan(
        '{"connections":5,"totalBitrate":2700, "bitrate":500,"framerate":15,"audioBitrate":32,"width":640,'
        '"height":360,"streamPlayers":10}'
    )
    assert problems == []
    assert plan == Plan("Developers Plan", 5, 2700, 500, 32, 15, 640, 360, 10)


def test_numbers_in_strings() -> None:
    plan, problems = read_plan('{"bitrate": "500", "frameRate": " 29.97 ", "width": "1e3"}')
    assert (plan.bitrate, plan.frame_rate, plan.width, problems) == (500, 29.97, 1000, [])


def test_whole_limits_read_well_in_messages() -> None:
    plan, _ = read_plan('{"connections": 5.0}')
    assert str(plan.connections) == "5"


@pytest.mark.parametrize(
    "properties", ['{"frameRate": 15}', '{"framerate": 15}', '{"frameRate": 15, "framerate": 9}']
)
def test_both_spellings_of_the_frame_rate(properties: str) -> None:
    assert read_plan(properties)[0].frame_rate == 15


@pytest.mark.parametrize("value", [0, "0", "", None, 0.0])
def test_no_limit(value: object) -> None:
    plan, problems = read_plan(json.dumps({"connections": value, "bitrate": 100}))
    assert (plan.connections, plan.bitrate, problems) == (None, 100, [])


@pytest.mark.parametrize("value", [-1, "-5", "many", " ", True, [5], {"a": 1}, float("nan"), "inf", 10**400])
def test_a_limit_that_is_no_number_is_ignored_alone(value: object) -> None:
    plan, problems = read_plan(json.dumps({"connections": value, "bitrate": 100}))
    assert (plan.connections, plan.bitrate) == (None, 100)
    assert problems == [
        "plan 3 'Developers Plan': connections is not a number from 0 up: this limit is ignored"
    ]


@pytest.mark.parametrize("plan_id", ["", "0", " 0"])
def test_no_plan(plan_id: str) -> None:
    account, problems = read_one(alice(plan_id=plan_id))
    assert (account.plan, problems) == (UNLIMITED, [])


@pytest.mark.parametrize("plan_id", ["9", "-1", "abc"])
def test_a_plan_that_does_not_exist_limits_nothing(plan_id: str) -> None:
    account, problems = read_one(alice(plan_id=plan_id), PlanRow(3, "Developers Plan", "{}"))
    assert account.plan is UNLIMITED
    assert problems == ["account 1 'Alice': its plan does not exist: no limits apply"]


def test_a_broken_plan_limits_nothing() -> None:
    account, problems = read_one(alice(plan_id="3"), PlanRow(3, "Developers Plan", "{"))
    assert account.plan is UNLIMITED
    assert problems == [
        "plan 3 'Developers Plan': properties are not a JSON object: no limits apply",
        "account 1 'Alice': its plan is broken: no limits apply",
    ]


# --- whatever comes ---

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    [
        "suspended",
        "loginURL",
        "restrictPublish",
        "roomOwner",
        "broadcastPin",
        "notifyUrl",
        "frameRate",
        "bitrate",
    ]
)
texts = st.text() | st.dictionaries(keys, anything).map(json.dumps)
row_sets = st.lists(
    st.tuples(st.text(max_size=3), st.text(max_size=3), texts, st.sampled_from(["", "1", "2", "x"]))
)


@given(row_sets, st.lists(st.tuples(st.text(), texts), max_size=2))
def test_any_rows_are_read_and_keep_tokens_and_labels_apart(
    accounts: list[tuple[str, str, str, str]], plans: list[tuple[str, str]]
) -> None:
    rows = Rows(
        tuple(AccountRow(number, *columns) for number, columns in enumerate(accounts, 1)),
        tuple(PlanRow(number, *columns) for number, columns in enumerate(plans, 1)),
    )
    loaded, problems = read_accounts(rows, static_account="a", static_token="t")
    assert len({account.label for account in loaded}) == len(loaded)
    assert len({account.token for account in loaded}) == len(loaded)
    assert "" not in {account.token for account in loaded}
    told = {problem.row.split()[1] for problem in problems if problem.row.startswith("account")}
    assert {str(row.id) for row in rows.accounts} - {str(account.id) for account in loaded} <= told


def test_problems_hold_no_secret() -> None:
    row = alice(
        '{"loginURL": "ftp://secret", "broadcastPin": ["secret"], "suspended": "secret"}', token="secret"
    )
    _, problems = read_accounts(Rows((row, bob(token="secret"))), static_token="secret")
    assert len(problems) == 5
    assert all(isinstance(problem, Problem) and "secret" not in problem.why for problem in problems)
    assert "secret" not in repr(row)


def test_decoding_tells_empty_from_broken() -> None:
    assert decode_properties("[]") == {}
    assert decode_properties("[0]") is None
    assert decode_properties('{"a": {"b": 1}}') == {"a": {"b": 1}}
