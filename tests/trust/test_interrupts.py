"""Ctrl-C and SIGTERM end every command with its exit code, without a traceback or half a file."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch

from srlongtail import cli
from srlongtail.cli.main import COMMANDS as ALL
from tests.trust.scene import COMMANDS, UNFINISHED, check_files

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
SILENT = {"inspect"}  # write no file


def run(line, monkeypatch):
    """Run a command line in this process, and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["srlongtail", *line.split()])
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code
    return 0


def test_every_command_is_tried():
    assert set(COMMANDS) == set(ALL)


def check_after(out: Path, err: str) -> None:
    assert "Traceback" not in err
    left = [path for path in check_files(out) if UNFINISHED.fullmatch(path.name)]
    assert not left, "a temporary file was left"


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_while_a_command_computes(name, number, scene, monkeypatch, capfd):
    """It comes inside of the first convolution, or of the first table that is read."""
    raised = []

    def interrupted(original):
        def call(*args, **kwargs):
            if not raised:
                raised.append(number)
                signal.raise_signal(number)
            return original(*args, **kwargs)

        return call

    for owner, inner in ((torch.nn.Conv2d, "forward"), (pd, "read_csv")):
        monkeypatch.setattr(owner, inner, interrupted(getattr(owner, inner)))
    assert run(COMMANDS[name], monkeypatch) == CODES[number]
    assert raised
    out, err = capfd.readouterr()
    assert out == ""
    assert ("ended by SIGTERM" in err) == (number == signal.SIGTERM and name not in STOPPING)
    check_after(scene / "out", err)


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("instead", [ValueError("Calling read(nbytes) on source failed"), None])
def test_a_signal_that_other_code_swallows(number, instead, scene, monkeypatch, capfd):
    """The C parser of pandas replaces it by an error of its own; finalizers drop it."""
    read = pd.read_csv

    def swallowing(*args, **kwargs):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if instead is not None:
                raise instead from None
        return read(*args, **kwargs)

    monkeypatch.setattr(pd, "read_csv", swallowing)
    assert run("losses bench/losses.csv --out out", monkeypatch) == CODES[number]
    check_after(scene / "out", capfd.readouterr().err)


@pytest.mark.parametrize("number", CODES)
def test_a_signal_that_a_finalizer_drops(number, scene, monkeypatch, capfd):
    """Python itself would print a traceback."""
    read = pd.read_csv

    class Interrupted:
        def __del__(self):
            signal.raise_signal(number)

    def interrupted(*args, **kwargs):
        Interrupted()
        return read(*args, **kwargs)

    monkeypatch.setattr(pd, "read_csv", interrupted)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    assert run("losses bench/losses.csv --out out", monkeypatch) == CODES[number]
    assert sys.unraisablehook is sys.__unraisablehook__
    check_after(scene / "out", capfd.readouterr().err)


@pytest.mark.parametrize("number", CODES)
def test_a_signal_while_threads_compute(number, scene, monkeypatch, capfd):
    forward, begun = torch.nn.Conv2d.forward, []

    def interrupted(*args):
        begun.append(threading.current_thread())
        if len(begun) == 3:
            os.kill(os.getpid(), number)
        return forward(*args)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", interrupted)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert run(COMMANDS["evaluate"], monkeypatch) == CODES[number]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert threading.main_thread() not in begun, "the images were not computed side by side"
    assert not any(thread.is_alive() for thread in begun)
    check_after(scene / "out", capfd.readouterr().err)


# These save their state first, and say how to go on.
STOPPING = {"train", "ablate", "zoo"}
QUICK = {"evaluate", "restore", "doctor", "train"}


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in COMMANDS
        if name not in SILENT
    ],
)
def test_a_signal_while_a_command_writes(name, number, scene, monkeypatch, capfd):
    """It comes when the last file is to appear; by then all others are whole."""
    replace, written = Path.replace, []

    def count(self, target):
        written.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", count)
    assert run(COMMANDS[name], monkeypatch) == 0
    (scene / "out").rename(scene / "whole")
    last = len(written)
    written.clear()

    def interrupted(self, target):
        written.append(target)
        if len(written) == last:
            signal.raise_signal(number)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    assert run(COMMANDS[name], monkeypatch) == CODES[number]
    check_after(scene / "out", capfd.readouterr().err)


# Presses Ctrl-C, or sends SIGTERM, so many seconds after the command has begun.
PRESSED = """
import os, signal, sys, threading, time
import torch
delay, number, root = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sys.path.insert(0, root)
from pathlib import Path
from tests.trust.scene import small_zoo
small_zoo(Path.cwd(), setattr)
from srlongtail.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, it is ignored
def press():
    time.sleep(delay)
    os.kill(os.getpid(), number)
threading.Thread(target=press, daemon=True).start()
sys.argv = ["srlongtail", *sys.argv[4:]]
main()
"""


def pressed(name: str, number: int, delay: float, scene: Path) -> int:
    """Run a command in a process of its own, and return its exit code."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PRESSED, str(delay), str(number), root, *COMMANDS[name].split()],
        capture_output=True,
        text=True,
    )
    check_after(scene / "out", done.stderr)
    return done.returncode


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_from_outside(number, scene):
    assert pressed("evaluate", number, 0.02, scene) == CODES[number]


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("name", COMMANDS)
def test_signals_from_outside_at_several_moments(name, number, scene):
    codes = [pressed(name, number, delay, scene) for delay in (0.02, 0.3, 1, 3)]
    assert set(codes) <= {0, CODES[number]}
    assert codes[0] == CODES[number]
