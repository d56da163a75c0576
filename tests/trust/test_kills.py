"""Killed at random moments, or run twice at once, a command ends with the files of one run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trust.scene import COMMANDS

SCRIPT = Path(__file__).with_name("killed.py")
WRITING = [name for name in COMMANDS if name not in ("inspect", "demo")]


def disturbed(*words: str) -> dict[str, dict[str, int]]:
    """Return how the processes ended; see `killed.py`."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    messages = Path("messages.txt").read_text()
    assert done.returncode == 0, messages[-3000:]
    assert "Traceback" not in messages
    return json.loads(done.stdout)


def test_a_few_kills_and_two_processes_at_once(scene):
    ended = disturbed("kill:zoo=5", "kill:ablate=4", "kill:analyze=1", "twice:restore=1")
    assert sum(of["stopped"] for name, of in ended.items() if "kill" in name) == 10
    assert ended["twice:restore=1"] == {"0": 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("train", 10), ("ablate", 20), ("losses-bench", 20), ("zoo", 20), ("analyze", 10)],
)
def test_kill_9_at_many_moments(scene, name, count):
    """80 in all, and 20 of longer training in `tests/training/test_kill.py`."""
    (of,) = disturbed(f"kill:{name}={count}").values()
    assert of["stopped"] == count


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
def test_sigterm_at_random_moments(scene, name):
    (of,) = disturbed(f"terminate:{name}=5").values()
    assert of["stopped"] == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
def test_two_processes_in_one_folder(scene, name):
    (of,) = disturbed(f"twice:{name}=2").values()
    # A second process may not train in the folder of the same run.
    assert of == ({"0": 2, "2": 2} if name == "train" else {"0": 4})
