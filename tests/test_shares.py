"""Who gets which share of which device, with fake devices by the hundred."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.errors import RequestError
from sweeper.executors import devices
from sweeper.executors.devices import Slot, find_devices, make_slots
from sweeper.executors.job import Job
from sweeper.executors.shares import Placed, Shares


def job(number: int, *, alone: bool = False) -> Job:
    return Job(f"trial-{number}", 1, number, {}, "", "", alone=alone)


@pytest.mark.parametrize(
    "asked, slots",
    [
        ((["cuda:0", "cuda:1"],), [("cuda:0", "0"), ("cuda:0", "1")]),
        ((["GPU-a", "GPU-b"], None, 2), [("cuda:0", x) for x in ("GPU-a", "GPU-b") * 2]),
        ((["cuda:0", "cuda:1"], 3), [("cuda:0", x) for x in ("0", "1", "0")]),
        ((["cuda:0", "cuda:1"], 3, 2), [("cuda:0", x) for x in ("0", "1", "0")]),
        ((["0", "1", "2", "3"], None, None, 2), [("cuda:0", "0,1"), ("cuda:0", "2,3")]),
        ((["0", "1", "2"], None, None, 2), [("cuda:0", "0,1")]),
        ((["cpu"], 3), [("cpu", "")] * 3),
        ((["cpu"], None, 4), [("cpu", "")] * 4),
    ],
    ids=["one-each", "shared", "dealt", "fewer", "spanning", "one-left-over", "cpu", "cpu-shared"],
)
def test_slots_are_dealt_over_devices(asked: Any, slots: list[tuple[str, str]]) -> None:
    assert [(s.device, s.visible) for s in make_slots(*asked)] == slots


@pytest.mark.parametrize(
    "asked, message",
    [
        (
            (["cuda:0"], None, None, 2),
            "executor.devices_per_trial=2 needs as many GPUs, and there are 0: give fewer, or name "
            "them with executor.devices=[cuda:0,…].",
        ),
        (
            (["cpu"], None, None, 2),
            "executor.devices_per_trial=2 needs as many GPUs, and there are cpu: give fewer, or "
            "name them with executor.devices=[cuda:0,…].",
        ),
        (
            (["0", "1"], 5, 2),
            "executor.slots=5 is more than 2 on each of 2 devices: leave executor.slots out, or "
            "give at most 4.",
        ),
    ],
    ids=["too-few", "cpu", "too-many-slots"],
)
def test_what_the_devices_cannot_give_is_refused(asked: Any, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        make_slots(*asked)
    assert str(raised.value) == message


NVIDIA_SMI = """#!/bin/sh
[ "$1" = --query-gpu=index,uuid ] || exit 9
printf '0, GPU-aa\\n1, GPU-bb\\n2, GPU-cc\\n'
"""


@pytest.mark.parametrize(
    "visible, found",
    [
        (None, ["GPU-aa", "GPU-bb", "GPU-cc"]),
        ("2,0", ["GPU-cc", "GPU-aa"]),
        ("GPU-bb", ["GPU-bb"]),
        ("", ["cpu"]),
    ],
)
def test_gpus_are_found_by_uuid(
    visible: str | None, found: list[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(NVIDIA_SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_devices() == found


def test_without_gpus_a_slot_is_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda pid: {0, 1, 2})
    assert make_slots(None) == [Slot("cpu")] * 3


def placed(shares: Shares) -> list[Placed]:
    return list(shares.place())


def test_the_emptiest_device_is_served_first() -> None:
    shares = Shares([Slot("cuda:0", v) for v in "aabb"])
    for number in range(4):
        shares.add(job(number))
    assert [p.slot.visible for p in placed(shares)] == ["a", "b", "a", "b"]
    assert shares.room == 0


def test_company_is_noticed_on_both_sides() -> None:
    shares = Shares([Slot("cuda:0", v) for v in "aab"])
    jobs = [job(n) for n in range(3)]
    for each in jobs:
        shares.add(each)
    placed(shares)
    assert [shares.remove(each).has_company for each in jobs] == [True, True, False]


def test_a_job_that_must_be_alone_waits_until_its_device_is_empty() -> None:
    shares = Shares([Slot("cuda:0", "a")] * 2)
    first, second, alone, later = job(0), job(1), job(2, alone=True), job(3)
    for each in (first, second):
        shares.add(each)
    placed(shares)
    shares.remove(first)
    shares.add(alone)
    assert placed(shares) == [] and shares.room == 0  # one share is free, and kept free
    shares.remove(second)
    assert [p.job for p in placed(shares)] == [alone]
    shares.add(later)
    assert placed(shares) == [] and shares.room == 0
    assert not shares.remove(alone).has_company
    assert [p.job for p in placed(shares)] == [later]


def test_jobs_without_a_place_are_taken_back() -> None:
    shares = Shares([Slot("cuda:0", "a")] * 2)
    running, alone = job(0), job(1, alone=True)
    shares.add(running)
    placed(shares)
    shares.add(alone)
    assert placed(shares) == []
    assert shares.drop() == [alone]
    assert shares.room == 1
    shares.remove(running)
    assert shares.room == 2


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=100),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.booleans()), max_size=300),
)
def test_no_share_is_ever_given_twice(
    sizes: list[int], steps: list[tuple[bool, float, bool]]
) -> None:
    slots = [Slot("cuda:0", f"GPU-{n}") for n, size in enumerate(sizes) for _ in range(size)]
    shares, size_of = Shares(slots), Counter(s.name for s in slots)
    running: list[Placed] = []
    waiting = 0
    for number, (begins, which, alone) in enumerate(steps):
        if begins and shares.room:
            shares.add(job(number, alone=alone))
            waiting += 1
        elif running:
            shares.remove(running.pop(int(which * (len(running) - 1))).job)
        begun = placed(shares)
        waiting -= len(begun)
        running += begun
        on = Counter(p.slot.name for p in running)
        assert all(count <= size_of[name] for name, count in on.items())
        assert all(on[p.slot.name] == 1 for p in running if p.job.alone)
        assert shares.room + len(running) + waiting <= len(slots)
    while running or waiting:  # nothing waits for ever
        if running:
            shares.remove(running.pop().job)
        begun = placed(shares)
        waiting -= len(begun)
        running += begun
    assert shares.room == len(slots)
