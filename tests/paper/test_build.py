"""What is computed anew, what is written, and the gallery of it."""

import json

import pandas as pd
import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.dataset import open_data
from srlongtail.image.io import write_image
from srlongtail.models.catalog import build as build_network
from srlongtail.models.sr_model import SRModel
from srlongtail.paper import build
from srlongtail.paper.build import FIGURES, build_figures, build_tables
from srlongtail.paper.gallery import FIGURE_TITLES, write_gallery
from srlongtail.paper.inputs import FigureInputs
from srlongtail.paper.tables import PaperTable


def network(name, bias=0.0):
    """A network of the package: results of other networks are not saved."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fsrcnn = build_network("fsrcnn", scale=4)
    torch.nn.init.constant_(fsrcnn.tail_conv.bias, bias)
    return SRModel(fsrcnn, 4, predicts="residual", name=name)


@pytest.fixture
def computed(monkeypatch):
    """The names of the figures computed, in order."""
    names = []
    for name, entry in FIGURES.items():

        def watched(inputs, name=name, compute=entry.module.compute):
            names.append(name)
            return compute(inputs)

        monkeypatch.setattr(entry.module, "compute", watched)
    return names


def inputs_of(data, ablation, *, first=0.0, second=0.02, **more):
    pair = (network("fsrcnn-x4", first), network("fsrcnn-fpl-x4", second))
    return FigureInputs(pair, data, ablation=ablation, **more)


def test_only_what_depends_on_a_change_is_computed(computed, tmp_path, data, ablation, monkeypatch):
    monkeypatch.setattr(build, "drawn", lambda *_: {})  # drawing takes its time
    out = tmp_path / "out"

    def build_with(**changes):
        computed.clear()
        build_figures(inputs_of(data, ablation, **changes), out)
        return list(computed)

    assert build_with() == list(FIGURES)
    assert build_with() == []
    assert build_with(first=0.01) == ["fig1", "fig3", "fig6"]
    assert build_with(first=0.01, window=(0, 0, 40)) == ["fig3", "fig6"]
    write_image(tmp_path / "Set3" / "c.png", torch.rand(3, 144, 180))
    data = open_data(tmp_path / "Set3")
    assert build_with(first=0.01) == ["fig1", "fig3", "fig6"]  # c is in the histogram of Fig. 1
    assert build_with(first=0.01, window=(0, 0, 40)) == ["fig3", "fig6"]
    write_image(tmp_path / "Set3" / "c.png", torch.rand(3, 144, 180))
    data = open_data(tmp_path / "Set3")
    assert build_with(first=0.01, window=(0, 0, 40)) == ["fig1"]  # the others show a
    assert build_with(first=0.01) == ["fig3", "fig6"]
    table = pd.read_csv(ablation)
    table.assign(psnr_db=table["psnr_db"] + table["seed"]).to_csv(ablation, index=False)
    assert build_with(first=0.01) == ["fig4"]
    (out / ".saved" / "fig5.safetensors").unlink()
    assert build_with(first=0.01) == ["fig5"]
    build_figures(inputs_of(data, ablation, first=0.01), out, ["fig5"], force=True)
    assert computed == ["fig5", "fig5"]


def test_where_one_figure_or_table_fails_none_is_written(tmp_path, data, ablation, monkeypatch):
    def fail(*_):
        raise InputError("x, expected y")

    def files():
        return [path for path in out.rglob("*") if path.is_file() and ".saved" not in path.parts]

    out = tmp_path / "out"
    monkeypatch.setattr(FIGURES["fig5"].module, "compute", fail)
    with pytest.raises(InputError, match="x, expected y"):
        build_figures(inputs_of(data, ablation), out, ["fig4", "fig5"])
    assert files() == []
    of = PaperTable.of
    monkeypatch.setattr(
        PaperTable, "of", lambda spec, *more: fail() if spec.number == 3 else of(spec, *more)
    )
    with pytest.raises(InputError, match="x, expected y"):
        build_tables([], lambda *_: [data], out, ["table1", "table3"])
    assert files() == []
    monkeypatch.undo()
    assert len(build_figures(inputs_of(data, ablation), out, ["fig4", "fig5"])) == 2
    assert len(build_tables([], lambda *_: [data], out, ["table1", "table3"])) == 2


def test_what_is_drawn_from_saved_results_is_the_same(tmp_path, data, ablation):
    out, inputs = tmp_path / "out", inputs_of(data, ablation)
    first = {path: path.read_bytes() for path in build_figures(inputs, out)}
    files = sorted(path for path in out.iterdir() if path.is_file())
    kept = {path: path.read_bytes() for path in files}
    assert build_figures(inputs, out) == list(first)
    assert {path: path.read_bytes() for path in files} == kept
    assert {path.suffix for path in files} == {".png", ".pdf", ".csv", ".json", ".md"}


def test_each_record_names_what_the_figure_depends_on(tmp_path, data, ablation):
    build_figures(inputs_of(data, ablation, image="b"), tmp_path / "out", ["fig4", "fig5"])
    four, five = (json.loads((tmp_path / f"out/fig{n}.json").read_text()) for n in (4, 5))
    assert four["models"] == four["data"] == []
    assert four["settings"]["ablation"] == "focal-parameters.csv"
    assert [model["name"] for model in five["models"]] == ["fsrcnn-fpl-x4"]
    assert five["data"][0]["images"] == 1
    assert five["data"][0]["sha256"] == data[1:2].sha256


def test_each_record_holds_what_it_takes_to_repeat_the_figure(tmp_path, data, ablation):
    out = tmp_path / "out"
    build_figures(inputs_of(data, ablation), out, ["fig1", "fig3", "fig5", "fig6"])
    one, three, five, six = (
        json.loads((out / f"fig{n}.json").read_text())["settings"] for n in (1, 3, 5, 6)
    )
    assert one["image"] == five["image"] == six["image"] == "a"
    assert one["tail_quantile_of_bicubic"] == 0.9
    counts = pd.read_csv(out / "fig1.csv").query("model == 'bicubic'")
    above = counts.loc[counts["ad_from"] >= one["tail_threshold"], "share"].sum()
    assert 0 < above <= 0.1
    assert five["focal_parameters"]["alpha_sp"] == 0.5
    assert five["focal_parameters"]["scope"] == "batch"
    lam = six["attribution"]["fsrcnn-fpl-x4"]
    assert (lam["n_steps"], lam["path"]) == (50, "BlurPath(sigma=1.2, size=9)")
    for settings, n in ((three, 3), (six, 6)):
        place = pd.read_csv(out / f"fig{n}.csv")[["row", "col", "size"]].iloc[0].tolist()
        assert settings["window"] == place
        rule = settings["window_rule"]
        again = inputs_of(data, ablation, image=settings["image"], window=tuple(place))
        build_figures(again, tmp_path / "again", [f"fig{n}"])
        table = (tmp_path / "again" / f"fig{n}.csv").read_text()
        assert table == (out / f"fig{n}.csv").read_text()
        assert rule in json.loads((out / f"fig{n}.json").read_text())["caption"]


def test_tables_are_written_in_every_form(tmp_path, data):
    out = tmp_path / "out"
    models = [network("fsrcnn-x4", 0.01), network("mine-x4", 0.02)]
    asked = []

    def open_sets(scale, rule):
        asked.append((scale, rule))
        return [data]

    assert build_tables(models, open_sets, out) == [out / "table1.md"]
    assert asked == [(4, None)]
    forms = {path.name for path in out.iterdir() if path.name.startswith("table1")}
    endings = (".csv", "-images.csv", ".md", ".tex", ".json")
    assert forms == {f"table1{ending}" for ending in endings}
    assert set(pd.read_csv(out / "table1.csv")["network"]) == {"bicubic", "fsrcnn-x4", "mine-x4"}
    assert len(pd.read_csv(out / "table1-images.csv")) == 3 * len(data)
    record = json.loads((out / "table1.json").read_text())
    assert record["settings"] == {
        "protocol": "paper",
        "scale": 4,
        "intervals": {"confidence": 0.95, "resamples": 9999, "seed": 0},
        "tiles": None,
    }
    assert "| mine-x4" in (out / "README.md").read_text()
    with pytest.raises(InputError, match="no table 'table5', expected one of table1, table2"):
        build_tables(models, open_sets, out, ["table5"])


def test_every_figure_has_a_title():
    assert list(FIGURE_TITLES) == list(FIGURES)


def test_the_gallery_shows_what_lies_there(tmp_path, data, ablation):
    out = tmp_path / "out"
    build_figures(inputs_of(data, ablation), out, ["fig5", "fig4"])
    page = (out / "README.md").read_text()
    assert page.index("fig4.png") < page.index("fig5.png")
    assert "fig1" not in page
    for n in (4, 5):
        record = json.loads((out / f"fig{n}.json").read_text())
        assert record["caption"] in page
        assert f"```sh\n{record['command']}\n```" in page
        assert f"[fig{n}.pdf](fig{n}.pdf)" in page


def test_a_page_of_the_users_own_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("My notes")
    assert write_gallery(tmp_path) is None
    assert (tmp_path / "README.md").read_text() == "My notes"
