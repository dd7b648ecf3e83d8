"""The built-in nets have the layers they are asked for, and start as they are told to."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from sweeper.errors import DoesNotApply
from sweeper.training import init, models
from sweeper.training.values import Cnn, Mlp


def mlp(**changes: Any) -> nn.Module:
    shape = changes.pop("input_shape", (64,))
    return models.mlp(input_shape=shape, outputs=10, **Mlp(**changes).model_dump())


def cnn(**changes: Any) -> nn.Module:
    shape = changes.pop("input_shape", (3, 16, 16))
    return models.cnn(input_shape=shape, outputs=10, **Cnn(**changes).model_dump())


def kinds(model: nn.Module) -> list[str]:
    return [type(m).__name__ for m in model.children()]


def test_an_mlp_is_hidden_layers_and_an_output_layer() -> None:
    assert kinds(mlp(depth=1, norm="batch", dropout=0.5, output_activation="softmax")) == [
        "Flatten", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear", "Softmax",
    ]  # fmt: skip
    assert kinds(mlp(depth=0)) == ["Flatten", "Linear"]
    assert sum(p.numel() for p in mlp().parameters()) == 64 * 64 + 64 + 64 * 64 + 64 + 650


def test_batch_norm_of_a_cnn_stands_after_each_convolution_alone() -> None:
    assert kinds(cnn(depth=2, norm="batch")) == [
        "Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d",
        "Flatten", "Linear", "ReLU", "Linear",
    ]  # fmt: skip


@pytest.mark.parametrize("pooling", ["max", "average", "stride", "none"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 7, 9), (3, 5, 5)], ids=str)
@pytest.mark.parametrize("pool_every", [1, 2])
def test_a_cnn_of_any_depth_and_pooling_fits_any_image(
    pooling: str, shape: tuple[int, ...], pool_every: int
) -> None:
    for depth in (1, 6):
        net = cnn(input_shape=shape, depth=depth, pooling=pooling, pool_every=pool_every)
        assert net(torch.zeros(2, *shape)).shape == (2, 10)


def test_pooling_stops_before_the_map_vanishes() -> None:
    assert kinds(cnn(depth=6)).count("MaxPool2d") == 3  # 16 → 8 → 4 → 2
    assert kinds(cnn(depth=6, pool_every=2)).count("MaxPool2d") == 3
    assert kinds(cnn(depth=6, pool_every=3)).count("MaxPool2d") == 2


@pytest.mark.parametrize(
    ("placement", "count"),
    [("hidden", 1), ("conv", 2), ("both", 3)],
    ids=["hidden", "conv", "both"],
)
def test_dropout_stands_where_it_is_placed(placement: str, count: int) -> None:
    assert kinds(cnn(dropout=0.5, dropout_placement=placement)).count("Dropout") == count


def test_a_cnn_does_not_apply_to_vectors() -> None:
    with pytest.raises(DoesNotApply, match=r"model=cnn needs images; a sample has shape \(64,\)"):
        cnn(input_shape=(64,))


def test_layers_without_bias_have_none() -> None:
    assert all(layer.bias is None for layer in init.weight_layers(cnn(bias=False)))


WIDE: dict[str, Any] = {"input_shape": (400,), "hidden_units": 600, "depth": 1}


@pytest.mark.parametrize(
    ("choice", "std", "largest"),
    [
        ({"name": "he"}, math.sqrt(2 / 400), math.inf),
        ({"name": "xavier"}, math.sqrt(2 / 1000), math.inf),
        ({"name": "lecun"}, math.sqrt(1 / 400), math.inf),
        ({"name": "normal", "std": 0.3}, 0.3, math.inf),
        ({"name": "truncated_normal", "std": 0.3}, 0.3 * 0.8796, 0.6),
        ({"name": "constant", "value": 0.02}, 0.0, 0.02),
        (
            {"name": "variance_scaling", "scale": 2.0, "mode": "fan_in",
             "distribution": "truncated_normal"},
            math.sqrt(2 / 400), 2 * math.sqrt(2 / 400) / 0.8796,
        ),
        (
            {"name": "variance_scaling", "scale": 3.0, "mode": "fan_out",
             "distribution": "uniform"},
            math.sqrt(3 / 600), math.sqrt(9 / 600),
        ),
        (
            {"name": "variance_scaling", "scale": 1.0, "mode": "fan_avg",
             "distribution": "normal"},
            math.sqrt(1 / 500), math.inf,
        ),
    ],
    ids=lambda v: v["name"] if isinstance(v, dict) else "",
)  # fmt: skip
def test_a_start_has_the_spread_of_its_formula_and_zero_biases(
    choice: dict[str, Any], std: float, largest: float
) -> None:
    torch.manual_seed(0)
    net = mlp(**WIDE)
    init.initialise(net, choice)
    first = init.weight_layers(net)[0]
    assert isinstance(first.weight, torch.Tensor)
    assert isinstance(first.bias, torch.Tensor)
    assert first.weight.std().item() == pytest.approx(std, rel=0.02, abs=1e-8)
    assert first.weight.abs().max().item() <= largest * (1 + 1e-4)
    assert first.bias.abs().max().item() == 0


def test_the_default_start_is_torchs_own_and_norm_layers_keep_theirs() -> None:
    torch.manual_seed(0)
    net = cnn(norm="batch")
    before = [p.clone() for p in net.parameters()]
    init.initialise(net, {"name": "default"})
    assert all(map(torch.equal, before, net.parameters()))
    init.initialise(net, {"name": "constant", "value": 0.5})
    scales = [m.weight for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(torch.equal(s, torch.ones_like(s)) for s in scales)
