"""The commands as a person types them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import pytest
import tyro

from srlongtail.ablation import zoo
from srlongtail.ablation.zoo import ZooNetwork
from srlongtail.cli import training as commands
from srlongtail.cli.analysis import fitting
from srlongtail.cli.training import RecipeChanges
from srlongtail.errors import InputError
from srlongtail.models.checkpoint import load_model
from srlongtail.training.recipe import RECIPES, Recipe, read_recipe, write_recipe


def call(*arguments):
    """Run a command line of the commands that train, or read what was trained."""
    return tyro.extras.subcommand_cli_from_dict(
        {
            "train": commands.train,
            "ablate": commands.ablate,
            "zoo": commands.zoo,
            "fitting": fitting,
        },
        args=[str(argument) for argument in arguments],
    )


@pytest.fixture
def small_file(recipe, tmp_path):
    """The small run as a file, without data."""
    write_recipe(tmp_path / "small.toml", replace(recipe, data=()))
    return tmp_path / "small.toml"


@pytest.mark.parametrize("given", ["V=HR,LR", "HR,LR", "V=HR", "HR"])
def test_the_validation_folders_of_a_run_are_absolute(given, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "HR").mkdir()
    (tmp_path / "LR").mkdir()
    expected = given.replace("HR", str(tmp_path / "HR")).replace("LR", str(tmp_path / "LR"))
    assert commands._anywhere(replace(recipe, validation=given)).validation == expected


def test_every_setting_but_the_data_is_an_option():
    assert {f.name for f in fields(RecipeChanges)} == {f.name for f in fields(Recipe)} - {
        "data",
        "loss_code",
        "network",
    } | {"architecture"}  # --network is for a file's network elsewhere


def test_the_list(capsys):
    call("train", "--list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)


def test_training_with_changes(small_file, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(data)
    call(
        *("train", small_file, "--data", "train/a", "train/b", "--out", tmp_path / "run"),
        *("--validation", "valid"),
        *(
            "--iterations",
            4,
            "--static",
            "False",
            "--gamma-lp",
            2,
            "--arguments",
            "features",
            3,
            "--architecture",
            "fsrcnn",
        ),
    )
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'run' / 'checkpoint.safetensors'}\n"
    assert "4/4, loss 0." in printed.err
    assert [line for line in printed.err.splitlines() if "valid: PSNR" in line]
    used = read_recipe(tmp_path / "run" / "recipe.toml")
    assert used.data == (str(data / "train" / "a"), str(data / "train" / "b"))
    assert used.validation == str(data / "valid")
    assert (used.iterations, used.static, used.gamma_lp) == (4, False, 2.0)
    assert used.arguments == {"features": 3}

    monkeypatch.chdir(tmp_path)
    call("train", "--resume", "--out", "run")
    assert read_recipe(tmp_path / "run" / "recipe.toml") == used


def test_mistakes(small_file, tmp_path):
    with pytest.raises(
        InputError, match="no recipe named, expected one that srlongtail train --list"
    ):
        call("train", "--out", tmp_path / "none")
    with pytest.raises(InputError, match="none: holds no run to resume, expected a run's folder"):
        call("train", "--out", tmp_path / "none", "--resume")
    with pytest.raises(InputError, match="unknown recipe 'fsrcnn-fpl', did you mean"):
        call("train", "fsrcnn-fpl")
    with pytest.raises(InputError, match="batch 0, expected at least 1"):
        call("train", small_file, "--batch", 0)


def test_ablating(small_file, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(data)
    call(
        *("ablate", small_file, "--data", "train", "--out", tmp_path / "grid"),
        *("--vary", "static=true,false", "--iterations", 2, "--seeds", 3, "--test", data / "valid"),
    )
    _header, *arms, path = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in arms] == [
        ["valid", "static=true", "1"],
        ["valid", "static=false", "1"],
    ]
    assert path == str(tmp_path / "grid" / "small.csv")
    recipes = [read_recipe(path) for path in (tmp_path / "grid").glob("*/recipe.toml")]
    assert [recipe.data for recipe in recipes] == 2 * [(str(data / "train"),)]
    lines = (tmp_path / "grid" / "small.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["static=true", "3", "2"],
        ["static=false", "3", "2"],
    ]


def test_listing_the_zoo(capsys, tmp_path):
    call("zoo", "list", "--install", tmp_path)
    assert capsys.readouterr().out.split()[:2] == ["name", "state"]


def test_cross_fitting_two_halves(small_file, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for half in (1, 2):
        kept = ("--keep-every", 6, "--half", half, "--out", f"half-{half}")
        call("train", small_file, "--data", data / "train", *kept)
    capsys.readouterr()
    call("fitting", "half-1", "half-2", "--out", "found")
    written = capsys.readouterr().out.splitlines()[-2:]
    assert written == ["found/fitting.png", "found/fitting-images.csv"]
    table = (tmp_path / "found/fitting.csv").read_text().splitlines()
    assert table[0].startswith("iteration,band,images,seen,unseen,gap,low,high,gap_percent")
    assert len(table) == 1 + 2 * 12


def test_a_built_network_is_known_by_its_name(small_file, data, tmp_path, monkeypatch, capsys):
    small = read_recipe(small_file)
    monkeypatch.setitem(RECIPES, "fsrcnn-skip-x2", replace(small, name="fsrcnn-skip-x2"))
    monkeypatch.setattr(zoo, "ZOO", (ZooNetwork("fsrcnn-skip-x2", cpu_iterations=1),))
    monkeypatch.setattr(zoo, "checkout", lambda: None)
    monkeypatch.chdir(tmp_path)
    call("zoo", "build", "--data", data / "train", "--device", "cpu")
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["fsrcnn-skip-x2", "there", "1"]
    assert load_model("fsrcnn-skip-x2").provenance.training.iterations == 1


TERMINATED = """
import sys, torch
from srlongtail.cli.training import train
from pathlib import Path
torch.set_num_threads(1)
train(sys.argv[1], data=((sys.argv[2],),), out=Path(sys.argv[3]))
"""


def test_a_terminated_run_says_how_to_go_on(small_file, data, tmp_path):
    long = replace(read_recipe(small_file), iterations=10**6, log_every=1)
    write_recipe(small_file, long)
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINATED, small_file, data / "train", run],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (run / "log.csv").exists():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert out == ""
    last = err.splitlines()[-1]
    assert "srlongtail: note: stopping after this iteration; press Ctrl-C again to stop now" in err
    assert last.startswith(f"srlongtail: {run}: stopped after ")
    assert last.endswith(f" of 1000000 iterations; srlongtail train --resume --out {run} goes on")
    assert (run / "state.pt").exists()


def test_importing_the_commands_is_light():
    script = "import sys, srlongtail.cli.training; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
