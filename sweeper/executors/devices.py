"""What a machine has to run trials on, found without importing torch."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from sweeper.errors import RequestError

CPU = "cpu"


@dataclass(frozen=True)
class Slot:
    """A place where one trial runs at a time; `visible` is what CUDA_VISIBLE_DEVICES becomes."""

    device: str
    visible: str = ""

    @property
    def name(self) -> str:
        """What the slot is a place on; slots of one name share it."""
        return self.visible or self.device


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


def make_slots(
    devices: Sequence[str] | None,
    count: int | None = None,
    per_device: int | None = None,
    devices_per_trial: int = 1,
) -> list[Slot]:
    """The slots of these devices, or of all that are found.

    `per_device` trials share each device (by default one a GPU, and one a core of the CPU), or
    each trial has `devices_per_trial` GPUs of its own; `count` slots at most are made, dealt over
    the devices in turn, and where it alone is given it also says how many share one. Raises
    RequestError where there are too few devices.
    """
    found = [device.removeprefix("cuda:") for device in devices or find_devices()]
    places = [",".join(found[i : i + devices_per_trial])
              for i in range(0, len(found) - devices_per_trial + 1, devices_per_trial)]  # fmt: skip
    if not places or (devices_per_trial > 1 and CPU in found):
        raise RequestError(
            f"executor.devices_per_trial={devices_per_trial} needs as many GPUs, and there are "
            f"{', '.join(found)}: give fewer, or name them with executor.devices=[cuda:0,…]."
        )
    if per_device is None and count is None:
        per_device = len(os.sched_getaffinity(0)) if places == [CPU] else 1
    room = len(places) * per_device if per_device else count or 0
    if count is not None and count > room:
        raise RequestError(
            f"executor.slots={count} is more than {per_device} on each of {len(places)} devices: "
            f"leave executor.slots out, or give at most {room}."
        )
    return [_slot(places[i % len(places)]) for i in range(count or room)]


def _slot(place: str) -> Slot:
    return Slot(CPU) if place == CPU else Slot("cuda:0", visible=place)
