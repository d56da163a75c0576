"""Whole commands, each in a process of its own: CPU time with one thread."""

from pathlib import Path
from statistics import median

import pytest

from srlongtail.studies.current import FOLDER
from tests.benchmarks.conftest import Bench, Row
from tests.benchmarks.growth import cost

pytestmark = pytest.mark.benchmark


def seconds(command: str, rounds: int = 1) -> float:
    """Median CPU time."""
    return median(cost(command)[0] for _ in range(rounds))


@pytest.mark.parametrize(
    ("command", "target", "asserted"),
    [("--help", 0.2, 0.4), ("inspect fsrcnn-fpl-x4", 2, 3), ("analyze {report} --quick", 30, 30)],
)
def test_a_command(
    bench: Bench, tmp_path: Path, command: str, target: float, asserted: float
) -> None:
    filled = command.format(report=f"fsrcnn-fpl-x4 --out {tmp_path}/report.html")
    what = command.format(report="fsrcnn-fpl-x4")
    time = seconds(filled, rounds=1 if "analyze" in command else 3)
    bench.record(Row(f"`{what}`, CPU time", None, time, target, more_is_better=False), asserted)


def test_figures(bench: Bench, tmp_path: Path) -> None:
    cases = (("from nothing", 9, 16), ("again", 3, 3), ("again, drawn from saved results", 9, 14))
    for what, target, asserted in cases:
        if "drawn" in what:
            for current in (tmp_path / FOLDER).glob("*.json"):
                current.unlink()
        time = seconds(f"figures --out {tmp_path}")
        row = Row(f"`figures` {what}, CPU time", None, time, target, more_is_better=False)
        bench.record(row, asserted)


def test_compare_beside_evaluate(bench: Bench, tmp_path: Path) -> None:
    models = "fsrcnn-skip-x4 fsrcnn-fpl-x4"
    both = [seconds(f"evaluate {models}"), seconds(f"compare {models} --out {tmp_path}")]
    what = "`compare` against `evaluate`, two networks, 4 photos, CPU time of the whole command"
    bench.record(Row(what, *both, target=1.5, more_is_better=False), asserted=3)
