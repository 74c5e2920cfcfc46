"""Where the figures come from: the machine, and the versions of what runs on it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import shutil
import subprocess
from pathlib import Path

from bench.servers import PEER

__all__ = ["describe_machine", "raise_file_limit"]


def describe_machine() -> dict[str, str]:
    """Return what a reader needs to know to compare, by the name it has in the report."""
    return {
        "CPU": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "gevent": importlib.metadata.version("gevent"),
        "Node": _node_version(),
        "socket.io": _peer_version("socket.io"),
        "ws": _peer_version("ws"),
    }


def raise_file_limit() -> None:
    """Allow this process and its children as many open connections as the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown 0"


def _node_version() -> str:
    node = shutil.which("node")
    if node is None:
        return "none"
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  # as found


def _peer_version(package: str) -> str:
    path = PEER / "node_modules" / package / "package.json"
    return str(json.loads(path.read_text())["version"]) if path.exists() else "none"
