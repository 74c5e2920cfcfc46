"""The benchmark still works, against both servers; what it measures here means nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.require import need
from tests.support.server import ROOT, until

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
    measured = run("bench.hls", "--viewers", "200", "--bitrate", "200", "--piece", "4", "--seconds", "12")
    assert measured.returncode == 0, measured.stdout + measured.stderr
    rows = {row[1].strip(): row[2].strip() for row in map(columns, measured.stdout.splitlines()) if row}
    assert (rows["viewers counted"], rows["viewers with errors"]) == ("200", "0")
    assert len(rows) == 11


def columns(line: str) -> list[str]:
    return line.split("|") if line.startswith("|") else []


LONG = {
    "bench.hls": ("--viewers", "3", "--seconds", "600"),
    "bench.soak": ("--idle", "3", "--active", "2", "--minutes", "10"),
}


@pytest.mark.parametrize(("module", "number"), [("bench.hls", signal.SIGTERM), ("bench.soak", signal.SIGINT)])
def test_a_bench_that_is_interrupted_leaves_nothing_running(module: str, number: signal.Signals) -> None:
    need("nginx")
    command = [sys.executable, "-m", module, *LONG[module]]
    wanted = 4 if module == "bench.hls" else 2  # masters and workers
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as bench:
        until(lambda: len(list(descendants(bench.pid))) == wanted, timeout=30, what="the servers to start")
        started = list(descendants(bench.pid))
        bench.send_signal(number)
        assert bench.wait(30) == 128 + number
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), timeout=5)


def descendants(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from descendants(int(child))
