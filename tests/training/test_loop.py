"""The loop against a plain one, and what a run leaves behind."""

import csv
import json
import math
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import open_data
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import new_model
from srlongtail.models.checkpoint import load_model
from srlongtail.training.interruption import StoppedError
from srlongtail.training.loop import train
from srlongtail.training.patches import PatchBank
from srlongtail.training.recipe import read_recipe
from srlongtail.training.runfolder import COLUMNS


def weights(folder):
    state = torch.load(folder / "state.pt", weights_only=True)["learner"]
    return {**state["model"], "generator": state["generator"]}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def rows(folder):
    """The log, without times."""
    with (folder / "log.csv").open() as file:
        table = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in table]


def plain_loop(recipe):
    """The weights by the shortest loop that torch allows."""
    bank = PatchBank.of(recipe)
    torch.manual_seed(recipe.seed)
    network = new_model("fsrcnn", 4, **recipe.arguments).network
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, recipe.iterations, recipe.minimum_rate
    )

    def weight(z, alpha):
        return alpha * torch.exp((z - z.min()) / (z.max() - z.min()))

    for _ in range(recipe.iterations):
        lr, hr = bank.cut(bank.draw(recipe.batch, generator))
        residual = hr - upsample_bicubic(lr, 4) if recipe.skip else hr
        error = (network(lr) - residual).abs()
        if recipe.static:
            error = error * weight(residual.abs(), 0.5) * weight(error.detach(), 1.0)
        optimizer.zero_grad()
        error.mean().backward()
        optimizer.step()
        schedule.step()
    return network.state_dict()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loop_is_a_plain_loop(weighted, recipe, tmp_path):
    recipe = replace(recipe, skip=weighted, static=weighted, learnable=weighted)
    trained = train(recipe, tmp_path).network.state_dict()
    for key, value in plain_loop(recipe).items():
        assert torch.allclose(trained[key], value, atol=1e-5), key


@pytest.mark.parametrize(
    "changes", [{"static": False, "learnable": False}, {"scope": "image"}], ids=str
)
def test_accumulated_parts_make_the_same_batch(changes, recipe, tmp_path):
    recipe = replace(recipe, **changes)
    whole = train(recipe, tmp_path / "whole").network.state_dict()
    parts = train(replace(recipe, accumulate=2), tmp_path / "parts").network.state_dict()
    for key in whole:
        assert torch.allclose(whole[key], parts[key], atol=1e-5), key


def test_what_a_run_leaves_behind(recipe, tmp_path):
    lines = []
    model = train(replace(recipe, keep_every=4), tmp_path, tell=lines.append)
    assert not model.training
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix) == [
        "checkpoint.safetensors",
        "log.csv",
        "recipe.toml",
        "state.pt",
    ]
    kept = [f"{iteration:08d}.safetensors" for iteration in (4, 8, 12)]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == kept
    assert read_recipe(tmp_path / "recipe.toml") == replace(recipe, keep_every=4)
    assert [row["iteration"] for row in rows(tmp_path)] == ["0", "3", "6", "9", "12"]
    assert len(lines) == 3
    assert lines[1].startswith("6/12, loss 0.")
    assert "valid: PSNR " in lines[1]


def test_the_checkpoint_says_how_it_came_to_be(recipe, data, tmp_path):
    trained = train(replace(recipe, seed=4), tmp_path)
    model = load_model(tmp_path / "checkpoint.safetensors")
    assert same(model.state_dict(), trained.state_dict())
    known = model.provenance.training.record()
    assert (model.scale, model.predicts) == (4, "residual")
    assert (known["iterations"], known["seed"], known["processes"]) == (12, 4, 1)
    assert known["data"]["folders"] == {"a": 2, "b": 2}
    assert known["recipe"]["learning_rate"] == recipe.learning_rate
    assert known["versions"]["torch"] == torch.__version__
    assert known["device"].startswith("cpu")
    assert known["seconds"] > 0
    table = evaluate([model], [open_data(data / "valid")])
    assert known["validation"]["psnr_db"] == pytest.approx(table["psnr_db"].mean(), abs=1e-6)
    assert known["validation"]["dataset"] == "valid"
    assert known["validation"]["bicubic"].keys() <= known["validation"].keys()
    for folder in (data, tmp_path):
        assert str(folder) not in json.dumps(known)


def test_the_log_is_the_curve(recipe, tmp_path):
    train(recipe, tmp_path)
    table = rows(tmp_path)
    assert set(table[0]) == {column for column in COLUMNS if not column.endswith("_s")}
    assert table[0]["loss"] == ""
    for row in table:
        validated = [v for k, v in row.items() if k.startswith(("validation", "training"))]
        assert all(validated) if int(row["iteration"]) % 6 == 0 else not any(validated)
    rates = [float(row["learning_rate"]) for row in table[1:]]
    # The rate of the iteration itself, which is the last but one value of the cosine at the end.
    expected = [1e-7 + (1e-3 - 1e-7) * (1 + math.cos(math.pi * i / 12)) / 2 for i in (2, 5, 8, 11)]
    assert rates == pytest.approx(expected)


def test_a_run_that_learns(recipe, tmp_path):
    recipe = replace(recipe, skip=False, static=False, learnable=False, learning_rate=1e-2)
    train(replace(recipe, iterations=150, log_every=5, validate_every=150), tmp_path)
    losses = [float(row["loss"]) for row in rows(tmp_path)[1:]]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(("number", "ema"), [(signal.SIGTERM, 0.0), (signal.SIGINT, 0.9)])
def test_a_stopped_run_goes_on_to_the_same_bits(number, ema, recipe, tmp_path):
    recipe = replace(recipe, ema=ema)

    def stop(line):
        if line.startswith("6/"):
            os.kill(os.getpid(), number)

    with pytest.raises(StoppedError, match="stopped after 7 of 12 iterations") as caught:
        train(recipe, tmp_path / "run", tell=stop)
    assert caught.value.code == 128 + number
    assert (
        load_model(tmp_path / "run" / "checkpoint.safetensors").provenance.training.iterations == 7
    )
    train(recipe, tmp_path / "run", resume=True)
    train(recipe, tmp_path / "whole")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    one, other = (load_model(tmp_path / f / "checkpoint.safetensors") for f in ("run", "whole"))
    assert same(one.state_dict(), other.state_dict())


def test_signals_have_their_old_effect_afterwards(recipe, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(recipe, tmp_path)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_deadline_stops_a_run(recipe, tmp_path):
    with pytest.raises(StoppedError, match="stopped after 1 of 12") as caught:
        train(recipe, tmp_path, deadline=0)
    assert caught.value.code == 0


def test_a_finished_run_is_not_trained_on(recipe, tmp_path):
    train(recipe, tmp_path)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    told: list[str] = []
    again = train(recipe, tmp_path, resume=True, tell=told.append)
    assert told[-1] == f"{tmp_path}: nothing to do, all 12 iterations are done"
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
    assert again.provenance.training.run["validation"]["iteration"] == 12


def test_intervals_do_not_change_the_weights(recipe, tmp_path):
    train(recipe, tmp_path / "one")
    train(replace(recipe, log_every=1, validate_every=1, save_every=1), tmp_path / "other")
    assert same(weights(tmp_path / "one"), weights(tmp_path / "other"))


def test_other_images_are_refused_unless_forced(recipe, data, tmp_path):
    with pytest.raises(StoppedError):
        train(recipe, tmp_path, deadline=0)
    fewer = replace(recipe, data=(str(data / "train" / "a"),))
    with pytest.raises(
        InputError, match=r"saw other training images \(a: 2, b: 2\) than now \(a: 2"
    ):
        train(fewer, tmp_path, resume=True)
    train(fewer, tmp_path, resume=True, force=True)


def test_a_run_that_diverges_keeps_the_last_good_checkpoint(recipe, tmp_path):
    with pytest.raises(StoppedError):
        train(recipe, tmp_path, deadline=0)
    before = weights(tmp_path)
    wild = replace(recipe, learning_rate=1e38)
    with pytest.raises(
        InputError,
        match=r"not finite since iteration [23]; .* learning_rate or precision=float32, with res",
    ):
        train(wild, tmp_path, resume=True, force=True)
    assert same(weights(tmp_path), before)
    assert load_model(tmp_path / "checkpoint.safetensors").provenance.training.iterations == 1
    train(recipe, tmp_path, resume=True, force=True)


def test_without_data_nothing_is_written(recipe, tmp_path):
    with pytest.raises(InputError, match="no training images, expected a folder of them as data"):
        train(replace(recipe, data=()), tmp_path / "run")
    assert not [path for path in (tmp_path / "run").iterdir() if path.name != ".lock"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ()}, "no training images"),
        ({"validation": "nowhere"}, "nowhere: no such"),
        ({"alpha_sp": 0.0}, "alpha 0.0"),
        ({"network": "srresnet", "arguments": {}}, "the state does not fit small"),
        ({"arguments": {"feature": 4}}, "unknown argument 'feature' .* did you mean 'features'?"),
    ],
)
def test_a_refused_resumption_leaves_the_run_as_it_was(changes, message, recipe, tmp_path):
    train(recipe, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=message):
        train(replace(recipe, **changes), tmp_path, resume=True, force=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_batch_that_does_not_fit_into_memory(recipe, tmp_path):
    def fill(line):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore")

    with pytest.raises(InputError, match=r"batch of 4 in 1 parts .* accumulate .*GiB\.$"):
        train(recipe, tmp_path, tell=fill)


def test_a_device_that_is_not_there(recipe, tmp_path):
    with pytest.raises(InputError, match="device gpu: cannot be used, expected cpu or cuda"):
        train(recipe, tmp_path, device="gpu")


def test_networks_with_batch_normalisation_train_and_resume(recipe, tmp_path):
    recipe = replace(recipe, network="srresnet", arguments={"features": 4, "blocks": 1})
    with pytest.raises(StoppedError):
        train(recipe, tmp_path / "run", deadline=0)
    resumed = train(recipe, tmp_path / "run", resume=True)
    whole = train(recipe, tmp_path / "whole")
    assert same(resumed.state_dict(), whole.state_dict())
    assert whole.network.residual[0].block[1].num_batches_tracked == 12


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_compiled_run_is_close(precision, recipe, tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("torch.compile wants a C++ compiler")
    recipe = replace(recipe, precision=precision)
    plain = train(recipe, tmp_path / "plain").state_dict()
    compiled = train(replace(recipe, compile=True), tmp_path / "compiled").state_dict()
    tolerance = 1e-5 if precision == "float32" else 1e-2
    for key in plain:
        assert torch.allclose(plain[key], compiled[key], atol=tolerance), key


def test_tensorboard_where_it_is_installed(recipe, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(recipe, tmp_path)
    events = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [3, 6, 9, 12]
