"""`python -m bench`: measure both servers side by side, and write the report."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bench.certificate import make_certificate
from bench.figures import Group
from bench.login_site import login_site
from bench.loop import Failed
from bench.machine import describe_machine, raise_file_limit
from bench.report import RESULTS, SOAK, Raw, load, save, table, write
from bench.run import Run
from bench.scale import FULL, SMOKE, Scale
from bench.servers import ROOT, Contender, Launch, Server, attached
from bench.signals import end_in_order
from bench.table import show

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1, with the reason, when a figure could not be measured."""
    options = _parser().parse_args(arguments)
    end_in_order()
    raise_file_limit()
    try:
        raw = load(options.raw) if options.render else _measure(options)
    except Failed as error:
        _say(f"bench: {error}")
        return 1
    _say(table(show(raw.results, raw.scale)))
    if not options.render:
        save(raw, options.raw)
    if options.report or _is_whole(options):
        soak = json.loads(options.soak.read_text()) if options.soak.exists() else None
        _say(f"written: {write(raw, options.report or ROOT / 'docs', soak)}")
    return 0


def _measure(options: argparse.Namespace) -> Raw:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vws-bench-") as folder, login_site() as login_url:
        launch = Launch(options.source.resolve(), login_url)
        run = _prepare(options, launch, make_certificate(Path(folder)))
        run.all_rounds()
    results = {contender: dict(groups) for contender, groups in run.results.items()}
    return Raw(describe_machine(), run.scale, (time.monotonic() - began) / 60, results)


def _is_whole(options: argparse.Namespace) -> bool:
    """Tell whether this is the benchmark that the documentation shows, nothing left out or made smaller."""
    chosen = (options.only, options.set, options.attach, options.scale != "full", options.source != ROOT)
    return not any(chosen) and (options.render or options.contender == list(Contender))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    figures = ", ".join(Group)
    add("--only", nargs="+", type=Group, choices=list(Group), metavar="FIGURE", help=f"some of {figures}")
    add("--contender", nargs="+", type=Contender, choices=list(Contender), default=list(Contender))
    add("--rounds", type=int, help=f"how often everything is measured ({FULL.rounds})")
    add("--scale", choices=("full", "smoke"), default="full", help="smoke: only to see that it works")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="other numbers of bench/scale.py")
    add("--source", type=Path, default=ROOT, help="the tree our server is started from")
    add("--attach", metavar="PORT:PID:TOKEN", help="measure a server of ours that runs already")
    add("--rate", type=float, default=0.0, help="messages per second that latency is measured at")
    add("--raw", type=Path, default=RESULTS / "bench.json", help="where the raw numbers go")
    add("--soak", type=Path, default=SOAK, help="what make soak wrote")
    add(
        "--report", type=Path, metavar="FOLDER", help="write the report here, even if not everything is in it"
    )
    add("--render", action="store_true", help="measure nothing, write the report of the raw numbers again")
    return parser


def _prepare(options: argparse.Namespace, launch: Launch, certificate: str) -> Run:
    groups = options.only or list(Group)
    run = Run(groups, options.contender, _scale(options), launch, certificate, _say, rate=options.rate)
    if options.attach:
        port, pid, token = options.attach.split(":", 2)
        run.contenders = [Contender.OURS]
        run.start = functools.partial(_attach, int(port), int(pid), token)
    return run


def _attach(
    port: int, pid: int, token: str, _contender: Contender, _launch: Launch
) -> AbstractContextManager[Server]:
    return attached(port, pid, token)


def _scale(options: argparse.Namespace) -> Scale:
    """Return the scale asked for; numbers are set by the names of Scale, with commas between several."""
    scale = SMOKE if options.scale == "smoke" else FULL
    changes: dict[str, object] = {} if options.rounds is None else {"rounds": options.rounds}
    for name, _, text in (each.partition("=") for each in options.set):
        kind = type(getattr(scale, name))
        changes[name] = tuple(map(int, text.split(","))) if kind is tuple else kind(text)
    return dataclasses.replace(scale, **changes)  # type: ignore[arg-type]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
