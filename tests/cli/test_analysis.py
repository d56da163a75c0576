"""The command line as a user meets it: results, one-line errors, and nothing half-written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image

from srlongtail.ablation.grids import GRIDS
from srlongtail.ablation.run import SETTINGS
from srlongtail.image.io import write_image
from srlongtail.models.catalog import build
from srlongtail.models.checkpoint import load_model, save_model
from srlongtail.models.sr_model import SRModel
from srlongtail.studies.writing import drawn


@pytest.fixture
def data(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in ("a", "b"):
        write_image(tmp_path / "Set2" / f"{name}.png", torch.rand(3, 96, 84, generator=generator))
    return tmp_path / "Set2"


@pytest.fixture
def ablation(tmp_path):
    arms = ("baseline", "skip", "fpl", "gamma_sp=2")
    rows = [
        {"arm": arm, "seed": 0, "iterations": 4000, "dataset": "photos", "psnr_db": 27.5, "ssim": 1}
        | {key: getattr(recipe, key) for key in SETTINGS}
        for arm, recipe in GRIDS["focal-parameters"].runs()
        if arm in arms and recipe.seed == 0
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "ablation.csv", index=False)
    return tmp_path / "ablation.csv"


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(0)
    torch.save(build("fsrcnn", scale=4).state_dict(), tmp_path / "fsrcnn_x4.pth")
    model = load_model(tmp_path / "fsrcnn_x4.pth", predicts="residual", value_range=1)
    save_model(tmp_path / "fsrcnn-x4.safetensors", model)
    return tmp_path / "fsrcnn-x4.safetensors"


def test_evaluate(run, data, network):
    code, out, err = run("evaluate", network, "bicubic", "--data", data, "--out", "r/scores.csv")
    assert (code, err) == (0, "srlongtail: note: Set2: LR made from HR by bicubic\n")
    table = pd.read_csv("r/scores.csv")
    assert list(table.columns) == ["model", "dataset", "image", "psnr_db", "ssim", "lr"]
    assert table["model"].tolist() == ["fsrcnn-x4"] * 2 + ["bicubic"] * 2
    assert out.splitlines()[0].split() == ["model", "dataset", "images", "psnr_db", "ssim", "lr"]
    assert out.splitlines()[-1] == "r/scores.csv"
    record = json.loads(Path("r/scores.json").read_text())
    assert record["data"][0]["name"] == "Set2"
    assert record["models"][0]["sha256"]
    assert record["command"].startswith("srlongtail evaluate")


def test_options_of_the_images_reach_the_scores(run, data):
    for name in ("a", "b"):
        write_image(Path("lr", f"{name}.png"), torch.rand(3, 24, 21))
    stored = run("evaluate", "bicubic", "--data", data, "--lr-dir", "lr", "--out", "stored.csv")
    assert stored[2] == "srlongtail: note: Set2: LR stored in lr\n"
    assert pd.read_csv("stored.csv")["lr"].tolist() == ["stored"] * 2
    assert json.loads(Path("stored.json").read_text())["data"][0]["lr"]["folder"] == "lr"
    in_short = run("evaluate", "bicubic", "--data", f"Set2={data},lr", "--out", "short.csv")
    assert in_short[0] == 0
    assert pd.read_csv("short.csv").equals(pd.read_csv("stored.csv"))
    shutil.move("lr", data / "LR")
    (data / "LR" / "a.png").unlink()
    missing = run("evaluate", "bicubic", "--data", data)
    assert missing[0] == 2
    assert "no LR image for a.png; --make-lr makes the LR images from HR; --skip-bad" in missing[2]
    skipped = run("evaluate", "bicubic", "--data", data, "--skip-bad", "--border", 0)
    assert skipped[0] == 0
    assert "note: left out: " in skipped[2]
    assert "note: Set2: LR stored in LR\n" in skipped[2]
    deep = np.random.default_rng(0).integers(0, 4096, (48, 48), dtype=np.uint16)
    tifffile.imwrite("deep.tif", deep)
    told = run("evaluate", "bicubic", "--data", "deep.tif")[2]
    assert "deep: 16 bits per channel, but no value above 40" in told
    assert "12 bits? --white 4095 treats them as such" in told
    assert "bits" not in run("evaluate", "bicubic", "--data", "deep.tif", "--white", 4095)[2]


def test_protocol_y_tells_whose_bicubic_it_is(run, data):
    options = ("bicubic", "bicubic-matlab", "--data", data)
    assert "bicubic: torch's, which is 0.2 dB" in run("evaluate", *options, "--protocol", "y")[2]
    code, out, err = run("evaluate", *options)
    assert (code, "torch's" in err) == (0, False)
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["bicubic", "bicubic-matlab"]


def test_compare(run, data, network):
    code, out, err = run("compare", "bicubic", network, "--data", data, "--out", "c")
    assert (code, err) == (0, "srlongtail: note: Set2: LR made from HR by bicubic\n")
    assert out.splitlines()[1:] == ["c/compare.png", "c/compare-images.csv"]
    assert Path("c/compare.pdf").is_file()
    record = json.loads(Path("c/compare.json").read_text())
    scores = run("evaluate", "bicubic", network, "--data", data, "--out", "s.csv")
    assert scores[0] == 0
    means = pd.read_csv("s.csv").groupby("model")["psnr_db"].mean()
    assert record["gain_db"] == pytest.approx(means["fsrcnn-x4"] - means["bicubic"], abs=1e-5)
    assert record["gain_low"] < record["gain_db"] < record["gain_high"]
    assert record["images"] == 2
    for key in (
        "pixels_with_90_percent_of_gain",
        "net_to_gross",
        "gain_without_strongest_image",
        "smallest_detectable_gain_db",
    ):
        assert isinstance(record[key], float), key
    assert {"caption", "command", "settings", "models", "data", "versions"} <= set(record)
    table = pd.read_csv("c/compare.csv")
    assert list(table.columns) == ["by", "part", "share", "gain_db", "low", "high"]
    sums = table.groupby("by")["gain_db"].sum()
    assert sums.to_numpy() == pytest.approx(record["gain_db"], abs=1e-6)


def test_compare_names_networks_by_place_or_by_option(run, data, network, tmp_path):
    shutil.copy(network, tmp_path / "seed2.safetensors")
    seeds = ("--a", "bicubic", "--b", network, "seed2.safetensors", "--data", data)
    window = ("--image", "b", "--window", 4, 8, 24)
    code, out, _ = run("compare", *seeds, *window, "--out", "c")
    assert code == 0
    assert "(2 seeds) against bicubic" in out
    record = json.loads(Path("c/compare.json").read_text())
    assert (record["window"], record["window_image"]) == ([4, 8, 24], "b")
    assert record["net_db_between_seeds"] == 0
    code, out, _ = run("compare", network, network, "--data", data, "--out", "same")
    assert (code, out.splitlines()[0]) == (0, "fsrcnn-x4 and fsrcnn-x4 restore all images alike")
    record = json.loads(Path("same/compare.json").read_text())
    assert [record[key] for key in ("gain_db", "gain_low", "gain_high")] == [0, 0, 0]
    for wrong in ((network,), (network, "bicubic", "--a", "bicubic"), ("--a", "bicubic"), ()):
        code, _, err = run("compare", *wrong, "--out", "wrong")
        assert code == 2
        assert err.endswith(": expected A B, or --a M... --b M...\n")
    assert not Path("wrong").exists()


def test_data_may_be_listed_or_repeated(run, data):
    listed = run("evaluate", "bicubic", "--data", f"A={data}", f"B={data}")
    repeated = run("evaluate", "bicubic", "--data", f"A={data}", "--data", f"B={data}")
    assert listed == repeated
    assert [line.split()[1] for line in listed[1].splitlines()[1:]] == ["A", "B"]


def test_degradation_and_protocol_reach_the_scores(run, data):
    plain, noisy, luma = (
        run("evaluate", "bicubic", "--data", data, *more)[1]
        for more in ((), ("--degradation", "blur-noise"), ("--protocol", "y"))
    )
    assert len({plain, noisy, luma}) == 3


def test_histogram(run, data, network):
    code, out, _ = run("histogram", network, "--data", data, "--out", "h")
    assert code == 0
    table = pd.read_csv("h/histogram.csv")
    assert set(table["model"]) == {"bicubic", "fsrcnn-x4"}
    assert table.groupby("model")["pixels"].sum().tolist() == [2 * 96 * 84] * 2
    assert "tail_share" in out
    # How heavy the tail is, and errors by frequency, come with it, as pictures, tables and records.
    for name in ("histogram", "tail", "spectrum"):
        assert all(Path(f"h/{name}.{end}").is_file() for end in ("png", "pdf", "csv", "json"))
        record = json.loads(Path(f"h/{name}.json").read_text())
        assert {"command", "settings", "models", "caption"} <= set(record)
    summary = pd.read_csv("h/tail.csv")
    assert {"gini", "l1_share", "l2_share", "effective_pixels"} <= set(summary["statistic"])
    images = pd.read_csv("h/tail-images.csv")
    assert len(images) == 2 * 2
    row = summary[(summary["model"] == "bicubic") & (summary["statistic"] == "gini")].iloc[0]
    mean = images[images["model"] == "bicubic"]["gini"].mean()
    assert row["estimate"] == pytest.approx(mean)
    curves = pd.read_csv("h/tail-curves.csv")
    assert set(curves["curve"]) == {"lorenz", "hill"}
    assert set(pd.read_csv("h/spectrum.csv")["image"]) == {"a", "b"}
    tenths = pd.read_csv("h/spectrum-tenths.csv").set_index("tenth")
    assert tenths.sum(axis="columns").to_numpy() == pytest.approx(np.ones(10))
    assert out.splitlines()[-1] == "h/spectrum-tenths.csv"


def test_weights(run, data, network):
    code, out, _ = run("weights", network, data / "a.png", "--out", "w")
    assert code == 0
    assert out.split() == ["w/weights.png", "w/weights.npz"]
    maps = np.load("w/weights.npz")
    assert maps["combined"].shape == (96, 84)
    assert maps["static"].min() >= 0.5
    combined = pd.read_csv("w/weights.csv")["combined"]
    assert combined.idxmax() == 9
    assert combined.iloc[9] > 1.3 * combined.iloc[0]


def test_white_of_deep_files(run, data, network):
    """Sixteen steps for each level of 8 bits, with white at 255 * 16, are the same image."""
    levels = np.asarray(Image.open(data / "a.png")).astype(np.uint16)
    tifffile.imwrite(data / "a.tif", 16 * levels, photometric="rgb")
    for folder, arguments in (("8", ["a.png"]), ("16", ["a.tif", "--white", 4080])):
        image = [data / arguments[0], *arguments[1:], "--out", folder]
        assert run("weights", network, *image)[0] == 0
        assert run("attribute", network, *image, "--window", 40, 32, 8)[0] == 0
    assert Path("8/weights.csv").read_bytes() == Path("16/weights.csv").read_bytes()
    maps = [np.load(f"{folder}/attribute.npz")["signed"] for folder in ("8", "16")]
    assert np.array_equal(*maps)


def test_attribute(run, data, network):
    code, out, err = run("attribute", network, data / "a.png", "--out", "a")
    assert code == 0
    assert out.split() == ["a/attribute.png", "a/attribute.npz"]
    assert "the one with the largest share" in err
    record = json.loads(Path("a/attribute.json").read_text())
    assert record["canvas"] == [24, 21]
    keys = {"diffusion_index", "gini", "n_eff", "attribution_sum", "target_start", "target_end"}
    assert keys | {"completeness_error", "nan_steps"} <= set(record)
    assert np.load("a/attribute.npz")["signed"].shape == (24, 21)
    code, _, err = run("attribute", network, data / "a.png", "--window", 90, 0, 16)
    assert code == 2
    assert "window 90 0 16" in err


def test_attribute_compares_methods(run, data, network):
    window = ("--window", 40, 32, 12)
    code, out, _ = run("attribute", network, data / "a.png", *window, "--methods", "--out", "m")
    assert code == 0
    table = pd.read_csv("m/methods.csv")
    assert table["method"].iloc[0] == "LAM"
    assert {"saliency", "occlusion", "distance to window", "random"} <= set(table["method"])
    assert all(name.split()[0] in out for name in table["method"])
    record = json.loads(Path("m/attribute.json").read_text())
    assert table["n_eff"].iloc[0] == pytest.approx(record["n_eff"], rel=1e-4)
    written = [line for line in out.splitlines() if line.startswith("m/")]
    assert written[:3] == ["m/attribute.png", "m/attribute.npz", "m/methods.png"]
    assert all(Path(path).is_file() for path in written)


def test_attribute_maps_the_whole_image(run, data, network):
    options = ("--window", 40, 32, 12, "--out", "m")
    code, out, _ = run("attribute", network, data / "a.png", *options, "--map", 40)
    assert code == 0
    assert out.split() == ["m/attribute.png", "m/attribute.npz", "m/attribute-map.png"]
    table = pd.read_csv("m/attribute-map.csv")
    assert table[["row", "col", "size"]].to_numpy().tolist() == [
        [row, column, 12] for row in (0, 40, 80) for column in (0, 40)
    ]
    record = json.loads(Path("m/attribute-map.json").read_text())
    assert (record["settings"]["step"], record["settings"]["windows"]) == (40, 6)
    assert record["models"][0]["name"] == network.stem
    window = ("--window", 40, 40, 40)
    run("attribute", network, data / "a.png", *window, "--map", "--out", "same")
    alone = json.loads(Path("same/attribute.json").read_text())
    grid = pd.read_csv("same/attribute-map.csv").set_index(["row", "col"])
    assert grid.loc[(40, 40), "n_eff"] == pytest.approx(alone["n_eff"], rel=1e-5)
    assert len(grid) == 4
    code, _, err = run("attribute", network, data / "a.png", *window, "--map", 0)
    assert (code, err.count("\n")) == (2, 1)
    assert "size 40 every 0 pixels, expected a size from 1 to 84 and a step of at least 1" in err
    code, _, err = run("attribute", network, data / "a.png", "--map", 8, 9)
    assert code == 2
    assert "--map 8 9, expected at most one step" in err
    code, _, err = run("attribute", network, data / "a.png", "--lr", "--map")
    assert code == 2
    assert "the tail is unknown without HR, expected --window ROW COL SIZE" in err


def test_claims(run, data, network):
    code, out, err = run("claims", "--data", data, "--out", "c")
    assert code == 0
    lines = out.splitlines()
    assert lines[-2] == "- Undecided is not refuted."
    limits = lines[lines.index(next(line for line in lines if line.startswith("- "))) : -1]
    assert all(len(line) <= 80 and line[:2] in ("- ", "  ") for line in limits)
    assert lines[-1] == "c/claims.png"
    table = pd.read_csv("c/claims.csv")
    columns = ["claim", "measure", "estimate", "low", "high", "n", "verdict"]
    assert (list(table), len(table)) == (columns, 9)
    # Two images give no verdict; what is said about training comes from the seeds that ship.
    assert set(table["verdict"][:3]) == {"too few images"}
    assert table["n"][5:8].tolist() == [3, 3, 3]
    record = json.loads(Path("c/claims.json").read_text())
    assert record["settings"]["networks"]["fpl"] == ["fsrcnn-fpl-x4"]
    assert {"command", "models", "versions", "caption"} <= set(record)
    code, _, err = run("claims", "--base", network, "--fpl", network, "--data", data)
    assert code == 2
    assert "--skip: no network, expected one or more for each arm, or no arm" in err
    code, _, err = run("claims", "--fitting", data, "--data", data)
    assert code == 2
    assert "no fitting.csv, expected what srlongtail fitting wrote" in err


def test_inspect_tells_what_was_guessed(run, network):
    state = load_model("fsrcnn-fpl-x4").network.state_dict()
    torch.save(dict(state), network.with_name("fsrcnn_x4.pth"))
    code, out, err = run("inspect", network.with_name("fsrcnn_x4.pth"))
    assert (code, err) == (0, "")
    facts = dict(line.split(None, 1) for line in out.splitlines() if not line.startswith(" "))
    assert facts["architecture"] == "fsrcnn"
    assert facts["scale"] == "4  (file's name)"
    assert facts["predicts"] == "residual  (probe)"
    assert facts["parameters"] == "24,515  (the paper: 25K)"
    assert facts["operations"].endswith("(the paper: 468M)")
    assert "mean PSNR (dB) on crops of" in facts["probe"]


def test_figures_repeat_to_the_byte(run, data, network, ablation):
    for folder in ("one", "two"):
        options = ("--models", network, "--data", data, "--ablation", ablation, "--out", folder)
        code, out, _ = run("figures", *options)
        assert code == 0
        assert out.split() == [f"{folder}/fig{n}.png" for n in (1, 3, 4, 5, 6)]
    for suffix in ("png", "pdf", "csv"):
        for n in (1, 3, 4, 5, 6):
            one, two = (Path(f"{f}/fig{n}.{suffix}").read_bytes() for f in ("one", "two"))
            assert one == two
    assert "caption" in json.loads(Path("one/fig3.json").read_text())
    assert "## Figure 3" in Path("one/README.md").read_text()


def test_figures_that_are_up_to_date_are_not_drawn_again(run, network, ablation, monkeypatch):
    count = []

    def counted(*of):
        count.append(of)
        return drawn(*of)

    def drawn_by(*more):
        count.clear()
        code, out, err = run("figures", *options, *more)
        assert (code, out.split()) == (0, ["f/fig4.png", "f/fig5.png"])
        return len(count), err.count("up to date")

    monkeypatch.setattr("srlongtail.paper.build.drawn", counted)

    options = ("--models", network, "--ablation", ablation, "--only", "fig4", "fig5", "--out", "f")
    assert drawn_by() == (2, 0)
    files = {path: path.read_bytes() for path in Path("f").iterdir() if path.is_file()}
    assert drawn_by() == (0, 1)
    assert drawn_by("--force") == (2, 0)
    assert drawn_by() == (2, 0)  # the records say how they were made: with --force
    Path("f/fig4.pdf").write_bytes(b"edited")
    assert drawn_by() == (1, 1)
    Path("f/fig5.json").unlink()
    assert drawn_by() == (1, 1)
    Path("f/README.md").unlink()
    assert drawn_by() == (0, 1)
    assert {path: path.read_bytes() for path in files} == files
    ablation.write_bytes(ablation.read_bytes().replace(b"27.5", b"27.6"))
    assert drawn_by() == (2, 0)
    save_model(network, SRModel(build("fsrcnn", scale=4), 4, predicts="residual"))
    assert drawn_by() == (2, 0)
    assert drawn_by() == (0, 1)


def test_tables(run, data, network):
    options = ("--models", network, "--data", f"Set5={data}", "--out", "t")
    code, out, err = run("tables", *options)
    assert (code, err) == (0, "srlongtail: note: Set5: LR made from HR by bicubic\n")
    assert "| FSRCNN " in out
    assert "28.71" in out  # the paper's
    assert out.splitlines()[-1] == "t/table1.md"
    ours = pd.read_csv("t/table1.csv").set_index("model")["psnr_db"]
    run("evaluate", network, "--data", data, "--out", "scores.csv")
    assert ours["fsrcnn-x4"] == pytest.approx(pd.read_csv("scores.csv")["psnr_db"].mean())
    assert run("tables", *options, "--only", "table3")[0] == 0  # bicubic alone
    degraded = pd.read_csv("t/table3.csv").set_index("model")["psnr_db"]
    assert degraded["bicubic"] < ours["bicubic"]
    assert run("tables", "--models", network, "--only", "table9")[0] == 2


def test_tables_tell_networks_of_one_name_apart_as_evaluate_does(run, data, network):
    paths = [Path(folder, "net.safetensors") for folder in "AB"]
    for path in paths:
        path.parent.mkdir()
        shutil.copy(network, path)
    options = (*paths, "--data", data, "--out")
    assert run("tables", "--models", *options, "t")[0] == 0
    run("evaluate", *options, "scores.csv")
    names = pd.read_csv("scores.csv")["model"].unique().tolist()
    assert pd.read_csv("t/table1.csv")["model"].tolist() == ["bicubic", *names]
    assert names == ["A/net", "B/net"]
    assert "| FSRCNN+skip (A/net) |" in Path("t/table1.md").read_text()
    code, _, err = run("tables", "--models", network, network, "--data", data, "--out", "t")
    assert (code, "a model is named twice" in err) == (2, True)


def test_a_network_without_a_table_is_said_to_be_left_out(run, data, network):
    torch.save(build("bsrn", scale=2).state_dict(), "bsrn_x2.pth")
    torch.save(build("fsrcnn", scale=2).state_dict(), "fsrcnn_x2.pth")
    Path("degraded.toml").write_text('weights = "fsrcnn_x2.pth"\ndegradation = "blur-noise"\n')
    left_out = {
        "bsrn_x2.pth": "bsrn_x2: the paper has no table of BSRN at x2, left out",
        "degraded.toml": "degraded: the paper has no table of FSRCNN at x2 for "
        "multiple degradations, left out",
    }
    for path, message in left_out.items():
        code, out, err = run(
            *("tables", "--models", network, path, "--data", data, "--out", "t"),
            *AS_IT_IS,
        )
        assert (code, out.splitlines()[-1]) == (0, "t/table1.md")
        assert f"srlongtail: note: {message}" in err.splitlines()


def test_figures_without_a_network_say_so(run, data, monkeypatch):
    monkeypatch.setattr("srlongtail.models.find.zoo_names", lambda: [])
    code, out, err = run("figures", "--only", "fig3", "--data", data, "--out", "f")
    assert (code, out) == (0, "f/fig3.png\n")
    assert "bicubic alone is shown" in err


def test_a_users_module_from_the_shell(tmp_path, data):
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Upsample(scale_factor=2, mode='nearest')\n"
    )
    command = [sys.executable, "-m", "srlongtail.cli", "evaluate", "mynet:make", "--data", data]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].split()[:2] == ["mynet:make", "Set2"]
    assert "scale 2 (by the size of the network's output)" in done.stderr


AS_IT_IS = ("--predicts", "image", "--value-range", "1")  # untrained


def mistakes(folder):
    """Command lines that a user may mistype, and what the one line has to say."""
    Image.new("L", (60, 48), 90).save(folder / "grey.png")
    write_image(folder / "dot.png", torch.rand(3, 1, 1))
    (folder / "text.pth").write_text("hello")
    (folder / "cut.png").write_bytes((folder / "Set2" / "a.png").read_bytes()[:3000])
    (folder / "empty").mkdir()
    torch.save(build("fsrcnn", scale=3).state_dict(), folder / "fsrcnn_x3.pth")
    torch.save({"weird": torch.zeros(3)}, folder / "weird.pth")
    write_image(folder / "bad/HR/a.png", torch.rand(3, 48, 48))
    write_image(folder / "bad/LR_bicubic/X4/ax4.png", torch.rand(3, 9, 12))
    evaluate = ["evaluate", "bicubic", "--out", "out/r.csv", "--data"]
    return {
        "1x1": ([*evaluate, "dot.png"], "dot/dot: HR image of 1 x 1 pixels, expected at least 12"),
        "LR size": ([*evaluate, "bad"], "bad/a: LR image of 9 x 12 pixels, expected 12 x 12"),
        "empty folder": ([*evaluate, "empty"], "empty: no images in it"),
        "no folder": ([*evaluate, "absent"], "absent: no such folder or image"),
        "truncated": ([*evaluate, "cut.png"], "cut.png: damaged or unreadable image"),
        "text": (["inspect", "text.pth"], "text.pth: a text file ("),
        "unknown": (["inspect", "weird.pth"], "weird.pth: unknown architecture (keys weird"),
        "no model": (["histogram", "--out", "out"], "no model named, expected bicubic"),
        "typo": (["evaluate", "bicubik", "--data", "Set2"], "bicubik: no such model"),
        "no command": (
            ["evaluat", "bicubic"],
            "no command evaluat, did you mean 'evaluate'?, expected one of demo, figures, ",
        ),
        "option before the command": (["--scale", "4"], "unexpected --scale, expected a command"),
        "typo in a name": (["inspect", "fsrcnn-fpl"], "did you mean 'fsrcnn-fpl-x4'?"),
        "no action": (
            ["zoo"],
            "zoo without {list,build}, expected one (see srlongtail zoo --help)",
        ),
        "no run": (["fitting", "a", "b"], "a: no training run, expected the folder of one: srl"),
        "no training images": (["train", "fsrcnn-x4"], "no training images, expected folders"),
        "no option": (
            ["evaluate", "bicubic", "--dta", "x"],
            "no option --dta, did you mean --data?",
        ),
        "no choice": (
            ["evaluate", "bicubic", "--protocol", "z"],
            "--protocol z, expected one of 'paper', 'y'",
        ),
        "no number": (
            ["evaluate", "bicubic", "--scale", "x"],
            "--scale 'x', expected a whole number (",
        ),
        "no image named": (["weights", "bicubic"], "weights without IMAGE"),
        "no figure": (["figures", "--only", "fig9", "--out", "out"], "no figure 'fig9'"),
        "no image": (["figures", "--image", "x", "--out", "out"], "no image 'x' in photos"),
        "window": (
            ["figures", "--only", "fig3", "--window", 500, 0, 64, "--out", "out"],
            "window 500 0 64 (row, column, size in SR pixels), expected one inside the",
        ),
        "window of all figures": (
            ["figures", "--window", 500, 0, 16, "--out", "out"],
            "window 500 0 16 (row, column, size in SR pixels), expected one inside the",
        ),
        "no ablation": (
            ["figures", "--ablation", "nope.csv", "--out", "out"],
            "nope.csv: no such table, expected the one that 'srlongtail ablate",
        ),
        "no network for a table": (
            ["tables", "--models", "bicubic", "--out", "out"],
            "no network besides bicubic: expected a network for one of table1 (networks at x4), "
            "table2 (networks at x2), table3 (networks at x4 for multiple degradations), "
            "table4 (BSRN at x4), or --only TABLE",
        ),
        "no table for a network": (
            ["tables", "--models", "fsrcnn_x3.pth", "--out", "out", *AS_IT_IS],
            "fsrcnn_x3 (FSRCNN at x3): expected a network for one of table1 (networks at x4), ",
        ),
        "weights of nothing": (["weights", "bicubic", "hat", "--out", "out"], "hat: no such image"),
        "a file where a folder should be": (
            ["histogram", "bicubic", "--data", "Set2", "--out", "grey.png"],
            "cannot be written",
        ),
        "two folders": (
            ["histogram", "bicubic", "--data", "Set2", "bad", "--out", "out"],
            "--data names 2 folders, expected one",
        ),
    }


def test_each_mistake_is_one_line_with_exit_code_2(run, data, tmp_path):
    for name, (arguments, message) in mistakes(tmp_path).items():
        before = sorted(tmp_path.rglob("*"))
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), (name, out, err)
        last = err.splitlines()[-1]
        assert last.startswith("srlongtail: error: "), (name, err)
        assert message in last, (name, last)
        assert err.count("error") == 1, (name, err)
        assert sorted(tmp_path.rglob("*")) == before, name


def test_greyscale_and_odd_sizes_are_handled(run, data, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (61, 50), dtype=np.uint8)).save(
        tmp_path / "grey.png"
    )
    code, out, _ = run("evaluate", "bicubic", "--data", "grey.png")
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["bicubic", "grey", "1"]


def test_a_reader_that_stops_reading_is_no_error(tmp_path):
    command = f"{sys.executable} -m srlongtail.cli --help | head -n 1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("usage: srlongtail")
    assert done.stderr == ""


def test_version(run):
    assert run("--version")[1].startswith("srlongtail 0.")


NETS = """
import torch
def make(width, depth=1):
    middle = [torch.nn.Conv2d(width, width, 1) for _ in range(depth)]
    last = [torch.nn.Conv2d(width, 48, 1), torch.nn.PixelShuffle(4)]
    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 1), *middle, *last)
"""


def test_each_model_by_its_own_name_and_settings(run, data, tmp_path):
    """A card, a network that ships, one in short, and one that the options are for."""
    (tmp_path / "shellnets.py").write_text(NETS)
    run("inspect", "shellnets:make(5)", "--predicts", "residual", "--value-range", "1")
    for width, depth in ((5, 1), (3, 2)):
        network = sys.modules["shellnets"].make(width, depth)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=1e-3)
        torch.save(network.state_dict(), f"w{width}.pth")
    Path("card.toml").write_text(
        'weights = "w5.pth"\nnetwork = "shellnets:make"\narguments = {width = 5}\n'
        'scale = 4\npredicts = "residual"\nname = "from a card"\n'
    )
    short = "w3.pth@shellnets:make(3, depth=2)"
    models = ("card.toml", "fsrcnn-x4", short, "w5.pth")
    options = ("--network", "shellnets:make(5)", "--predicts", "residual", "--value-range", 255)
    code, _, err = run("evaluate", *models, "--data", data, *options, "--out", "r.csv")
    assert (code, "card.toml: network shellnets:make(width=5): comes from a file" in err) == (2, 1)
    assert "expected one, or, if you trust the file, --allow-code" in err
    code, _, err = run(
        "evaluate", *models, "--data", data, *options, "--allow-code", "--out", "r.csv"
    )
    assert code == 0, err
    names = ["from a card", "fsrcnn-x4", "w3", "w5"]
    assert pd.read_csv("r.csv")["model"].unique().tolist() == names
    record = {model["name"]: model for model in json.loads(Path("r.json").read_text())["models"]}
    assert [record[name]["predicts"] for name in names] == ["residual", "image"] + ["residual"] * 2
    assert [record[name]["value_range"] for name in names] == [255, 1, 255, 255]
    run("evaluate", "fsrcnn-x4", "--data", data, "--out", "alone.csv")
    alone, beside = (pd.read_csv(f).query("model == 'fsrcnn-x4'") for f in ("alone.csv", "r.csv"))
    assert alone["psnr_db"].tolist() == beside["psnr_db"].tolist()
    code, _, err = run("evaluate", "fsrcnn-x4", "--scale", 2, "--data", data)
    assert (code, "fsrcnn-x4: states its own scale, expected no --scale 2" in err) == (2, True)
