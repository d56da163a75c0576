"""If a process of several dies, the others end soon, with a message."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.trust.scene import COMMANDS, check_files

SECONDS = 60
ROOT = Path(__file__).parents[2]

# The last process of the group is killed when it has joined and meets the others again.
LIGHT = """
import os, signal
from srlongtail.parallel import gather, process_group
with process_group():
    gather(1)
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    gather(2)
"""

# In a command: amid its first image, or its first training step.
COMMAND = """
import os, signal, sys
sys.path.insert(0, sys.argv.pop(1))
import torch
calls, forward = [], torch.nn.Conv2d.forward
def counting(*args):
    calls.append(args)
    if len(calls) == 5 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(*args)
torch.nn.Conv2d.forward = counting
from srlongtail.cli import main
main()
"""


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def two_processes(script: str, *arguments: object) -> list[tuple[int, str]]:
    """Run two processes of a group, without torchrun; returns their exit codes and messages."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    began = time.monotonic()
    both[1].wait(SECONDS)
    try:
        messages = [process.communicate(timeout=SECONDS)[1] for process in both]
    finally:
        both[0].kill()
    assert time.monotonic() - began < 2 * SECONDS
    return [(p.returncode, message) for p, message in zip(both, messages, strict=True)]


def test_the_other_process_raises_an_error_of_one_line():
    (code, message), _ = two_processes(LIGHT)
    assert code == 1
    last = message.strip().splitlines()[-1]
    assert "InputError: process 0: another process has ended or cannot be reached" in last


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "compare", "histogram", "analyze", "train"])
def test_commands(name, scene):
    (code, message), (died, _) = two_processes(COMMAND, ROOT, *COMMANDS[name].split())
    assert died == -9
    assert code == 2
    assert "Traceback" not in message
    last = message.strip().splitlines()[-1]
    assert last.startswith("srlongtail: error: process 0: another process has ended or cannot")
    check_files(scene / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "train"])
def test_under_torchrun(name, scene):
    """It ends the other process, too, unless that has ended already; both leave a message."""
    (scene / "script.py").write_text(COMMAND)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, "script.py", ROOT, *COMMANDS[name].split()],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 1
    words = ("another process has ended", "ended by SIGTERM", "stopping after this iteration")
    assert any(said in done.stderr for said in words), done.stderr
    check_files(scene / "out")
