"""A run that was stopped and goes on ends as if nothing had happened: the same to the last bit."""

import errno
import math
import sys
import types
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from attempts import KEPT, NET_OF_ALL_KINDS, Runner, attempt, files, same
from torch import Tensor, nn

from sweeper import targets
from sweeper.errors import Preempted, Pruned
from sweeper.training import checkpoint, loop
from sweeper.training.evaluate import Evaluation
from sweeper.training.run import Run as TrainingRun

SMALL_CNN = {"_target_": "sweeper.training.models.cnn", "depth": 2, "channels": 4,
             "hidden_units": 8}  # fmt: skip


CASES: dict[str, dict[str, Any]] = {
    "momentum": {},
    "sgd": {"optim": {"name": "sgd", "lr": 0.1}},
    "nesterov": {"optim": {"name": "nesterov"}},
    "adam": {"optim": {"name": "adam", "lr": 0.01}},
    "adamw and cosine": {"optim": {"name": "adamw"}, "schedule": {"name": "cosine"}},
    "rmsprop and one cycle": {
        "optim": {"name": "rmsprop", "lr": 0.003}, "schedule": {"name": "one_cycle"},
    },
    "plateau": {
        "optim": {"name": "momentum", "lr": 0.3},
        "schedule": {"name": "plateau", "patience": 2, "threshold": 0.3},
        "train": {"epochs": 7},
    },
    "dropout and batch norm": {"model": NET_OF_ALL_KINDS, "train": {"epochs": 6}},
    "convolutions": {"model": {**SMALL_CNN, "norm": "batch", "dropout": 0.2}},
    "clipped norm": {"train": {"epochs": 4, "clip_norm": 0.05}},
    "clipped value": {"train": {"epochs": 4, "clip_value": 0.001}},
    "read every third epoch": {
        "model": NET_OF_ALL_KINDS, "train": {"epochs": 8, "evaluate_every": 3},
    },
    "read in training mode": {
        "model": NET_OF_ALL_KINDS, "train": {"epochs": 4, "accuracy_mode": "train"},
    },
    "diverging and going on": {
        "data": {"scaling": "none"},
        "loss": {"name": "naive_cross_entropy"},
        "optim": {"name": "momentum", "lr": 1.0},
        "train": {"epochs": 4, "stop_when_diverged": False},
    },
    "one order": {"train": {"epochs": 4, "shuffle": "once"}},
    "left gradients": {"train": {"epochs": 4, "clears_gradients": False, "clip_norm": 1.0}},
    "moved, noisy and penalised": {
        "model": SMALL_CNN,
        "train": {"epochs": 4, "augmentation": "shift", "input_noise": 0.3, "l1": 1e-4},
    },
    "turned": {"train": {"epochs": 3, "augmentation": "rotate", "augmentation_size": 20}},
    "hard samples": {"train": {"epochs": 5, "mining": "hard", "mining_every": 2}},
    "samples at random": {"train": {"epochs": 5, "mining": "random", "mining_every": 2}},
    "interrupted": {
        "model": NET_OF_ALL_KINDS, "optim": {"name": "adam"},
        "train": {"epochs": 5, "interrupt_after": 2, "optimizer_state": "dropped"},
    },
    "pretrained": {
        "data": {"drop_classes": [0, 1, 2]}, "model": NET_OF_ALL_KINDS,
        "train": {"epochs": 3, "pretrain_epochs": 2},
    },
    "probed": {
        "train": {"epochs": 5, "probes": ["noise", "preactivations", "weights", "steps"],
                  "watch_class": 8},
    },
    "numbers": {"data": {"_target_": "sweeper.training.data.diabetes"}, "loss": {"name": "mse"}},
}  # fmt: skip


@pytest.mark.parametrize("groups", CASES.values(), ids=CASES)
def test_a_run_stopped_at_any_reported_epoch_goes_on_to_the_same_bits(
    groups: dict[str, Any], config_of: Runner, whole: Runner, tmp_path: Path
) -> None:
    config = config_of(**{"train": {"epochs": 4}, **groups})
    metrics, curve = whole(config)
    for epoch, _ in curve:
        workdir = tmp_path / str(epoch)
        assert attempt(config, workdir, stop_at=epoch)[0] is None
        assert files(workdir) == {checkpoint.NAME}
        assert same(attempt(config, workdir), (metrics, curve))
        assert files(workdir) == set()


def test_the_plateau_of_the_case_above_does_lower_the_rate_and_the_divergence_happens(
    config_of: Runner, whole: Runner
) -> None:
    rates = {m["lr"] for _, m in whole(config_of(**CASES["plateau"]))[1] if "lr" in m}
    assert len(rates) > 1
    metrics, curve = whole(config_of(**CASES["diverging and going on"]))
    assert metrics["diverged_step"] < metrics["steps"]
    assert math.isnan(curve[-1][1]["train_loss"])


def test_a_run_may_be_stopped_again_and_again_also_while_it_reports_what_was_kept(
    config_of: Runner, whole: Runner, tmp_path: Path
) -> None:
    config = config_of(model=NET_OF_ALL_KINDS, train={"epochs": 6})
    work = tmp_path / "work"
    for epoch in (1, 1, 3, 2, 0, 4, 6, 6):
        stopped, curve = attempt(config, work, stop_at=epoch)
        assert stopped is None
        assert [step for step, _ in curve] == list(range(epoch + 1))
    assert same(attempt(config, work), whole(config))


def test_it_does_go_on_and_trains_no_epoch_twice(
    config_of: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    trained = count()
    epoch = TrainingRun._epoch
    monkeypatch.setattr(TrainingRun, "_epoch", lambda run: (next(trained), epoch(run))[1])
    config = config_of(train={"epochs": 6})
    attempt(config, tmp_path / "work", stop_at=4)
    assert capfd.readouterr().err == ""
    attempt(config, tmp_path / "work")
    assert next(trained) == 6
    assert capfd.readouterr().err == "sweeper: training goes on after epoch 4.\n"


def test_a_run_that_diverged_as_it_was_stopped_stays_ended(
    config_of: Runner, whole: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Evaluation.read

    def read_nan_once_trained(self: Any, model: nn.Module) -> dict[str, float]:
        metrics = read(self, model)
        return {**metrics, "train_loss": math.nan} if metrics["train_loss"] < 2 else metrics

    monkeypatch.setattr(Evaluation, "read", read_nan_once_trained)
    config = config_of(train={"epochs": 9})
    metrics, curve = whole(config)
    assert metrics["diverged_step"] == metrics["steps"] < 9 * 7
    assert attempt(config, tmp_path / "work", stop_at=curve[-1][0])[0] is None
    assert same(attempt(config, tmp_path / "work"), (metrics, curve))


def test_a_run_leaves_the_random_state_of_its_caller_also_when_it_goes_on(
    config_of: Runner, tmp_path: Path
) -> None:
    config = config_of(model=NET_OF_ALL_KINDS)
    state = torch.get_rng_state()
    attempt(config, tmp_path / "work", stop_at=1)
    attempt(config, tmp_path / "work")
    assert torch.equal(torch.get_rng_state(), state)


# The clock. A run is killed by KeyboardInterrupt here: like SIGKILL, it leaves what lies there.


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epoch of every checkpoint that is written."""
    epochs: list[int] = []
    write = checkpoint.Checkpoint.write

    def listed(self: checkpoint.Checkpoint, state: checkpoint.State) -> None:
        epochs.append(state["progress"]["epochs"])
        write(self, state)

    monkeypatch.setattr(checkpoint.Checkpoint, "write", listed)
    return epochs


@pytest.mark.parametrize("every", [1, 3, 9])
def test_what_is_killed_without_notice_goes_on_from_the_last_minute(
    every: int,
    config_of: Runner,
    whole: Runner,
    slow_epochs: None,
    writes: list[int],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = config_of(model=NET_OF_ALL_KINDS, train={"epochs": 9, "evaluate_every": every})
    undisturbed = whole(config)
    assert writes == [3, 6]  # after 75 seconds each; what is done is not written
    work = tmp_path / "work"
    assert attempt(config, work, stop_at=9, stop=KeyboardInterrupt())[0] is None
    assert files(work) == {checkpoint.NAME}
    capfd.readouterr()
    assert same(attempt(config, work), undisturbed)
    assert capfd.readouterr().err == "sweeper: training goes on after epoch 6.\n"
    assert files(work) == set()


def test_a_short_run_writes_no_checkpoint_at_all(
    config_of: Runner, writes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a short run wrote or hashed something")

    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(checkpoint.Checkpoint, "_owner", refuse)
    work = tmp_path / "work"
    work.mkdir()
    assert attempt(config_of(train={"epochs": 5}), work)[0] is not None
    assert writes == []
    assert files(work) == set()


# What ends a trial, and what does not.


@pytest.mark.parametrize(
    ("ending", "left"),
    [
        pytest.param(Pruned(), set(), id="pruned"),
        pytest.param(ValueError("a mistake"), set(), id="a mistake"),
        pytest.param(KeyboardInterrupt(), KEPT, id="interrupted"),
        pytest.param(torch.OutOfMemoryError(), KEPT, id="no memory on the GPU"),
        pytest.param(RuntimeError("[…] can't allocate memory"), KEPT, id="no memory"),
        pytest.param(OSError(errno.ENOSPC, "full"), KEPT, id="no disk"),
    ],
)
def test_only_what_may_go_on_keeps_its_checkpoint(
    ending: BaseException, left: set[str], config_of: Runner, tmp_path: Path
) -> None:
    config, work = config_of(train={"epochs": 4}), tmp_path / "work"
    attempt(config, work, stop_at=2)
    assert attempt(config, work, stop_at=3, stop=ending)[0] is None
    assert files(work) == left


# A net of the user's own.


class Own(nn.Module):
    """Keeps more than weights: a buffer that no file shall hold, and a count of its own."""

    def __init__(self, input_shape: tuple[int, ...], outputs: int, width: int = 8) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, width)
        self.middle = nn.utils.parametrizations.weight_norm(nn.Linear(width, width))
        self.output = nn.Linear(width, outputs)
        self.register_buffer("mean", torch.zeros(width), persistent=False)
        self.mean: Tensor
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.middle(torch.relu(self.hidden(x.flatten(1)))))
        if self.training:
            self.calls += 1
            self.mean.lerp_(hidden.detach().mean(0), 0.1)
        return self.output((hidden - self.mean) / (1 + self.calls / 100))

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": self.calls}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("mine")
    monkeypatch.setattr(Own, "__module__", "mine")
    module.Own = Own  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mine", module)
    monkeypatch.setattr(targets, "_allowed", ("sweeper.", "mine"))
    return module


def test_a_net_with_a_state_of_its_own_goes_on_to_the_same_bits(
    own: types.ModuleType, config_of: Runner, whole: Runner, tmp_path: Path
) -> None:
    config = config_of(model={"_target_": "mine.Own"}, train={"epochs": 4})
    undisturbed = whole(config)
    for epoch in (0, 2, 3):
        attempt(config, tmp_path / "work", stop_at=epoch)
        assert same(attempt(config, tmp_path / "work"), undisturbed)


def test_a_net_that_was_changed_meanwhile_starts_over_from_untouched_weights(
    own: types.ModuleType,
    config_of: Runner,
    whole: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config, work = config_of(model={"_target_": "mine.Own"}), tmp_path / "work"
    attempt(config, work, stop_at=1)

    class Deeper(Own):
        def __init__(self, input_shape: tuple[int, ...], outputs: int) -> None:
            super().__init__(input_shape, outputs)
            self.more = nn.Linear(4, 4)

    monkeypatch.setattr(Deeper, "__module__", "mine")
    monkeypatch.setattr(own, "Own", Deeper)
    assert same(attempt(config, work), whole(config))
    assert "checkpoint.pt is not used (RuntimeError: Error(s) in loading state_dict for Deeper" in (
        capfd.readouterr().err
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_on_a_gpu_goes_on_to_the_same_bits(config_of: Runner, tmp_path: Path) -> None:
    config = config_of(model=NET_OF_ALL_KINDS, train={"epochs": 4})

    def on_gpu(workdir: Path, stop_at: int | None = None) -> dict[str, float] | None:
        def report(step: int, **_: float) -> None:
            if step == stop_at:
                raise Preempted

        workdir.mkdir(exist_ok=True)
        try:
            return loop.train(config, seed=3, device="cuda:0", report=report, workdir=workdir)
        except Preempted:
            return None

    undisturbed = on_gpu(tmp_path / "undisturbed")
    assert on_gpu(tmp_path / "work", stop_at=2) is None
    assert same(on_gpu(tmp_path / "work"), undisturbed)
