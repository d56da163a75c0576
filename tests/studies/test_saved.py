"""Saved results come back as they were, and only for the inputs that they were made from."""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from srlongtail.image.dataset import photos
from srlongtail.image.degrade import Bicubic
from srlongtail.models.adapt import Reading
from srlongtail.models.catalog import new_model
from srlongtail.models.facts import Provenance
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.models.state import write_state
from srlongtail.studies import saved as saved_module
from srlongtail.studies.current import FOLDER
from srlongtail.studies.saved import Saved, identity, key_of
from srlongtail.studies.source import source_sha256


class Pair(NamedTuple):
    left: int
    right: torch.Tensor


@dataclass(frozen=True)
class Result:
    name: str
    pair: Pair
    counts: dict[str, np.ndarray]
    table: pd.DataFrame
    parts: tuple[object, ...]


@pytest.fixture
def result():
    right = torch.rand(2, 6, generator=torch.Generator().manual_seed(0)).double().T  # no copy
    table = pd.DataFrame({"model": ["a", "b"], "psnr_db": [0.1, 1 / 3], "images": [1, 2]})
    return Result("r", Pair(1, right), {"n": np.arange(3)}, table, (1.5, None, [True, "x"]))


def test_a_result_comes_back_as_it_was(tmp_path, result):
    saved = Saved(tmp_path)
    assert saved.result("r", {}, lambda: result) is result
    back = saved.result("r", {}, pytest.fail)
    assert (type(back), type(back.pair), back.name) == (Result, Pair, "r")
    assert torch.equal(back.pair.right, result.pair.right)
    assert back.pair.right.dtype == torch.float64
    assert (back.counts["n"] == result.counts["n"]).all()
    assert back.counts["n"].dtype == np.int64
    pd.testing.assert_frame_equal(back.table, result.table)
    assert back.parts == result.parts


def test_other_inputs_force_and_damage_lead_to_a_new_result(tmp_path):
    saved, count = Saved(tmp_path), iter(range(10))

    def ask(key, saved=saved):
        return saved.result("n", key, lambda: next(count))

    assert [ask({"image": "a"}), ask({"image": "a"})] == [0, 0]
    assert [ask({"image": "b"}), ask({"image": "b"})] == [1, 1]
    assert ask({"image": "b"}, Saved(tmp_path, force=True)) == 2
    (tmp_path / FOLDER / "n.safetensors").write_bytes(b"damaged")
    assert [ask({"image": "b"}), ask({"image": "b"})] == [3, 3]


def key(*models, module="srlongtail.paper.fig1", **settings):
    return key_of(module, models, [photos(4)[:1]], **settings)


def test_other_versions_lead_to_a_new_result(monkeypatch):
    before = key()
    assert key() == before
    monkeypatch.setattr("srlongtail.studies.saved.versions", lambda: {"torch": "99"})
    assert key() != before


def test_other_inputs_settings_and_sources_lead_to_a_new_result():
    keys = [
        key(),
        key(bicubic(4)),
        key(window=[0, 0, 8]),
        key(module="srlongtail.paper.fig6"),
        key_of("srlongtail.paper.fig1", [], [photos(4)[1:2]]),
    ]
    assert all(one != two for one, two in combinations(keys, 2))
    # A network's own source counts too.
    module = "srlongtail.longtail.difference"
    assert key(new_model("fsrcnn", 4), module=module)["source"] != key(module=module)["source"]


def test_one_weight_or_convention_makes_another_model():
    model = new_model("fsrcnn", 4)
    before = identity(model)
    assert identity(model) == before
    model.reading = Reading(value_range=255)
    assert identity(model) != before
    model.reading = Reading()
    with torch.no_grad():
        model.network.tail_conv.bias[0] += 1e-3
    assert identity(model) != before
    settings = {"enlarged": True, "takes_scale": True, "output": 0, "multiple": 2}
    network = torch.nn.Identity()
    known = [identity(SRModel(network, 1, **{key: settings[key]})) for key in settings]
    known.append(identity(SRModel(network, 1)))
    assert all(known.count(one) == 1 for one in known)


PACKAGE = {
    "studies/tail": """
from srlongtail.longtail.difference import total
from srlongtail.plots.style import color
LIMIT = 1
WORDS = "a tail"
class Result:
    value: int
    def half(self):
        return self.value / 2
    def caption(self):
        return WORDS
def compute(values):
    return _scaled(Result(total(values)).half())
def _scaled(value):
    return LIMIT * value
def draw(result):
    return color(result)
""",
    "paper/fig1": """
from srlongtail.metrics import score
from srlongtail.studies import tail
def compute(values):
    return tail.compute(values)
def draw(result):
    return score(result), tail.draw(result)
""",
    "longtail/difference": """
def total(values):
    from srlongtail.files import f
    return f(values)
""",
    "plots/style": "color = str",
    "files": "f = sum",
    "metrics": "score = str",
}


@pytest.mark.parametrize(
    ("file", "old", "new", "counts"),
    [
        ("studies/tail", "LIMIT = 1", "LIMIT = 2", True),
        ("studies/tail", "self.value / 2", "self.value / 4", True),
        ("studies/tail", "LIMIT * value", "LIMIT + value", True),
        ("longtail/difference", "f(values)", "f([*values, 0])", True),
        ("files", "sum", "max", True),
        ("paper/fig1", "tail.compute(values)", "tail.compute([1, *values])", True),
        ("studies/tail", "a tail", "the long tail", False),
        ("studies/tail", "return WORDS", "return WORDS.upper()", False),
        ("studies/tail", "color(result)", "color([result])", False),
        ("paper/fig1", "score(result)", "score(1)", False),
        ("plots/style", "str", "repr", False),
        ("metrics", "str", "repr", False),
    ],
)
def test_code_is_what_results_are_computed_with(tmp_path, file, old, new, counts):
    """Neither captions nor drawings, nor modules that only these import."""
    hashes = []
    for root, edited in ((tmp_path / "before", False), (tmp_path / "after", True)):
        for name, text in PACKAGE.items():
            path = root / "srlongtail" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert old in PACKAGE[file]
            path.write_text(text.replace(old, new) if edited and name == file else text)
        hashes.append(source_sha256("srlongtail.paper.fig1", root=root))
    assert (hashes[0] != hashes[1]) == counts


def test_what_cannot_be_read_back_is_made_again(tmp_path, result):
    saved = Saved(tmp_path)
    saved.result("r", {}, lambda: result)
    path = tmp_path / FOLDER / "r.safetensors"
    header = saved_module.read_state(path)[1]
    for damaged in (
        {},
        {"key": header["key"]},
        {**header, "result": {f"{__name__}:Pair": {"left": 1}}},
        {**header, "result": {f"{__name__}:Gone": {"left": 1}}},
        {**header, "result": {"builtins:dict": {"left": 1}}},  # no kind of result
        {**header, "result": {"tensor": "absent"}},
        {**header, "result": {"of": "another version"}},
    ):
        write_state(path, {}, damaged)
        assert saved.result("r", {}, lambda: "made again") == "made again"


def test_arguments_and_modules_without_weights_make_another_model():
    def upsample(mode, **provenance):
        return identity(SRModel(torch.nn.Upsample(scale_factor=4, mode=mode), 4, **provenance))

    nearest = upsample("nearest")
    assert upsample("nearest") == nearest
    assert upsample("bilinear") != nearest
    assert upsample("nearest", provenance=Provenance(arguments={"depth": 2})) != nearest


def test_results_of_a_users_own_code_are_not_saved(tmp_path):
    """Nothing tells whether it has changed."""

    class Mine(torch.nn.Upsample):
        pass

    class Blur(Bicubic):
        pass

    inside = SRModel(torch.nn.Sequential(Mine(scale_factor=4)), 4)
    called = SRModel(
        torch.nn.Upsample(scale_factor=4), 4, provenance=Provenance(network="mine:make")
    )
    assert key(inside) is key(called) is None
    assert key_of("srlongtail.paper.fig1", [], [photos(4, Blur(4))]) is None
    saved, count = Saved(tmp_path), iter(range(10))
    assert [saved.result("n", None, lambda: next(count)) for _ in range(2)] == [0, 1]
    assert not (tmp_path / FOLDER).exists()
