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
from srlongtail.models.find import ZOO
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
    done, planned = (sum(len(row[key]) for row in record) for key in ("done", "planned"))
    assert (f"{done} of {planned} planned runs are done" in printed.err) == (done < planned)
    shipped = pd.read_csv(ZOO / "losses.csv").query("iterations == 4000 and dataset == 'held-out'")
    table = pd.read_csv(tmp_path / "losses-verdicts.csv").set_index("loss")
    assert set(table.index) == set(shipped["loss"]) - {"l1"}
    scores = shipped.groupby(["seed", "loss"])["psnr_db"].first().unstack()
    gain = (scores["fpl"] - scores["l1"]).mean()
    assert table.loc["fpl", "psnr_db"] == pytest.approx(gain, abs=1e-6)


def part_of_the_bench(folder, seeds):
    """Write the runs of some seeds of the bench that ships."""
    folder.mkdir()
    for name in ("losses.csv", "losses-gradients.csv"):
        table = pd.read_csv(ZOO / name)
        table[table["seed"].isin(seeds)].to_csv(folder / name, index=False)
    record = json.loads((ZOO / "losses.json").read_text())
    for row in record["complete"]:
        row["done"] = [seed for seed in row["done"] if seed in seeds]
    (folder / "losses.json").write_text(json.dumps(record))
    return folder


def test_tables_of_several_machines(tmp_path, capsys):
    parts = part_of_the_bench(tmp_path / "a", range(3)), part_of_the_bench(tmp_path / "b", (3, 4))
    out = tmp_path / "out"
    verdicts.losses(tuple(parts), out=out)
    whole = pd.read_csv(ZOO / "losses.csv").query("seed < 5")
    keys = ["loss", "seed", "iterations", "dataset", "ranked_by", "tenth"]
    joined = pd.read_csv(out / "losses.csv")
    pd.testing.assert_frame_equal(
        joined.sort_values(keys, ignore_index=True), whole.sort_values(keys, ignore_index=True)
    )
    printed = capsys.readouterr().out
    verdicts.losses((out,), out=tmp_path / "again")  # what was written is read again
    assert capsys.readouterr().out.splitlines()[:-1] == printed.splitlines()[:-1]
    record = json.loads((out / "losses.json").read_text())
    shipped_parts = json.loads((ZOO / "losses.json").read_text()).get("parts", [None])
    assert len(record["parts"]) == 2 * len(shipped_parts)
    with pytest.raises(InputError, match=r"losses\.csv there is one of the tables"):
        verdicts.losses((parts[0], parts[1]), out=parts[0])
    with pytest.raises(InputError, match="expected runs that are not in"):
        verdicts.losses((parts[0], out), out=tmp_path / "twice")


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
