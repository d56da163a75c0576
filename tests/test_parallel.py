"""The group of processes: really two of them, and what each gets."""

import json
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from srlongtail.parallel import gather, is_writer, process_group, share

# Each process writes what it saw in the group, and whether it left it.
SCRIPT = """
import json, os, sys
import torch, torch.distributed as dist
from srlongtail.parallel import alone, gather, is_writer, process_group, share

seen = {}
with process_group():
    mine = list(share("abcde"))
    seen["mine"] = mine
    seen["gathered"] = gather({"rank": dist.get_rank(), "items": mine})
    with alone():
        seen["alone"] = list(share("abcde")), gather(dist.get_rank())
    seen["writer"] = is_writer()
    seen["gpu"] = torch.cuda.current_device() if torch.cuda.is_available() else None
seen["left"] = not dist.is_initialized()
with open(os.path.join(sys.argv[1], os.environ["RANK"]), "w") as file:
    json.dump(seen, file)
"""


def two_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([sys.executable, *launch, script, tmp_path], check=True, capture_output=True)
    return [json.loads((tmp_path / rank).read_text()) for rank in "01"]


def test_two_processes_share_items_and_gather_values(tmp_path):
    first, second = two_processes(tmp_path)
    assert (first["mine"], second["mine"]) == (["a", "c", "e"], ["b", "d"])
    everything = [{"rank": 0, "items": ["a", "c", "e"]}, {"rank": 1, "items": ["b", "d"]}]
    assert first["gathered"] == second["gathered"] == everything
    assert first["alone"] == [list("abcde"), [0]]
    assert second["alone"] == [list("abcde"), [1]]
    assert (first["writer"], second["writer"]) == (True, False)
    assert (first["left"], second["left"]) == (True, True)


@pytest.mark.gpu
def test_each_process_has_a_gpu_of_its_own_where_there_are_enough(tmp_path):
    gpus = [seen["gpu"] for seen in two_processes(tmp_path)]
    assert gpus == ([0, 1] if torch.cuda.device_count() > 1 else [0, 0])


def test_one_process_is_the_writer_and_has_everything():
    with process_group():
        assert is_writer()
        assert list(share("abc")) == ["a", "b", "c"]
        assert gather(3) == [3]
        assert not dist.is_initialized()


def test_an_error_leaves_the_group(tmp_path, monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    store = dist.FileStore(str(tmp_path / "store"), 1)
    start = dist.init_process_group

    def alone(backend):
        start(backend, store=store, rank=0, world_size=1)

    monkeypatch.setattr(dist, "init_process_group", alone)
    with pytest.raises(KeyError), process_group():
        raise KeyError(dist.get_world_size())  # which fails where there is no group
    assert not dist.is_initialized()


def test_both_backends_at_once(tmp_path):
    # nccl is started by the first message between GPUs, so that objects can be tried without any.
    if not dist.is_nccl_available():
        pytest.skip("this torch has no nccl")
    store = f"file://{tmp_path / 'store'}"
    dist.init_process_group("cpu:gloo,cuda:nccl", init_method=store, rank=0, world_size=1)
    try:
        assert gather({"any": "object"}) == [{"any": "object"}]
    finally:
        dist.destroy_process_group()
