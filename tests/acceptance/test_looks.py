"""`seeds: {min, max}` through the command line: no more trials than it takes to decide."""

from collections.abc import Callable
from typing import Any

import pytest

NOISY = '''
"""A loss about its arm's own level, and noise that each arm and seed has for itself."""

import random


def train(config, *, seed, device, report, workdir):
    loss = config.task.level + random.Random(f"{seed} {config.optim.lr}").gauss(0, 0.5)
    report(0, train_loss=loss)
    return {"train_loss": loss}
'''
SEEDS = {"min": 3, "max": 14}
ARMS = [
    {"name": "far", "set": {"optim.lr": 0.2, "task.level": 9.0}},
    {"name": "near", "set": {"optim.lr": 0.3, "task.level": 5.8}},
]
LOOKED: dict[str, Any] = {
    "baseline": {"task._target_": "noisy.train", "optim.lr": 0.1, "task.level": 5.0},
    "arms": ARMS,
    "seeds": SEEDS,
    "claims": [
        {"id": a["name"], "arm": a["name"], "kind": "worse", "statement": "it is"} for a in ARMS
    ],
}


@pytest.fixture
def looked(project: Any, here: Callable[..., Any]) -> Any:
    """A folder with the recipe `looked`; its short sweeps run within this process."""
    project.inside = here
    project.write("noisy.py", NOISY)
    project.recipe("looked", **LOOKED)
    return project


def run(project: Any, *words: str, name: str = "looked") -> Any:
    return project.run(name, "--allow", "noisy", *words)


def test_an_arm_has_as_many_seeds_as_its_claim_needs(looked: Any) -> None:
    assert run(looked).code == 0
    counts = {r["arm"]: int(r["n"]) for r in looked.table("looked/arms.csv")}
    assert 3 <= counts["far"] < counts["near"] <= counts["baseline"] <= 14
    assert len(looked.table("looked/trials.csv")) == sum(counts.values())
    assert {r["verdict"] for r in looked.table("looked/claims.csv")} == {"reproduced"}
    looks = looked.table("looked/looks.csv")
    assert looks[0]["seeds"] == "3" and looks[0]["trials"] == "9"
    assert looks[-1]["seeds"] == str(counts["baseline"])
    assert looks[-1]["stopped"] == "every claim is decided"


def test_the_same_command_again_looks_again_and_runs_nothing(looked: Any) -> None:
    run(looked)
    before = {n: looked.table(f"looked/{n}.csv") for n in ("claims", "looks", "trials")}
    attempts = looked.attempts()
    assert run(looked).code == 0
    assert looked.attempts() == attempts
    assert {n: looked.table(f"looked/{n}.csv") for n in before} == before


def test_a_sweep_that_was_stopped_between_looks_ends_as_one_that_was_not(looked: Any) -> None:
    run(looked, "seeds=4", "--outputs", "other")  # as far as the second look
    assert run(looked, "--outputs", "other").code == 0
    run(looked)
    for name in ("claims", "looks", "arms"):
        assert looked.table(f"looked/{name}.csv", "other") == looked.table(f"looked/{name}.csv")


def test_every_look_takes_its_own_processes_too(looked: Any) -> None:
    looked.inside = None
    answer = looked.run("looked", "--allow", "noisy", "executor.slots=2", executor="local")
    assert answer.code == 0, answer
    counts = {r["arm"]: int(r["n"]) for r in looked.table("looked/arms.csv")}
    assert counts["far"] < counts["near"] <= counts["baseline"]


def test_a_fixed_number_can_be_asked_for_instead(looked: Any) -> None:
    assert run(looked, "seeds=5").code == 0
    assert {r["n"] for r in looked.table("looked/arms.csv")} == {"5"}
    assert not (looked.folder / "outputs/looked/looks.csv").exists()
    assert run(looked, "seeds={min: 3, max: 6}", "--outputs", "again").code == 0
    assert looked.table("looked/looks.csv", "again")


@pytest.mark.parametrize(
    "seeds, message",
    [
        ({"min": 5, "max": 5}, "seeds: `min < max` must hold, but got (min=5, max=5)."),
        ({"min": 1, "max": 5}, "seeds.min: Input should be greater than or equal to 2 (got 1)."),
        ({"min": 3, "max": 500}, "seeds.max: Input should be less than or equal to 100 (got 500)."),
        ({"min": 3}, "the key 'seeds.max' is missing."),
        ({"min": 3, "max": 9, "by": 0}, "seeds.by: Input should be greater than or equal to 1"),
        ({"min": 3, "max": 9, "of": 2}, "unknown key 'seeds.of'. The keys are: min, max, by."),
        ({"min": 3.5, "max": 9}, "seeds.min: Input should be a valid integer"),
    ],
    ids=str,
)
def test_a_mistake_in_the_seeds_is_told_before_anything_runs(
    looked: Any, seeds: Any, message: str
) -> None:
    looked.recipe("wrong", **{**LOOKED, "seeds": seeds})
    answer = run(looked, name="wrong")
    assert answer.code == 2 and message in answer.err
    assert not (looked.folder / "outputs").exists()
