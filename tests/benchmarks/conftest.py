"""How timings are taken, and the table of all of them that a run prints at its end.

The first line runs all benchmarks; the second runs some, and replaces their rows in the docs:

    pytest tests/benchmarks -m benchmark
    pytest tests/benchmarks -m benchmark -k ssim --speed-page docs/speed.md
"""

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time

import pytest
import torch

HEADER = ("| what | reference | ours | ratio | target | met |", "| --- " * 6 + "|")
MACHINE = "Measured on:"
TABLE_STARTS, TABLE_ENDS = "<!-- benchmarks -->", "<!-- end of benchmarks -->"


def median_seconds(
    *calls: Callable[[], object], rounds: int = 7, clock: Callable[[], float] = process_time
) -> list[float]:
    """Median time of each call, over rounds in which all take turns; a first round is not counted.

    The CPU time of this process is the default, since other processes change it little. What
    several threads or processes do together is timed with `perf_counter`.
    """
    times: list[list[float]] = [[] for _ in calls]
    for counted in range(rounds + 1):
        for column, call in zip(times, calls, strict=True):
            start = clock()
            call()
            if counted:
                column.append(clock() - start)
    return [median(column) for column in times]


@dataclass(frozen=True)
class Row:
    """A measured ratio and its target.

    Attributes:
        what: What is measured.
        reference: Time of the reference, in seconds, or another quantity in `unit`; None where
            the time itself has a target.
        ours: The same of ours.
        target: The target: of reference / ours where more is better, else of ours / reference
            (of `ours` without a reference).
        more_is_better: Which of them.
        unit: Unit of both quantities.
    """

    what: str
    reference: float | None
    ours: float
    target: float
    more_is_better: bool = True
    unit: str = "s"

    @property
    def value(self) -> float:
        """The quantity that has the target."""
        if self.reference is None:
            return self.ours
        return self.reference / self.ours if self.more_is_better else self.ours / self.reference

    def reaches(self, bound: float) -> bool:
        """Whether the quantity is as good as a bound, or better."""
        return self.value >= bound if self.more_is_better else self.value <= bound

    def __str__(self) -> str:
        """A line of the table, in Markdown."""
        in_ms = self.unit == "s" and max(self.reference or 0, self.ours) < 1
        scale, unit = (1000, "ms") if in_ms else (1, self.unit)
        reference, ours = (
            "" if x is None else f"{scale * x:.3g} {unit}" for x in (self.reference, self.ours)
        )
        ratio = "" if self.reference is None else f"{self.value:.2f}"
        target = f"{'at least' if self.more_is_better else 'at most'} {self.target:g}"
        target += f" {self.unit}" if self.reference is None else ""
        met = "yes" if self.reaches(self.target) else "no"
        return f"| {self.what} | {reference} | {ours} | {ratio} | {target} | {met} |"


class Bench:
    """The rows of a run."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def record(self, row: Row, asserted: float | None = None) -> float:
        """Add a row and check its target; returns the quantity that has the target.

        Args:
            row: The row.
            asserted: What is checked where the target is not met; docs/speed.md says why not.
        """
        self.rows.append(row)
        print(f"\n{row}", end="")
        assert row.reaches(row.target if asserted is None else asserted), str(row)
        return row.value

    def compare(
        self,
        what: str,
        reference: Callable[[], object],
        ours: Callable[[], object],
        target: float,
        asserted: float | None = None,
        *,
        rounds: int = 7,
        clock: Callable[[], float] = process_time,
    ) -> float:
        """Time two calls in turns; ours is to be at least `target` times as fast."""
        times = median_seconds(reference, ours, rounds=rounds, clock=clock)
        return self.record(Row(what, *times, target), asserted)


_BENCH = pytest.StashKey[Bench]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--speed-page", type=Path, help="page of the docs to write the benchmarks' table to"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_BENCH] = Bench()


@pytest.fixture(scope="session")
def bench(pytestconfig: pytest.Config) -> Bench:
    """What takes the timings and keeps the rows."""
    return pytestconfig.stash[_BENCH]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One torch thread, unless a benchmark sets another number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def machine() -> str:
    """The CPU, the cores that this process may use, and the version of torch."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.processor() or platform.machine()
    capability = torch.backends.cpu.get_cpu_capability()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{MACHINE} {cpu} ({capability}), {cores} cores{gpu}; torch {torch.__version__}."


def table(lines: Iterable[str], where: str) -> str:
    """A table of rows, as a page of the docs has it, below the machine that measured them."""
    return "\n".join([where, "", *HEADER, *lines])


def updated_page(page: str, rows: Sequence[Row]) -> str:
    """A page with new rows in the tables between the two marks, one table for each machine.

    A row stands once, below the machine that measured it last. Rows keep their places, and new
    ones follow.
    """
    before, rest = page.split(TABLE_STARTS)
    old, after = rest.split(TABLE_ENDS)
    tables: dict[str, dict[str, str]] = {}
    for line in old.splitlines():
        if line.startswith(MACHINE):
            kept = tables.setdefault(line, {})
        elif line.startswith("| ") and line not in HEADER:
            kept[_name(line)] = line
    here = tables.setdefault(machine(), {})
    for line in map(str, rows):
        for others in tables.values():
            if others is not here:
                others.pop(_name(line), None)
        here[_name(line)] = line
    parts = [table(kept.values(), where) for where, kept in tables.items() if kept]
    return "\n".join([f"{before}{TABLE_STARTS}", "\n\n".join(parts), f"{TABLE_ENDS}{after}"])


def _name(line: str) -> str:
    """What a line of a table measures."""
    return line.split(" | ")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    rows = config.stash[_BENCH].rows
    if rows:
        terminalreporter.write_line("\n" + table(map(str, rows), machine()))
        page = config.getoption("--speed-page")
        if page is not None:
            page.write_text(updated_page(page.read_text(), rows))
            terminalreporter.write_line(str(page))
