"""Whole commands, each in a process of its own: CPU time with one thread."""

from pathlib import Path
from statistics import median

import pytest

from srlongtail.studies.current import FOLDER
from tests.benchmarks.conftest import Bench, Row
from tests.benchmarks.growth import cost, write_images

pytestmark = pytest.mark.benchmark


def seconds(command: str, rounds: int = 1) -> float:
    """Median CPU time."""
    return median(cost(command)[0] for _ in range(rounds))


# Targets in seconds are for the machine they were set on; others may take twice as long.
@pytest.mark.parametrize(
    ("command", "target", "asserted"),
    [("--help", 0.2, 0.6), ("inspect fsrcnn-fpl-x4", 2, 4), ("analyze {report} --quick", 30, 30)],
)
def test_a_command(
    bench: Bench, tmp_path: Path, command: str, target: float, asserted: float
) -> None:
    filled = command.format(report=f"fsrcnn-fpl-x4 --out {tmp_path}/report.html")
    what = command.format(report="fsrcnn-fpl-x4")
    time = seconds(filled, rounds=1 if "analyze" in command else 3)
    bench.record(Row(f"`{what}`, CPU time", None, time, target, more_is_better=False), asserted)


def test_figures(bench: Bench, tmp_path: Path) -> None:
    cases = (("from nothing", 9, 24), ("again", 3, 3), ("again, drawn from saved results", 9, 22))
    for what, target, asserted in cases:
        if "drawn" in what:
            for current in (tmp_path / FOLDER).glob("*.json"):
                current.unlink()
        time = seconds(f"figures --out {tmp_path}")
        row = Row(f"`figures` {what}, CPU time", None, time, target, more_is_better=False)
        bench.record(row, asserted)


NETWORKS = "fsrcnn-skip-x4 fsrcnn-fpl-x4"


def test_compare_beside_evaluate(bench: Bench, tmp_path: Path) -> None:
    both = [seconds(f"evaluate {NETWORKS}", 3), seconds(f"compare {NETWORKS} --out {tmp_path}", 3)]
    what = "`compare` against `evaluate`, two networks, 4 photos, CPU time of the whole command"
    bench.record(Row(what, *both, target=1.5, more_is_better=False), asserted=2.5)


def test_compare_beside_evaluate_for_many_images(bench: Bench, tmp_path: Path) -> None:
    """What an image more costs, without what a command costs once, bootstrap included."""
    few, many = 32, 96
    for count in (few, many):
        write_images(tmp_path / str(count), count, 384)
    both = []
    for command in (f"evaluate {NETWORKS}", f"compare {NETWORKS} --out {tmp_path}"):
        once, more = (seconds(f"{command} --data {tmp_path}/{n}") for n in (few, many))
        both.append((more - once) / (many - few))
    what = "`compare` against `evaluate`, two networks, an image more of 384 x 384 pixels, CPU time"
    bench.record(Row(what, *both, target=1.5, more_is_better=False), asserted=1.9)


def test_doctor_beside_evaluate(bench: Bench) -> None:
    both = [seconds(f"{command} fsrcnn-fpl-x4", 3) for command in ("evaluate", "doctor")]
    what = "`doctor` against `evaluate`, one network, 4 photos, CPU time of the whole command"
    bench.record(Row(what, *both, target=3, more_is_better=False), asserted=4)
