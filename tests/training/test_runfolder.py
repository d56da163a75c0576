"""The run folder: one process at a time, whole files, and a log that is cut where a run resumes."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from srlongtail.errors import InputError
from srlongtail.models.catalog import new_model
from srlongtail.models.checkpoint import save_model
from srlongtail.models.facts import Training
from srlongtail.training.recipe import read_recipe
from srlongtail.training.runfolder import COLUMNS, RunFolder, find_finished

HOLD = """
import sys, time
from srlongtail.training.runfolder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def begun(tmp_path, small):
    """A run folder that was saved after four iterations and logged six."""
    run = RunFolder(tmp_path)
    run.begin(small, 0)
    for row in range(1, 7):
        run.log({"iteration": row, "loss": row / 10})
    run.save(new_model("fsrcnn", 4, **small.arguments), {"iteration": 4})
    return tmp_path


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"locked\n"
        with (
            pytest.raises(InputError, match=f"process {first.pid} trains there, expected a folder"),
            RunFolder(tmp_path).locked(),
        ):
            pass
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    with RunFolder(tmp_path).locked():
        pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="cannot be written"),
        RunFolder(tmp_path / "file").locked(),
    ):
        pass


def test_a_run_is_not_begun_twice(begun, small):
    with pytest.raises(InputError, match="holds a run of 4 iterations, expected an empty folder"):
        RunFolder(begun).find_state(small, resume=False, force=False)


def test_another_recipe_is_refused_unless_harmless_or_forced(begun, small):
    faster = replace(small, learning_rate=1.0, seed=3)
    with pytest.raises(InputError, match=r"\(learning_rate 0.001 -> 1.0, seed 0 -> 3\), expected"):
        RunFolder(begun).find_state(faster, resume=True, force=False)
    kept = replace(small, keep_every=100)
    assert RunFolder(begun).find_state(kept, resume=True, force=False)["iteration"] == 4
    assert RunFolder(begun).find_state(faster, resume=True, force=True)["iteration"] == 4
    assert read_recipe(begun / "recipe.toml") == small
    RunFolder(begun).begin(kept, 4)
    assert read_recipe(begun / "recipe.toml") == kept


def test_rows_after_the_state_are_dropped(begun, small):
    run = RunFolder(begun)
    run.begin(small, 4)
    run.log({"iteration": 5, "loss": 0.25})
    lines = (begun / "log.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4", "5"]
    assert lines[-1] == "5,,,0.25,,,,,,,"


def test_a_run_killed_before_its_first_state_leaves_no_rows(tmp_path, small):
    for _ in range(2):
        run = RunFolder(tmp_path)
        run.begin(small, 0)
        run.log({"iteration": 0})
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["iteration", "0"]


def test_without_a_state_the_run_begins(tmp_path, small):
    assert RunFolder(tmp_path).find_state(small, resume=True, force=False) is None


@pytest.mark.parametrize("end", [b"\xff,1\n", b"te,1\n", b"7" + b",1" * 20 + b"\n", b"\0\n"])
def test_a_damaged_log_is_told(end, begun, small):
    log = begun / "log.csv"
    before = log.read_bytes() + end
    log.write_bytes(before)
    with pytest.raises(InputError, match=r"log.csv: damaged, expected a run's log, or none"):
        RunFolder(begun).begin(small, 9)
    assert log.read_bytes() == before


def test_a_damaged_state_is_told(begun, small):
    (begun / "state.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match=r"state.pt: damaged, expected a run's state"):
        RunFolder(begun).find_state(small, resume=True, force=False)


def test_what_a_killed_process_was_writing_is_removed(begun, small):
    (begun / ".abc123_x.pt").touch()
    (begun / ".gitignore").touch()
    RunFolder(begun).begin(small, 4)
    assert not (begun / ".abc123_x.pt").exists()
    assert (begun / ".gitignore").exists()


FILL = """
import resource, signal, sys, torch
from srlongtail.errors import InputError
from srlongtail.models.catalog import new_model
from srlongtail.models.facts import Training
from srlongtail.training.runfolder import RunFolder
run = RunFolder(sys.argv[1])
model = new_model("fsrcnn", 4, features=4, shrunk=2, mappings=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit fails, as on a full disk

def within(limit, file, write, *arguments):
    before = (run.path / file).read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write(*arguments)
    except InputError as error:
        print(error, (run.path / file).read_bytes() == before, sep=" | ")

state = {"iteration": 8, "weights": torch.zeros(99_999)}
within(500, "checkpoint.safetensors", run.save, model, state)
within(20_000, "state.pt", run.save, model, state)
within(500, "log.csv", run.log, {"iteration": "9" * 9999})
"""


def test_on_a_full_disk_the_last_good_files_stay(begun):
    listing = sorted(begun.iterdir())
    script = [sys.executable, "-c", FILL, begun]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    files = ["checkpoint.safetensors", "state.pt", "log.csv"]
    for file, line in zip(files, done.stdout.splitlines(), strict=True):
        message, same = line.split(" | ")
        assert f"{file}: cannot be written: " in message
        assert message.endswith("what was saved before stays, resume=True goes on from there")
        assert same == "True"
    assert sorted(begun.iterdir()) == listing


def test_finished_runs_are_found_by_what_they_are(tmp_path, small):
    model = new_model("fsrcnn", 4, **small.arguments)
    settings = {k: v for k, v in small.as_dict().items() if k not in ("data", "validation")}
    source = {"images": 4}

    def put(folder, iterations):
        training = Training(iterations, settings, source)
        model.provenance = replace(model.provenance, training=training)
        save_model(tmp_path / folder / "checkpoint.safetensors", model)

    put("unfinished", small.iterations - 1)
    assert find_finished(small, source, tmp_path) is None
    put("deep/down", small.iterations)
    renamed = replace(small, name="other", data=("elsewhere",), keep_every=3)
    assert find_finished(renamed, source, tmp_path) == tmp_path / "deep/down"
    assert find_finished(replace(small, seed=1), source, tmp_path) is None
    assert find_finished(small, {"images": 5}, tmp_path) is None
