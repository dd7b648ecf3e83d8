"""A training run on disk: what was stopped goes on from there, equal to the last bit."""

import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from sweeper import __version__
from sweeper.errors import Pruned, is_full
from sweeper.fingerprint import calls_user_code, digest_of, imported

# Seconds of training between two checkpoints: what a death without warning costs at most, beside
# the epoch under way. One that takes a whole second (some gigabytes) still costs less than 2 %,
# and a run shorter than this writes nothing at all.
EVERY_S = 60.0
NAME = "checkpoint.pt"

State = dict[str, Any]


class Checkpoint:
    """The one checkpoint of a trial, in its folder: tensors and plain values, never code."""

    def __init__(self, folder: Path, config: Mapping[str, Any], seed: int, device: str) -> None:
        self._path, self._half = folder / NAME, folder / f"{NAME}.half"
        self._config, self._seed, self._device = config, seed, device
        self._written_at = monotonic()

    def read(self) -> State | None:
        """What was kept; None if there is nothing, or nothing that this run may go on from."""
        try:
            if not self._path.is_file():
                return None
            with self._path.open("rb") as file:
                _check_every_byte(file)
                state = torch.load(file, map_location="cpu", weights_only=True)
            _compare(state["owner"], self._owner())
        except Exception as error:  # noqa: BLE001 - a torn file makes torch raise all kinds
            self.refuse(error)
            return None
        return {name: part for name, part in state.items() if name != "owner"}

    def refuse(self, error: Exception) -> None:
        """Say why the checkpoint is left alone."""
        log(f"{self._path} is not used ({_first_line(error)}): training starts over.")

    def write_if_due(self, state: Callable[[], State]) -> None:
        """Write once enough time has passed since the start or the last one."""
        if monotonic() - self._written_at >= EVERY_S:
            self.write(state())

    def write(self, state: State) -> None:
        """Replace the checkpoint, as a whole or not at all.

        A full disk, or a state that cannot be kept, costs the checkpoint and not the trial.
        """
        _delete(self._half)
        try:
            with self._half.open("xb") as file:  # a link that somebody put there is not followed
                torch.save({"owner": self._owner(), **state}, file)
                file.flush()
                os.fsync(file.fileno())
            self._half.replace(self._path)
            _sync_names(self._path.parent)
        except Exception as error:  # noqa: BLE001 - torch and a user's own state raise all kinds
            reason = _first_line(error)
            log(f"{self._path} could not be written ({reason}); what was kept before stays.")
            _delete(self._half)
        self._written_at = monotonic()

    def delete(self) -> None:
        """Leave nothing in the folder."""
        _delete(self._path)
        _delete(self._half)

    def _owner(self) -> dict[str, str]:
        """What has to be equal for the run to go on to the same bits."""
        # A trial's configuration and seed: the folder is the trial's own, yet may be copied.
        asked = json.dumps([self._config, self._seed], sort_keys=True, default=dict)
        return {
            "configuration and seed": hashlib.sha256(asked.encode()).hexdigest()[:16],
            "kind of device": self._device.partition(":")[0],
            "sweeper": __version__,
            "torch": str(torch.__version__),
            "source": self._source,
        }

    @cached_property
    def _source(self) -> str:
        """The user's modules, as they were once the model and the data had been loaded."""
        return digest_of(imported.digests()) if calls_user_code(self._config) else "built in"


@contextmanager
def kept(folder: Path, config: Mapping[str, Any], seed: int, device: str) -> Iterator[Checkpoint]:
    """The trial's checkpoint, which outlives the block only if the trial was stopped in it.

    A mistake deletes it too: once mended, the trial starts over, since its first half was trained
    by other code. Want of memory or disk is no mistake.
    """
    checkpoint = Checkpoint(folder, config, seed, device)
    try:
        yield checkpoint
    except (Exception, Pruned) as ended:
        if not _is_want_of_room(ended):
            checkpoint.delete()
        raise
    checkpoint.delete()


def _is_want_of_room(ended: BaseException) -> bool:
    memory = isinstance(ended, MemoryError | torch.OutOfMemoryError)
    return memory or is_full(ended) or "can't allocate memory" in str(ended)


def _check_every_byte(file: Any) -> None:
    """torch reads past a flipped bit without a word; the checksums of its zip file tell."""
    with zipfile.ZipFile(file) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise ValueError(f"its part {torn} is damaged")
    file.seek(0)


def _compare(there: Mapping[str, str], here: Mapping[str, str]) -> None:
    for name, value in here.items():
        if there[name] != value:
            raise ValueError(f"its {name} is {there[name]}, not {value}")


def _sync_names(folder: Path) -> None:
    """Make a rename outlast a power cut: after a notice the machine is often switched off."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _delete(path: Path) -> None:
    with suppress(OSError):  # not there, or not ours to delete: no reason to lose a trial
        path.unlink()


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def log(line: str) -> None:
    """One line for the trial's log, which standard error is."""
    with suppress(OSError):  # the log lies on the same full disk
        sys.stderr.write(f"sweeper: {line}\n")
