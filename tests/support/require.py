"""Ask for a program that some tests need: without it they are skipped, or fail where VWS_TEST_REQUIRE=all."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["need"]


def need(program: str) -> str:
    """Return the path of a program; without it skip the test, or fail it where VWS_TEST_REQUIRE=all."""
    # Servers live in sbin, which is not in everybody's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(program, path=path)
    if found:
        return found
    if os.environ.get("VWS_TEST_REQUIRE") == "all":
        pytest.fail(f"{program} is not installed, and VWS_TEST_REQUIRE=all wants every test to run")
    pytest.skip(f"{program} is not installed")
