"""Networks by spandrel: small random ones of the architectures people publish load and run."""

import importlib
import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srlongtail.errors import InputError
from srlongtail.models import spandrel_network
from srlongtail.models.spandrel_network import build_with_spandrel, import_spandrel
from srlongtail.models.state import StateFile, read_state_file

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("spandrel") is None, reason="the extra spandrel is not installed"
)

LR = torch.rand(2, 3, 19, 21, generator=torch.Generator().manual_seed(0))

WINDOWS = {"embed_dim": 16, "num_heads": (2,), "upscale": 4}
SMALL = {
    "ESRGAN": ("ESRGAN", "RRDB.RRDBNet", {"num_filters": 8, "num_blocks": 1}),
    "Real-ESRGAN x2": (
        "ESRGAN",
        "RRDB.RRDBNet",
        {"num_filters": 8, "num_blocks": 1, "in_nc": 12, "shuffle_factor": 2},
    ),
    "Compact": ("RealESRGAN Compact", "SRVGG.SRVGGNetCompact", {"num_feat": 8, "num_conv": 2}),
    "HAT": (
        "HAT",
        "HAT.HAT",
        {**WINDOWS, "depths": (1,), "window_size": 4, "squeeze_factor": 4, "num_feat": 64},
    ),
    "DAT": ("DAT", "DAT.DAT", {**WINDOWS, "depth": [2], "split_size": [4, 4]}),
    "SPAN": ("SPAN", "span.SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8}),
    "SAFMN": ("SAFMN", "safmn.SAFMN", {"dim": 8, "n_blocks": 1}),
    "RCAN": (
        "RCAN",
        "rcan_arch.RCAN",
        {"n_resgroups": 1, "n_resblocks": 1, "n_feats": 8, "reduction": 4},
    ),
    "OmniSR": ("OmniSR", "OmniSR.OmniSR", {"num_feat": 8}),
    "Swin2SR": (
        "Swin2SR",
        "Swin2SR.Swin2SR",
        {**WINDOWS, "depths": [1], "window_size": 4, "upsampler": "pixelshuffle"},
    ),
    "ATD": (
        "ATD",
        "atd_arch.ATD",
        {**WINDOWS, "depths": (2,), "window_size": 4, "num_tokens": 4, "upsampler": "pixelshuffle"},
    ),
    "DRCT": (
        "DRCT",
        "drct_arch.DRCT",
        {**WINDOWS, "depths": (1,), "window_size": 16, "gc": 4, "upsampler": "pixelshuffle"},
    ),
    "PLKSR": ("PLKSR", "PLKSR.PLKSR", {"dim": 8, "n_blocks": 1}),
    "RealPLKSR": ("PLKSR", "RealPLKSR.RealPLKSR", {"dim": 8, "n_blocks": 1}),
}


def small(label: str) -> nn.Module:
    import_spandrel()
    _, place, arguments = SMALL[label]
    module, name = place.split(".")
    folder = {"Real-ESRGAN x2": "ESRGAN", "RealPLKSR": "PLKSR"}.get(label, label)
    where = importlib.import_module(f"spandrel.architectures.{folder}.__arch.{module}")
    torch.manual_seed(0)
    return getattr(where, name)(**arguments).eval()


@pytest.mark.parametrize("label", SMALL)
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_a_published_architecture_loads_and_runs(tmp_path, label):
    network = small(label)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "net_g.pth")
    fit = build_with_spandrel(read_state_file(tmp_path / "net_g.pth"))
    scale = 2 if label == "Real-ESRGAN x2" else 4
    assert (fit.found.architecture, fit.found.scale) == (SMALL[label][0], scale)
    assert fit.found.channels == 3
    found = fit.found.eval()
    lr = LR.clone().requires_grad_()
    with torch.autograd.graph.allow_mutation_on_saved_tensors():  # PLKSR computes in place
        sr = found(lr)
        assert sr.shape == (2, 3, 19 * scale, 21 * scale)
        sr.sum().backward()
    assert lr.grad.abs().sum() > 0
    # The network's own output, at a size that needs no padding.
    with torch.no_grad():
        expected = network(LR[..., :16, :16].clone())  # RCAN scales its input in place
        torch.testing.assert_close(found(LR[..., :16, :16]), expected, rtol=1e-4, atol=1e-5)


class RRDBNet(nn.Module):
    """ESRGAN with the keys of BasicSR, one block."""

    def __init__(self, features: int = 8, growth: int = 32) -> None:
        super().__init__()

        def conv(before: int, after: int) -> nn.Conv2d:
            return nn.Conv2d(before, after, 3, padding=1)

        def dense() -> nn.Module:
            block = nn.Module()
            for number in range(5):
                after = growth if number < 4 else features
                block.add_module(f"conv{number + 1}", conv(features + number * growth, after))
            return block

        block = nn.Module()
        block.rdb1, block.rdb2, block.rdb3 = dense(), dense(), dense()
        self.conv_first = conv(3, features)
        self.body = nn.ModuleList([block])
        self.conv_body, self.conv_up1, self.conv_up2, self.conv_hr = (
            conv(features, features) for _ in range(4)
        )
        self.conv_last = conv(features, 3)

    def forward(self, x):
        first = self.conv_first(x)
        y = first
        for dense in self.body[0].children():
            parts = [y]
            for number, convolution in enumerate(dense.children()):
                out = convolution(torch.cat(parts, 1))
                parts.append(F.leaky_relu(out, 0.2) if number < 4 else out)
            y = y + 0.2 * parts[-1]
        y = first + self.conv_body(first + 0.2 * y)
        for convolution in (self.conv_up1, self.conv_up2):
            y = F.leaky_relu(convolution(F.interpolate(y, scale_factor=2)), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(y), 0.2))


def test_new_esrgan_is_not_loaded_by_its_raw_keys(tmp_path):
    """spandrel renames the keys of the new layout to the old one."""
    torch.manual_seed(0)
    network = RRDBNet().eval()
    torch.save({"params": network.state_dict()}, tmp_path / "new_x4.pth")
    found = build_with_spandrel(read_state_file(tmp_path / "new_x4.pth")).found.eval()
    assert "model.0.weight" in found.network.state_dict()
    with torch.no_grad():
        torch.testing.assert_close(found(LR), network(LR), rtol=1e-4, atol=1e-5)


def test_the_old_layout_of_esrgan_keeps_the_prefix_that_is_its_own(tmp_path):
    network = small("ESRGAN")
    state = network.state_dict()
    assert all(key.startswith("model.") for key in state)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "ddp.pth")
    for name, content in {"flat": state, "nested": {"model": state}}.items():
        torch.save(content, tmp_path / f"{name}.pth")
    places = {"flat": "", "nested": "model.", "ddp": ""}  # spandrel cuts module. itself
    for name, place in places.items():
        fit = build_with_spandrel(read_state_file(tmp_path / f"{name}.pth"))
        assert fit.candidate.prefix == place
        assert torch.equal(fit.found.network.state_dict()["model.0.bias"], state["model.0.bias"])


def test_one_channel_and_what_is_no_super_resolution(tmp_path):
    import_spandrel()
    compact = importlib.import_module("spandrel.architectures.Compact.__arch.SRVGG").SRVGGNetCompact

    def built(**arguments: int):
        state = compact(num_feat=8, num_conv=1, **arguments).state_dict()
        return build_with_spandrel(StateFile(tmp_path / "a.pth", {"": state}))

    assert built(num_in_ch=1, num_out_ch=1).found.channels == 1
    with pytest.raises(InputError, match=r"a\.pth: a network for restoration at scale 1 \(RealESR"):
        built(upscale=1)
    with pytest.raises(InputError, match="Compact with 4 channels in and 4 out, expected 1"):
        built(num_in_ch=4, num_out_ch=4)


def test_recognized_and_not_to_be_built(tmp_path):
    state = small("SAFMN").state_dict()
    state["feats.0.ccm.ccm.0.weight"] = torch.zeros(1, 1, 1, 1)
    with pytest.raises(InputError, match=r"a\.pth: spandrel cannot build this network: RuntimeErr"):
        build_with_spandrel(StateFile(tmp_path / "a.pth", {"": state}))
    assert build_with_spandrel(StateFile(tmp_path / "a.pth", {"": {"w": torch.ones(1, 1)}})) is None


def test_square_and_smallest_inputs():
    requirements = import_spandrel().SizeRequirements(minimum=8, multiple_of=4, square=True)
    descriptor = SimpleNamespace(
        model=nn.Upsample(scale_factor=2),
        architecture=SimpleNamespace(name="nearest"),
        scale=2,
        input_channels=3,
        size_requirements=requirements,
    )
    seen = []

    def call(network, x):
        seen.append(tuple(x.shape[-2:]))
        return network(x)

    descriptor._call_fn = call
    network = spandrel_network.SpandrelNetwork(descriptor)
    assert torch.equal(network(LR[..., :3, :9]), F.interpolate(LR[..., :3, :9], scale_factor=2))
    assert seen == [(12, 12)]


def loaded() -> dict[str, object]:
    return {k: v for k, v in sys.modules.items() if k.startswith("torchvision")}


def test_the_stand_in_for_torchvision_is_there_only_while_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it fails
    before = loaded()
    with spandrel_network._torchvision():
        from torchvision.transforms.functional import InterpolationMode, rotate

        with pytest.raises(InputError, match="needs rotate of torchvision, which fails to import"):
            rotate(LR, 3)
        with pytest.raises(InputError, match="needs InterpolationMode of torchvision"):
            _ = InterpolationMode.BILINEAR
    assert loaded() == before


def test_the_stand_in_goes_when_the_import_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    before = loaded()
    with pytest.raises(RuntimeError, match="by the way"), spandrel_network._torchvision():
        raise RuntimeError("by the way")
    assert loaded() == before


def test_a_torchvision_that_works_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    before = loaded()
    with spandrel_network._torchvision():
        assert loaded() == before
    assert loaded() == before
