"""Killed, twice at once, shared out, or on a full disk: a command leaves the files of one run."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.trust.scene import COMMANDS

SCRIPT = Path(__file__).with_name("disturb.py")
SHARED = [
    "evaluate",
    "compare",
    "analyze",
    "claims",
    "histogram",
    "fitting",
    "attribute",
    "restore",
]
WRITING = [name for name in COMMANDS if name not in ("inspect", "demo")]


def disturbed(*words: str, before: Sequence[str] = ()) -> dict[str, dict[str, int]]:
    """Return how the processes ended; see `disturb.py`."""
    done = subprocess.run(
        [*before, sys.executable, SCRIPT, *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    messages = Path("messages.txt").read_text()
    assert done.returncode == 0, messages[-3000:]
    assert "Traceback" not in messages
    return json.loads(done.stdout)


def test_a_few_kills_and_two_processes_at_once(scene):
    ended = disturbed("kill:zoo=7", "kill:ablate=3", "twice:restore=1")
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
@pytest.mark.parametrize("name", SHARED)
def test_several_processes_write_the_same_files(scene, name):
    (of,) = disturbed(f"ranks:{name}=2").values()
    assert of == {"0": 2}


@pytest.mark.slow
def test_a_full_disk(scene):
    """Of 4 kB, in a name space of its own, where the user may mount one."""
    alone = ["unshare", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "disk", "/tmp"]
    try:
        subprocess.run([*alone, *mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    disturbed(*(f"full:{name}=4" for name in WRITING), before=alone)


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
