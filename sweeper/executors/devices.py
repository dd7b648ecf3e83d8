"""What a machine has to run trials on, found without importing torch."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

CPU = "cpu"


@dataclass(frozen=True)
class Slot:
    """A place where one trial runs at a time; `visible` is what CUDA_VISIBLE_DEVICES becomes."""

    device: str
    visible: str = ""


def find_devices() -> list[str]:
    """The CUDA devices by UUID (those that CUDA_VISIBLE_DEVICES leaves visible), or the CPU."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return [CPU]
    gpus = [tuple(part.strip() for part in line.split(",")) for line in listed.splitlines() if line]
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        by_name = {name: uuid for index, uuid in gpus for name in (index, uuid)}
        return [by_name[n.strip()] for n in shown.split(",") if n.strip() in by_name] or [CPU]
    return [uuid for _, uuid in gpus] or [CPU]


def make_slots(devices: Sequence[str] | None, count: int | None) -> list[Slot]:
    """`count` slots dealt over the devices in turn: one for each GPU, or one for each CPU core."""
    devices = list(devices or find_devices())
    if count is None:
        count = len(os.sched_getaffinity(0)) if devices == [CPU] else len(devices)
    return [_slot(devices[i % len(devices)]) for i in range(count)]


def _slot(device: str) -> Slot:
    return Slot(CPU) if device == CPU else Slot("cuda:0", visible=device.removeprefix("cuda:"))
