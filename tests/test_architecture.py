"""The direction of imports that docs/architecture.md promises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vws"

BASE = ("vws.errors",)
RULES = (*BASE, "vws.core")
SETTINGS = (*BASE, "vws.config", "vws.readers")
CONTRACT = "vws.state.base"
ACCOUNTS = (*RULES, "vws.config", "vws.accounts")
USE_CASE = (
    *ACCOUNTS,
    CONTRACT,
    "vws.announce",
    "vws.claims",
    "vws.clock",
    "vws.ice",
    "vws.logs",
    "vws.signaling",
)
EDGE = (
    *USE_CASE,
    "vws.auth",
    "vws.hls",
    "vws.ice_check",
    "vws.nginx_files",
    "vws.reload",
    "vws.rooms",
    "vws.rtmp",
    "vws.usage",
)
DATABASE = (*ACCOUNTS, "vws.db", "vws.bookkeeping", "vws.reload_request")

ALLOWED: dict[str, tuple[str, ...]] = {
    "vws": (),
    "vws.errors": (),
    "vws.logs": ("vws.core.rate",),
    "vws.core": RULES,
    "vws.readers": SETTINGS,
    "vws.config": SETTINGS,
    "vws.state": (*RULES, "vws.state"),
    "vws.db": RULES,
    "vws.background": ("vws.logs",),
    "vws.clock": (),
    "vws.ice": SETTINGS,
    "vws.ice_check": (*SETTINGS, "vws.clock", "vws.core.ice", "vws.ice", "vws.logs"),
    "vws.ice_probe": ("vws.core.ice",),
    "vws.accounts": ACCOUNTS,
    "vws.announce": USE_CASE,
    "vws.claims": USE_CASE,
    "vws.signaling": USE_CASE,
    "vws.rooms": USE_CASE,
    "vws.lookups": (),
    "vws.plain_http": (),
    "vws.site_calls": (*BASE, "vws.plain_http"),
    "vws.login": (*USE_CASE, "vws.site_calls"),
    "vws.demo": (),
    "vws.demo_login": (*USE_CASE, "vws.login"),
    "vws.auth": (*USE_CASE, "vws.login"),
    "vws.nginx_files": (*RULES, "vws.plain_http"),
    "vws.stream_sites": (*BASE, "vws.site_calls"),
    "vws.stream_access": (*USE_CASE, "vws.stream_sites"),
    "vws.nginx_stat": (*RULES, "vws.plain_http"),
    "vws.notices": (*USE_CASE, "vws.stream_sites"),
    "vws.rtmp_news": (*USE_CASE, "vws.notices"),
    "vws.rtmp": (*USE_CASE, "vws.rtmp_news", "vws.stream_access", "vws.stream_sites"),
    "vws.rtmp_upkeep": (*USE_CASE, "vws.nginx_stat", "vws.notices", "vws.rtmp_news"),
    "vws.hls": (*USE_CASE, "vws.nginx_files", "vws.stream_access", "vws.stream_sites"),
    "vws.readiness": ("vws.clock",),
    "vws.reload": (*USE_CASE, "vws.auth"),
    "vws.usage": (*USE_CASE, "vws.reload"),
    "vws.namespaces": (*EDGE, "vws.namespaces"),
    "vws.http": (*EDGE, "vws.demo", "vws.demo_login", "vws.http"),
    "vws.transport": (*BASE, "vws.core.strict_json", "vws.transport"),
    "vws.serve": (*SETTINGS, "vws.demo", "vws.logs", "vws.transport"),
    "vws.bookkeeping": DATABASE,
    "vws.reload_request": SETTINGS,
    "vws.nginx_config": SETTINGS,
    "vws.cli": (*DATABASE, "vws.nginx_config"),
    "vws.__main__": ("vws.cli",),
    "vws.factory": ("vws",),
}
"""What each module or package may import of the program itself; `vws` alone is the version."""

FRAMEWORKS = {
    "aioice",
    "asyncio",
    "flask",
    "flask_socketio",
    "socketio",
    "engineio",
    "gevent",
    "geventwebsocket",
    "peewee",
    "prometheus_client",
    "requests",
    "websockets",
}
MAY_USE: dict[str, set[str]] = {
    "vws.http": {"flask", "prometheus_client"},
    "vws.transport": {"flask_socketio", "socketio", "engineio", "gevent", "geventwebsocket", "websockets"},
    "vws.factory": {"flask", "gevent", "peewee"},
    "vws.serve": {"gevent"},
    "vws.ice_check": {"gevent"},
    "vws.ice_probe": {"aioice", "asyncio"},
    "vws.lookups": {"gevent"},
    "vws.plain_http": {"requests"},
    "vws.site_calls": {"gevent", "requests"},
    "vws.nginx_files": {"gevent", "requests"},
    "vws.nginx_stat": {"gevent", "requests"},
    "vws.readiness": {"gevent"},
    "vws.db": {"peewee"},
    "vws.bookkeeping": {"peewee"},
    "vws.cli": {"peewee"},
    "vws.reload_request": {"requests"},
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Yield the modules a file imports; `from a import b` is `a.b` where that is a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if is_module(whole) else str(node.module)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def rule_for(name: str) -> str:
    """Return the longest name in the table that covers the module."""
    return max((rule for rule in ALLOWED if covers(rule, name) and (rule != "vws" or name == "vws")), key=len)


def covers(rule: str, name: str) -> bool:
    return name == rule or name.startswith(f"{rule}.")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_in_the_allowed_direction(path: Path) -> None:
    name = name_of(path)
    allowed = ALLOWED[rule_for(name)]
    own = {imported for imported in imports(path) if covers("vws", imported) and imported != "vws"}
    wrong = {imported for imported in own if not any(covers(rule, imported) for rule in allowed)}
    assert not wrong, f"{name} must not import {sorted(wrong)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_frameworks_stay_at_the_edges(path: Path) -> None:
    name = name_of(path)
    used = {imported.split(".")[0] for imported in imports(path)} & FRAMEWORKS
    wrong = used - MAY_USE.get(rule_for(name), set())
    assert not wrong, f"{name} must not know {sorted(wrong)}"
