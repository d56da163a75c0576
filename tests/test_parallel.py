"""The group of processes: really two of them, and what each gets."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
import torch.distributed as dist

from srlongtail.parallel import gather, in_threads, is_writer, process_group, share

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


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_results_come_in_order_from_threads_with_one_torch_thread_each(two_threads):
    def compute(item):
        time.sleep(0.02 * (5 - item))
        return item, threading.get_ident(), torch.get_num_threads()

    found = list(in_threads(compute, range(5)))
    assert [item for item, _, _ in found] == list(range(5))
    assert len({thread for _, thread, _ in found}) == 2
    assert {count for _, _, count in found} == {1}


def test_one_item_keeps_all_torch_threads(two_threads):
    def compute(item):
        return threading.get_ident(), torch.get_num_threads()

    assert list(in_threads(compute, [0])) == [(threading.get_ident(), 2)]


def test_only_a_few_items_are_begun_before_their_results_are_taken(two_threads):
    begun = []
    results = in_threads(begun.append, range(100))
    next(results)
    time.sleep(0.1)
    assert len(begun) <= 4
    results.close()
    assert len(begun) <= 4


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_first_error_in_order_is_raised_and_the_rest_left_out(two_threads, error):
    begun = []

    def compute(item):
        begun.append(item)
        time.sleep(0.1 if item == 1 else 0)
        if item in (1, 2):
            raise error(f"item {item}")

    with pytest.raises(error, match="item 1"):
        list(in_threads(compute, range(100)))
    assert len(begun) < 8


def test_no_thread_computes_when_a_second_ctrl_c_has_ended_the_call(two_threads):
    begun, ended = threading.Event(), []

    def compute(item):
        if item == 0:
            begun.wait()
            raise ValueError
        begun.set()
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)  # while the call waits for this thread
        time.sleep(0.2)
        ended.append(item)

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(compute, [0, 1]))
    assert ended == [1]


def test_no_thread_computes_when_ctrl_c_at_its_start_has_ended_the_call(two_threads, monkeypatch):
    """The pool does not know this thread, and does not wait for it."""
    begun, ended, start = threading.Event(), [], threading.Thread.start

    def compute(item):
        begun.set()
        time.sleep(0.2)
        ended.append(item)

    def interrupted(thread):
        start(thread)
        begun.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(in_threads(compute, [0, 1]))
    assert ended == [0]
