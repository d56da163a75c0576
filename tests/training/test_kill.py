"""Kill -9 at random moments: no file is ever torn, and the weights are those of an unbroken run."""

import csv
import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from srlongtail.models.checkpoint import load_model
from srlongtail.training.loop import train
from srlongtail.training.recipe import read_recipe, write_recipe
from srlongtail.training.runfolder import COLUMNS

KILLS = 20
SCRIPT = """
import sys, torch
from srlongtail.training.loop import train
from srlongtail.training.recipe import read_recipe
torch.set_num_threads(1)
train(read_recipe(sys.argv[1]), sys.argv[2], resume=True)
"""


def check_files(folder):
    """Every file is absent or whole."""
    if (folder / "state.pt").exists():
        torch.load(folder / "state.pt", weights_only=True)
    if (folder / "checkpoint.safetensors").exists():
        load_model(folder / "checkpoint.safetensors")
    if (folder / "recipe.toml").exists():
        read_recipe(folder / "recipe.toml")
    if (folder / "log.csv").exists():
        with (folder / "log.csv").open() as file:
            assert all(len(row) == len(COLUMNS) for row in csv.reader(file))


@pytest.mark.slow
def test_kill_9_at_random_moments(recipe, tmp_path):
    recipe = replace(recipe, iterations=3000, log_every=2, save_every=3, validate_every=1500)
    write_recipe(tmp_path / "small.toml", recipe)
    run, rng = tmp_path / "run", random.Random(0)
    command = [sys.executable, "-c", SCRIPT, tmp_path / "small.toml", run]
    kills, moments = 0, []
    while kills < KILLS:
        before = (run / "log.csv").stat().st_mtime if (run / "log.csv").exists() else 0
        process = subprocess.Popen(command)
        while process.poll() is None and not (
            (run / "log.csv").exists() and (run / "log.csv").stat().st_mtime > before
        ):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        assert process.poll() is None, f"finished after {kills} kills, expected more to do"
        process.kill()
        process.wait()
        kills += 1
        check_files(run)
        if (run / "state.pt").exists():
            moments.append(torch.load(run / "state.pt", weights_only=True)["iteration"])
    subprocess.run(command, check=True)
    assert moments == sorted(moments)
    assert len(set(moments)) > KILLS // 2
    whole = train(recipe, tmp_path / "whole").state_dict()
    killed = load_model(run / "checkpoint.safetensors").state_dict()
    assert all(torch.equal(whole[key], killed[key]) for key in whole)
    one, other = (
        torch.load(folder / "state.pt", weights_only=True)["learner"]["adam"]
        for folder in (run, tmp_path / "whole")
    )
    assert all(torch.equal(one[i][k], other[i][k]) for i in one for k in one[i])
