"""Size of the paper's networks as published, beside what is counted here."""

from typing import NamedTuple

from srlongtail.errors import InputError
from srlongtail.models.complexity import count_operations, count_parameters
from srlongtail.models.sr_model import SRModel


class Published(NamedTuple):
    """Parameters and operations for a 32 x 32 input at x4, as Section 4.1 prints them."""

    parameters: str
    operations: str


PUBLISHED = {
    "fsrcnn": Published("25K", "468M"),
    "carn": Published("295K", "1.16G"),
    "srresnet": Published("1.5M", "4.56G"),
    "msrn": Published("6.1M", "13.4G"),
    "swinir": Published("1.2M", "3.4G"),
}

_ALWAYS_SHOWN = ("scale", "predicts", "value_range", "channels")


def describe(model: SRModel) -> str:
    """Return all that is known of a model, one fact per line, with what determined it.

    Example:
        >>> from srlongtail.models.sr_model import bicubic
        >>> print(describe(bicubic(4)).splitlines()[0])
        name             bicubic
    """
    determined_by = model.provenance.determined_by
    facts: dict[str, object] = {
        "name": model.name,
        "architecture": model.architecture or type(model.network).__name__,
        **{f"  {k}": v for k, v in model.provenance.arguments.items()},
    }
    for key, value in model.settings.items():
        by = f"  ({determined_by[key]})" if key in determined_by else ""
        unusual = value is not None and value is not False
        if key == "multiple" or key in _ALWAYS_SHOWN or unusual:
            facts["input multiple" if key == "multiple" else key.replace("_", " ")] = f"{value}{by}"
    published = PUBLISHED.get(model.architecture or "")
    facts["parameters"] = _beside(count_parameters(model), published and published.parameters)
    operations, side = _operations(model)
    facts["operations"] = _beside(operations, published and published.operations)
    facts["  counted as"] = f"2 per multiply-add of the network for a {side} x {side} input"
    if model.architecture == "fsrcnn":
        facts["  the paper's"] = "counts the transposed convolution once per SR pixel, not per LR"
    record = {**model.provenance.record(), "notes": "; ".join(model.provenance.notes)}
    skipped = {"determined_by", "architecture", "arguments"}
    facts |= {k: v for k, v in record.items() if k not in skipped and v != ""}
    return "\n".join(f"{name:<16} {value}" for name, value in facts.items())


def _operations(model: SRModel) -> tuple[int, int]:
    """Return the operations for the smallest square input that the network takes, and its side."""
    for side in (32, 64, 128):
        try:
            return count_operations(model, side, side), side
        except InputError:  # the image is too small
            continue
    return count_operations(model, 256, 256), 256


def _beside(count: int, published: str | None) -> str:
    return f"{count:,}" + (f"  (the paper: {published})" if published else "")
