"""A command decodes an image once and restores it once with each model, and holds few images."""

import hashlib
import sys
import weakref
from collections import Counter
from dataclasses import replace

import pytest
import torch

from srlongtail import cli
from srlongtail.image import dataset, io
from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import write_image
from srlongtail.models.catalog import new_model
from srlongtail.models.checkpoint import save_model
from srlongtail.models.sr_model import SRModel
from srlongtail.studies import attribute_image

IMAGES = 5


class Work:
    """What a command did: how often each file was decoded, each LR image restored."""

    def __init__(self) -> None:
        self.decoded = Counter()
        self.restored = Counter()
        self.whole = Counter()
        self.alive = weakref.WeakSet()
        self.most_alive = 0


@pytest.fixture
def work(monkeypatch):
    work = Work()
    read, restore, forward = io.read_checked, SRModel.restore, SRModel.forward
    read_image, make = io.read_image, ImagePair.__init__

    def watched_read(path, *more):
        work.decoded[path.name] += 1
        return read(path, *more)

    def watched_read_image(path, *more):
        work.decoded[str(path).rpartition("/")[2]] += 1
        return read_image(path, *more)

    def key(model, lr):
        return model.name, model.scale, hashlib.sha256(lr.numpy().tobytes()).hexdigest()

    def watched_restore(model, lr, *more, **options):
        work.restored[key(model, lr)] += 1
        return restore(model, lr, *more, **options)

    def watched_forward(model, lr):
        if not torch.is_grad_enabled() and len(lr) == 1:
            work.whole[key(model, lr)] += 1
        return forward(model, lr)

    def watched_pair(pair, *more, **options):
        make(pair, *more, **options)
        work.alive.add(pair.hr)
        work.most_alive = max(work.most_alive, len(work.alive))

    monkeypatch.setattr(dataset, "read_checked", watched_read)
    monkeypatch.setattr(attribute_image, "read_image", watched_read_image)
    monkeypatch.setattr(SRModel, "restore", watched_restore)
    monkeypatch.setattr(SRModel, "forward", watched_forward)
    monkeypatch.setattr(ImagePair, "__init__", watched_pair)
    return work


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    for number in range(IMAGES):
        image = torch.rand(3, 96, 84, generator=generator)
        write_image(tmp_path / "Set" / f"{number}.png", image)
    networks = {
        "one": new_model("fsrcnn", 4),
        "two": new_model("fsrcnn", 4),
        "three": new_model("fsrcnn", 4),
        "fsrcnn-x2": new_model("fsrcnn", 2),
        "fsrcnn-x4-degraded": new_model("fsrcnn", 4),
        "bsrn-x4": new_model("bsrn", 4),
    }
    degraded = networks["fsrcnn-x4-degraded"]
    degraded.provenance = replace(degraded.provenance, degradation="blur-noise")
    for name, model in networks.items():
        save_model(tmp_path / f"{name}.safetensors", model)
    return tmp_path


NETWORKS = ["one.safetensors", "two.safetensors"]
OTHERS = ["fsrcnn-x2.safetensors", "fsrcnn-x4-degraded.safetensors", "bsrn-x4.safetensors"]
LR_WINDOW = ["--lr", "--window", "200", "160", "16"]
ARMS = ["--base", NETWORKS[0], "--skip", NETWORKS[1], "--fpl", "three.safetensors"]
ALL = {f"{number}.png" for number in range(IMAGES)}


@pytest.mark.parametrize(
    ("command", "files", "restorations"),
    [
        (["figures", "--models", *NETWORKS, "--data", "Set", "--out", "o"], ALL, 3 * IMAGES),
        (
            ["figures", "--only", "fig3", "--image", "2", "--data", "Set", "--out", "o"],
            {"2.png"},
            3,
        ),
        (["evaluate", *NETWORKS, "--data", "Set", "--out", "o/s.csv"], ALL, 2 * IMAGES),
        (["compare", *NETWORKS, "--data", "Set", "--out", "o"], ALL, 2 * IMAGES),
        (
            ["claims", *ARMS, "--data", "Set", "--out", "o"],
            ALL,
            4 * IMAGES,
        ),
        (["histogram", *NETWORKS, "--data", "Set", "--out", "o"], ALL, 3 * IMAGES),
        (["analyze", *NETWORKS, "--data", "Set", "--out", "o/page.html"], ALL, 3 * IMAGES),
        (["analyze", "one.safetensors", "--quick", "--data", "Set", "--out", "p.html"], ALL, 10),
        # Bicubic at x4 (once for Tables 1 and 4), at x2, and degraded; and five networks.
        (
            ["tables", "--models", *NETWORKS, *OTHERS, "--data", "Set", "--out", "o"],
            ALL,
            8 * IMAGES,
        ),
        (["weights", "one.safetensors", "Set/1.png", "--out", "o"], {"1.png"}, 2),
        (
            ["attribute", "one.safetensors", "Set/1.png", "--methods", "--out", "o"],
            {"1.png"},
            2,
        ),
        (
            ["attribute", "one.safetensors", "Set/1.png", "--out", "o", "--map", "40"],
            {"1.png"},
            2,
        ),
        (
            ["attribute", "one.safetensors", "Set/1.png", "--methods", "--out", "o", *LR_WINDOW],
            {"1.png"},
            1,
        ),
    ],
)
def test_each_image_is_decoded_and_restored_once(
    folder, work, monkeypatch, command, files, restorations
):
    monkeypatch.setattr(sys, "argv", ["srlongtail", *command])
    cli.main()
    assert work.decoded == dict.fromkeys(files, 1)
    assert set(work.restored.values()) == {1}
    assert len(work.restored) == restorations
    # Nor does any study run a network on a whole image by itself.
    assert {work.whole[key] for key in work.restored} == {1}
    # The image at hand, the next, the one shown, and that of the largest gain.
    assert work.most_alive <= 4


@pytest.mark.parametrize("only", [["--only", "fig1"], pytest.param([], marks=pytest.mark.slow)])
def test_a_second_run_decodes_for_the_record_alone(folder, work, monkeypatch, only):
    command = ["figures", *only, "--models", *NETWORKS, "--data", "Set", "--out", "o"]
    monkeypatch.setattr(sys, "argv", ["srlongtail", *command])
    cli.main()
    work.restored.clear()
    work.decoded.clear()
    cli.main()
    assert not work.restored
    assert work.decoded == dict.fromkeys(ALL, 1)
    # After a change, too, when the record is known from the computation.
    write_image(folder / "Set" / "4.png", torch.rand(3, 96, 84))
    work.decoded.clear()
    cli.main()
    assert work.decoded == dict.fromkeys(ALL, 1)
