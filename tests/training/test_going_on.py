"""What a run goes on from: its own checkpoint, on purpose, or weights learnt on other classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attempts import NET_OF_ALL_KINDS, attempt, files
from torch import nn

from sweeper.errors import DoesNotApply, RequestError
from sweeper.training import checkpoint, loop, models, prepare, pretraining
from sweeper.training.interruption import Interruption
from sweeper.training.values import Mlp

Runner = Callable[..., Any]
ADAM = {"name": "adam", "lr": 0.01}


# The interruption.


def test_a_run_goes_on_as_if_nothing_had_happened_or_without_the_optimizers_state(
    run: Runner,
) -> None:
    def weights(**train: Any) -> tuple[float, float]:
        result = run(model=NET_OF_ALL_KINDS, optim=ADAM, train={"epochs": 4, **train})
        return result.metrics["weights_fingerprint"], len(result.curve)

    plain = weights()
    assert weights(interrupt_after=2) == plain
    assert weights(interrupt_after=2, optimizer_state="dropped") != plain


def test_plain_descent_has_no_state_to_lose(run: Runner) -> None:
    sgd = {"name": "sgd", "lr": 0.1}
    train = {"epochs": 4, "interrupt_after": 2, "optimizer_state": "dropped"}
    plain, dropped = run(optim=sgd, train={"epochs": 4}), run(optim=sgd, train=train)
    assert dropped.metrics["weights_fingerprint"] == plain.metrics["weights_fingerprint"]


def test_it_is_really_written_and_read_into_other_objects(
    config_of: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    models: list[nn.Module] = []
    write, build = checkpoint.Checkpoint.write, loop.build_model

    def listed(self: Any, state: Any) -> None:
        write(self, state)
        written.append(state["progress"]["epochs"])
        assert files(tmp_path / "work") == {checkpoint.NAME}

    def built(*arguments: Any) -> nn.Module:
        models.append(build(*arguments))
        return models[-1]

    monkeypatch.setattr(checkpoint.Checkpoint, "write", listed)
    monkeypatch.setattr(loop, "build_model", built)
    metrics, curve = attempt(
        config_of(optim=ADAM, train={"epochs": 3, "interrupt_after": 1}), tmp_path / "work"
    )
    assert (written, len(models)) == ([1], 2)
    assert [step for step, _ in curve] == [0, 1, 2, 3]
    assert metrics is not None and metrics["resume_jump"] > 0
    assert files(tmp_path / "work") == set()


def test_a_checkpoint_that_cannot_be_kept_fails_the_trial_and_says_why(
    config_of: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint.Checkpoint, "read", lambda self: None)
    with pytest.raises(
        RuntimeError, match=r"train\.interrupt_after: the checkpoint could not be kept"
    ):
        attempt(config_of(train={"epochs": 3, "interrupt_after": 1}), tmp_path / "work")


def test_a_dropped_state_makes_the_loss_jump(run: Runner) -> None:
    late = {"epochs": 9, "interrupt_after": 8}
    kept, dropped = (
        run(optim={**ADAM, "lr": 0.03}, train={**late, "optimizer_state": state}).metrics
        for state in ("restored", "dropped")
    )
    assert kept["resume_jump"] < 1.5 < dropped["resume_jump"]
    assert "resume_jump" not in run(train={"epochs": 2}).metrics


def test_the_jump_is_the_largest_loss_of_twenty_steps_over_the_one_before() -> None:
    stop = Interruption({"interrupt_after": 3})
    stop.step(lambda: 99.0)  # before it, nothing is read
    assert stop.is_due(3) and not stop.is_due(2) and stop.metrics() == {}
    stop.over(2.0)
    assert not stop.is_due(3)
    for loss in (3.0, 5.0, *[1.0] * 18, 70.0):
        stop.step(lambda loss=loss: loss)
    assert stop.metrics() == {"resume_jump": 2.5}


# Weights from other classes.


DROPPED = {"drop_classes": [5, 6, 7, 8, 9], "train_samples": None}


def test_the_other_classes_are_those_that_were_left_out_and_of_the_training_part_alone(
    config_of: Runner,
) -> None:
    config = config_of(data=DROPPED, train={"epochs": 1, "pretrain_epochs": 1})
    data = prepare.load(config["data"], 0)
    other = pretraining.other_data(config, data, 0)
    assert (data.classes, other.classes) == (tuple("01234"), tuple("56789"))
    assert len(data.train_x) + len(other.train_x) == 1200
    assert len(data.val_x) + len(other.val_x) == 597


def test_pretraining_does_not_apply_where_no_classes_are_left_out(config_of: Runner) -> None:
    config = config_of(data=DROPPED, train={"epochs": 1, "pretrain_epochs": 1})
    config = {**config, "data": {**config["data"], "drop_classes": []}}
    with pytest.raises(DoesNotApply, match=r"data\.drop_classes leaves out: name two or more"):
        pretraining.other_data(config, prepare.load(config["data"], 0), 0)


def test_pretraining_keeps_every_layer_but_the_last_and_what_norm_layers_have_seen(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[set[str]] = []
    keep = pretraining.keep_all_but_the_last_layer

    def listed(trained: nn.Module, model: nn.Module) -> None:
        before = {k: v.clone() for k, v in model.state_dict().items()}
        keep(trained, model)
        given, now = trained.state_dict(), model.state_dict()
        kept.append({name for name in now if torch.equal(now[name], given[name])})
        assert all(torch.equal(now[name], before[name]) for name in now.keys() - kept[-1])

    monkeypatch.setattr(pretraining, "keep_all_but_the_last_layer", listed)
    run(data=DROPPED, model=NET_OF_ALL_KINDS, train={"epochs": 1, "pretrain_epochs": 2})
    net = models.mlp(input_shape=(64,), outputs=5, **Mlp(norm="batch", dropout=0.3).model_dump())
    names = set(net.state_dict())
    last = f"{len(net) - 1}."  # type: ignore[arg-type]
    assert kept == [{name for name in names if not name.startswith(last)}] * 2
    assert any("running_mean" in name for name in kept[0])


def test_a_pretrained_net_is_ahead_and_the_untrained_epochs_are_not_counted(run: Runner) -> None:
    scratch, ahead = (
        run(data=DROPPED, train={"epochs": 2, "pretrain_epochs": epochs}) for epochs in (0, 6)
    )
    assert ahead.metrics["steps"] == scratch.metrics["steps"]
    assert [step for step, _ in ahead.curve] == [0, 1, 2]
    assert ahead.metrics["train_loss"] < scratch.metrics["train_loss"] - 0.1


def test_a_lone_linear_layer_has_nothing_to_keep() -> None:
    trained, net = nn.Linear(3, 2), nn.Linear(3, 5)
    before = net.weight.clone()
    pretraining.keep_all_but_the_last_layer(trained, net)
    assert torch.equal(net.weight, before)
    with pytest.raises(
        RequestError,
        match=r"train\.pretrain_epochs: the net has no linear or convolutional layer to begin anew",
    ):
        pretraining.keep_all_but_the_last_layer(nn.ReLU(), nn.ReLU())
