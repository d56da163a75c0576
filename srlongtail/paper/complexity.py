"""How large the paper's networks are, beside what is counted here."""

from typing import NamedTuple

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


def describe(model: SRModel) -> str:
    """All that is known of a model, one fact a line, with what settled each.

    >>> from srlongtail.models.sr_model import bicubic
    >>> print(describe(bicubic(4)).splitlines()[0])
    name             bicubic
    """
    settled = model.provenance.determined_by
    facts: dict[str, object] = {
        "name": model.name,
        "architecture": model.architecture or type(model.network).__name__,
        **{f"  {k}": v for k, v in model.provenance.arguments.items()},
    }
    for what in ("scale", "predicts", "value_range", "channels"):
        by = f"  ({settled[what]})" if what in settled else ""
        facts[what.replace("_", " ")] = f"{getattr(model, what)}{by}"
    facts["input multiple"] = model.multiple
    published = PUBLISHED.get(model.architecture or "")
    facts["parameters"] = _beside(count_parameters(model), published and published.parameters)
    facts["operations"] = _beside(count_operations(model), published and published.operations)
    facts["  counted as"] = "2 per multiply-add of the network for a 32 x 32 input"
    if model.architecture == "fsrcnn":
        facts["  the paper's"] = "counts the transposed convolution once per SR pixel, not per LR"
    skipped = {"determined_by", "architecture", "arguments"}
    facts |= {k: v for k, v in model.provenance.record().items() if k not in skipped}
    return "\n".join(f"{name:<16} {value}" for name, value in facts.items())


def _beside(count: int, published: str | None) -> str:
    return f"{count:,}" + (f"  (the paper: {published})" if published else "")
