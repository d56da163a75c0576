"""The bench of losses as a person types it."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import tyro

from srlongtail.cli import losses as verdicts
from srlongtail.cli import training as commands
from srlongtail.errors import InputError
from srlongtail.image.dataset import photos
from srlongtail.image.io import write_image
from srlongtail.models.checkpoint import ZOO
from srlongtail.training.recipe import write_recipe

MINE = """
from torch import nn

class MyLoss(nn.Module):
    def forward(self, sr, hr, bicubic):
        return ((sr - hr).abs() * (1 + 4 * (hr - bicubic).abs())).mean()
"""


def ablate(*arguments):
    """Run the command."""
    tyro.cli(commands.ablate, args=["losses", *map(str, arguments)])


@pytest.fixture
def two_photos(tmp_path):
    """A folder with parts of two of the built-in photos."""
    for pair in photos(4)[1:3]:
        write_image(tmp_path / "photos" / f"{pair.name}.png", pair.hr[..., :96, :120])
    return tmp_path / "photos"


def test_a_loss_of_one_s_own_on_two_photos(two_photos, recipe, tmp_path, monkeypatch, capsys):
    (tmp_path / "my_loss.py").write_text(MINE)
    write_recipe(tmp_path / "small.toml", replace(recipe, data=()))
    monkeypatch.chdir(tmp_path)
    few = lambda *args: photos(*args)[:1]  # noqa: E731
    monkeypatch.setattr("srlongtail.ablation.losses.photos", few)
    ablate(
        *("--data", "photos", "--loss", "my_loss:MyLoss", "--recipe", "small.toml"),
        *("--seeds", 0, 1, "--iterations", 2, "--out", "out"),
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "out/losses-verdicts.png"
    table = pd.read_csv("out/losses.csv")
    runs = table[["loss", "seed", "iterations"]].drop_duplicates()
    assert len(runs[runs["loss"] == "my_loss:MyLoss"]) == 2
    assert len(runs) == 3 * 2 + 2 * 2
    own = table[(table["seed"] == 0) & (table["iterations"] == 2)].groupby("loss")["psnr_db"]
    assert own.first().nunique() == 3
    verdicts = pd.read_csv("out/losses-verdicts.csv").set_index("loss")
    assert set(verdicts.index) == {"l1-perturbed", "my_loss:MyLoss"}
    assert verdicts["seeds"].tolist() == [2, 2]
    assert "| my_loss:MyLoss | 2 |" in (tmp_path / "out" / "losses-verdicts.md").read_text()


def test_without_a_table_the_bench_that_ships_is_shown(tmp_path, capsys):
    verdicts.losses(out=tmp_path)
    printed = capsys.readouterr()
    assert "FPL" in printed.out
    assert ", on held-out after 4,000 iterations." in printed.out
    record = json.loads((ZOO / "losses.json").read_text())["complete"]
    done, planned = (sum(row[f"seeds_{key}"] for row in record) for key in ("done", "planned"))
    assert (f"{done} of {planned} planned runs are done" in printed.err) == (done < planned)
    shipped = pd.read_csv(ZOO / "losses.csv").query("iterations == 4000 and dataset == 'held-out'")
    table = pd.read_csv(tmp_path / "losses-verdicts.csv").set_index("loss")
    assert set(table.index) == set(shipped["loss"]) - {"l1"}
    scores = shipped.groupby(["seed", "loss"])["psnr_db"].first().unstack()
    gain = (scores["fpl"] - scores["l1"]).mean()
    assert table.loc["fpl", "psnr_db"] == pytest.approx(gain, abs=1e-6)


def test_mistakes(tmp_path):
    with pytest.raises(InputError, match="unknown name, did you mean"):
        ablate("--data", tmp_path, "--loss", "sobell")
    with pytest.raises(InputError, match="--vary with the grid losses, expected --loss"):
        ablate("--data", tmp_path, "--vary", "p=1,2")
    with pytest.raises(InputError, match="--loss with capacity, expected the grid losses"):
        tyro.cli(commands.ablate, args=["capacity", "--data", str(tmp_path), "--loss", "sobel"])
    with pytest.raises(InputError, match="unknown grid 'loses', did you mean 'losses'"):
        tyro.cli(commands.ablate, args=["loses", "--data", str(tmp_path)])
    with pytest.raises(InputError, match="unknown name, did you mean my_loss:NAME"):
        ablate("--data", tmp_path, "--loss", "my_loss.py")
