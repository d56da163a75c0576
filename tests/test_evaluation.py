"""The table of scores: the published numbers, streaming, and sharing over processes."""

import os
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from srlongtail.errors import InputError
from srlongtail.evaluation import COLUMNS, evaluate, perfect_images, summarize
from srlongtail.image.dataset import open_data
from srlongtail.image.io import quantize, write_image
from srlongtail.image.tiles import Tiling
from srlongtail.metrics import PAPER, Y_CHANNEL
from srlongtail.models.checkpoint import load_model
from srlongtail.models.facts import Provenance
from srlongtail.models.sr_images import SRImages
from srlongtail.models.sr_model import SRModel, ZeroResidual, bicubic, matlab_bicubic


@pytest.fixture
def folder(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in "abc":
        write_image(tmp_path / "Set3" / f"{name}.png", torch.rand(3, 49, 60, generator=generator))
    return tmp_path / "Set3"


def test_the_golden_numbers(shared):
    model = load_model(shared / "checkpoints" / "4x_FSRCNN_FPL.pth")
    data = [open_data(f"{name}={shared}/data/test/{name}/HR") for name in ("Set5", "Set14")]
    found = summarize(evaluate([model, bicubic(4)], data)).set_index(["model", "dataset"])
    golden = pd.read_csv(shared / "golden" / "evaluation.csv")
    for row in golden.itertuples():
        name = "bicubic" if row.model == "bicubic" else "4x_FSRCNN_FPL"
        ours = found.loc[name, row.dataset]
        assert ours["images"] == row.images
        assert ours["psnr_db"] == pytest.approx(row.psnr_db, abs=1e-3)
        assert ours["ssim"] == pytest.approx(row.ssim, abs=2e-5)
    # The paper's Table 1, as printed.
    printed = found.loc["4x_FSRCNN_FPL"].round({"psnr_db": 2, "ssim": 4})
    assert printed[["psnr_db", "ssim"]].to_numpy().tolist() == [[29.0, 0.8565], [26.01, 0.7446]]


def test_stored_lr_files_give_nearly_the_same(shared):
    data = open_data(shared / "data" / "test" / "Set5")
    assert not data.makes_lr
    table = evaluate([bicubic(4)], [data])
    assert table["psnr_db"].mean() == pytest.approx(26.8644, abs=0.05)


def test_rows_are_tidy_and_in_order(folder):
    twin = SRModel(ZeroResidual(4), 4, predicts="residual", name="twin")
    data = open_data(folder)
    table = evaluate([bicubic(4), twin], [data, data[:1]])
    assert tuple(table.columns) == (*COLUMNS, "lr")
    assert set(table["lr"]) == {"made by bicubic"}
    assert table["image"].tolist() == ["a", "b", "c", "a"] * 2
    assert table["model"].tolist() == ["bicubic"] * 4 + ["twin"] * 4
    first, second = (table[table["model"] == m][["psnr_db", "ssim"]] for m in ("bicubic", "twin"))
    assert (first.to_numpy() == second.to_numpy()).all()


def test_scores_do_not_depend_on_the_number_of_threads(folder):
    data, model = open_data(folder), load_model("fsrcnn-fpl-x4")
    one = evaluate([model, bicubic(4)], [data])
    try:
        torch.set_num_threads(3)
        several = evaluate([model, bicubic(4)], [data])
    finally:
        torch.set_num_threads(1)
    pd.testing.assert_frame_equal(one, several, check_exact=True)


def test_an_error_in_a_thread_names_the_file(folder):
    data = open_data(folder)
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:500])
    try:
        torch.set_num_threads(2)
        with pytest.raises(InputError, match=r"b\.png: damaged"):
            evaluate([bicubic(4)], [data])
    finally:
        torch.set_num_threads(1)


def test_protocols_differ(folder):
    data = [open_data(folder)]
    paper, y = (evaluate([bicubic(4)], data, protocol) for protocol in (PAPER, Y_CHANNEL))
    assert (y["psnr_db"] > paper["psnr_db"] + 1).all()


def test_swinir_and_test2k_are_restored_in_the_papers_tiles(folder, monkeypatch):
    seen = []

    def restore(self, lr, tile=None):
        seen.append((self.name, tile))
        return torch.zeros(3, lr.shape[-2] * 4, lr.shape[-1] * 4)

    monkeypatch.setattr(SRModel, "restore", restore)
    swinir = SRModel(ZeroResidual(4), 4, name="s", provenance=Provenance("swinir"))
    evaluate([swinir, bicubic(4)], [open_data(folder)[:1]])
    evaluate([bicubic(4)], [open_data(f"test2k={folder}")[:1]])
    evaluate([swinir], [open_data(folder)[:1]], Y_CHANNEL)
    tiles = Tiling(32, 28)
    assert seen == [("s", tiles), ("bicubic", None), ("bicubic", tiles), ("s", None)]


def test_scales_must_agree(folder):
    with pytest.raises(InputError, match="bicubic: a x2 model, but Set3 is x4"):
        evaluate([bicubic(2)], [open_data(folder, 4)])


def test_saved_images_have_the_same_scores(folder, tmp_path):
    models, data = [bicubic(4), matlab_bicubic(4)], open_data(folder)
    scores = evaluate(models, [data], save=tmp_path / "sr")
    for name in ("bicubic", "bicubic-matlab"):
        saved = sorted(path.name for path in (tmp_path / "sr" / name).iterdir())
        assert saved == ["a.png", "b.png", "c.png"]
        with Image.open(tmp_path / "sr" / name / "a.png") as image:
            assert (image.mode, image.size) == ("RGB", (60, 48))
    again = evaluate([SRImages(tmp_path / "sr" / model.name, 4) for model in models], [data])
    columns = list(COLUMNS)
    pd.testing.assert_frame_equal(scores[columns], again[columns], check_exact=True)
    assert set(again["lr"]) == {"unknown"}


def test_saved_images_of_several_data_sets(folder, tmp_path):
    sets = [open_data(f"{name}={folder}")[:2] for name in ("one", "two")]
    evaluate([bicubic(4)], sets, save=tmp_path / "sr")
    found = sorted(path.relative_to(tmp_path / "sr") for path in tmp_path.glob("sr/**/*.png"))
    names = ["one/bicubic/a", "one/bicubic/b", "two/bicubic/a", "two/bicubic/b"]
    assert [path.with_suffix("").as_posix() for path in found] == names


def test_images_are_saved_where_the_folder_was_when_it_was_named(folder, tmp_path, monkeypatch):
    model, elsewhere = bicubic(4), tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    model.network.register_forward_pre_hook(lambda *_: os.chdir(elsewhere))
    evaluate([model], [open_data(folder)], save="sr")
    assert len(list(tmp_path.glob("sr/bicubic/*.png"))) == 3
    assert list(elsewhere.iterdir()) == []


def test_images_are_not_saved_over_others(folder, tmp_path):
    data = open_data(folder)
    write_image(folder / "A.png", torch.rand(3, 48, 60))
    with pytest.raises(InputError, match=r"a.png: would be the SR image of Set3/A .* Set3/a by"):
        evaluate([bicubic(4)], [open_data(folder)], save=tmp_path / "sr")
    assert not (tmp_path / "sr").exists()
    model = bicubic(4)
    model.name = "Set3"  # DIR/MODEL would be the folder of the HR images
    with pytest.raises(InputError, match="Set3: SR images of Set3 would be written among images"):
        evaluate([model], [data], save=folder.parent)
    evaluate([bicubic(4)], [data], save=tmp_path / "sr")
    images = SRImages(tmp_path / "sr" / "bicubic", 4)
    with pytest.raises(InputError, match="would be written among images that are read"):
        evaluate([images], [data], save=tmp_path / "sr")


def test_a_slash_in_a_name_makes_no_folder(folder, tmp_path):
    model = bicubic(4)
    model.name = "runs/mine"
    evaluate([model], [open_data(folder)[:1]], save=tmp_path / "sr")
    assert [path.name for path in (tmp_path / "sr").iterdir()] == ["runs_mine"]


def test_all_models_are_scored_on_what_sr_images_cover(folder, tmp_path):
    evaluate([bicubic(4)], [open_data(folder)], save=tmp_path / "sr")
    (tmp_path / "sr" / "bicubic" / "b.png").unlink()
    images = SRImages(tmp_path / "sr" / "bicubic", 4, name="saved")
    with pytest.raises(InputError, match=r"no SR image of b \(1 of the 3 images of Set3\)"):
        evaluate([matlab_bicubic(4), images], [open_data(folder)])
    with pytest.warns(UserWarning, match="left out"):
        table = evaluate([matlab_bicubic(4), images], [open_data(folder)], skip_bad=True)
    assert table["image"].tolist() == ["a", "c"] * 2


def test_torchrun_gives_the_same_table(folder, tmp_path):
    command = ["srlongtail.cli", "evaluate", "bicubic", "--data", str(folder), "--out"]
    subprocess.run([sys.executable, "-m", *command, tmp_path / "one.csv"], check=True)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    subprocess.run([sys.executable, "-m", *torchrun, *command, tmp_path / "two.csv"], check=True)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_perfect_images_are_left_out_of_the_mean_of_psnr(tmp_path):
    write_image(tmp_path / "black.png", torch.zeros(3, 48, 48))
    write_image(tmp_path / "noise.png", torch.rand(3, 48, 48))
    table = evaluate([bicubic(4)], [open_data(f"flat={tmp_path}")])
    assert perfect_images(table) == {("bicubic", "flat"): ["black"]}
    row = summarize(table).iloc[0]
    assert (row["images"], row["perfect"]) == (2, 1)
    assert row["psnr_db"] == table.set_index("image")["psnr_db"]["noise"]
    assert row["ssim"] == pytest.approx(table["ssim"].mean())
    assert summarize(table[table["image"] == "black"])["psnr_db"].tolist() == [float("inf")]


def test_small_images_are_found_before_the_work(folder, monkeypatch):
    write_image(folder / "icon.png", torch.rand(3, 26, 26))  # 24 x 24 after cropping
    data = open_data(folder)
    monkeypatch.setattr(SRModel, "restore", lambda *_: pytest.fail("nothing is restored"))
    with pytest.raises(InputError, match=r"Set3/icon \(24 x 24\): too small .* 27 x 27 pixels"):
        evaluate([bicubic(4)], [data], replace(PAPER, border=10))
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="left out: Set3/icon"):
        table = evaluate([bicubic(4)], [data], replace(PAPER, border=10), skip_bad=True)
    assert table["image"].tolist() == ["a", "b", "c"]


def test_the_border_is_that_of_the_protocol(folder):
    data = [open_data(folder)[:1]]
    hr, sr = data[0][0].hr, bicubic(4).restore(data[0][0].lr)
    found = evaluate([bicubic(4)], data, replace(PAPER, border=0))["psnr_db"][0]
    expected = peak_signal_noise_ratio(*(quantize(image.double()).numpy() for image in (hr, sr)))
    assert found == pytest.approx(expected, abs=1e-9)
    with pytest.raises(InputError, match="border -1, expected 0 or more"):
        replace(PAPER, border=-1)
