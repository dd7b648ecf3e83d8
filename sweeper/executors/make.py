"""From the settings of the group `executor` to the executor itself."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeper.errors import RequestError
from sweeper.executors.devices import CPU, Slot, make_slots
from sweeper.executors.job import Executor


def make_executor(where: Mapping[str, Any], outputs: Path) -> Executor:
    """Raises RequestError where the machine does not have what is asked for.

    `outputs` is the folder of the results, which every node of a cluster must see.
    """
    if where["name"] == "ray":
        from sweeper.executors.ray_connect import make

        return make(where, outputs)
    slots = _slots(where)
    if where["name"] == "inline":
        from sweeper.executors.inline import InlineExecutor

        if slots[0].visible:
            os.environ["CUDA_VISIBLE_DEVICES"] = slots[0].visible  # before CUDA starts
        return InlineExecutor(slots[0].device)
    from sweeper.executors.local import LocalExecutor

    return LocalExecutor(slots, where["grace_s"], preload_torch=where["preload_torch"])


def slots_of(where: Mapping[str, Any]) -> int:
    """How many trials would run at once.

    Raises RequestError where this machine does not have what is asked for.
    """
    if where["name"] == "ray":
        return where["slots"] or 1  # no cluster is asked
    return 1 if where["name"] == "inline" else len(_slots(where))


def _slots(where: Mapping[str, Any]) -> list[Slot]:
    keys = ("devices", "slots", "per_device", "devices_per_trial")
    slots = make_slots(*(where[key] for key in keys))
    if where["memory_mib"] and any(slot.name != CPU for slot in slots):
        raise RequestError(
            "executor.memory_mib limits trials on the cpu, and CUDA reserves more than it uses: "
            "leave it out, or add executor.devices=[cpu]."
        )
    return slots
