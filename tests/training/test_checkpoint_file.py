"""The file of a checkpoint: torn, foreign, unwritable or killed half-way, it never harms a run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attempts import KEPT, NET_OF_ALL_KINDS, Runner, attempt, files, same

from sweeper.training import checkpoint


def test_a_state_that_cannot_be_written_costs_the_checkpoint_and_not_the_trial(
    config_of: Runner,
    whole: Runner,
    slow_epochs: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config, work = config_of(train={"epochs": 4}), tmp_path / "work"
    undisturbed = whole(config)

    def full(_: object, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    assert same(attempt(config, work), undisturbed)
    assert attempt(config, work, stop_at=4)[0] is None
    assert files(work) == set()
    said = f"sweeper: {work}/checkpoint.pt could not be written (OSError: [Errno 28] No space left"
    assert capfd.readouterr().err.count(said) == 3


def test_a_log_without_room_for_its_line_costs_the_line_alone(
    config_of: Runner, whole: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def write(self, line: str) -> None:
            raise OSError(28, "No space left on device")

    config, work = config_of(), tmp_path / "work"
    attempt(config, work, stop_at=1)
    undisturbed = whole(config)
    monkeypatch.setattr(sys, "stderr", Full())
    assert same(attempt(config, work), undisturbed)


# Checkpoints that must not be used.


def flip_a_weight(content: bytearray) -> bytearray:
    """One bit within the largest tensor, which torch alone does not notice."""
    content[len(content) // 3] ^= 1
    return content


BAD: dict[str, Callable[[bytearray], bytes | bytearray]] = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "all but the last byte": lambda content: content[:-1],
    "one bit": flip_a_weight,
    "another file": lambda content: b"my own notes on this trial\n" * 100,
    "a pickle": lambda content: b"cos\nsystem\n(S'touch pwned'\ntR.",
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_damaged_or_foreign_checkpoint_is_named_and_training_starts_over(
    change: Callable[[bytearray], bytes],
    config_of: Runner,
    whole: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    config, work = config_of(model=NET_OF_ALL_KINDS), tmp_path / "work"
    attempt(config, work, stop_at=1)
    path = work / checkpoint.NAME
    path.write_bytes(change(bytearray(path.read_bytes())))
    assert same(attempt(config, work), whole(config))
    said = capfd.readouterr().err
    assert said.startswith(f"sweeper: {work}/checkpoint.pt is not used (")
    assert said.endswith("): training starts over.\n")
    assert said.count("\n") == 1
    assert files(tmp_path) == {"work", "undisturbed"}
    assert files(work) == set()


def test_code_in_a_checkpoint_is_not_run(
    config_of: Runner, whole: Runner, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    config, work = config_of(), tmp_path / "work"
    work.mkdir()
    torch.save({"owner": Trap()}, work / checkpoint.NAME)
    assert same(attempt(config, work), whole(config))
    assert "Weights only load failed" in capfd.readouterr().err
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"groups": {"optim": {"name": "momentum", "lr": 0.011}}}, "configuration and seed is "),
        ({"torch": "2.12.0"}, f"its torch is 2.12.0, not {torch.__version__}"),
        ({"sweeper": "0.0.9"}, "its sweeper is 0.0.9, not "),
    ],
    ids=["another configuration", "another torch", "another sweeper"],
)
def test_what_another_trial_or_version_wrote_is_not_gone_on_from(
    made: dict[str, Any],
    reason: str,
    config_of: Runner,
    whole: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config, work = config_of(), tmp_path / "work"
    with monkeypatch.context() as other:
        if "torch" in made:
            other.setattr(torch, "__version__", made["torch"])
        if "sweeper" in made:
            other.setattr(checkpoint, "__version__", made["sweeper"])
        attempt(config_of(**made.get("groups", {})), work, stop_at=1)
    assert files(work) == {checkpoint.NAME}
    assert same(attempt(config, work), whole(config))
    assert reason in capfd.readouterr().err


def test_a_checkpoint_stays_good_whatever_the_order_of_the_configurations_keys(
    config_of: Runner, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = {group: dict(values) for group, values in config_of().items()}
    attempt(config, tmp_path / "work", stop_at=1)
    turned = {group: dict(reversed(config[group].items())) for group in reversed(config)}
    assert attempt(turned, tmp_path / "work")[0] is not None
    assert capfd.readouterr().err == "sweeper: training goes on after epoch 1.\n"


def test_a_folder_in_the_place_of_the_checkpoint_is_no_harm(
    config_of: Runner, whole: Runner, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, work = config_of(), tmp_path / "work"
    (work / checkpoint.NAME).mkdir(parents=True)
    assert attempt(config, work, stop_at=1)[0] is None
    assert same(attempt(config, work), whole(config))
    said = capfd.readouterr().err
    assert said.count("\n") == said.count("checkpoint.pt could not be written (IsADirectory") == 1


def test_a_link_in_the_place_of_the_unfinished_checkpoint_leads_nowhere(
    config_of: Runner, tmp_path: Path
) -> None:
    work, letter = tmp_path / "work", tmp_path / "letter"
    work.mkdir()
    letter.write_text("of somebody else")
    (work / "checkpoint.pt.half").symlink_to(letter)
    attempt(config_of(), work, stop_at=1)
    assert files(work) == KEPT
    assert letter.read_text() == "of somebody else"


# Killed for good: real processes.

CHILD = """
import json, os, signal, sys
from pathlib import Path
import torch
from sweeper.training import checkpoint, data, loop

torch.set_num_threads(1)
config, work, cache, moment = json.loads(sys.argv[1])
data.cache_at(Path(cache))
checkpoint.EVERY_S = 0.0
save, written = torch.save, []

def die(*_): os.kill(os.getpid(), signal.SIGKILL)

def save_two_then_die(state, file):
    written.append(state["progress"]["epochs"])
    if len(written) < 3:
        return save(state, file)
    if moment == "half":
        whole = Path(work, "whole")
        save(state, whole)
        file.write(whole.read_bytes()[: whole.stat().st_size // 2])
        file.flush()
        die()
    save(state, file)
    os.fsync = die

torch.save = save_two_then_die
loop.train(config, seed=3, device="cpu", report=lambda step, **metrics: None, workdir=Path(work))
"""


@pytest.mark.parametrize("moment", ["half", "whole"])
def test_a_kill_in_the_middle_of_writing_leaves_the_checkpoint_before(
    moment: str,
    config_of: Runner,
    whole: Runner,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config, work = config_of(model=NET_OF_ALL_KINDS, train={"epochs": 6}), tmp_path / "work"
    work.mkdir()
    asked = json.dumps([config, str(work), str(tmp_path / "cache"), moment], default=dict)
    child = subprocess.run([sys.executable, "-c", CHILD, asked], check=False, timeout=120)
    assert child.returncode == -signal.SIGKILL
    (work / "whole").unlink(missing_ok=True)
    assert files(work) == {"checkpoint.pt", "checkpoint.pt.half"}
    torn, good = (work / "checkpoint.pt.half").stat(), (work / "checkpoint.pt").stat()
    assert (torn.st_size < 0.6 * good.st_size) == (moment == "half")
    assert same(attempt(config, work), whole(config))
    assert capfd.readouterr().err == "sweeper: training goes on after epoch 1.\n"
    assert files(work) == set()


def test_the_torn_half_by_itself_is_not_taken_for_a_checkpoint(
    config_of: Runner, whole: Runner, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, work = config_of(), tmp_path / "work"
    attempt(config, work, stop_at=1)
    shutil.move(work / "checkpoint.pt", work / "checkpoint.pt.half")
    assert same(attempt(config, work), whole(config))
    assert capfd.readouterr().err == ""
    assert files(work) == set()
