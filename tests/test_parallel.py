"""The group of processes: on which backends, and on which GPU."""

import pytest
import torch
import torch.distributed as dist

from srlongtail.parallel import gather, process_group


@pytest.fixture
def torchrun(monkeypatch):
    """As the second of two processes on a host; calls are noted instead of made."""
    calls = []
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "init_process_group", lambda *a: calls.append(("init", *a)))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: calls.append(("destroy",)))
    monkeypatch.setattr(torch.cuda, "set_device", lambda gpu: calls.append(("gpu", gpu)))

    def on(gpus):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        with process_group():
            pass
        return calls

    return on


def test_without_gpus(torchrun):
    assert torchrun(0) == [("init", "gloo"), ("destroy",)]


def test_a_gpu_for_each_process(torchrun):
    assert torchrun(2) == [("gpu", 1), ("init", "cpu:gloo,cuda:nccl"), ("destroy",)]


def test_more_processes_than_gpus(torchrun):
    assert torchrun(1) == [("init", "cpu:gloo,cuda:nccl"), ("destroy",)]


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


def test_an_error_leaves_the_group(torchrun):
    calls = torchrun(0)
    calls.clear()
    with pytest.raises(KeyError), process_group():
        raise KeyError
    assert calls[-1] == ("destroy",)
