"""Kill commands, run two at once, share them out, or fill the disk, and compare what is left.

`python disturb.py MODE:COMMAND=NUMBER...`, in the folder of a scene. Every command first runs
undisturbed; then forks of this process, which save the imports, run it, in one of these modes:

- `kill`: so many are killed, each after a random part of the duration. Every file that is there
  must be whole, and a last run must end with the same files.
- `terminate`: the same with SIGTERM.
- `twice`: so many times, two processes run in one folder at once.
- `ranks`: so many processes are a group, as under torchrun.
- `full`: on a disk of so many kB. Needs the right to mount one; see `unshare -Urm`.

Prints how the processes ended, as JSON; what they print goes to `messages.txt`.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd
import torch

import srlongtail.ablation.losses
import srlongtail.ablation.work_queue
import srlongtail.diagnosis.report.page
import srlongtail.paper.build
from srlongtail import cli
from srlongtail.models.state import read_state
from tests.trust.scene import COMMANDS, UNFINISHED, check_files, small_zoo

OUT, MESSAGES = Path("out"), Path("messages.txt")
# Columns of tables that hold times, or what follows from them.
TIMES = ["elapsed_s", "iterations_per_s", "time_ratio"]
TIMES += ["gain_at_equal_time_db", "l1_iterations"]
LINES = COMMANDS | {
    "losses-bench": "ablate losses --data data/train --loss sobel --recipe small.toml --seeds 0 "
    "--iterations 6 --out out",
}


def run(line: str) -> int:
    """Run a command line in this process, and return its exit code."""
    sys.argv = ["srlongtail", *line.split()]
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def start(line: str, **environment: str) -> int:
    """Run a command line in a fork, and return its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    os.environ |= environment
    # torch makes its pool of threads anew in a fork, and fails if several threads ask for it first.
    torch.set_num_threads(1)
    try:
        code = run(line)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(child: int) -> int:
    """Return the exit code of a process; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(path: Path) -> Any:
    """Return what is in a file, without the times that it took."""
    if path.suffix == ".safetensors":
        tensors, header = read_state(path)
        for key in ("seconds", "iterations_per_s"):
            header.get("provenance", {}).pop(key, None)
        return {name: tensor.tolist() for name, tensor in tensors.items()}, header
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str)
        return table.drop(columns=[c for c in TIMES if c in table]).to_csv()
    return path.read_bytes()


def contents() -> dict[str, Any]:
    """Return the contents of all files below `out`, after checking that each is whole."""
    files = check_files(OUT)
    # A run is finished when its checkpoint is; its state may be that of the save before.
    passing = (".lock", "state.pt", "losses-verdicts.md")  # the last holds times, as a page
    lasting = [f for f in files if not UNFINISHED.fullmatch(f.name) and f.name not in passing]
    return {str(path): content(path) for path in lasting}


def undisturbed(line: str) -> dict[str, Any]:
    """Run a command line in this process, and return what is in its files, which are removed."""
    assert run(line) == 0
    expected = contents()
    shutil.rmtree(OUT)
    return expected


def compare(name: str, expected: dict[str, Any]) -> None:
    found = contents()
    different = [path for path in expected if found.get(path) != expected[path]]
    different += found.keys() - expected.keys()
    assert not different, f"{name}: not as after an undisturbed run: {different}"
    shutil.rmtree(OUT)


def disturbed(number: int, name: str, line: str, count: int) -> Counter[str]:
    rng = random.Random(f"{number} {line}")
    ended: Counter[str] = Counter()
    began = time.monotonic()
    expected = undisturbed(line)
    duration = time.monotonic() - began
    while ended["stopped"] < count:
        child = start(line)
        time.sleep(rng.uniform(0, duration))
        os.kill(child, number)
        code = finish(child)
        contents()
        if code == 0:
            ended["finished"] += 1
            compare(name, expected)
            duration *= 0.7  # that of the first run included imports
            continue
        ended["stopped"] += 1
        ended[str(code)] += 1
        # SIGTERM kills a process that has not yet begun its command, or has just ended it.
        assert code in (-number, 128 + number), code
        if number == signal.SIGTERM:
            left = [str(path) for path in check_files(OUT) if UNFINISHED.fullmatch(path.name)]
            assert not left, f"{name}: left {left}"
    assert finish(start(line)) == 0
    compare(name, expected)
    assert number == signal.SIGKILL or ended[str(128 + number)] > count / 2
    return ended


def twice(name: str, line: str, count: int) -> Counter[str]:
    expected = undisturbed(line)
    ended: Counter[str] = Counter()
    for _ in range(count):
        for code in [finish(child) for child in [start(line), start(line)]]:
            ended[str(code)] += 1
            # A second process may not train in the same run folder.
            assert code == 0 or (name == "train" and code == 2), code
        compare(name, expected)
    return ended


def ranks(name: str, line: str, count: int) -> Counter[str]:
    expected = undisturbed(line)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = str(place.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    processes = [start(line, **shared, RANK=str(n), LOCAL_RANK=str(n)) for n in range(count)]
    ended = Counter(str(finish(process)) for process in processes)
    compare(name, expected)
    return ended


def full(name: str, line: str, size: int) -> Counter[str]:
    OUT.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "disk", OUT], check=True)
    try:
        before = len(MESSAGES.read_text())
        code = finish(start(line))
        assert code == 2, f"{name}: ended with {code}"
        said = MESSAGES.read_text()[before:].strip()
        assert said.splitlines()[-1].startswith("srlongtail: error: "), said
        assert "No space left" in said or "disk is full" in said, said
        left = [str(path) for path in check_files(OUT) if UNFINISHED.fullmatch(path.name)]
        assert not left, f"{name}: left {left}"
    finally:
        subprocess.run(["umount", OUT], check=True)
    OUT.rmdir()
    return Counter({"2": 1})


MODES = {
    "kill": partial(disturbed, signal.SIGKILL),
    "terminate": partial(disturbed, signal.SIGTERM),
    "twice": twice,
    "ranks": ranks,
    "full": full,
}


def main() -> None:
    torch.set_num_threads(1)
    small_zoo(Path.cwd(), setattr)
    photos = srlongtail.ablation.losses.photos
    srlongtail.ablation.losses.photos = lambda *rule: photos(*rule)[:1]
    srlongtail.ablation.work_queue.PAUSE_S = 0.05
    ended = {}
    printed, messages = os.dup(1), os.open(MESSAGES, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(messages, 1)
    os.dup2(messages, 2)
    for word in sys.argv[1:]:
        mode, _, rest = word.partition(":")
        name, _, count = rest.partition("=")
        ended[word] = MODES[mode](name, LINES[name], int(count))
    os.write(printed, json.dumps(ended).encode())


if __name__ == "__main__":
    main()
