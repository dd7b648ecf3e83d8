"""What the probes read is right, and training feels nothing of them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sweeper.training import probes
from sweeper.training.evaluate import Evaluation
from sweeper.training.kinds import PROBES
from sweeper.training.probes import Probes

Runner = Callable[..., Any]
MLP = "sweeper.training.models.mlp"
NET_OF_ALL_KINDS = {"_target_": MLP, "hidden_units": 16, "norm": "batch", "dropout": 0.3}
METRICS = {
    "cost": {"step_ms", "epoch_s", "activation_mib"},
    "noise": {"gradient_noise"},
    "preactivations": {"gradient_ratio"},
    "weights": {"largest_weight"},
    "steps": {"largest_gradient", "rising_share", "roughness"},
    "gap": {"gap_loss"},
    "errors": {"val_squared_error", "val_absolute_error"},
}
MORE = set[str]().union(*METRICS.values())


def mse(outputs: Tensor, y: Tensor) -> Tensor:
    return ((outputs - y) ** 2).mean()


def without_probes(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in MORE}


@pytest.mark.parametrize("model", [NET_OF_ALL_KINDS, {"_target_": "sweeper.training.models.cnn"}])
def test_training_feels_nothing_of_any_probe(run: Runner, model: Any) -> None:
    plain = run(model=model, train={"epochs": 6}, optim={"name": "adam"})
    probed = run(model=model, train={"epochs": 6, "probes": list(PROBES)}, optim={"name": "adam"})
    assert [(step, without_probes(m)) for step, m in probed.curve] == plain.curve
    assert without_probes(probed.metrics) == plain.metrics
    assert probed.metrics.keys() - plain.metrics.keys() == MORE


@pytest.mark.parametrize("name", PROBES)
def test_each_probe_reads_what_it_names(run: Runner, name: str) -> None:
    plain = run(train={"epochs": 6})
    probed = run(train={"epochs": 6, "probes": [name]})
    assert probed.metrics.keys() - plain.metrics.keys() == METRICS[name]


# What is read at the start.


def test_the_noise_of_a_gradient_is_its_variance_over_its_squared_mean() -> None:
    # The gradient of (w·x − y)² at w = 0 is −2·x·y: here it is worked out by hand.
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    x, y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.0], [1.0], [2.0]])
    gradients = np.array([-2.0, -4.0, -12.0])
    batches = [(x[i : i + 1], y[i : i + 1]) for i in range(3)]
    found = probes.gradient_noise(net, mse, batches)
    assert found == pytest.approx(gradients.var() / gradients.mean() ** 2)
    assert probes.gradient_noise(net, mse, [(x, y)] * 3) == pytest.approx(0, abs=1e-12)


def test_larger_batches_have_less_noise_and_the_whole_set_has_none(run: Runner) -> None:
    noise = [
        run(train={"epochs": 1, "batch_size": size, "probes": ["noise"]}).metrics["gradient_noise"]
        for size in (1, 8, 64, 200)
    ]
    assert noise == sorted(noise, reverse=True)
    assert noise[0] / noise[1] == pytest.approx(8, rel=0.4)
    assert noise[-1] == pytest.approx(0, abs=1e-6)


def test_the_gradient_at_the_first_over_the_last_pre_activations() -> None:
    # Linear layers that halve: each one back halves the gradient, whatever the loss.
    net = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(5)])
    for layer in net:
        nn.init.eye_(layer.weight)  # type: ignore[arg-type]
        with torch.no_grad():
            layer.weight *= 0.5  # type: ignore[operator]
    found = probes.gradient_ratio(net, mse, [(torch.rand(8, 4), torch.rand(8, 4))])
    assert found == pytest.approx(0.5**3)


def test_an_activation_in_place_does_not_spoil_the_reading() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 6) for _ in range(4)]
    batches = [(torch.randn(8, 6), torch.randn(8, 6))]
    ratios = []
    for in_place in (True, False):
        activated = [m for layer in layers[:-1] for m in (layer, nn.ReLU(inplace=in_place))]
        net = nn.Sequential(*activated, layers[-1])
        for layer in layers:
            layer._forward_hooks.clear()
        ratios.append(probes.gradient_ratio(net, mse, batches))
    assert ratios[0] == ratios[1]


def test_sigmoids_vanish_with_depth_and_a_flat_net_has_no_ratio(run: Runner) -> None:
    def ratio(depth: int) -> float | None:
        net = {"_target_": MLP, "depth": depth, "activation": "sigmoid"}
        read = run(model=net, train={"epochs": 1, "probes": ["preactivations"]})
        found: float | None = read.metrics.get("gradient_ratio")
        return found

    two, six = ratio(2), ratio(6)
    assert two is not None and six is not None
    assert 0 < six < two / 50 < 1
    assert ratio(1) is None
    cut = {"_target_": MLP, "cuts_gradient": True}
    assert "gradient_ratio" not in run(model=cut, train={"probes": ["preactivations"]}).metrics


def test_what_is_kept_for_the_backward_pass_is_counted_to_the_byte_and_once() -> None:
    # Of 1000 samples: x (for the weights of the first layer) and the ReLU's answer, which both the
    # ReLU and the second layer keep; the loss keeps the difference. Weights are there in any case.
    net = nn.Sequential(nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 1))
    x, y = torch.rand(1000, 10), torch.rand(1000, 1)
    found = probes.activation_mib(net, mse, [(x, y)])
    assert found * 2**20 == 4 * 1000 * (10 + 7 + 1)


def test_a_larger_batch_keeps_more(run: Runner) -> None:
    small, large = (
        run(train={"epochs": 1, "batch_size": s, "probes": ["cost"]}).metrics["activation_mib"]
        for s in (10, 100)
    )
    assert large / small == pytest.approx(10, rel=0.05)


# What is read along the way.


def test_the_time_of_a_step_is_an_epochs_by_its_steps(run: Runner) -> None:
    found = run(train={"epochs": 5, "probes": ["cost"]}).metrics  # 7 steps an epoch
    assert found["step_ms"] == pytest.approx(1000 * found["epoch_s"] / 7)
    assert 0 < found["step_ms"] < 100


def test_what_is_read_between_epochs_takes_no_time_of_a_step(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def slower(holder: Any, name: str, seconds: float) -> None:
        function = getattr(holder, name)

        def slow(*arguments: Any) -> Any:
            now[0] += seconds
            return function(*arguments)

        monkeypatch.setattr(holder, name, slow)

    monkeypatch.setattr(probes, "_now", lambda _: now[0])
    slower(Probes, "hear_loss", 2.0)
    slower(Evaluation, "read", 50.0)
    assert run(train={"epochs": 2, "probes": ["cost"]}).metrics["step_ms"] == 2000


def test_an_epoch_that_a_divergence_ends_is_not_timed(run: Runner) -> None:
    found = run(
        data={"scaling": "none"},
        loss={"name": "naive_cross_entropy"},
        optim={"name": "momentum", "lr": 100.0},
        train={"probes": ["cost"]},
    ).metrics
    assert found["epochs"] == 0
    assert "step_ms" not in found


def heard(losses: list[float], gradients: list[float] | None = None) -> dict[str, float]:
    """What is read of a run with these losses and gradient norms."""
    axes = {"probes": ["steps"], "batch_size": 1}
    found = Probes(axes, len(losses), seed=0)
    for step, loss in enumerate(losses, start=1):
        found.hear_loss(step, loss)
        net = nn.Linear(1, 1, bias=False)
        net.weight.grad = torch.full((1, 1), (gradients or [1.0] * len(losses))[step - 1])
        found.hear_gradient(step, net)
    return found.read(net)


def test_the_largest_gradient_is_that_of_all_parameters_at_any_step(run: Runner) -> None:
    assert heard([1.0] * 4, [0.5, 3.0, 2.0, 1.0])["largest_gradient"] == 3
    clipped = run(train={"epochs": 2, "clip_norm": 1e-3, "probes": ["steps"]}).metrics
    assert clipped["largest_gradient"] > 0.05  # before clipping


def test_roughness_is_the_spread_of_the_changes_in_the_last_tenth() -> None:
    smooth = [10 ** (-step / 100) for step in range(100)]
    assert heard(smooth)["roughness"] == pytest.approx(0, abs=1e-9)
    rough = [*smooth[:90], *[10.0 ** (step % 2) for step in range(10)]]
    assert heard(rough)["roughness"] == pytest.approx(np.std([1, -1] * 4 + [1]))
    early = [*[10.0 ** (step % 2) for step in range(90)], *smooth[90:]]
    assert heard(early)["roughness"] == pytest.approx(0, abs=1e-9)
    assert "roughness" not in heard([1.0] * 20)  # a tenth of two steps has one change


@pytest.mark.parametrize(
    ("losses", "gradients", "step"),
    [
        pytest.param([1, 2, math.nan, 1], [1] * 4, 3, id="a loss that is NaN"),
        pytest.param([1, 2, 3, 1], [1, math.inf, 1, 1], 2, id="a gradient that is infinite"),
        pytest.param([1, 2, 3, 30_001], [1] * 4, 4, id="a loss far above those before"),
        pytest.param([1, 2, 3, 1], [1, 9e3, 9e4, 1], None, id="below ten thousand times"),
        pytest.param([1, 1, 1, 1], [1, 1, 2e4, math.nan], 3, id="the first of two"),
        pytest.param([1, 1, 1, 1], [0, 0, 0.1, 0.1], None, id="from zero on"),
        pytest.param([math.nan], [1], 1, id="at once"),
        pytest.param([1, 2, 1, 2], [2, 1, 2, 1], None, id="none"),
    ],
)
def test_the_first_fault_is_named_by_its_step(
    losses: list[float], gradients: list[float], step: int | None
) -> None:
    assert (
        heard([float(v) for v in losses], [float(v) for v in gradients]).get("fault_step") == step
    )


def test_a_run_that_diverges_names_its_step(run: Runner) -> None:
    found = run(
        data={"scaling": "none"},
        loss={"name": "naive_cross_entropy"},
        optim={"name": "momentum", "lr": 1.0},
        train={"epochs": 3, "probes": ["steps"]},
    ).metrics
    assert found["fault_step"] <= found["diverged_step"]


def test_the_largest_weight_is_one_of_a_weight_layer() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    nn.init.constant_(net[0].weight, -0.25)  # type: ignore[arg-type]
    nn.init.constant_(net[0].bias, 7.0)  # type: ignore[arg-type]
    assert probes.largest_weight(net) == 0.25
    assert probes.largest_weight(nn.BatchNorm1d(3)) == 1.0
