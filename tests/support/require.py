"""Ask for a program that some tests need: without it they are skipped, or fail where VWS_TEST_REQUIRE=all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["missing", "need", "need_file"]


def need(program: str) -> str:
    """Return the path of a program; without it skip the test, or fail it where VWS_TEST_REQUIRE=all."""
    # Servers live in sbin, which is not in everybody's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(program, path=path)
    return found or missing(program)


def need_file(path: Path) -> Path:
    """Return the path of a file that `deploy/setup.sh --tests` fetches; without it do as `need` does."""
    return path if path.is_file() else missing(path.name)


def missing(what: str) -> NoReturn:
    """Skip the test for want of something, or fail it where VWS_TEST_REQUIRE=all."""
    if os.environ.get("VWS_TEST_REQUIRE") == "all":
        pytest.fail(f"{what} is not installed, and VWS_TEST_REQUIRE=all wants every test to run")
    pytest.skip(f"{what} is not installed")
