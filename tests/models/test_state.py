"""Reading a network's tensors: from files of any kind, out of wrappings, from behind prefixes."""

import argparse
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from srlongtail.errors import InputError
from srlongtail.models.catalog import build, recognize
from srlongtail.models.state import StateFile, first_fit, read_state_file


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(build("fsrcnn", scale=4).state_dict())


def raw(state):
    return {key: value + 1 for key, value in state.items()}


def prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def halved(state):
    return {key: value.half() for key, value in state.items()}


PLACES = {
    # how the weights `s` are wrapped, where they are found, and what is said about it
    "flat": (lambda s: s, "", ""),
    "params": (lambda s: {"params": s}, "params.", ""),
    "average beside, nested": (
        lambda s: {"params": raw(s), "params_ema": s},
        "params_ema.",
        "averaged weights at params_ema, not params",
    ),
    "average beside, as AveragedModel saves it": (
        lambda s: {
            "state_dict": raw(s),
            "ema_state_dict": {"n_averaged": torch.tensor(5), **prefixed("module.", s)},
        },
        "ema_state_dict.module.",
        "averaged weights at ema_state_dict.module, not state_dict; tensors of other parts left "
        "out: n_averaged (1)",
    ),
    "average beside, in one dict": (
        lambda s: {"state_dict": {**prefixed("net_g.", raw(s)), **prefixed("net_g_ema.", s)}},
        "state_dict.net_g_ema.",
        "averaged weights at state_dict.net_g_ema, not state_dict.net_g",
    ),
    "average beside flat weights": (
        lambda s: {**raw(s), "model_ema": s},
        "model_ema.",
        "averaged weights at model_ema, not the file's own keys",
    ),
    "shadow of an average": (
        lambda s: {"model": raw(s), "ema": {"decay": 0.99, "shadow": s}},
        "ema.shadow.",
        "averaged weights at ema.shadow, not model",
    ),
    "an average without names": (
        lambda s: {"net": s, "ema": {"shadow_params": list(raw(s).values())}},
        "net.",
        "the averaged weights at ema.shadow_params do not fit",
    ),
    "generator and discriminator": (
        lambda s: {"G": s, "D": {"features.0.weight": torch.zeros(4, 3, 3, 3)}},
        "G.",
        "",
    ),
    "lightning, with a loss": (
        lambda s: {
            "state_dict": {**prefixed("model.", s), "loss.vgg.0.weight": torch.zeros(4, 3, 3, 3)},
            "hyper_parameters": {"scale": 4},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3, 3)}}}],
        },
        "state_dict.model.",
        "tensors of other parts left out: loss (1)",
    ),
    "a loss beside the bare keys": (
        lambda s: {**s, "perceptual.features.0.weight": torch.zeros(4, 3, 3, 3)},
        "",
        "tensors of other parts left out: perceptual (1)",
    ),
    "an attribute of any name": (
        lambda s: {**prefixed("sr_net.", s), "lpips_net.conv.weight": torch.zeros(4, 3, 3, 3)},
        "sr_net.",
        "tensors of other parts left out: lpips_net (1)",
    ),
    "a profiler's counters": (
        lambda s: {**s, "total_ops": torch.zeros(1), "head_conv.total_params": torch.zeros(1)},
        "",
        "tensors of other parts left out: total_ops (1), total_params (1)",
    ),
    "compiled, then distributed": (lambda s: prefixed("module._orig_mod.", s), "module.", ""),
    "parts compiled one by one": (
        lambda s: {key.replace(".", "._orig_mod.", 1): value for key, value in s.items()},
        "",
        "",
    ),
    "several prefixes": (
        lambda s: {"model": prefixed("module.net_g._orig_mod.", s)},
        "model.module.net_g.",
        "",
    ),
    "a list": (lambda s: {"models": [s]}, "models.0.", ""),
    "numbers of numpy": (
        lambda s: {
            "psnr": np.float64(28.1),
            "iteration": np.int64(3),
            "name": np.str_("x4"),
            "losses": np.ones(2),
            "state_dict": s,
        },
        "state_dict.",
        "",
    ),
    "arrays of numpy": (lambda s: {key: value.numpy() for key, value in s.items()}, "", ""),
    "parameters": (lambda s: {key: nn.Parameter(value) for key, value in s.items()}, "", ""),
}


@pytest.mark.parametrize("case", PLACES)
def test_weights_are_found_where_people_put_them(tmp_path, state, case):
    wrap, place, note = PLACES[case]
    torch.save(wrap(state), tmp_path / "a.pth")
    fit = first_fit(read_state_file(tmp_path / "a.pth"), recognize)
    assert (fit.candidate.prefix, fit.note) == (place, note)
    assert fit.found[0] == "fsrcnn"
    assert fit.candidate.tensors.keys() == state.keys()
    assert all(torch.equal(fit.candidate.tensors[key], state[key]) for key in state)
    assert not any(value.requires_grad for value in fit.candidate.tensors.values())


def test_a_prefix_that_belongs_to_the_network_stays(tmp_path):
    own = {"model.0.weight": torch.ones(4, 3, 3, 3), "model.2.weight": torch.ones(12, 4, 3, 3)}
    torch.save({"model": prefixed("model.", own)}, tmp_path / "a.pth")
    file = read_state_file(tmp_path / "a.pth")
    fit = first_fit(file, lambda tensors: tensors.keys() == own.keys() or None)
    assert fit.candidate.prefix == "model.model."
    assert first_fit(file, lambda tensors: "2.weight" in tensors or None).candidate.prefix == (
        "model.model.model."
    )
    assert first_fit(file, lambda tensors: None) is None


def test_several_networks_that_fit(tmp_path, state):
    path = tmp_path / "gan.pth"
    torch.save({**prefixed("netG_A.", state), **prefixed("netG_B.", raw(state))}, path)
    file = read_state_file(path)
    with pytest.raises(
        InputError,
        match=r"gan\.pth: holds several networks that fit, at netG_A and netG_B; choose one, "
        r"such as prefix=netG_A$",
    ):
        first_fit(file, recognize)
    for prefix in ("netG_B", "netG_B."):
        fit = first_fit(file, recognize, prefix)
        assert torch.equal(fit.candidate.tensors["tail_conv.bias"], state["tail_conv.bias"] + 1)
    with pytest.raises(InputError, match="nothing at prefix 'net', expected one of: netG_A, "):
        first_fit(file, recognize, "net")


def test_a_prefix_overrules_the_average(tmp_path, state):
    path = tmp_path / "a.pth"
    torch.save({"x": {"params": raw(state), "params_ema": state}}, path)
    fit = first_fit(read_state_file(path), recognize, "params")
    assert (fit.candidate.prefix, fit.note) == ("x.params.", "")


def test_equal_weights_at_two_places_are_no_choice(tmp_path, state):
    torch.save({"params": state, "state_dict": state}, tmp_path / "a.pth")
    fit = first_fit(read_state_file(tmp_path / "a.pth"), recognize)
    assert fit.candidate.prefix == "params."


def test_the_content_counts_and_not_the_suffix(tmp_path, state):
    save_file(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "b.safetensors")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("a.pth", "b.safetensors", "old.pth"):
        assert read_state_file(tmp_path / name).tensors.keys() == state.keys()


class Near(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


def _archive(path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, path.with_suffix(".inner"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_suffix(".inner"), "weights/net.pth")


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"), io.BytesIO())


def _image(path: Path, kind: str) -> None:
    Image.new("RGB", (16, 16), "red").save(path, kind)


def _script(path: Path) -> None:
    torch.jit.trace(Near(), torch.rand(1, 3, 8, 8)).save(path)


def _cut(path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:40_000])


OTHER_FILES = {
    "empty": (lambda p, s: p.write_bytes(b""), r"empty \(0 bytes\), expected a checkpoint of wei"),
    "pointer": (
        lambda p, s: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "a Git LFS pointer and not the file itself, which 'git lfs pull' fetches",
    ),
    "page": (lambda p, s: p.write_text("\n<!DOCTYPE html><html>"), "a web page and not the file"),
    "text": (lambda p, s: p.write_text("hello world"), r"a text file \('hello world', \.\.\.\)"),
    "noise": (lambda p, s: p.write_bytes(bytes(range(256))), "damaged, or no PyTorch checkpoint"),
    "cut short": (_cut, "damaged: it begins as a PyTorch checkpoint and ends too early"),
    "archive": (_archive, "a ZIP archive of weights/net.pth: unpack it"),
    "tar": (lambda p, s: _tar(p), "a tar archive of net.pth: unpack it"),
    "gzip": (lambda p, s: p.write_bytes(b"\x1f\x8b\x08"), "a gzip archive: unpack it"),
    "keras": (lambda p, s: p.write_bytes(b"\x89HDF\r\n\x1a\n"), r"an HDF5 file \(Keras or MATLAB"),
    "numpy": (
        lambda p, s: np.savez(p.open("wb"), **{k: v.numpy() for k, v in s.items()}),
        "NumPy arrays; save them as tensors with: python -c",
    ),
    "onnx": (
        lambda p, s: p.write_bytes(b"\x08\x08\x12\x07pytorch" + b"\0" * 100),
        r"an ONNX program, which is never run; .*onnx\.load\(.*\)\.graph\.initializer",
    ),
    "script": (
        lambda p, s: _script(p),
        r"a TorchScript program, which is never run; save its weights alone with: .*jit\.load\(",
    ),
    "training state": (
        lambda p, s: torch.save({"iter": 9, "optimizers": [{"state": {}}], "schedulers": []}, p),
        r"a training state \(iter, optimizers, schedulers\) without weights, expected the weights "
        r"that were saved beside it \(by BasicSR: models/net_g_9\.pth\)",
    ),
    "numbers": (
        lambda p, s: torch.save({"epoch": 3, "loss": 0.1}, p),
        "a dict of epoch, loss, expected a dict of tensors",
    ),
    "gif": (lambda p, s: _image(p, "GIF"), "a GIF image, expected a checkpoint of weights"),
    "webp": (lambda p, s: _image(p, "WEBP"), "a WEBP image, expected a checkpoint of weights"),
    "bmp": (lambda p, s: _image(p, "BMP"), "a BMP image, expected"),
    "tiff": (lambda p, s: _image(p, "TIFF"), "a TIFF image, expected"),
    "jpeg": (lambda p, s: _image(p, "JPEG"), "a JPEG image, expected"),
    "png": (lambda p, s: _image(p, "PNG"), "a PNG image, expected"),
    "icon": (lambda p, s: _image(p, "ICO"), "an ICO image, expected"),
    "video": (
        lambda p, s: p.write_bytes(b"\0\0\0 ftypisom" + bytes(40)),
        "a video or an image in a",
    ),
    "integer": (lambda p, s: torch.save(3, p), "holds an int, expected a dict of tensors"),
    "list": (lambda p, s: torch.save([1, 2], p), "holds a list, expected a dict of tensors"),
    "pickle": (lambda p, s: p.write_bytes(pickle.dumps([1])), "a pickle that torch.save did not"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_files_of_other_kinds_are_named(tmp_path, state, kind):
    write, message = OTHER_FILES[kind]
    write(tmp_path / "a.pth", state)
    with pytest.raises(InputError, match=rf"a\.pth: {message}") as caught:
        read_state_file(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


PICKLED = {
    # what is saved, and the class that is named
    "options": (
        lambda s: {"args": argparse.Namespace(lr=1), "state_dict": s},
        "argparse.Namespace",
    ),
    "options beside bare keys": (lambda s: {**s, "a": argparse.Namespace()}, "argparse.Namespace"),
    "a path": (lambda s: {"epoch": 1, "net": s, "root": Path("a")}, r"pathlib\S*PosixPath"),
    "a module": (lambda s: _loaded(s), "srlongtail.models.networks.fsrcnn.FSRCNN"),
    "a module in a dict": (
        lambda s: {"epoch": 1, "model": _loaded(s)},
        "srlongtail.models.networks.fsrcnn.FSRCNN",
    ),
}


def _loaded(state):
    network = build("fsrcnn", scale=4)
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize("layout", ["zip", "old"])
@pytest.mark.parametrize("case", PICKLED)
def test_the_line_that_saves_the_weights_alone_does_so(tmp_path, monkeypatch, state, case, layout):
    content, name = PICKLED[case]
    monkeypatch.chdir(tmp_path)
    torch.save(content(state), "a.pth", _use_new_zipfile_serialization=layout == "zip")
    with pytest.raises(InputError, match=rf"a\.pth: holds a pickled {name} besides") as caught:
        read_state_file("a.pth")
    code = str(caught.value).partition('python -c "')[2].removesuffix('"')
    exec(code, {})
    saved = read_state_file("weights.pth").tensors
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[key], state[key]) for key in state)


def test_the_line_that_exports_a_script_does_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _script(Path("a.pt"))
    with pytest.raises(InputError) as caught:
        read_state_file("a.pt")
    command = str(caught.value).partition("with: python")[2].strip()
    subprocess.run(f"{sys.executable} {command}", shell=True, check=True, capture_output=True)
    assert set(read_state_file("weights.pth").tensors) == {"conv.weight", "conv.bias"}


class Evil:
    def __reduce__(self):
        return (os.system, ("touch ran",))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("layout", ["zip", "old"])
def test_no_code_of_a_file_is_run(tmp_path, monkeypatch, layout, protocol):
    monkeypatch.chdir(tmp_path)
    content = {"a": Evil(), "w": torch.ones(2, 2)}
    torch.save(
        content,
        "evil.pth",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=layout == "zip",
    )
    with pytest.raises(InputError, match=r"evil\.pth: holds a pickle.* could run code"):
        read_state_file("evil.pth")
    assert not Path("ran").exists()


def test_arrays_of_objects_are_no_weights(tmp_path):
    torch.save({"a": np.array([Evil(), 1], dtype=object), "w": torch.ones(1, 1)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="holds a pickled"):
        read_state_file(tmp_path / "a.pt")


def test_our_own_header_is_read_with_the_tensors(tmp_path, state):
    from srlongtail.models.state import write_state

    write_state(tmp_path / "ours.safetensors", prefixed("module.", state), {"scale": 4})
    file = read_state_file(tmp_path / "ours.safetensors")
    assert file.header == {"scale": 4}
    assert file.tensors.keys() == prefixed("module.", state).keys()
    assert StateFile(Path("a"), {"": state}).header == {}
