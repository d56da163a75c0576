"""The study from two training runs to a picture, and what it refuses."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest

from srlongtail.errors import InputError
from srlongtail.image.dataset import make_pair
from srlongtail.image.degrade import Bicubic
from srlongtail.image.io import read_image
from srlongtail.longtail.bands import measure_bands
from srlongtail.models.checkpoint import load_model
from srlongtail.provenance import provenance
from srlongtail.studies import fitting
from srlongtail.studies.writing import write_result
from srlongtail.training.images import choose_images, find_images
from srlongtail.training.loop import train


@pytest.fixture(scope="module")
def runs(small, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    places = {"data": (str(data / "train"),), "validation": str(data / "valid")}
    for half in (1, 2):
        train(replace(small, keep_every=3, half=half, **places), folder / str(half))
    return folder / "1", folder / "2"


def test_gaps_of_two_runs(runs, data):
    result = fitting.compute(*runs)
    table = result.frame()
    assert table["iteration"].unique().tolist() == [3, 6, 12]
    assert result.images == (2, 2)
    assert result.settings()["images_left_out"] == 0
    found = find_images([data / "train"])
    gaps = []
    for half, (seen, unseen) in ((1, runs), (2, runs[::-1])):
        for image in choose_images(found, half):
            pair = make_pair(read_image(image.path), Bicubic(4), image.name)
            models = {"seen": load_model(seen), "unseen": load_model(unseen)}
            rows = measure_bands(models, [pair]).differences("seen", "unseen")
            gaps.append(rows["estimate"].iloc[-1])
    last = table[(table["iteration"] == 12) & (table["band"] == "10")].iloc[0]
    assert last["gap"] == pytest.approx(sum(gaps) / 4)
    assert f"{100 * last['gap'] / last['unseen']:+.1f}%" in result.message()
    assert "after 12 iterations" in result.caption()
    assert "(2 and 2 images)" in result.caption()
    assert [model.name for model in result.models] == [run.name for run in runs]
    assert (
        "2 and 2 images; 3 smaller than a training patch are left out"
        in replace(result, left_out=3).caption()
    )


def test_the_gaps_of_two_runs_against_those_of_two_others(runs):
    result = fitting.compute(*runs, against=runs)
    assert (result.change[["change_percent", "low", "high"]] == 0).all(axis=None)
    assert "at iteration 12, paired by image, in percentage points: head +0.0" in result.caption()
    assert result.table.rows.columns.tolist()[-2:] == ["seen", "unseen"]


def test_it_is_drawn_and_written(runs, tmp_path):
    result = fitting.compute(*runs, ranked_by="bicubic_ad")
    path = write_result(tmp_path / "fitting", fitting.draw, result, provenance(result.models, []))
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".json", ".pdf", ".png"]
    table = pd.read_csv(path.with_suffix(".csv"))
    assert len(table) == 3 * 12
    assert "by bicubic's AD. 95%" in result.caption()
    assert "the network that departs more from bicubic looks worse" in result.caption()


def test_images_that_lie_elsewhere(runs, data, tmp_path):
    moved = shutil.copytree(data / "train", tmp_path / "train")
    assert fitting.compute(*runs, data=[str(moved)]).frame().equals(fitting.compute(*runs).frame())


def test_mistakes(runs, small, data, tmp_path):
    with pytest.raises(InputError, match=r"2 images are in both, such as .*, expected runs on dif"):
        fitting.compute(runs[0], runs[0])
    other = shutil.copytree(runs[1], tmp_path / "other")
    recipe = (other / "recipe.toml").read_text()
    (other / "recipe.toml").write_text(recipe.replace("seed = 0", "seed = 1"))
    with pytest.raises(InputError, match=r"other: seed not as in .*, expected runs of one recipe"):
        fitting.compute(runs[0], other)
    (other / "recipe.toml").write_text(recipe)
    with pytest.raises(InputError, match=r"no such folder, .*images of the run: data=FOLDER"):
        fitting.compute(*runs, data=["nowhere"])
    (tmp_path / "train").mkdir()
    for image in find_images([data / "train"]):
        shutil.copy(image.path, tmp_path / "train")
    with pytest.raises(InputError, match="2 images that are not the 2 now found, expected the"):
        fitting.compute(*runs, data=[str(tmp_path / "train")])
    with pytest.raises(InputError, match=r"none: no training run, expected the folder of one"):
        fitting.compute(tmp_path / "none", runs[1])
