"""A user's own model, data and training function; and the built-in one, equal to the last bit."""

from typing import Any

import pytest

OWN = """
import numpy as np
import torch


def net(width, input_shape, outputs):
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(int(np.prod(input_shape)), width), torch.nn.ReLU(),
        torch.nn.Linear(width, outputs),
    )


def points(count, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64)


def halves(count=40):
    x, y = points(count, 0)
    return x[: count // 2], y[: count // 2], x[count // 2 :], y[count // 2 :]
"""
SMALL = {"train.epochs": 2, "data.train_samples": 200, "data.validation_samples": 100}
ACCURACY = {"val_accuracy": {"smallest_effect": 0.01}}


@pytest.fixture
def own(project: Any) -> Any:
    """A folder with a net and data of the user's; the recipe trains on digits."""
    project.write("own.py", OWN)
    project.recipe(baseline=SMALL, arms=[], claims=[], seeds=1, metrics=ACCURACY)
    return project


def rows(project: Any) -> list[dict[str, str]]:
    (folder,) = [p.name for p in (project.folder / "outputs").glob("tiny*")]
    return list(project.table(f"{folder}/trials.csv"))


def test_a_model_and_data_that_are_typed_are_allowed_and_trained(own: Any) -> None:
    answer = own.run(
        "tiny", "model._target_=own.net", "model.width=5", "data._target_=own.points",
        "data.count=60", "data.train_samples=40", "data.validation_samples=20",
    )  # fmt: skip
    assert answer.code == 0, answer
    (row,) = rows(own)
    assert row["status"] == "done" and 0 <= float(row["val_accuracy"]) <= 1
    (config,) = own.sql("SELECT config FROM trials")[0]
    assert '"width": 5' in config and '"count": 60' in config


def test_an_arm_that_sets_what_the_callable_lacks_is_skipped(own: Any) -> None:
    baseline = {"model._target_": "own.net", "model.width": 4, "data._target_": "own.halves"}
    deeper = {"name": "deeper", "set": {"model.depth": 3}}
    wider = {"name": "wider", "set": {"model.width": 8}}
    own.recipe(
        baseline={**baseline, "train.epochs": 1}, arms=[deeper, wider], claims=[], seeds=1,
        metrics=ACCURACY,
    )  # fmt: skip
    answer = own.run("tiny", "--allow", "own")
    assert answer.code == 0, answer
    assert [row["status"] for row in rows(own)] == ["done", "skipped", "done"]
    assert rows(own)[1]["error"].startswith("own.net takes no 'depth'; it takes ['input_shape',")


def test_what_a_recipe_names_needs_leave_and_the_environment_may_give_it(own: Any) -> None:
    own.recipe()
    refused = own.cli("run", "tiny", "--recipes", "recipes", "executor=inline")
    assert refused.code == 2
    assert "_target_ 'instant.train' is not allowed: add --allow instant" in refused.err
    words = ("run", "tiny", "--recipes", "recipes", "executor=inline")
    assert own.cli(*words, SWEEPER_ALLOW="other,instant").code == 0


def test_a_training_function_that_is_typed_is_allowed_and_gets_keys_of_its_own(own: Any) -> None:
    answer = own.cli(
        "run", "tiny", "--recipes", "recipes", "executor=inline", "task._target_=instant.train",
        "+task.fate=well", "seeds=2",
    )  # fmt: skip
    assert answer.code == 0, answer
    assert [float(row["train_loss"]) for row in rows(own)] == [0.01, pytest.approx(0.0111)]


def measured(project: Any, outputs: str) -> dict[str, Any]:
    """Every metric and every curve, as stored."""
    query = "SELECT trial_id, metrics, curve FROM attempts WHERE status = 'done'"
    return {trial_id: rest for trial_id, *rest in project.sql(query, outputs)}


def test_a_trial_gives_the_same_bits_again_and_under_every_executor(own: Any) -> None:
    arms = [{"name": "dropout", "set": {"model.dropout": 0.2, "optim": "adam"}}]
    own.recipe(baseline=SMALL, arms=arms, claims=[], seeds=2, metrics=ACCURACY)
    for executor, outputs in (("inline", "one"), ("local", "two")):
        answer = own.run("tiny", "--outputs", outputs, executor=executor)
        assert answer.code == 0, answer
    one, two = (measured(own, outputs) for outputs in ("one", "two"))
    assert len(one) == 4
    assert one == two
    assert len({str(found) for found in one.values()}) == 4
