"""The command `doctor`: the published checkpoint, folders of SR images, and one-line errors."""

import json
from pathlib import Path

import pytest
import torch

from srlongtail.image.io import write_image


@pytest.fixture
def data(tmp_path):
    """A folder of two HR images, and one of their SR images, which are HR and a little noise."""
    generator = torch.Generator().manual_seed(0)
    for name in ("a", "b"):
        hr = torch.rand(3, 48, 52, generator=generator)
        noise = 0.02 * torch.randn(3, 48, 52, generator=generator)
        write_image(tmp_path / "HR" / f"{name}.png", hr)
        write_image(tmp_path / "SR" / f"{name}_x4.png", hr + noise)
    return tmp_path / "HR"


def test_the_authors_numbers(run, shared):
    """29.00 / 0.8565 is what the paper prints; 30.89 is the same network's number on Y."""
    files = shared / "checkpoints" / "4x_FSRCNN_FPL.pth", "--data", shared / "data/test/Set5/HR"
    code, out, _ = run("doctor", *files, "--claimed", "29.00", "0.8565", "--out", "found.json")
    assert code == 0
    first, *_ = out.splitlines()
    assert first == (
        "4x_FSRCNN_FPL on Set5 (5 images): 29.00 dB / 0.8565 is reproduced by the paper protocol."
    )
    assert max(map(len, out.splitlines())) <= 100
    for words in ("RGB, crop 4, mod-crop 12, LR by MATLAB (rounded once)", "residual"):
        assert words in " ".join(out.split())
    record = json.loads(Path("found.json").read_text())
    (match,) = record["matches"]
    named = {"channels": "rgb", "border": 4, "mod_crop": 12, "lr": "matlab", "predicts": "residual"}
    assert named.items() <= match["conventions"].items()
    assert (round(match["psnr_db"], 2), round(match["ssim"], 4)) == (29.00, 0.8565)
    assert {row["convention"] for row in record["table"]} >= set(named)

    code, out, _ = run("doctor", *files, "--claimed", "30.89", "--out", "y.json")
    (match,) = json.loads(Path("y.json").read_text())["matches"]
    assert match["conventions"]["channels"] == "y"


def test_a_folder_of_sr_images(run, data):
    code, out, err = run("doctor", "SR", "--data", data, "--scale", 4, "--out", "found.json")
    assert code == 0, err
    first, *_ = out.splitlines()
    assert "dB /" in first
    assert "by the paper protocol" in first
    assert "No shift of SR against HR" in out
    assert "LR by" not in out
    assert "mod-crop 4" in out
    record = json.loads(Path("found.json").read_text())
    assert record["matches"] == []
    assert record["settings"]["claimed"] is None
    table = {(row["protocol"], row["convention"], row["value"]): row for row in record["table"]}
    paper = table["paper", "", ""]
    assert f"{paper['psnr_db']:.3f} dB" in first
    code, out, _ = run("doctor", "SR", "--data", data, "--claimed", f"{paper['psnr_db']:.2f}")
    assert code == 0
    assert " is reproduced by the paper protocol." in " ".join(out.split())
    code, out, _ = run("doctor", "SR", "--data", data, "--claimed", "12.34")
    assert code == 0
    assert "12.34 dB is not reproduced." in " ".join(out.split())
    assert "Nearest to the claim:" in out


def test_perfect_images_are_valid_json(run, data, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "perfect").mkdir(exist_ok=True)
        (tmp_path / "perfect" / f"{name}_x4.png").write_bytes((data / f"{name}.png").read_bytes())
    code, _, err = run("doctor", "perfect", "--data", data, "--claimed", "40.0", "--out", "p.json")
    assert code == 0, err
    record = json.loads(Path("p.json").read_text(), parse_constant=pytest.fail)
    assert record["table"][0]["psnr_db"] == "infinite"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("bicubic --claimed 29,00", "claimed '29,00', expected a number such as 29.00"),
        ("bicubic --claimed 1 2 3", "--claimed 1 2 3: expected PSNR, or PSNR and SSIM"),
        ("bicubic --claimed 0.85", "claimed PSNR 0.85, expected decibels between 1 and 100"),
        ("bicubic --departures -1", "--departures -1, expected 0 or more"),
        ("bicubic --data HR SR", "--data names 2 folders, expected one"),
        ("missing.pth --data HR", "missing.pth"),
        ("SR --data photos", "no SR image of astronaut"),
        ("SR --data HR --predicts image", "SR images, expected no --predicts image"),
        ("bicubic --scale 8 --data HR", "expected HR images of at least 39 x 39 pixels"),
    ],
)
def test_what_cannot_be_is_one_line(run, data, arguments, says):
    if "scale 8" in arguments:
        write_image(data / "a.png", torch.rand(3, 36, 36))
    code, out, err = run("doctor", *arguments.split())
    errors = [line for line in err.splitlines() if not line.startswith("srlongtail: note: ")]
    assert (code, out, len(errors)) == (2, "", 1)
    assert says in errors[0]
