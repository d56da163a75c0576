"""Two processes under torchrun train what one process trains."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from srlongtail.models.checkpoint import load_model
from srlongtail.training.loop import train
from srlongtail.training.recipe import write_recipe

SCRIPT = """
import sys
from pathlib import Path

import torch

from srlongtail.errors import InputError
from srlongtail.parallel import process_group
from srlongtail.training.loop import train
from srlongtail.training.patches import PatchBank
from srlongtail.training.recipe import read_recipe

torch.set_num_threads(1)
cut, counts = PatchBank.cut, set()


def counting(bank, places, device=None):
    counts.add(len(places))
    return cut(bank, places, device)


PatchBank.cut = counting
root = Path(sys.argv[1])
with process_group():
    for path in sorted(root.glob("*.toml")):
        try:
            train(read_recipe(path), root / path.stem)
        except InputError as error:
            print(f"{path.stem}: {error}", flush=True)
print(f"patches at once: {sorted(counts)}", flush=True)
"""

ARMS = {
    "baseline": {"skip": False, "static": False, "learnable": False},
    "accumulated": {"static": False, "learnable": False, "accumulate": 2},
    "image": {"scope": "image"},
    "batch": {"scope": "batch"},
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, data, small):
    """Each arm trained by two processes, the recipes, and what was printed."""
    root = tmp_path_factory.mktemp("processes")
    start = replace(small, data=(str(data / "train"),), validation=str(data / "valid"))
    recipes = {arm: replace(start, **changes) for arm, changes in ARMS.items()}
    recipes["odd"] = replace(start, batch=5)
    for arm, recipe in recipes.items():
        write_recipe(root / f"{arm}.toml", recipe)
    (root / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, root / "script.py", root], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return root, recipes, done.stdout


@pytest.mark.parametrize("arm", ARMS)
def test_two_processes_end_where_one_does(arm, pairs, tmp_path):
    root, recipes, printed = pairs
    assert f"{arm}: " not in printed
    two = load_model(root / arm / "checkpoint.safetensors")
    one = train(recipes[arm], tmp_path)
    assert two.provenance.training.run["processes"] == 2
    for key, value in one.state_dict().items():
        assert torch.allclose(value, two.state_dict()[key], atol=1e-5), key
    logs = [(folder / "log.csv").read_text().splitlines() for folder in (root / arm, tmp_path)]
    losses = [[line.split(",")[3] for line in log[2:]] for log in logs]
    assert [float(x) for x in losses[0]] == pytest.approx([float(x) for x in losses[1]], rel=1e-4)


def test_the_batch_is_shared_out(pairs):
    # Of a batch of 4 each has 2, or 1 and 1; the writer alone has the sample that is measured.
    assert "patches at once: [1, 2]\n" in pairs[2]
    assert "patches at once: [1, 2, 64]\n" in pairs[2]


def test_a_batch_that_cannot_be_shared_out(pairs):
    assert "odd: small: batch 5, expected a multiple of 2 processes x 1 accumulated" in pairs[2]
