"""The catalog: names, errors, and state dictionaries that tell which network they belong to."""

from typing import Any

import pytest
import torch
from torch import nn

from srlongtail.errors import InputError
from srlongtail.models.catalog import CATALOG, build, recognise

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
}


def test_names_labels_and_multiples() -> None:
    entries = {name: (entry.label, entry.multiple) for name, entry in CATALOG.items()}
    assert entries == {
        "fsrcnn": ("FSRCNN", 1),
        "carn": ("CARN", 1),
        "srresnet": ("SRResNet", 1),
        "msrn": ("MSRN", 1),
        "swinir": ("SwinIR", 8),
        "bsrn": ("BSRN", 1),
    }


@pytest.mark.parametrize("name", CATALOG)
def test_build_makes_the_named_network(name: str) -> None:
    network = build(name, scale=2, **NARROW[name])
    assert type(network).__name__ == CATALOG[name].label


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", CATALOG)
def test_state_dict_tells_network_and_arguments(name: str, scale: int, narrow: bool) -> None:
    arguments = NARROW[name] if narrow else {}
    with torch.device("meta"):
        state = build(name, scale=scale, **arguments).state_dict()
    recognised = recognise(state)
    assert recognised is not None
    found_name, found = recognised
    assert found_name == name
    assert found.get("scale") == (None if name == "fsrcnn" else scale)
    assert {key: found[key] for key in arguments} == arguments
    with torch.device("meta"):
        rebuilt = build(name, **{**found, "scale": scale}).state_dict()
    assert shapes(rebuilt) == shapes(state)


def test_foreign_state_dicts_are_not_recognised() -> None:
    original_carn = {
        "sub_mean.shifter.weight": torch.zeros(3, 3, 1, 1),
        "b1.b1.body.0.weight": torch.zeros(64, 16, 3, 3),
        "b1.b1.body.4.weight": torch.zeros(64, 64, 1, 1),
        "b1.c1.body.0.weight": torch.zeros(64, 128, 1, 1),
        "upsample.up.body.0.weight": torch.zeros(256, 16, 3, 3),
    }
    classical_swinir = {
        **build("swinir", **NARROW["swinir"]).state_dict(),
        "conv_before_upsample.0.weight": torch.zeros(64, 24, 3, 3),
    }
    for state in ({}, nn.Linear(2, 2).state_dict(), original_carn, classical_swinir):
        assert recognise(state) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FSRCN", "unknown network 'FSRCN', did you mean 'fsrcnn'?"),
        ("swin", "did you mean 'swinir'?"),
        (
            "xyz",
            "unknown network 'xyz', expected one of fsrcnn, carn, srresnet, msrn, swinir, bsrn",
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
