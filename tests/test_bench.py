"""The benchmark still works, against both servers; what it measures here means nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.require import need
from tests.support.server import ROOT

PEER = ROOT / "bench" / "peer"


@pytest.mark.timeout(300)
def test_every_figure_is_measured_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # where the system has no Node, setup.sh puts one beside Python
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)]))
    need("node")
    fetch = [need("npm"), "ci", "--prefix", str(PEER), "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(fetch, check=True, capture_output=True, timeout=120)
    command = [sys.executable, "-m", "bench", "--scale", "smoke", "--raw", str(tmp_path / "raw.json")]
    command += ["--report", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    report = (tmp_path / "performance.md").read_text()
    rows = [line.split("|") for line in report.splitlines() if " µs " in line or " KB " in line]
    assert len(rows) >= 15
    assert all(row[3].strip() and row[4].strip() for row in rows)
    assert len(list((tmp_path / "performance").glob("*.svg"))) == 3
