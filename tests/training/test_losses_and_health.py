"""Losses and readings of a net's health against small cases worked out by hand."""

import math

import pytest
import torch
from torch import nn

from sweeper.errors import RequestError
from sweeper.training import health, losses

OUTPUTS = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
LABELS = torch.tensor([1, 1])


def test_the_plain_softmax_equals_the_fused_one_while_it_stays_finite() -> None:
    fused = losses.build("cross_entropy", is_classification=True)(OUTPUTS, LABELS)
    plain = losses.build("naive_cross_entropy", is_classification=True)(OUTPUTS, LABELS)
    assert plain.item() == pytest.approx(fused.item(), rel=1e-6)


def test_an_output_of_a_hundred_turns_the_plain_softmax_into_nan_and_not_the_fused_one() -> None:
    large = OUTPUTS * 100
    assert math.isnan(losses.naive_cross_entropy(large, LABELS).item())
    fused = losses.build("cross_entropy", is_classification=True)
    assert fused(large, LABELS).item() == pytest.approx(100)


def test_squared_and_absolute_errors_take_labels_as_one_hot_rows_and_numbers_as_they_are() -> None:
    assert losses.mse(OUTPUTS, LABELS).item() == pytest.approx((0 + 0 + 4 + 1) / 4)
    assert losses.mae(OUTPUTS, LABELS).item() == pytest.approx((0 + 0 + 2 + 1) / 4)
    numbers = torch.tensor([[1.0], [4.0]])
    assert losses.mse(torch.zeros(2, 1), numbers).item() == pytest.approx(8.5)
    assert losses.mae(torch.zeros(2, 1), numbers).item() == pytest.approx(2.5)


def test_a_loss_for_classes_refuses_numbers_and_says_which_loss_fits() -> None:
    with pytest.raises(RequestError, match=r"needs classes, and the targets are numbers: use loss"):
        losses.build("cross_entropy", is_classification=False)


def test_cross_entropy_on_numbers_is_zero_whatever_they_are_and_so_is_its_gradient() -> None:
    outputs = torch.tensor([[0.3], [-2.0]], requires_grad=True)
    loss = losses.build("misapplied_cross_entropy", is_classification=False)
    value = loss(outputs, torch.tensor([[1.5], [-0.7]]))
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 0
    assert outputs.grad is not None and not outputs.grad.any()
    assert losses.each("misapplied_cross_entropy")(outputs, torch.ones(2, 1)).tolist() == [0, 0]
    with pytest.raises(RequestError, match=r"misapplied_cross_entropy needs numbers as targets"):
        losses.build("misapplied_cross_entropy", is_classification=True)


def net_with_one_dead_unit() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        net[0].bias.copy_(torch.tensor([0.0, -5.0]))
    return net


def test_units_that_fire_for_no_sample_are_counted_as_dead() -> None:
    net, firing = net_with_one_dead_unit(), health.Firing()
    with firing.watch(net):
        net(torch.tensor([[1.0]]))
        assert firing.metrics() == {"dead_units": 0.5, "dead_layer": 0.5}
        net(torch.tensor([[-9.0]]))  # fires the other unit
    assert firing.metrics() == {"dead_units": 0.0, "dead_layer": 0.0}
    assert health.Firing().metrics() == {}


def test_shares_of_dead_units_are_exact() -> None:
    net, firing = nn.Sequential(nn.Linear(1, 20), nn.ReLU()), health.Firing()
    nn.init.constant_(net[0].weight, 0.0)
    nn.init.constant_(net[0].bias, -1.0)
    with torch.no_grad():
        net[0].bias[0] = 1.0
    with firing.watch(net):
        net(torch.ones(2, 1))
    assert firing.metrics() == {"dead_units": 0.95, "dead_layer": 0.95}


def test_one_relu_module_in_two_places_is_counted_in_both() -> None:
    relu = nn.ReLU()
    net = nn.Sequential(nn.Linear(1, 3), relu, nn.Linear(3, 1), relu)
    nn.init.constant_(net[0].weight, 1.0)
    nn.init.constant_(net[0].bias, 1.0)
    nn.init.constant_(net[2].weight, -1.0)
    nn.init.constant_(net[2].bias, 0.0)
    firing = health.Firing()
    with firing.watch(net):
        net(torch.ones(2, 1))
        net(torch.ones(2, 1))
    assert firing.metrics() == pytest.approx({"dead_units": 1 / 4, "dead_layer": 1.0})


def test_gradients_of_the_first_and_last_weight_layer_are_averaged_over_readings() -> None:
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    norms = health.GradientNorms(net, steps_per_epoch=2)
    for step, (first, last) in enumerate([(3.0, 1.0), (5.0, -3.0)]):
        net[0].weight.grad = torch.tensor([[first]])
        net[1].weight.grad = torch.tensor([[last]])
        norms.read(step)
    assert norms.take() == {"grad_norm_first": 4.0, "grad_norm_last": 2.0}
    assert norms.take() == {}


def test_weights_holding_nan_are_counted_by_tensor() -> None:
    net = net_with_one_dead_unit()
    assert health.nan_weights(net) == 0
    with torch.no_grad():
        net[0].bias[1] = math.inf
    assert health.nan_weights(net) == 1 / 4


def test_a_fingerprint_is_a_whole_number_that_a_single_bit_changes() -> None:
    net = net_with_one_dead_unit()
    before = health.weights_fingerprint(net)
    assert before == int(before) < 2**52
    assert health.weights_fingerprint(net) == before
    with torch.no_grad():
        net[2].bias += 1e-6
    assert health.weights_fingerprint(net) != before


def test_oscillation_is_the_spread_of_changes_in_the_second_half() -> None:
    assert health.oscillation([9, 9, 9, 9, 1, 10, 1, 10]) == pytest.approx(
        math.sqrt(1 - 1 / 9)
    )  # changes +1, −1, +1 of log10
    assert health.oscillation([5, 5, 5, 100, 10, 1]) == pytest.approx(0, abs=1e-12)
    assert health.oscillation([1, 2, 3, 4]) is None
    assert health.oscillation([1, 2, 3, 4, math.nan, 1]) is None
