"""What the built-in task promises: the same bits again, honest readings, a record of divergence."""

import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sweeper import targets
from sweeper.errors import DoesNotApply, RequestError
from sweeper.training import evaluate, loop, losses, prepare
from sweeper.training.evaluate import Evaluation
from sweeper.training.order import batch_bounds
from sweeper.training.values import Train

MLP = "sweeper.training.models.mlp"
CNN = "sweeper.training.models.cnn"
SMALL_CNN = {"_target_": CNN, "depth": 2, "channels": 4, "hidden_units": 8}
NET_OF_ALL_KINDS = {"_target_": MLP, "hidden_units": 16, "norm": "batch", "dropout": 0.3}
DIABETES = {"_target_": "sweeper.training.data.diabetes"}
Runner = Callable[..., Any]


def test_the_same_seed_gives_the_same_bits_and_another_does_not(run: Runner) -> None:
    first, again, other = (run(seed, model=NET_OF_ALL_KINDS) for seed in (0, 0, 1))
    assert first == again
    assert first.metrics["weights_fingerprint"] != other.metrics["weights_fingerprint"]


def test_what_was_drawn_before_a_run_does_not_matter_and_a_run_leaves_no_trace(
    run: Runner,
) -> None:
    first = run(model=NET_OF_ALL_KINDS)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert run(model=NET_OF_ALL_KINDS) == first
    assert torch.equal(torch.get_rng_state(), state)


def test_training_learns_digits_and_reports_every_epoch_from_zero(run: Runner) -> None:
    result = run(data={"train_samples": None}, model={"_target_": MLP}, train={"epochs": 5})
    assert [step for step, _ in result.curve] == [0, 1, 2, 3, 4, 5]
    losses = result.reported("train_loss")
    assert losses[0] == pytest.approx(math.log(10), abs=0.3)
    assert losses[-1] < 0.3
    assert result.metrics["val_accuracy"] > 0.9
    assert result.metrics["steps"] == 5 * math.ceil(1200 / 32)


def test_the_share_of_the_first_loss_is_what_is_left_of_it(run: Runner) -> None:
    result = run()
    losses = result.reported("train_loss")
    assert result.metrics["train_loss_share"] == losses[-1] / losses[0]


def test_all_metrics_are_there_under_their_names(run: Runner) -> None:
    classes = {
        "train_loss", "val_loss", "train_accuracy", "val_accuracy", "running_loss", "lr",
        "grad_norm_first", "grad_norm_last", "dead_units", "dead_layer",
    }  # fmt: skip
    ending = {"epochs", "steps", "nan_weights", "weights_fingerprint", "train_loss_share"}
    result = run()
    assert set(result.metrics) == classes | ending
    assert set(result.curve[-1][1]) == classes
    assert set(result.curve[0][1]) == classes - {
        "running_loss", "lr", "grad_norm_first", "grad_norm_last",
    }  # fmt: skip
    assert "oscillation" in run(train={"epochs": 6}).metrics
    numbers = run(data=DIABETES, loss={"name": "mse"})
    assert set(numbers.metrics) == (classes | ending) - {"train_accuracy", "val_accuracy"}


def test_epochs_may_be_read_less_often_and_the_last_is_always(run: Runner) -> None:
    sparse = run(train={"epochs": 5, "evaluate_every": 2})
    dense = run(train={"epochs": 5})
    assert [step for step, _ in sparse.curve] == [0, 2, 4, 5]
    assert sparse.metrics["weights_fingerprint"] == dense.metrics["weights_fingerprint"]


@pytest.mark.parametrize(
    "reading",
    [
        {"evaluation_mode": "train"},
        {"accuracy_mode": "train"},
        {"evaluation_order": "by_class"},
        {"evaluation_batch_size": 7},
        {"validation_loss": "divided_by_batch"},
    ],
    ids=str,
)
def test_how_a_net_is_read_never_touches_its_training(run: Runner, reading: Any) -> None:
    plain = run(model=NET_OF_ALL_KINDS)
    other = run(model=NET_OF_ALL_KINDS, train={"epochs": 2, **reading})
    for name in ("weights_fingerprint", "running_loss", "grad_norm_first"):
        assert other.metrics[name] == plain.metrics[name]


def test_a_validation_loss_divided_once_more_is_smaller_by_the_batch_size(run: Runner) -> None:
    size = {"epochs": 2, "evaluation_batch_size": 199}  # 597 in three equal batches
    right = run(train=size)
    wrong = run(train={**size, "validation_loss": "divided_by_batch"})
    ratio = right.metrics["val_loss"] / wrong.metrics["val_loss"]
    assert ratio == pytest.approx(199, rel=1e-6)
    assert wrong.metrics["train_loss"] == right.metrics["train_loss"]


def test_a_forgotten_eval_shows_in_nets_with_batch_norm_and_most_in_class_order(
    run: Runner,
) -> None:
    net = {"_target_": MLP, "hidden_units": 32, "norm": "batch"}

    def accuracy(**reading: Any) -> float:
        reading = {"epochs": 5, "evaluation_batch_size": 32, **reading}
        value = run(data={"train_samples": 600}, model=net, train=reading).metrics["val_accuracy"]
        assert isinstance(value, float)
        return value

    by_class = accuracy(accuracy_mode="train", evaluation_order="by_class")
    assert by_class + 0.3 < accuracy(accuracy_mode="train") <= accuracy() + 0.02


def test_a_net_without_norm_or_dropout_reads_the_same_in_both_modes(run: Runner) -> None:
    assert run(train={"epochs": 2, "evaluation_mode": "train"}) == run()


def test_accuracies_alone_may_be_read_in_another_mode(run: Runner) -> None:
    plain = run(model=NET_OF_ALL_KINDS).metrics
    mixed = run(model=NET_OF_ALL_KINDS, train={"epochs": 2, "accuracy_mode": "train"}).metrics
    assert mixed["val_loss"] == plain["val_loss"]
    assert mixed["val_accuracy"] != plain["val_accuracy"]


def test_reading_a_net_puts_its_mode_its_buffers_and_the_random_state_back() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    net[2].eval()  # a part that its owner keeps frozen
    x, y = torch.randn(9, 2), torch.arange(9) % 2
    data = prepare.Prepared(x, y, x, y, ("0", "1"))
    axes = Train(evaluation_mode="train", evaluation_batch_size=8).model_dump()
    loss = losses.build("cross_entropy", is_classification=True)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.get_rng_state()
    Evaluation(data, loss, axes, seed=0).read(net)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert [m.training for m in net] == [True, True, False]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_single_sample_left_over_joins_the_batch_before_when_read() -> None:
    x = torch.arange(9.0)
    assert [len(b) for b, _ in evaluate.batches(x, x, 4)] == [4, 5]
    assert [len(b) for b, _ in evaluate.batches(x, x, 5)] == [5, 4]
    assert [len(b) for b, _ in evaluate.batches(x, x, 1)] == [1] * 9


def test_a_last_batch_of_one_sample_is_left_out_only_under_batch_norm() -> None:
    plain, norm = nn.Linear(1, 1), nn.BatchNorm1d(1)
    assert batch_bounds(9, 4, plain) == [(0, 4), (4, 8), (8, 9)]
    assert batch_bounds(9, 4, norm) == [(0, 4), (4, 8)]
    assert batch_bounds(10, 4, norm) == [(0, 4), (4, 8), (8, 10)]
    assert batch_bounds(1, 4, norm) == [(0, 1)]
    assert len(batch_bounds(3, 1, norm)) == 3


@pytest.mark.parametrize(
    "train",
    [{"batch_size": 1}, {"evaluation_batch_size": 1, "evaluation_mode": "train"}],
    ids=["trained", "read"],
)
def test_batch_norm_over_single_vectors_does_not_apply_and_says_so(run: Runner, train: Any) -> None:
    with pytest.raises(
        DoesNotApply,
        match=r"^BN cannot normalise one value per channel: BatchNorm1d is fed a batch of one "
        r"sample\. Take larger batches, or a net without BN\.$",
    ):
        run(model=NET_OF_ALL_KINDS, train=train)
    assert run(model={**SMALL_CNN, "norm": "batch"}, data={"train_samples": 20}, train=train)


@pytest.mark.parametrize(
    ("optim", "lr"),
    [("sgd", 0.2), ("momentum", 0.03), ("nesterov", 0.03), ("adam", 0.01), ("adamw", 0.01),
     ("rmsprop", 0.003)],
)  # fmt: skip
def test_every_optimizer_lowers_the_loss(run: Runner, optim: str, lr: float) -> None:
    values = run(optim={"name": optim, "lr": lr}, train={"epochs": 4}).reported("train_loss")
    assert values[-1] < values[0] - 0.3


@pytest.mark.parametrize(
    "name",
    ["default", "he", "xavier", "lecun", "variance_scaling", "normal", "truncated_normal",
     "constant"],
)  # fmt: skip
def test_every_start_trains_an_epoch_of_either_net(run: Runner, name: str) -> None:
    for model in ({"_target_": MLP}, SMALL_CNN):
        result = run(model=model, init={"name": name}, train={"epochs": 1})
        assert math.isfinite(result.metrics["train_loss"])


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("constant", [0.01, 0.01]),
        ("step", [0.01, 0.01]),
        ("multi_step", [0.01, 0.01]),
        ("exponential", [0.01 * 0.9995**6, 0.01 * 0.9995**13]),
        ("cosine", [0.01 * (1 + math.cos(math.pi * 6 / 14)) / 2,
                    0.01 * (1 + math.cos(math.pi * 13 / 14)) / 2]),
        ("plateau", [0.01, 0.01]),
        ("warmup", [0.0007, 0.0014]),
    ],
)  # fmt: skip
def test_every_schedule_sets_the_rate_of_each_step(
    run: Runner, name: str, rates: list[float]
) -> None:
    # 200 samples in batches of 32 are seven steps an epoch; the rate is that of the last.
    assert run(schedule={"name": name}).reported("lr") == pytest.approx(rates)


def test_a_one_cycle_schedule_trains(run: Runner) -> None:
    first, last = run(schedule={"name": "one_cycle"}).reported("lr")
    assert 0.01 >= first > last > 0


@pytest.mark.parametrize("loss", ["cross_entropy", "naive_cross_entropy", "mse", "mae"])
def test_every_loss_trains_a_classifier(run: Runner, loss: str) -> None:
    values = run(loss={"name": loss}, train={"epochs": 3}).reported("train_loss")
    assert values[-1] < values[0]


def test_numbers_are_learnt_with_a_loss_for_numbers(run: Runner) -> None:
    result = run(data=DIABETES, loss={"name": "mse"}, train={"epochs": 15})
    assert result.reported("train_loss")[0] == pytest.approx(1.0, abs=0.2)
    assert result.metrics["val_loss"] < 0.75


def test_a_plain_softmax_diverges_and_the_run_stops_with_its_step(run: Runner) -> None:
    result = run(
        data={"scaling": "none"},
        loss={"name": "naive_cross_entropy"},
        optim={"name": "momentum", "lr": 1.0},
        train={"epochs": 4},
    )
    metrics = result.metrics
    assert math.isnan(metrics["train_loss"])
    assert math.isnan(metrics["val_loss"])
    assert metrics["diverged_step"] == metrics["steps"] <= 7
    assert metrics["epochs"] == 0
    assert [step for step, _ in result.curve] == [0]


def test_a_run_told_to_go_on_after_diverging_shows_that_weights_never_come_back(
    run: Runner,
) -> None:
    result = run(
        data={"scaling": "none"},
        loss={"name": "naive_cross_entropy"},
        optim={"name": "momentum", "lr": 1.0},
        train={"epochs": 3, "stop_when_diverged": False},
    )
    assert result.metrics["nan_weights"] == 1.0
    assert result.metrics["steps"] == 21
    assert result.metrics["diverged_step"] <= 7
    assert math.isnan(result.metrics["train_loss"])
    assert len(result.curve) == 4


@pytest.mark.parametrize("clip", [{"clip_norm": 0.01}, {"clip_value": 0.0001}], ids=str)
def test_clipping_bounds_the_update_and_the_norms_are_read_before_it(
    run: Runner, clip: dict[str, float]
) -> None:
    free = run(train={"epochs": 1}).metrics
    clipped = run(train={"epochs": 1, **clip}).metrics
    assert clipped["train_loss"] > free["train_loss"]
    assert clipped["grad_norm_last"] > 0.01


def test_captchas_train_a_convolutional_net(run: Runner) -> None:
    data = {
        "_target_": "sweeper.training.data.captcha", "images": 400, "validation_samples": 100,
        "colors": "dark_on_light", "dots": 0, "color": "grey", "rotation": 0,
    }  # fmt: skip
    model = {**SMALL_CNN, "channels": 8, "norm": "batch"}
    result = run(data=data, model=model, optim={"name": "adam", "lr": 0.01}, train={"epochs": 6})
    assert result.metrics["train_accuracy"] > 0.6


def test_arms_with_fewer_classes_samples_or_images_run(run: Runner) -> None:
    result = run(data={"class_samples": {3: 2}, "drop_classes": [7], "color": "rgb"})
    assert math.isfinite(result.metrics["val_loss"])


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A user's module: a data function, a net and a mistake."""
    module = types.ModuleType("mine")

    def ring(noise: float, seed: int) -> tuple[Any, ...]:
        random = np.random.default_rng(seed)
        x = random.normal(size=(200, 2))
        y = (np.linalg.norm(x, axis=1) + noise * random.normal(size=200) > 1).astype(int)
        return x, y

    def net(input_shape: tuple[int, ...], outputs: int, width: int = 8) -> nn.Module:
        return nn.Sequential(nn.Linear(input_shape[0], width), nn.Tanh(), nn.Linear(width, outputs))

    for function in (ring, net):
        function.__module__, function.__qualname__ = "mine", function.__name__
        setattr(module, function.__name__, function)
    module.word = lambda: "not a net"  # type: ignore[attr-defined]
    module.word.__module__, module.word.__qualname__ = "mine", "word"
    monkeypatch.setitem(sys.modules, "mine", module)
    monkeypatch.setattr(targets, "_allowed", ("sweeper.", "mine"))
    return module


def test_a_users_own_data_and_net_run_through_the_same_axes(
    run: Runner, mine: types.ModuleType
) -> None:
    data = {"_target_": "mine.ring", "noise": 0.0, "validation_samples": 50}
    model = {"_target_": "mine.net", "width": 16}
    optim = {"name": "adam", "lr": 0.03}
    result = run(data=data, model=model, optim=optim, train={"epochs": 15})
    assert result.metrics["train_accuracy"] > 0.85
    assert "dead_units" not in result.metrics


def test_a_model_function_that_returns_no_net_is_named(run: Runner, mine: types.ModuleType) -> None:
    with pytest.raises(RequestError, match="the model function returned str, not a torch Module"):
        run(model={"_target_": "mine.word"})


def test_a_loss_for_classes_on_a_users_numbers_says_which_fits(run: Runner, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.rand(20, 3), y=np.random.rand(20))
    data = {"_target_": "sweeper.training.data.arrays", "path": str(tmp_path / "a.npz")}
    with pytest.raises(RequestError, match=r"targets are numbers: use loss=mse"):
        run(data=data)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_learns_as_much_as_the_cpu_and_the_same_again(
    config_of: Runner, run: Runner, tmp_path: Path
) -> None:
    def on_gpu() -> dict[str, float]:
        config = config_of(model={"_target_": MLP})
        return loop.train(
            config, seed=0, device="cuda:0", report=lambda step, **metrics: None, workdir=tmp_path
        )

    first, cpu = on_gpu(), run(model={"_target_": MLP}).metrics
    assert first == on_gpu()
    assert first["train_loss"] == pytest.approx(cpu["train_loss"], rel=1e-2)
