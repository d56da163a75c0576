"""The zoo: in which order, what ships, and that a build only makes what is missing."""

from dataclasses import replace

import pytest

from srlongtail.ablation import zoo
from srlongtail.ablation.grids import Grid
from srlongtail.ablation.losses import LossGrid, Stage
from srlongtail.ablation.zoo import ZOO, ZooNetwork, build_zoo, list_zoo
from srlongtail.errors import InputError
from srlongtail.image.dataset import photos
from srlongtail.models.catalog import new_model
from srlongtail.models.checkpoint import load_model
from srlongtail.models.complexity import count_parameters
from srlongtail.training.interruption import StoppedError
from srlongtail.training.recipe import RECIPES, find_recipe

NETWORKS = [entry for entry in ZOO if isinstance(entry, ZooNetwork)]


def test_the_comparison_of_the_paper_comes_first():
    assert [entry.name for entry in ZOO[:3]] == ["fsrcnn-x4", "fsrcnn-fpl-x4", "fsrcnn-skip-x4"]
    assert {entry.cpu_iterations for entry in ZOO[:3]} == {50_000}


def test_every_network_is_a_recipe_and_every_fpl_network_has_its_baseline():
    names = {entry.name for entry in NETWORKS}
    assert names <= RECIPES.keys()
    assert {name.replace("-fpl", "") for name in names if "-fpl" in name} <= names


def test_what_ships_is_small():
    shipped = (find_recipe(entry.name) for entry in NETWORKS if entry.ships)
    models = [new_model(recipe.network, recipe.scale) for recipe in shipped]
    megabytes = sum(4 * count_parameters(model) for model in models) / 1e6
    assert megabytes < 11  # the limit is 12, with the headers and tables


def test_without_a_gpu_only_what_a_cpu_can_do():
    assert {entry.name.split("-")[0] for entry in NETWORKS if entry.recipe("cpu")} == {"fsrcnn"}
    assert all(entry.recipe("cuda").iterations == 500_000 for entry in NETWORKS)


@pytest.fixture
def small_zoo(monkeypatch, recipe):
    """A zoo of a network, a grid, and a network for a GPU only."""
    entries = (
        ZooNetwork("fsrcnn-fpl-x4", cpu_iterations=2),
        Grid("pair", "fsrcnn-x4", {"baseline": {}}, iterations=2, seeds=(0,)),
        ZooNetwork("carn-x4"),
        ZooNetwork("fsrcnn-x4", cpu_iterations=2, ships=False),
    )
    monkeypatch.setattr(zoo, "ZOO", entries)
    settings = {key: getattr(recipe, key) for key in ("patch", "batch", "arguments", "validation")}
    for name in ("fsrcnn-x4", "fsrcnn-fpl-x4"):
        monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], **settings))


def test_building(small_zoo, data, tmp_path):
    lines = []
    build = {"data": [str(data / "train")], "out": tmp_path / "out", "device": "cpu"}
    build_zoo(**build, install=tmp_path / "zoo", tell=lines.append)
    made = sorted(path.name for path in (tmp_path / "zoo").iterdir())
    networks = ["fsrcnn-fpl-x4.safetensors", "fsrcnn-x4.safetensors"]
    assert made == [*networks, "pair.csv", "pair.json"]
    assert load_model(tmp_path / "zoo" / made[0]).provenance.training.iterations == 2
    assert "carn-x4: made on a GPU only" in lines
    # The grid's baseline with seed 0 is the last entry's run.
    runs = [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert sorted(name.rpartition("-")[0] for name in runs) == ["", "fsrcnn-fpl-x4"]

    table = list_zoo(tmp_path, tmp_path / "zoo").set_index("name")
    assert table["state"].to_dict() == {
        "fsrcnn-fpl-x4": "there",
        "pair": "there",
        "carn-x4": "missing",
        "fsrcnn-x4": "there",
    }
    assert list_zoo(tmp_path)["state"].tolist() == [*["missing"] * 3, "too large to ship"]
    assert table.loc["fsrcnn-fpl-x4", "iterations"] == 2
    assert table.loc["fsrcnn-fpl-x4", "psnr_db"] > 10
    (tmp_path / "zoo" / "pair.csv").write_text("arm,seed\n")
    assert list_zoo(tmp_path / "zoo").set_index("name").loc["pair", "state"] == "missing"

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.pt")}
    build_zoo(**build, install=tmp_path / "zoo")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.pt")} == before


def test_a_grid_that_is_not_complete_is_listed_so(tmp_path):
    rows = "baseline,0,photos\nbaseline,0,Set5\nfpl,0,photos\n"
    (tmp_path / "seed-spread.csv").write_text("arm,seed,dataset\n" + rows)
    table = list_zoo(tmp_path).set_index("name")
    assert table.loc["seed-spread", "state"] == "2 of 6 runs"


def test_a_longer_trained_network_is_not_replaced(small_zoo, data, tmp_path):
    build = {"data": [str(data / "train")], "only": ["fsrcnn-fpl-x4"], "device": "cpu"}
    longer = (ZooNetwork("fsrcnn-fpl-x4", cpu_iterations=3),)
    shorter, zoo.ZOO = zoo.ZOO, longer
    build_zoo(**build, out=tmp_path / "out", install=tmp_path / "zoo")
    zoo.ZOO = shorter
    build_zoo(**build, out=tmp_path / "out", install=tmp_path / "zoo")
    kept = load_model(tmp_path / "zoo" / "fsrcnn-fpl-x4.safetensors")
    assert kept.provenance.training.iterations == 3


def test_a_stopped_build_goes_on(small_zoo, data, tmp_path):
    build = {"data": [str(data / "train")], "out": tmp_path / "out", "device": "cpu"}
    with pytest.raises(StoppedError):
        build_zoo(**build, install=tmp_path / "zoo", deadline=0)
    assert not (tmp_path / "zoo").exists()
    build_zoo(**build, install=tmp_path / "zoo")
    assert (tmp_path / "zoo" / "fsrcnn-fpl-x4.safetensors").exists()


def test_an_entry_that_fails_does_not_stop_the_others(small_zoo, data, tmp_path, monkeypatch):
    wild = replace(RECIPES["fsrcnn-fpl-x4"], learning_rate=1e38)
    monkeypatch.setitem(RECIPES, "fsrcnn-fpl-x4", wild)
    build = {"data": [str(data / "train")], "out": tmp_path / "out", "device": "cpu"}
    lines = []
    with pytest.raises(InputError, match="not built: fsrcnn-fpl-x4, expected every entry"):
        build_zoo(**build, install=tmp_path / "zoo", tell=lines.append)
    assert any("fsrcnn-fpl-x4: " in line and "not finite" in line for line in lines)
    assert (tmp_path / "zoo" / "pair.csv").exists()


def test_an_entry_nearly_right(tmp_path):
    with pytest.raises(InputError, match="unknown zoo entry 'carn-4', did you mean 'carn-x4'"):
        build_zoo([], tmp_path, only=["carn-4"])


def test_a_build_without_images(tmp_path):
    with pytest.raises(InputError, match="no training images, expected a folder of them as data"):
        build_zoo([], tmp_path)


def test_a_bench_of_losses_is_built_and_its_runs_are_counted(monkeypatch, recipe, data, tmp_path):
    base = replace(recipe, static=False, learnable=False, iterations=2)
    bench = LossGrid(base, (Stage(("l1", "sobel"), (0,)),))
    monkeypatch.setattr(zoo, "ZOO", (bench,))
    monkeypatch.setattr("srlongtail.ablation.losses.photos", lambda *args: photos(*args)[1:2])
    build = {"data": [str(data / "train")], "device": "cpu", "install": tmp_path / "zoo"}
    build_zoo(**build, out=tmp_path / "out")
    made = sorted(path.name for path in (tmp_path / "zoo").iterdir())
    assert made == ["losses-gradients.csv", "losses.csv", "losses.json"]
    assert list_zoo(tmp_path / "zoo")["state"].tolist() == ["there"]
    more = LossGrid(base, (Stage(("l1", "sobel"), (0, 1)),))
    monkeypatch.setattr(zoo, "ZOO", (more,))
    assert list_zoo(tmp_path / "zoo")["state"].tolist() == ["2 of 4 runs"]
