"""Benches of several machines as one: the rows of all, and what must not be mixed."""

import copy
from dataclasses import replace

import pandas as pd
import pytest

from srlongtail.ablation.joining import LossBench, join_benches
from srlongtail.errors import InputError


def bench(name, runs, precision="float32", **changes):
    """A bench of runs `(loss, seed)` of 4,000 iterations; `changes` are settings of its recipe."""
    table = pd.DataFrame(runs, columns=["loss", "seed"]).assign(iterations=4000)
    done = {loss: [s for own, s in runs if own == loss] for loss in dict.fromkeys(table["loss"])}
    record = {
        "command": f"srlongtail ablate losses --out {name}",
        "settings": {
            "recipe": {"batch": 16, "precision": precision, **changes},
            "perturbation": 1e-6,
        },
        "training": {"data": {"names_sha256": "1c"}, "precisions": [precision], "device": name},
        "data": [{"name": "photos", "sha256": "2d"}],
        "protocol": "paper",
        "complete": [
            {"loss": loss, "iterations": 4000, "planned": [0, 1, 2, 3], "done": seeds}
            for loss, seeds in done.items()
        ],
    }
    return LossBench(name, table, table.assign(time_ratio=1.0), record)


@pytest.fixture
def one():
    """Seeds 0 and 1."""
    return bench("one", [("l1", 0), ("fpl", 0), ("l1", 1)])


@pytest.fixture
def two():
    """Seed 2, in another precision."""
    return bench("two", [("l1", 2), ("sobel", 2)], "bfloat16")


def test_rows_and_records_of_all(one, two):
    joined = join_benches([one, two])
    runs = joined.scores[["loss", "seed"]].values.tolist()
    assert runs == [["l1", 0], ["fpl", 0], ["l1", 1], ["l1", 2], ["sobel", 2]]
    assert joined.gradients[["loss", "seed"]].values.tolist() == runs
    assert joined.record["complete"] == [
        {"loss": "l1", "iterations": 4000, "planned": [0, 1, 2, 3], "done": [0, 1, 2]},
        {"loss": "fpl", "iterations": 4000, "planned": [0, 1, 2, 3], "done": [0]},
        {"loss": "sobel", "iterations": 4000, "planned": [0, 1, 2, 3], "done": [2]},
    ]
    assert joined.record["training"]["precisions"] == ["bfloat16", "float32"]
    assert [part["training"]["device"] for part in joined.record["parts"]] == ["one", "two"]
    assert joined.record["parts"][1]["runs"] == [
        {"loss": "l1", "iterations": 4000, "done": [2]},
        {"loss": "sobel", "iterations": 4000, "done": [2]},
    ]


def test_joined_benches_join_again(one, two):
    three = bench("three", [("l1", 3)])
    at_once = join_benches([one, two, three])
    in_steps = join_benches([join_benches([one, two]), three])
    assert at_once.record == in_steps.record
    parts = [part["training"]["device"] for part in at_once.record["parts"]]
    assert parts == ["one", "two", "three"]
    assert len(at_once.scores) == 6


def test_a_seed_may_be_shared_in_one_precision(one):
    other = bench("other", [("sobel", 0)])
    assert len(join_benches([one, other]).scores) == 4


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            bench("b", [("fpl", 0)]),
            "b: fpl, seed 0, 4,000 iterations, expected runs that",
        ),
        (
            bench("b", [("sobel", 1)], "bfloat16"),
            "b: runs of seed 1, 4,000 iterations, in bfloat16, expected float32 as in one",
        ),
        (bench("b", [("l1", 5)], batch=8), "b: batch of the recipe 8, expected 16 as in one"),
        (bench("b", [("l1", 5)], depth=2), "b: depth of the recipe 2, expected none as in one"),
        (replace(bench("b", [("l1", 5)]), record={}), "b: no record beside it"),
    ],
)
def test_what_must_not_be_mixed(one, other, message):
    with pytest.raises(InputError, match=message):
        join_benches([one, other])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("training", "data", "names_sha256"), "hash of the training images' names x, expected 1c"),
        (("data", 0, "sha256"), "hash of the test set photos x, expected 2d"),
        (("protocol",), "protocol x, expected paper"),
        (("settings", "perturbation"), "perturbation x, expected 1e-06"),
    ],
)
def test_other_images_or_measures_are_not_mixed(one, two, path, message):
    record = copy.deepcopy(two.record)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "x"
    with pytest.raises(InputError, match=message):
        join_benches([one, replace(two, record=record)])
