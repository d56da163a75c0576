"""Files from strangers end in success or in one line, run no code, and use little memory."""

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file

from srlongtail.errors import InputError
from srlongtail.image.io import check_image, read_image
from srlongtail.models.card import ModelCard
from srlongtail.models.catalog import build
from srlongtail.models.checkpoint import load_model
from srlongtail.models.state import read_state_file

FUZZ = Path(__file__).with_name("fuzz.py")


def fuzz(kind: str, count: int, folder: Path, first: int = 0) -> dict[str, int]:
    """Return how the files ended; see `fuzz.py`."""
    command = [sys.executable, FUZZ, kind, str(count), folder, str(first)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout)


def test_a_few_mutated_files(tmp_path):
    ended = fuzz("checkpoints+images+cards", 150, tmp_path)
    assert ended["read"] + ended["one-line error"] == 150
    assert min(ended["read"], ended["one-line error"]) > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"), [("checkpoints", 2000), ("images", 2000), ("cards", 500)]
)
def test_many_mutated_files(tmp_path, kind, count):
    ended = fuzz(kind, count, tmp_path, first=1000)
    assert ended["read"] + ended["one-line error"] == count
    print(ended)


@pytest.mark.slow
def test_mutated_files_through_the_commands(tmp_path):
    """At least a dozen of each command and kind of file."""
    command = [sys.executable, FUZZ.with_name("fuzz_commands.py"), "400", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    print(ended.stdout)


# ---- checkpoints


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return dict(load_model("fsrcnn-x4").network.state_dict())


def one_line(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_model(path)
    assert str(caught.value).isprintable()


def test_numbers_that_are_stored_once_and_claimed_often(tmp_path, state):
    path = tmp_path / "a_x4.pth"
    torch.save({**state, "more": torch.zeros(()).expand(200_000, 200_000)}, path)
    one_line(path, r"its tensors claim 160000\d+ bytes in a file of \d+, expected weights")
    wide = state["body_conv.0.0.weight"].new_zeros(1).expand(30_000, 1, 1, 1)
    torch.save({**state, "body_conv.0.0.weight": wide, "head_conv.0.weight": wide}, path)
    one_line(path, "network fsrcnn: cannot be built: shrunk=30000, expected numbers from")


def test_a_list_that_holds_itself_and_lists_that_hold_lists(tmp_path, state):
    loop: list = [state]
    loop.append(loop)
    laughs: list = [state]
    for _ in range(60):
        laughs = [laughs] * 10
    for content in (loop, {"a": laughs, "b": state}):
        torch.save(content, tmp_path / "a_x4.pth")
        assert load_model(tmp_path / "a_x4.pth").scale == 4


def test_two_sets_of_weights_of_eight_bits(tmp_path, state):
    """PyTorch cannot compare them."""
    small = {key: value.to(torch.float8_e4m3fn) for key, value in state.items()}
    torch.save({"params": small, "state_dict": dict(small)}, tmp_path / "a_x4.pth")
    options = {"predicts": "image", "value_range": 1.0, "channels": "rgb"}
    assert load_model(tmp_path / "a_x4.pth", **options).scale == 4


def test_a_zip_bomb(tmp_path, state):
    torch.save(state, tmp_path / "good.pth")
    with (
        zipfile.ZipFile(tmp_path / "good.pth") as good,
        zipfile.ZipFile(tmp_path / "bomb_x4.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in good.namelist():
            bomb.writestr(name, good.read(name) if "data/0" not in name else bytes(10**8))
    one_line(tmp_path / "bomb_x4.pth", r"bytes that unpack to \d{9}, expected a checkpoint")


@pytest.mark.parametrize("kind", ["sparse", "meta", "quantized", "nested"])
def test_tensors_that_are_no_plain_numbers(tmp_path, state, kind):
    weight = state["tail_conv.weight"]
    strange = {
        "sparse": weight.to_sparse,
        "meta": lambda: weight.to("meta"),
        "quantized": lambda: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        "nested": lambda: torch.nested.nested_tensor([weight, weight]),
    }[kind]()
    torch.save({**state, "tail_conv.weight": strange}, tmp_path / "a_x4.pth")
    with pytest.raises(InputError):
        load_model(tmp_path / "a_x4.pth")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("[1]", r"its header is \[1\], expected a table of settings"),
        ("[" * 100_000, "damaged, or no safetensors checkpoint"),
        ('{"scale": "4"}', "scale '4', expected a whole number from 1 to 32"),
        ('{"scale": 4, "multiple": 1000000}', "multiple 1000000, expected a whole number"),
        ('{"provenance": []}', "the file's header has an unreadable"),
        ('{"provenance": {"architecture": ["x"]}}', "unreadable architecture"),
        (
            '{"scale": 4, "provenance": {"architecture": "fsrcnn", "arguments": '
            '{"scale": 4, "features": 1000000000}}}',
            "network fsrcnn: cannot be built: features=1000000000, expected numbers from",
        ),
        (
            '{"scale": 4, "provenance": {"architecture": "edsr", "arguments": '
            '{"scale": 4, "features": 4000, "blocks": 4}}}',
            "network edsr: cannot be built: expected at most 250000000 weights",
        ),
    ],
)
def test_headers_that_lie(tmp_path, state, header, message):
    whole = {key: value.contiguous() for key, value in state.items()}
    save_file(whole, tmp_path / "a.safetensors", {"srlongtail": header})
    one_line(tmp_path / "a.safetensors", message)


def test_the_line_of_python_in_a_message_holds_no_code_of_the_files_name(tmp_path):
    for name in ("a'; import os; os.abort(); '.pth", "$(touch x).pth", '"; touch x; ".pth'):
        (tmp_path / "x").write_bytes(pickled_class())
        path = (tmp_path / "x").rename(tmp_path / name)
        with pytest.raises(InputError, match="could run code") as caught:
            read_state_file(path)
        assert "torch.load('FILE', " in str(caught.value)


def pickled_class() -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.nn.Identity(), "w": torch.ones(2, 2)}, stream)
    return stream.getvalue()


class Touch:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_tar_archives_of_pickles_are_not_opened(tmp_path):
    """PyTorch before 0.1.10 wrote these; torch.load unpickles two of the entries."""
    content = pickle.dumps(Touch(tmp_path / "canary"), protocol=2)
    with tarfile.open(tmp_path / "a.pth", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    one_line(tmp_path / "a.pth", "a tar archive of sys_info, pickle, storages, ...: unpack it")
    assert not (tmp_path / "canary").exists()


# ---- names of files


def test_places_that_cannot_be_read(tmp_path, state):
    (tmp_path / "round.pth").symlink_to(tmp_path / "round.pth")
    os.mkfifo(tmp_path / "fifo.png")
    for name in ("round.pth", "fifo.png", "n" * 5000, "a\0b", "a\nb.png"):
        with pytest.raises(InputError, match=r"no such|a link to") as caught:
            read_image(tmp_path / name)
        assert str(caught.value).isprintable()
        with pytest.raises(InputError, match="no such model") as caught:
            load_model(str(tmp_path / name))
        assert str(caught.value).isprintable()
        with pytest.raises(InputError, match="no such file"):
            load_model(ModelCard(weights=str(tmp_path / name)))


def test_files_without_permission(tmp_path, monkeypatch):
    """What the system says is passed on; the superuser may read everything, so it is played."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    for name in ("a.png", "a.pth", "a.toml"):
        (tmp_path / name).write_bytes(b"scale = 4")
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InputError, match=r"a\.png: damaged or unreadable image: .*Permission"):
        read_image(tmp_path / "a.png")
    for name in ("a.pth", "a.toml"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read: Permission denied"):
            load_model(tmp_path / name)


@pytest.mark.parametrize("name", ["it's.png", 'a "b".png', "two\nlines.png", "名前 é.png"])
def test_unusual_names_of_images(tmp_path, name):
    Image.new("RGB", (3, 2), "red").save(tmp_path / name)
    assert read_image(tmp_path / name).shape == (3, 2, 3)
    (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(InputError, match="not an image in a known format") as caught:
        read_image(tmp_path / name)
    assert str(caught.value).isprintable()


# ---- images


def test_pillow_starts_no_program(tmp_path):
    """For EPS files Pillow starts Ghostscript, whatever the file is called."""
    Image.new("RGB", (9, 9)).save(tmp_path / "a.eps")
    path = (tmp_path / "a.eps").rename(tmp_path / "a.png")
    for read in (read_image, check_image):
        with pytest.raises(InputError, match=r"a\.png: a PostScript program, not an image"):
            read(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_images_that_claim_more_pixels_than_allowed(tmp_path, monkeypatch, suffix):
    """Pillow's limit holds for TIFF files, too, which it does not always decode."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        Image.new("L", (37, 30)).save(path)
    else:
        tifffile.imwrite(path, np.zeros((30, 37, 3), np.float32), photometric="rgb")
    for read in (read_image, check_image):
        with pytest.raises(InputError, match="37 x 30 pixels, expected at most 1000 "):
            read(path)


def test_a_tiff_file_that_claims_more_strips_than_it_has(tmp_path):
    """They would be made up, one by one: half a million take ten seconds."""
    path = tmp_path / "a.tif"
    pixels = np.ones((9, 9, 3), np.uint16)
    tifffile.imwrite(path, pixels, photometric="rgb", rowsperstrip=9, compression="deflate")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageLength", "RowsPerStrip"):
            tag = file.pages.first.tags[name]
            tag.overwrite({"ImageLength": 500_000, "RowsPerStrip": 1}[name])
    with pytest.raises(InputError, match=r"a\.tif: .*1 of 500000 strips or tiles"):
        read_image(path)


# ---- cards


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"scale = {'9' * 5000}", "not a TOML file: Exceeds the limit"),
        ('network = "fsrcnn"\nscale = 1000000', "scale 1000000, expected a whole number from 1"),
        ('network = "torch.nn:Identity"\nmultiple = 10000', "multiple 10000, expected a whole"),
        ('network = "fsrcnn"\nscale = 4\narguments = {mappings = 100000000}', "mappings=1000000"),
        ('network = "fsrcnn"\nscale = 4\narguments = {features = "a"}', "cannot be built"),
        ('network = "torch.nn:Conv2d(3, 100000, 1000)"', "expected at most 250000000 weights"),
        ('network = "antigravity:fly"', "comes from a file and is not a subclass"),
        (f"weights = {'n' * 5000!r}", "no such file, expected weights"),
        ('weights = "/proc/self/mem"', "/proc/self/mem: cannot be read"),
    ],
)
def test_hostile_cards(tmp_path, text, message):
    (tmp_path / "card.toml").write_text(text)
    one_line(tmp_path / "card.toml", message)


def test_the_largest_networks_of_the_field_can_be_built():
    assert build("edsr", scale=4, features=256, blocks=32, residual_scale=0.1) is not None
