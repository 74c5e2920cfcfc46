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
SMALL_SOAK = ("--idle", "20", "--active", "4", "--minutes", "1", "--sample", "0.2", "--storm", "20")


def run(module: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.timeout(300)
def test_every_figure_is_measured_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # where the system has no Node, setup.sh puts one beside Python
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)]))
    need("node")
    fetch = [need("npm"), "ci", "--prefix", str(PEER), "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(fetch, check=True, capture_output=True, timeout=120)
    soaked = run("bench.soak", *SMALL_SOAK, "--raw", str(tmp_path / "soak.json"))
    assert "clients lost: 0 (0)" in soaked.stdout, soaked.stdout + soaked.stderr
    options = ["--scale", "smoke", "--raw", str(tmp_path / "raw.json"), "--report", str(tmp_path)]
    benched = run("bench", *options, "--soak", str(tmp_path / "soak.json"))
    assert benched.returncode == 0, benched.stdout + benched.stderr
    report = (tmp_path / "performance.md").read_text()
    table = [line for line in report.splitlines() if line.startswith("|")]
    rows = [line.split("|") for line in table if " µs " in line or " KB " in line]
    assert len(rows) >= 15
    assert all(row[3].strip() and row[4].strip() for row in rows)
    assert "| clients lost | 0 | 0 | yes |" in report
    assert "| storm: clients and players the server counts | 20 and 18 | 20 and 18 | yes |" in report
    assert len(list((tmp_path / "performance").glob("*.svg"))) == 3


@pytest.mark.timeout(300)
def test_memory_stays_flat_while_200_viewers_pull_a_stream() -> None:
    need("nginx")
    measured = run("bench.hls", "--viewers", "200", "--bitrate", "200", "--piece", "5", "--seconds", "20")
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert "200 viewers counted, 0 of them with errors" in measured.stdout
