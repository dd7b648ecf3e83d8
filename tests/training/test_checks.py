"""Exact checks: each holds on the production code, and fails where a fault is planted in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from sweeper.training import checks, losses, optimizers, prepare, run, samples, streams, weights
from sweeper.training.checkpoint import Checkpoint
from sweeper.training.checks import by_hand, gradients, nets, printed
from sweeper.training.checks import data as data_checks
from sweeper.training.checks.bench import Bench, Fact
from sweeper.training.evaluate import Evaluation
from sweeper.training.kinds import CheckName

Plant = Callable[[pytest.MonkeyPatch], None]
SEED = 100
# The text has it that batch norm is the identity in evaluation, which it is not (E6).
CONTRADICTED = "norm_off_in_evaluation"


@pytest.fixture
def bench_of(tmp_path: Path) -> Callable[..., Bench]:
    return lambda **changes: Bench(SEED, "cpu", tmp_path, changes)


def test_every_check_that_may_be_asked_for_is_there() -> None:
    assert sorted(checks.CHECKS) == sorted(get_args(CheckName))


@pytest.mark.parametrize("name", get_args(CheckName))
def test_a_check_says_whether_it_holds(name: str, bench_of: Callable[..., Bench]) -> None:
    assert checks.look_at(name, bench_of())[name] == float(name != CONTRADICTED)


# A fault is a changed axis of every configuration that the check makes …
BY_AXIS: dict[str, list[dict[str, dict[str, Any]]]] = {
    "updates_per_epoch": [{"train": {"evaluate_every": 2}}],
    "fits_a_tiny_set": [
        {"model": {"cuts_gradient": True}},
        {"model": {"dropout": 0.9}},
        {"optim": {"weight_decay": 0.5}},
    ],
    "fresh_order_every_epoch": [
        {"train": {"shuffle": "never"}},
        {"train": {"shuffle": "once"}},
        {"data": {"label_shift": 1}},
    ],
    "eval_without_norm_or_dropout": [{"model": {"dropout": 0.2}}, {"model": {"norm": "batch"}}],
    "batch_update_is_the_mean": [
        {"train": {"clip_norm": 0.01}},
        {"model": {"norm": "batch"}},
        {"optim": {"lr": 1e-12}},
    ],
    "weights_reload": [{"model": {"hidden_units": 0, "depth": 1, "channels": 1, "bias": False}}],
    "dropout_off_in_evaluation": [
        {"train": {"evaluation_mode": "train"}},
        {"model": {"dropout": 0.0}},
    ],
    "words_decode": [{"optim": {"lr": 1e-6}}],
    "linear_net_collapses": [{"model": {"activation": "relu"}}],
    "losses_agree": [
        {"train": {"validation_loss": "divided_by_batch"}},
        {"model": {"dropout": 0.5}},
    ],
    "gaussian_likelihood_is_mse": [{"loss": {"name": "mae"}}],
    "stacking": [{"data": {"layout": "reshape"}}],
    "every_sample_validated_once": [{"data": {"split": "random"}}, {"data": {"folds": 6}}],
    "decay_is_an_l2_penalty": [{"optim": {"lr": 1e-9}}],
    "printed_code_fails": [{"model": {"activation": "relu"}}],
}


@pytest.mark.parametrize(
    ("name", "changes"), [(name, c) for name, all_ in BY_AXIS.items() for c in all_]
)
def test_a_planted_axis_is_caught(
    name: str, changes: dict[str, Any], bench_of: Callable[..., Bench]
) -> None:
    assert checks.look_at(name, bench_of(**changes))[name] == 0.0


# … or a production function that goes wrong.
def unseeded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        streams, "number", lambda seed, name: int(np.random.default_rng().integers(2**62))
    )


def forgotten_batch(patch: pytest.MonkeyPatch) -> None:
    bounds = run.batch_bounds
    patch.setattr(run, "batch_bounds", lambda *given: bounds(*given)[:-1])


def stale_validation(patch: pytest.MonkeyPatch) -> None:
    read, first = Evaluation.read, dict[int, float]()

    def stale(self: Evaluation, model: nn.Module) -> dict[str, float]:
        found = read(self, model)
        return {**found, "val_loss": first.setdefault(id(self), found["val_loss"])}

    patch.setattr(Evaluation, "read", stale)


def summed_loss(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(losses, "mse", lambda outputs, y: ((outputs - y) ** 2).sum())


def lost_weights(patch: pytest.MonkeyPatch) -> None:
    read = Checkpoint.read

    def noisy(self: Checkpoint) -> Any:
        state = read(self)
        assert state is not None
        return {"model": {k: v * 1.01 for k, v in state["model"].items()}}

    patch.setattr(Checkpoint, "read", noisy)


def stable_softmax(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(losses, "naive_cross_entropy", nn.functional.cross_entropy)


def wrong_slope(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(by_hand, "relu_slope", lambda x, above: above)


def blind_comparison(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gradients, "WITHIN", np.inf)


def wrong_momentum(patch: pytest.MonkeyPatch) -> None:
    build = optimizers.build
    patch.setattr(optimizers, "build", lambda o, p: build({**o, "lr": 0.9 * o["lr"]}, p))


def decoupled(patch: pytest.MonkeyPatch) -> None:
    build = optimizers.build

    def other(optim: dict[str, Any], parameters: Any) -> Any:
        is_sgd = optim["name"] == "sgd"
        return torch.optim.AdamW(parameters) if is_sgd else build(optim, parameters)

    patch.setattr(optimizers, "build", other)


def farthest_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(nets, "decoded", lambda v, t: [nets.WORDS[i] for i in (v @ t.T).argmin(dim=1)])


def mirrored_images(patch: pytest.MonkeyPatch) -> None:
    pixels = samples._as_pixels

    def mirrored(*given: Any) -> Any:
        images, ranges = pixels(*given)
        return images[:, :, ::-1], ranges

    patch.setattr(samples, "_as_pixels", mirrored)


def wrong_labels(patch: pytest.MonkeyPatch) -> None:
    pick = samples.pick

    def shifted(data: Any, *given: Any) -> Any:
        changed = prepare.Prepared(
            data.train_x, data.train_y.roll(1), data.val_x, data.val_y, data.classes
        )
        return pick(changed, *given)

    patch.setattr(samples, "pick", shifted)


def weights_of_another_moment(patch: pytest.MonkeyPatch) -> None:
    content = weights.content
    patch.setattr(weights, "content", lambda before, after: content(after, before))


def rows_and_columns_swapped(patch: pytest.MonkeyPatch) -> None:
    folder = data_checks.folder

    def swapped(*given: Any, **named: Any) -> Any:
        x, y = folder(*given, **named)
        return x.swapaxes(1, 2), y

    patch.setattr(data_checks, "folder", swapped)


def slip_without_effect(patch: pytest.MonkeyPatch) -> None:
    what, _, kind, words = printed.FAULTS[3]
    patch.setattr(printed, "FAULTS", ((what, lambda: None, kind, words), *printed.FAULTS))


def another_error(patch: pytest.MonkeyPatch) -> None:
    what, code, _, words = printed.FAULTS[4]
    patch.setattr(printed, "FAULTS", ((what, code, KeyError, words),))


def dropout_in_evaluation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(nn.Dropout, "forward", lambda self, x: nn.functional.dropout(x, 0.5, True))


def leaking_folds(patch: pytest.MonkeyPatch) -> None:
    prepared = prepare.prepare
    patch.setattr(prepare, "prepare", lambda raw, axes, seed: prepared(raw, axes, seed // 2 * 2))


PLANTED: list[tuple[str, Plant]] = [
    ("same_seed_same_result", unseeded),
    ("updates_per_epoch", forgotten_batch),
    ("fresh_order_every_epoch", forgotten_batch),
    ("batch_update_is_the_mean", summed_loss),
    ("losses_agree", stale_validation),
    ("weights_reload", lost_weights),
    ("exponent_overflows", stable_softmax),
    ("gradients_by_hand", wrong_slope),
    ("gradients_by_hand", blind_comparison),
    ("gradients_by_hand", wrong_momentum),
    ("decay_is_an_l2_penalty", decoupled),
    ("gaussian_likelihood_is_mse", summed_loss),
    ("words_decode", farthest_word),
    ("inputs_can_be_seen", mirrored_images),
    ("inputs_can_be_seen", wrong_labels),
    ("inputs_can_be_seen", weights_of_another_moment),
    ("stacking", rows_and_columns_swapped),
    ("printed_code_fails", slip_without_effect),
    ("printed_code_fails", another_error),
    ("dropout_off_in_evaluation", dropout_in_evaluation),
    ("every_sample_validated_once", leaking_folds),
]


@pytest.mark.parametrize(("name", "plant"), PLANTED)
def test_a_planted_fault_is_caught(
    name: str, plant: Plant, bench_of: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert checks.look_at(name, bench_of())[name] == 0.0


def test_every_check_is_seen_to_fail() -> None:
    seen = {*BY_AXIS, *(name for name, _ in PLANTED), CONTRADICTED}
    assert seen == set(checks.CHECKS)


def test_the_claim_on_batch_norm_would_hold_of_one_that_is_the_identity_in_evaluation(
    bench_of: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = nn.BatchNorm1d.forward
    monkeypatch.setattr(
        nn.BatchNorm1d, "forward", lambda self, x: forward(self, x) if self.training else x
    )
    assert checks.look_at(CONTRADICTED, bench_of())[CONTRADICTED] == 1.0


def test_a_check_that_raises_or_says_nothing_does_not_hold(
    bench_of: Callable[..., Bench],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raising(bench: Bench) -> Any:
        yield Fact("so far", True, 2)
        raise ValueError("here it ends")

    monkeypatch.setattr(checks, "CHECKS", {"raises": raising, "silent": lambda bench: []})
    assert checks.look_at("raises", bench_of()) == {"raises": 0.0, "raises_difference": 2.0}
    assert checks.look_at("silent", bench_of()) == {"silent": 0.0}
    said = capsys.readouterr().err
    assert "ValueError: here it ends" in said and "raises: holds: so far" in said


def test_the_task_reports_each_check_and_the_share_that_holds(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    asked = {"task": {"checks": ["exponent_overflows", CONTRADICTED]}}
    found = checks.run(asked, seed=SEED, device="cpu", report=None, workdir=tmp_path)  # type: ignore[arg-type]
    difference = found.pop(f"{CONTRADICTED}_difference")
    assert found == {
        "passed_score": 0.5, "exponent_overflows": 1.0, "exponent_overflows_difference": 0.0,
        CONTRADICTED: 0.0,
    }  # fmt: skip
    assert difference > 1e-3
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.get_rng_state(), before)
