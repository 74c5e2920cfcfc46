"""The command line: plans."""

from __future__ import annotations

import json

import peewee
import pytest

from tests.support.shell import Shell, insert_account, only_account, only_plan
from vws.db import PlanTable, connected, read_rows


def test_add_and_list_plans(shell: Shell, tables: peewee.Database) -> None:
    options = {
        "connections": 5,
        "totalBitrate": 2700,
        "bitrate": 500,
        "audioBitrate": 32,
        "frameRate": 29.97,
        "width": 640,
        "height": 360,
        "streamPlayers": 10,
    }
    words = ("--connections 5 --total-bitrate 2700 --bitrate 500 --audio-bitrate 32 --frame-rate 29.97"
             " --width 640 --height 360 --stream-players 10")  # fmt: skip
    assert shell.quietly("plans", "add", "Developers Plan", *words.split()) == "Added plan 1.\n"
    assert json.loads(only_plan(tables).properties) == options
    insert_account(tables, "Alice", "alice-token", plan=1)
    assert "1   Developers Plan  1         connections 5, totalBitrate 2700" in shell("plans", "list")


def test_update_of_a_plan_keeps_the_rest_and_lifts_with_0(shell: Shell, tables: peewee.Database) -> None:
    with connected(tables):
        properties = '{"connections": "5", "framerate": 15, "colour": "red"}'
        PlanTable.insert({"name": "Old", "properties": properties}).execute(tables)
    shell.quietly("plans", "update", "Old", "--frame-rate", "20", "--width", "640")
    assert json.loads(only_plan(tables).properties) == {
        "connections": "5", "colour": "red", "frameRate": 20, "width": 640
    }  # fmt: skip
    shell.quietly("plans", "update", "1", "--connections", "0", "--frame-rate", "0", "--name", "New")
    assert only_plan(tables).name == "New"
    assert json.loads(only_plan(tables).properties) == {"colour": "red", "width": 640}
    shell.quietly("plans", "update", "New", "--width", "0", "--name", "New")
    assert "none" in shell("plans", "list")


def test_a_plan_in_use_is_removed_by_force_only(shell: Shell, tables: peewee.Database) -> None:
    shell.quietly("plans", "add", "Developers Plan")
    insert_account(tables, "Alice", "alice-token", plan=1)
    assert "error: accounts with this plan: 1" in shell("plans", "remove", "1", code=1)
    assert only_plan(tables).id == 1
    assert shell.quietly("plans", "remove", "Developers Plan", "--force") == "Removed plan 1.\n"
    assert read_rows(tables).plans == ()
    assert only_account(tables).plan_id == ""


def test_an_unused_plan_is_removed(shell: Shell, tables: peewee.Database) -> None:
    shell.quietly("plans", "add", "Developers Plan")
    shell.quietly("plans", "remove", "1")
    assert read_rows(tables).plans == ()


@pytest.mark.parametrize("limit", ["many", "-1", "nan", "inf", ""])
def test_a_limit_is_a_number_from_0_up(shell: Shell, limit: str) -> None:
    assert "is not a number from 0 up" in shell("plans", "add", "Plan", f"--width={limit}", code=2)


def test_a_plan_name_is_given_once(shell: Shell, tables: peewee.Database) -> None:
    shell.quietly("plans", "add", "Developers Plan")
    shell.quietly("plans", "add", "Other")
    for words in (["add", "Other"], ["update", "1", "--name", "Other"]):
        assert "the name 'Other' is taken" in shell("plans", *words, code=1)


def test_a_broken_plan_is_listed_as_such(shell: Shell, tables: peewee.Database) -> None:
    with connected(tables):
        PlanTable.insert({"name": "Broken", "properties": "["}).execute(tables)
    assert "broken: no limits apply" in shell("plans", "list")
    assert "not a JSON object" in shell.quietly("plans", "update", "Broken", "--width", "1", code=1)
