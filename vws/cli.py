"""The command line, ``python -m vws``: tables, accounts, plans and settings, without a running server.

Commands work on the database of the current folder's configuration. After a change a server running here is
asked to reload. Exit codes: 0 done, 1 refused or failed, 2 not understood.
"""

from __future__ import annotations

import argparse
import getpass
import io
import json
import math
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from vws.bookkeeping import AccountChanges, Bookkeeper
from vws.config import Config, load
from vws.core.account_rows import LIMIT_KEYS, PlanRow, Rows, decode_properties, read_accounts
from vws.core.accounts import Account, Restriction
from vws.db import migrate, open_database, read_rows
from vws.errors import BadInput, VWSError
from vws.nginx_config import nginx_config
from vws.reload_request import ask_to_reload

__all__ = ["main"]

Command = Callable[[argparse.Namespace], int]

ENV_FILE = """\
# Settings for development on this machine; .env.example explains every one of them.
VWS_ENV=development
STATIC_TOKEN={token}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong usage raises ``SystemExit(2)`` as argparse does."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name must not stop the list that shows it
    args = _parser().parse_args(argv)
    run: Command = args.run
    try:
        return run(args)
    except (VWSError, OSError) as error:
        print(f"error: {_plain(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1


# --- commands: settings and tables ---


def _init(_args: argparse.Namespace) -> int:
    path = Path(".env")
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{path} is there already: nothing to do.")
        return 0
    with open(file, "w", encoding="utf-8") as env:
        env.write(ENV_FILE.format(token=secrets.token_hex(24)))
    print(f"Wrote {path}: development settings with a random STATIC_TOKEN.")
    return 0


def _check_config(_args: argparse.Namespace) -> int:
    config, warnings = load()
    for name, value in config.describe():
        print(f"{name}={_plain(value)}")
    for warning in warnings:
        print(f"warning: {_plain(warning)}", file=sys.stderr)
    return 0


def _nginx_config(args: argparse.Namespace) -> int:
    config, _ = load()
    print(nginx_config(config, user=args.user or getpass.getuser(), folder=args.folder), end="")
    return 0


def _migrate(_args: argparse.Namespace) -> int:
    config, _ = load()
    applied = migrate(open_database(config.database_url))
    shown = dict(config.describe())["DATABASE_URL"]
    print(f"{shown}: {'applied ' + ', '.join(applied) if applied else 'up to date'}")
    return 0


# --- commands: accounts ---


def _accounts_list(args: argparse.Namespace) -> int:
    config, _ = load()
    rows = read_rows(open_database(config.database_url))
    accounts, problems = read_accounts(
        rows, static_account=config.static_account, static_token=config.static_token
    )
    _print_table(_account_lines(rows, accounts, tokens=args.tokens))
    for problem in problems:
        print(f"warning: {_plain(f'{problem.row}: {problem.why}')}", file=sys.stderr)
    return 0


def _account_lines(rows: Rows, accounts: Iterable[Account], *, tokens: bool) -> list[list[str]]:
    loaded = {account.id: account for account in accounts}
    plans = {str(plan.id): plan.name for plan in rows.plans}
    lines = [["ID", "NAME", "PLAN", "STATUS", *(["TOKEN"] if tokens else [])]]
    for row in rows.accounts:
        plan = plans.get(row.plan_id, "-")
        lines.append([str(row.id), row.name, plan, _status(loaded.get(row.id))])
        lines[-1] += [row.token] if tokens else []
    return lines


def _status(account: Account | None) -> str:
    if account is None:
        return "skipped"
    return "suspended" if account.suspended else "active"


def _accounts_add(args: argparse.Namespace) -> int:
    config, keeper = _open()
    number, token = keeper.add_account(args.name, _account_changes(args))
    print(f"Added account {number}. Its token, shown this once: {token}")
    return _tell(args, config)


def _accounts_update(args: argparse.Namespace) -> int:
    config, keeper = _open()
    row = keeper.update_account(args.account, _account_changes(args, name=args.new_name))
    print(f"Updated account {row.id}.")
    return _tell(args, config)


def _accounts_suspend(args: argparse.Namespace) -> int:
    config, keeper = _open()
    changes = AccountChanges(properties={"suspended": None if args.off else True})
    row = keeper.update_account(args.account, changes)
    print(f"Account {row.id} is {'active again' if args.off else 'suspended'}.")
    return _tell(args, config)


def _accounts_remove(args: argparse.Namespace) -> int:
    config, keeper = _open()
    print(f"Removed account {keeper.remove_account(args.account).id}.")
    return _tell(args, config)


def _accounts_rotate(args: argparse.Namespace) -> int:
    config, keeper = _open()
    row, token = keeper.rotate_token(args.account, args.token)
    print(f"The new token of account {row.id}, shown this once: {token}")
    return _tell(args, config)


def _account_changes(args: argparse.Namespace, *, name: str | None = None) -> AccountChanges:
    properties = dict(args.property)
    if args.login_url is not None:
        properties["loginURL"] = args.login_url or None
    if args.restrict_publish is not None:
        properties["restrictPublish"] = args.restrict_publish
    return AccountChanges(name, args.token, args.plan, properties, clear=getattr(args, "clear", False))


# --- commands: plans ---


def _plans_list(_args: argparse.Namespace) -> int:
    config, _ = load()
    rows = read_rows(open_database(config.database_url))
    lines = [["ID", "NAME", "ACCOUNTS", "LIMITS"]]
    for row in rows.plans:
        users = sum(account.plan_id == str(row.id) for account in rows.accounts)
        lines.append([str(row.id), row.name, str(users), _limits_of(row)])
    _print_table(lines)
    return 0


def _limits_of(row: PlanRow) -> str:
    values = decode_properties(row.properties)
    if values is None:
        return "broken: no limits apply"
    keys = [key for spellings in LIMIT_KEYS.values() for key in spellings if values.get(key)]
    return ", ".join(f"{key} {values[key]}" for key in keys) or "none"


def _plans_add(args: argparse.Namespace) -> int:
    config, keeper = _open()
    print(f"Added plan {keeper.add_plan(args.name, _limits(args))}.")
    return _tell(args, config)


def _plans_update(args: argparse.Namespace) -> int:
    config, keeper = _open()
    row = keeper.update_plan(args.plan, _limits(args), name=args.new_name)
    print(f"Updated plan {row.id}.")
    return _tell(args, config)


def _plans_remove(args: argparse.Namespace) -> int:
    config, keeper = _open()
    print(f"Removed plan {keeper.remove_plan(args.plan, force=args.force).id}.")
    return _tell(args, config)


def _limits(args: argparse.Namespace) -> dict[str, float]:
    return {name: limit for name in LIMIT_KEYS if (limit := getattr(args, name)) is not None}


# --- what the commands share ---


def _open() -> tuple[Config, Bookkeeper]:
    config, _ = load()
    return config, Bookkeeper(open_database(config.database_url), config)


def _tell(args: argparse.Namespace, config: Config) -> int:
    if args.reload:
        print(_plain(ask_to_reload(config)))
    return 0


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    shown = [[_plain(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for line in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _plain(text: str) -> str:
    """Escape what could command a terminal: names are chosen by strangers."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# --- arguments ---


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vws", description="Manage a VWS signaling server.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _command(commands, "init", _init, about="write a .env for development, if there is none")
    _command(commands, "check-config", _check_config, about="show the settings in effect and what is wrong")
    nginx = _command(commands, "nginx-config", _nginx_config, about="print nginx.conf for these settings")
    nginx.add_argument("--user", metavar="NAME", help="who runs nginx's worker (default: who runs this)")
    nginx.add_argument("--folder", metavar="PATH", default="", help="keep logs and temporary files there")
    _command(commands, "migrate", _migrate, about="create the tables, or bring older ones up to date")
    accounts = commands.add_parser("accounts", help="list and change accounts")
    _account_commands(accounts.add_subparsers(title="commands", metavar="COMMAND", required=True))
    plans = commands.add_parser("plans", help="list and change plans")
    _plan_commands(plans.add_subparsers(title="commands", metavar="COMMAND", required=True))
    return parser


def _account_commands(commands: Any) -> None:
    listing = _command(commands, "list", _accounts_list, about="list the accounts")
    listing.add_argument("--tokens", action="store_true", help="show their tokens too")
    add = _change(commands, "add", _accounts_add, about="add an account; prints its id and token")
    add.add_argument("name", metavar="NAME")
    _account_options(add)
    update = _change(commands, "update", _accounts_update, about="change an account", key="account")
    update.add_argument("--name", dest="new_name", metavar="NAME", help="rename it")
    update.add_argument(
        "--clear-properties", dest="clear", action="store_true", help="drop all its properties first"
    )
    _account_options(update)
    about = "suspend an account, and disconnect its clients"
    suspend = _change(commands, "suspend", _accounts_suspend, about=about, key="account")
    suspend.add_argument("--off", action="store_true", help="let it in again")
    _change(commands, "remove", _accounts_remove, about="remove an account", key="account")
    about = "give an account a new token; prints it"
    rotate = _change(commands, "rotate-token", _accounts_rotate, about=about, key="account")
    rotate.add_argument("--token", metavar="TOKEN", help="this one instead of a random one")


def _account_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", metavar="PLAN", help="id or name of its plan, 0 for none")
    parser.add_argument("--token", metavar="TOKEN", help="its token (others on this machine can see it here)")
    parser.add_argument("--login-url", metavar="URL", help='address that checks user and pin, "" for none')
    parser.add_argument("--restrict-publish", choices=[str(each) for each in Restriction])
    parser.add_argument(
        "--property",
        metavar="KEY=JSON",
        type=_property,
        action="append",
        default=[],
        help="any other property, null to remove it; may be repeated",
    )


def _plan_commands(commands: Any) -> None:
    _command(commands, "list", _plans_list, about="list the plans")
    add = _change(commands, "add", _plans_add, about="add a plan; prints its id")
    add.add_argument("name", metavar="NAME")
    _limit_options(add)
    update = _change(commands, "update", _plans_update, about="change a plan", key="plan")
    update.add_argument("--name", dest="new_name", metavar="NAME", help="rename it")
    _limit_options(update)
    remove = _change(commands, "remove", _plans_remove, about="remove a plan", key="plan")
    remove.add_argument("--force", action="store_true", help="also when accounts use it: their limits go")


def _limit_options(parser: argparse.ArgumentParser) -> None:
    units = {"bitrate": "kbps", "rate": "frames per second", "width": "pixels", "height": "pixels"}
    for name in LIMIT_KEYS:
        unit = units.get(name.rpartition("_")[2], "number")
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=_limit, metavar="N", help=f"{unit}, 0 lifts the limit")


def _command(commands: Any, name: str, run: Command, *, about: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(run=run)
    return parser


def _change(commands: Any, name: str, run: Command, *, about: str, key: str = "") -> argparse.ArgumentParser:
    """Declare a command that writes, ``key`` saying what kind of row its first argument names."""
    parser = _command(commands, name, run, about=about)
    if key:
        parser.add_argument(key, metavar=key.upper(), help=f"id or name of the {key}")
    parser.add_argument(
        "--no-reload", dest="reload", action="store_false", help="do not ask a running server to reload"
    )
    return parser


def _limit(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(number) if number.is_integer() else number


def _property(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=JSON")
    try:
        return key, json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        hint = "strings need quotes of their own, as in 'broadcastPin=\"1234\"'"
        raise argparse.ArgumentTypeError(f"the value of {key} is not JSON: {hint}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
