"""The catalog: names, errors, and state dictionaries that tell which network they belong to."""

from typing import Any

import pytest
import torch
from torch import nn

from srlongtail.errors import InputError
from srlongtail.models.catalog import CATALOG, build, recognize, subject_of, subjects_of
from srlongtail.models.facts import Provenance, Training
from srlongtail.models.sr_model import SRModel, ZeroResidual

NARROW: dict[str, dict[str, Any]] = {
    "fsrcnn": {"features": 20, "shrunk": 6, "mappings": 3},
    "carn": {"features": 24, "groups": 2},
    "srresnet": {"features": 8, "blocks": 3},
    "msrn": {"features": 8, "blocks": 2},
    "swinir": {
        "features": 24,
        "depths": (2, 4),
        "heads": (3, 4),
        "window": 4,
        "mlp_ratio": 1.5,
        "image_size": 24,
    },
    "bsrn": {"features": 32, "blocks": 11},
    "srcnn": {"channels": 3, "features": (20, 10), "kernels": (9, 1, 5), "layout": "features"},
    "fsrcnn-ports": {"channels": 3, "features": 20, "shrunk": 6, "mappings": 3},
    "espcn": {"channels": 1, "features": (20, 10), "layout": "first_part"},
    "vdsr": {"channels": 3, "features": 12, "convolutions": 5, "bias": True, "layout": "conv1"},
    "edsr": {"features": 12, "blocks": 3, "layout": "conv_first"},
    "carn-official": {"features": 24, "groups": 2, "mobile": False},
    "imdn": {"features": 32, "blocks": 4},
    "rfdn": {"features": 16, "blocks": 11},
    "pan": {"features": 16, "enlarged": 8, "blocks": 3},
    "srvgg": {"features": 12, "convolutions": 3},
    "rlfn": {"features": 16, "inner": 18, "blocks": 11, "narrow": 6},
    "bsrn-s": {"features": 16, "blocks": 11},
    "vapsr": {"features": 16, "attention": 12, "blocks": 3, "groups": 2},
}
# Networks of which no shape tells the scale.
ANY_SCALE = ("fsrcnn", "fsrcnn-ports", "srcnn", "vdsr", "carn-official")


def test_names_labels_and_multiples() -> None:
    entries = {name: (entry.label, entry.multiple) for name, entry in CATALOG.items()}
    assert entries == {
        "fsrcnn": ("FSRCNN", 1),
        "carn": ("CARN", 1),
        "srresnet": ("SRResNet", 1),
        "msrn": ("MSRN", 1),
        "swinir": ("SwinIR", 8),
        "bsrn": ("BSRN", 1),
        "srcnn": ("SRCNN", 1),
        "fsrcnn-ports": ("FSRCNN (ports)", 1),
        "espcn": ("ESPCN", 1),
        "vdsr": ("VDSR", 1),
        "edsr": ("EDSR", 1),
        "carn-official": ("CARN (official)", 1),
        "imdn": ("IMDN", 1),
        "rfdn": ("RFDN", 1),
        "pan": ("PAN", 1),
        "srvgg": ("SRVGG", 1),
        "rlfn": ("RLFN", 1),
        "bsrn-s": ("BSRN-S", 1),
        "vapsr": ("VapSR", 1),
    }


def test_what_networks_take() -> None:
    enlarged = {name for name, entry in CATALOG.items() if entry.enlarged}
    assert enlarged == {"srcnn", "vdsr"}
    depends_on_the_file = {name for name, entry in CATALOG.items() if entry.channels is None}
    assert depends_on_the_file == {"srcnn", "fsrcnn-ports", "espcn", "vdsr"}
    for name in CATALOG:
        recognized = recognize(build(name, **NARROW[name]).state_dict())
        assert recognized is not None
        assert ("channels" in recognized[1]) == (name in depends_on_the_file)


@pytest.mark.parametrize("name", CATALOG)
def test_build_makes_the_named_network(name: str) -> None:
    network = build(name, scale=2, **NARROW[name])
    others = {"fsrcnn-ports": "PortedFSRCNN", "carn-official": "OfficialCARN", "bsrn-s": "BSRNS"}
    assert type(network).__name__ == others.get(name, CATALOG[name].label)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", CATALOG)
def test_state_dict_tells_network_and_arguments(name: str, scale: int, narrow: bool) -> None:
    arguments = NARROW[name] if narrow else {}
    with torch.device("meta"):
        state = build(name, scale=scale, **arguments).state_dict()
    recognized = recognize(state)
    assert recognized is not None
    found_name, found = recognized
    assert found_name == name
    untold = name in ANY_SCALE or (name == "pan" and scale != 4)
    assert found.get("scale") == (None if untold else scale)
    assert {key: found[key] for key in arguments} == arguments
    with torch.device("meta"):
        rebuilt = build(name, **{**found, "scale": scale}).state_dict()
    assert shapes(rebuilt) == shapes(state)
    claims = [known for known in CATALOG if CATALOG[known].network.arguments_from(state)]
    assert claims == [name]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("carn-official", {"scale": 3, "scales": None}),
        ("carn-official", {"scale": 4, "scales": None, "mobile": False, "groups": 1}),
        ("carn-official", {"scales": (2, 4)}),
        ("edsr", {"features": 256, "blocks": 32, "residual_scale": 0.1}),
        ("edsr", {"features": 256, "blocks": 32, "residual_scale": 0.1, "layout": "conv_first"}),
        ("espcn", {"scale": 3, "channels": 3}),
        ("espcn", {"scale": 3, "channels": 1}),
        ("espcn", {"scale": 3, "channels": 1, "layout": "feature_maps"}),
        ("srcnn", {"channels": 1}),
        ("vdsr", {"channels": 1}),
        ("fsrcnn-ports", {"layout": "feature_extraction"}),
        ("fsrcnn-ports", {"layout": "feature_extract", "channels": 3, "mappings": 3}),
        ("fsrcnn-ports", {"layout": "feature_extract", "mappings": 1}),
    ],
)
def test_variants_are_told_apart(name: str, arguments: dict[str, Any]) -> None:
    with torch.device("meta"):
        state = build(name, **arguments).state_dict()
    recognized = recognize(state)
    assert recognized is not None
    assert recognized[0] == name
    assert {key: recognized[1].get(key) for key in arguments} == arguments


def test_foreign_state_dicts_are_not_recognized() -> None:
    espcn_of_four = {
        f"conv{number}.{kind}": torch.zeros(64, 1, 3, 3)
        for number in (1, 2, 3, 4)
        for kind in ("weight", "bias")
    }
    espcn_of_three = {
        **build("srcnn", channels=3).state_dict(),
        "conv3.weight": torch.zeros(48, 32, 3, 3),
    }
    plain_body = nn.ModuleDict({"body": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))})
    classical_swinir = {
        **build("swinir", **NARROW["swinir"]).state_dict(),
        "conv_before_upsample.0.weight": torch.zeros(64, 24, 3, 3),
    }
    like_edsr = build("edsr", blocks=2).state_dict()
    rcan = {
        key.replace("body.0.body.0.", "body.0.body.0.body.0."): v for key, v in like_edsr.items()
    }
    of_scale_1 = {**build("srvgg").state_dict(), "body.34.weight": torch.zeros(3, 64, 3, 3)}
    for state in (
        rcan,
        of_scale_1,
        {},
        nn.Linear(2, 2).state_dict(),
        plain_body.state_dict(),
        espcn_of_four,
        espcn_of_three,
        classical_swinir,
    ):
        assert recognize(state) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FSRCN", "unknown network 'FSRCN', did you mean 'fsrcnn'?"),
        ("swin", "did you mean 'swinir'?"),
        (
            "xyz",
            "unknown network 'xyz', expected one of fsrcnn, carn, srresnet, msrn, swinir, bsrn, ",
        ),
    ],
)
def test_unknown_name(name: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        build(name)
    assert message in str(error.value)
    assert "expected one of fsrcnn, carn, srresnet, msrn, swinir, bsrn" in str(error.value)


@pytest.mark.parametrize("name", CATALOG)
def test_other_scales_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="scale 5: expected 2, 3 or 4"):
        build(name, scale=5)


def shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in state.items()}


@pytest.mark.parametrize(
    ("name", "architecture", "recipe", "shown"),
    [
        ("swinir-x2", "swinir", {"skip": False}, "SwinIR"),
        ("run 7", "msrn", {"skip": True}, "MSRN+skip"),
        ("x", "bsrn", {"skip": True, "static": True, "learnable": True}, "BSRN+FPL"),
        ("4x_FSRCNN_FPL", "fsrcnn", None, "4x_FSRCNN_FPL"),
        ("mynet-fpl-x4", None, None, "mynet-fpl-x4"),
        ("a_very_long_name_of_a_file", None, None, "a_very_l…a_file"),
    ],
)
def test_what_figures_call_a_model(name, architecture, recipe, shown):
    """Ours by its recipe, whatever it is called; a stranger's by its own name."""
    training = Training(7, recipe) if recipe else None
    known = Provenance(architecture=architecture, training=training)
    assert subject_of(SRModel(ZeroResidual(2), 2, name=name, provenance=known)).label == shown


def test_models_of_one_label_are_called_by_their_names():
    known = Provenance(architecture="carn", training=Training(7, {"skip": False}))
    models = [SRModel(ZeroResidual(2), 2, name=name, provenance=known) for name in ("one", "two")]
    assert [subject.label for subject in subjects_of(models).values()] == ["one", "two"]


def test_what_nothing_tells_of_the_training_is_not_read_from_the_name():
    image, residual = (
        SRModel(ZeroResidual(4), 4, name="net_fpl_degraded", predicts=predicts)
        for predicts in ("image", "residual")
    )
    assert (image.arm, residual.arm) == ("baseline", "skip")
    assert image.degradation == "bicubic"
    said = SRModel(ZeroResidual(4), 4, provenance=Provenance(arm="FPL", degradation="blur-noise"))
    assert (said.arm, said.degradation) == ("FPL", "blur-noise")
