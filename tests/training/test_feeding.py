"""What a step is fed: in which order, changed how, counted how often; and what its gradient is."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sweeper.errors import DoesNotApply, RequestError
from sweeper.training import augment, losses
from sweeper.training.augment import Augmentation
from sweeper.training.mining import Mining
from sweeper.training.order import Order
from sweeper.training.prepare import Prepared
from sweeper.training.values import Train

Runner = Callable[..., Any]
SMALL_CNN = {"_target_": "sweeper.training.models.cnn", "depth": 1, "channels": 4,
             "hidden_units": 8}  # fmt: skip
DIABETES: dict[str, Any] = {
    "data": {"_target_": "sweeper.training.data.diabetes"}, "loss": {"name": "mse"},
}  # fmt: skip


def data_of(x: Tensor, y: Tensor | None = None) -> Prepared:
    y = torch.arange(len(x)) % 2 if y is None else y
    return Prepared(x, y, x, y, () if y.is_floating_point() else ("a", "b"))


def train_axes(**changes: Any) -> dict[str, Any]:
    return Train(**changes).model_dump()


# The order.


def test_an_order_is_drawn_every_epoch_or_once_or_never() -> None:
    orders = {s: Order(50, s, seed=0) for s in ("every_epoch", "once", "never")}
    drawn = {s: [order.next() for _ in range(3)] for s, order in orders.items()}
    for epochs in drawn.values():
        assert all(epoch.sort().values.tolist() == list(range(50)) for epoch in epochs)
    assert len({tuple(e.tolist()) for e in drawn["every_epoch"]}) == 3
    assert all(torch.equal(e, drawn["every_epoch"][0]) for e in drawn["once"])
    assert all(e.tolist() == list(range(50)) for e in drawn["never"])


def test_how_samples_are_shuffled_shows_in_the_weights(run: Runner) -> None:
    found = {s: run(train={"shuffle": s}).metrics for s in ("every_epoch", "once", "never")}
    assert len({m["weights_fingerprint"] for m in found.values()}) == 3


# What becomes of images.


def numbered(samples: int, height: int, width: int) -> Tensor:
    """Images whose pixels say where they are."""
    rows = torch.arange(height)[:, None] * 100.0
    return (rows + torch.arange(width)).expand(samples, 1, height, width).contiguous()


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_shift_moves_each_image_by_up_to_so_many_pixels_both_ways_and_its_edge_goes_on() -> None:
    moved = augment.shift(numbered(400, 9, 7), 2.0, drawn())
    middle = {(v // 100 - 4, v % 100 - 3) for v in moved[:, 0, 4, 3].tolist()}
    assert middle == {(a, b) for a in range(-2, 3) for b in range(-2, 3)}
    for image in moved[:, 0]:
        down, right = divmod(image[4, 3].item(), 100)
        rows = (torch.arange(9) + down - 4).clamp(0, 8)
        columns = (torch.arange(7) + right - 3).clamp(0, 6)
        assert torch.equal(image, rows[:, None] * 100.0 + columns)


def test_a_flip_turns_about_every_second_image_left_to_right() -> None:
    images = numbered(400, 3, 4)
    flipped = augment.flip(images, 1.0, drawn())
    is_flipped = [torch.equal(a, b.flip(2)) for a, b in zip(flipped, images, strict=True)]
    assert all(f or torch.equal(a, b) for f, a, b in zip(is_flipped, flipped, images, strict=True))
    assert 160 < sum(is_flipped) < 240


def test_a_rotation_turns_about_the_middle_without_stretching_what_is_not_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A line from the middle of an oblong image to the right, by the largest angle that is drawn.
    image = torch.zeros(1, 1, 21, 41)
    image[..., 10, 20:29] = 1.0
    monkeypatch.setattr(torch, "rand", lambda count, generator: torch.ones(count))
    turned = augment.rotate(image, 90.0, drawn())
    there = torch.nonzero(turned[0, 0] > 0.5)
    assert set(there[:, 1].tolist()) == {20}
    assert len(there) == 9


def test_small_rotations_differ_from_image_to_image_and_stay_small() -> None:
    images = torch.rand(1, 1, 16, 16, generator=drawn()).repeat(20, 1, 1, 1)
    turned = augment.rotate(images, 5.0, drawn())
    away = (turned - images).abs().mean(dim=(1, 2, 3))
    assert len(set(away.tolist())) == 20
    assert away.max() < (augment.rotate(images, 90.0, drawn()) - images).abs().mean()


def test_noise_has_its_deviation_and_a_stream_of_its_own() -> None:
    images = torch.zeros(500, 1, 8, 8)
    axes = train_axes(input_noise=0.3)
    noisy = Augmentation(axes, data_of(images), seed=0)(images)
    assert noisy.std().item() == pytest.approx(0.3, rel=0.02)
    both = Augmentation({**axes, "augmentation": "shift"}, data_of(images), seed=0)
    assert torch.equal(both(images), noisy)


@pytest.mark.parametrize(
    "train",
    [{"augmentation": "shift"}, {"augmentation": "flip"}, {"augmentation": "rotate"},
     {"input_noise": 0.1}, {"l1": 1e-3}, {"clears_gradients": False}],
    ids=lambda t: next(iter(t)),
)  # fmt: skip
def test_each_of_them_shows_in_the_weights_and_leaves_the_untrained_net_alone(
    run: Runner, train: Any
) -> None:
    plain, other = run(model=SMALL_CNN), run(model=SMALL_CNN, train={"epochs": 2, **train})
    assert other.curve[0] == plain.curve[0]
    assert other.metrics["weights_fingerprint"] != plain.metrics["weights_fingerprint"]


def test_a_reading_sees_the_samples_as_they_are(run: Runner) -> None:
    still = {"optim": {"name": "sgd", "lr": 1e-30}}
    plain, noisy = run(**still), run(**still, train={"epochs": 2, "input_noise": 5.0})
    for name in ("train_loss", "val_loss", "train_accuracy"):
        assert noisy.metrics[name] == plain.metrics[name]
    assert noisy.metrics["running_loss"] != plain.metrics["running_loss"]


def test_vectors_and_targets_that_are_images_do_not_apply_to_augmentation() -> None:
    axes = train_axes(augmentation="flip")
    with pytest.raises(
        DoesNotApply, match=r"train\.augmentation: flip needs images; a sample has shape \(64,\)"
    ):
        Augmentation(axes, data_of(torch.rand(4, 64)), seed=0)
    images = torch.rand(4, 1, 8, 8)
    with pytest.raises(
        DoesNotApply,
        match=r"train\.augmentation: flip would move the images away from their targets, which "
        "are images too",
    ):
        Augmentation(axes, data_of(images, images), seed=0)


def test_an_image_cannot_be_shifted_out_of_sight() -> None:
    axes = train_axes(augmentation="shift", augmentation_size=8)
    with pytest.raises(
        RequestError,
        match=r"train\.augmentation_size: images of 8 × 9 cannot be shifted by 8 pixels",
    ):
        Augmentation(axes, data_of(torch.rand(4, 1, 8, 9)), seed=0)


# Hard samples.


@pytest.mark.parametrize("name", ["cross_entropy", "naive_cross_entropy", "mse", "mae"])
def test_the_losses_of_samples_by_themselves_have_the_loss_as_their_mean(name: str) -> None:
    outputs, labels = torch.randn(30, 5, generator=drawn()), torch.arange(30) % 5
    loss = losses.build(name, is_classification=True)(outputs, labels)
    each = losses.each(name)(outputs, labels)
    assert each.shape == (30,)
    assert each.mean().item() == pytest.approx(loss.item(), rel=1e-6)


def mining(kind: str, **changes: Any) -> tuple[Mining, nn.Module, Tensor]:
    """Twenty samples, of which the later ones are the harder for this net."""
    x = torch.arange(20.0)[:, None]
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    axes = train_axes(mining=kind, mining_share=0.2, **changes)
    return Mining(axes, data_of(x, torch.zeros(20, 1)), "mse", seed=0), net, x


def test_the_hardest_count_three_times_and_each_time_others_are_added() -> None:
    found, net, x = mining("hard")
    outputs = net(x).detach()
    chosen: list[int] = []
    for hardest in ([19, 18, 17, 16], [15, 14, 13, 12]):
        found.choose(net)
        chosen += hardest
        counts = torch.ones(20)
        counts[chosen] = 3.0
        expected = (outputs[:, 0] ** 2 * counts).sum() / counts.sum()
        assert found.loss(outputs, torch.zeros(20, 1), torch.arange(20)) == expected
    for _ in range(9):
        found.choose(net)
    plain = (outputs**2).mean()
    assert found.loss(outputs, torch.zeros(20, 1), torch.arange(20)) == pytest.approx(plain.item())


def test_as_many_are_drawn_at_random_whatever_their_loss() -> None:
    found, net, _ = mining("random")
    found.choose(net)
    counts = found.state()[0]
    assert sorted(counts.tolist()) == [1.0] * 16 + [3.0] * 4
    assert torch.nonzero(counts == 3)[:, 0].tolist() != [16, 17, 18, 19]


@pytest.mark.parametrize("kind", ["hard", "random"])
def test_mining_begins_after_so_many_epochs_and_not_before(run: Runner, kind: str) -> None:
    plain = run(train={"epochs": 4})
    mined = run(train={"epochs": 4, "mining": kind, "mining_every": 2})
    assert mined.curve[:3] == plain.curve[:3]
    assert mined.curve[3:] != plain.curve[3:]
    assert mined.metrics["steps"] == plain.metrics["steps"]


def test_hard_and_random_samples_are_not_the_same_ones(run: Runner) -> None:
    hard, random = (
        run(train={"epochs": 2, "mining": kind, "mining_every": 1}).metrics
        for kind in ("hard", "random")
    )
    assert hard["weights_fingerprint"] != random["weights_fingerprint"]


# The gradient.


def test_gradients_that_are_not_cleared_add_up(run: Runner) -> None:
    sgd = {"name": "sgd", "lr": 1e-12}  # the weights stay: each step has the same gradient
    train = {"epochs": 8, "batch_size": 200, "shuffle": "never"}
    cleared = run(optim=sgd, train=train)
    left = run(optim=sgd, train={**train, "clears_gradients": False})
    once, added = cleared.reported("grad_norm_last"), left.reported("grad_norm_last")
    assert added == pytest.approx([once[0] * (n + 1) for n in range(8)], rel=1e-4)


def test_l1_pulls_the_weights_to_zero_by_its_own_step_and_no_loss_holds_it(run: Runner) -> None:
    def weights(**train: Any) -> Any:
        return run(optim={"name": "sgd", "lr": 0.1}, train={"epochs": 1, "batch_size": 200,
                   "probes": ["weights", "steps"], **train}).metrics  # fmt: skip

    plain, pulled = weights(), weights(l1=1e-2)
    assert pulled["running_loss"] == plain["running_loss"]
    away = plain["largest_weight"] - pulled["largest_weight"]
    assert away == pytest.approx(0.1 * 1e-2, rel=1e-2)


def test_too_strong_an_l1_keeps_the_net_from_learning(run: Runner) -> None:
    values = run(train={"epochs": 8, "l1": 0.1}).reported("train_loss")
    assert values[-1] == pytest.approx(math.log(10), abs=0.02)


# A class that is watched.


def test_a_watched_class_is_read_on_the_validation_part(run: Runner) -> None:
    result = run(train={"epochs": 3, "watch_class": 3})
    plain = run(train={"epochs": 3})
    assert len(result.reported("class_recall")) == 4
    assert 0 <= result.metrics["class_recall"] <= 1
    assert result.metrics["class_false_positives"].is_integer()
    assert result.metrics["weights_fingerprint"] == plain.metrics["weights_fingerprint"]


def test_recall_and_false_positives_are_those_of_the_class_alone(run: Runner) -> None:
    # Seen of all ten: what is found of each, and what is wrongly taken for any of them.
    each = [run(train={"epochs": 4, "watch_class": c}).metrics for c in range(10)]
    wrong = round((1 - each[0]["val_accuracy"]) * 597)
    assert sum(m["class_false_positives"] for m in each) == wrong
    assert len({m["class_recall"] for m in each}) > 3


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        pytest.param(
            {"train": {"watch_class": "x"}},
            r"^train\.watch_class: there is no class 'x'\. The classes are: 0, 1, 2, 3, 4, 5, 6, "
            r"7, 8, 9\.$",
            id="no class of this name",
        ),
        pytest.param(
            {"data": {"drop_classes": [3]}, "train": {"watch_class": 3}},
            r"^train\.watch_class: data\.drop_classes leaves 3 out\.$",
            id="left out",
        ),
        pytest.param(
            {**DIABETES, "train": {"watch_class": 3}},
            r"^train\.watch_class: 3 needs classes, and data=diabetes has numbers\.$",
            id="numbers",
        ),
    ],
)
def test_a_class_that_is_not_there_cannot_be_watched(
    run: Runner, groups: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        run(**groups)
