"""The built-in nets have the layers they are asked for, and start as they are told to."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from sweeper.errors import DoesNotApply
from sweeper.training import init, models
from sweeper.training.values import Cnn, Fcn, Mlp, Reference, Rnn


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


ZERO_BIASES = {"bias_value": 0.0, "bias_std": 0.0}
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
    init.initialise(net, {**ZERO_BIASES, **choice})
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
    init.initialise(net, {"name": "constant", "value": 0.5, **ZERO_BIASES})
    scales = [m.weight for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(torch.equal(s, torch.ones_like(s)) for s in scales)


def test_biases_start_where_they_are_told_to_and_leave_the_weights_as_they_were() -> None:
    def started(**biases: float) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        net = mlp(depth=3, hidden_units=400)
        init.initialise(net, {"name": "he", **ZERO_BIASES, **biases})
        layers = init.weight_layers(net)
        flat = [torch.cat([getattr(a, n).flatten() for a in layers]) for n in ("weight", "bias")]
        return flat[0], flat[1]

    weights, zero = started()
    same, fixed = started(bias_value=-1.5)
    also, drawn = started(bias_value=2.0, bias_std=0.5)
    assert torch.equal(weights, same) and torch.equal(weights, also)
    assert (zero.unique().tolist(), fixed.unique().tolist()) == ([0.0], [-1.5])
    assert drawn.mean().item() == pytest.approx(2, abs=0.05)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("build", [mlp, cnn], ids=["mlp", "cnn"])
def test_a_cut_gradient_reaches_the_output_layer_alone(build: Any) -> None:
    net = build(input_shape=(3, 16, 16), cuts_gradient=True)
    x = torch.rand(4, 3, 16, 16)
    net(x).sum().backward()
    learns = [p.grad is not None for p in net.parameters()]
    assert learns == [False] * (len(learns) - 2) + [True, True]
    torch.manual_seed(0)
    cut = build(input_shape=(3, 16, 16), cuts_gradient=True)
    torch.manual_seed(0)
    assert torch.equal(cut(x), build(input_shape=(3, 16, 16))(x))


def reference(**changes: Any) -> nn.Module:
    shape = changes.pop("input_shape", (3, 8, 8))
    return models.reference(input_shape=shape, outputs=10, **Reference(**changes).model_dump())


@pytest.mark.parametrize(("side", "inputs"), [(6, 64), (8, 64), (9, 64), (32, 3136)])
def test_the_reference_net_has_the_inputs_of_its_linear_layer_that_fit(
    side: int, inputs: int
) -> None:
    net = reference(input_shape=(3, side, side))
    assert kinds(net) == ["Conv2d", "AvgPool2d", "Flatten", "Linear"]
    assert net[-1].in_features == inputs  # type: ignore[index]
    assert net(torch.zeros(2, 3, side, side)).shape == (2, 10)


def test_the_reference_net_may_have_the_activation_that_the_print_lacks() -> None:
    assert kinds(reference(activation="relu"))[1] == "ReLU"


def test_an_image_too_small_for_the_reference_net_is_told_how_large_it_has_to_be() -> None:
    with pytest.raises(
        DoesNotApply,
        match="model=reference needs images of 6 × 6 pixels or more for its kernel and pooling; "
        "these have 5 × 9",
    ):
        reference(input_shape=(1, 5, 9))


def rnn(**changes: Any) -> Any:
    shape = changes.pop("input_shape", (1, 8, 8))
    return models.rnn(input_shape=shape, outputs=10, **Rnn(**changes).model_dump())


def test_a_recurrent_net_reads_row_by_row_and_from_the_first_again() -> None:
    net, image = rnn(activation="tanh", hidden_units=5, steps=11), torch.rand(2, 1, 8, 8)
    state = torch.zeros(2, 5)
    for t in (0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2):
        seen = torch.cat([image[:, 0, t], state], dim=1)
        state = torch.tanh(net.matrices[0](seen))
    assert torch.equal(net(image), net.output(state))


@pytest.mark.parametrize(("shares", "matrices"), [(True, 1), (False, 8)])
def test_a_recurrent_net_has_one_matrix_or_one_for_each_step(shares: bool, matrices: int) -> None:
    net = rnn(shares_weights=shares)
    assert len(init.weight_layers(net)) == matrices + 1
    net(torch.rand(3, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def fcn(outputs: int = 64, **changes: Any) -> nn.Module:
    values = Fcn(**changes).model_dump()
    return models.fcn(input_shape=(1, 8, 8), outputs=outputs, **values)


def test_an_image_goes_in_and_an_image_of_its_size_comes_out() -> None:
    net = fcn(depth=2, norm="batch", kernel_size=5)
    assert kinds(net) == [*["Conv2d", "BatchNorm2d", "ReLU"] * 2, "Conv2d"]
    assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 1, 8, 8)
    assert fcn(outputs=192, depth=1)(torch.zeros(2, 1, 8, 8)).shape == (2, 3, 8, 8)
    assert sum(isinstance(m, nn.Conv2d) for m in fcn().modules()) == 17


def test_targets_that_are_no_image_do_not_apply_to_it() -> None:
    with pytest.raises(
        DoesNotApply,
        match="model=fcn answers with an image of 8 × 8 pixels, and a target has 10 numbers",
    ):
        fcn(outputs=10)


@pytest.mark.parametrize("build", [reference, rnn], ids=["reference", "rnn"])
def test_what_reads_images_does_not_apply_to_vectors(build: Any) -> None:
    with pytest.raises(DoesNotApply, match=r"needs images; a sample has shape \(64,\)"):
        build(input_shape=(64,))
