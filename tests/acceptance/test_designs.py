"""Designs through the command line: plans and lists of all, effects and claims of a factorial."""

from collections.abc import Callable
from typing import Any

import pytest

# High less low: 2 for the step size, -3 for the norm, and 1 more where both are high.
ADDITIVE = """
def train(config, *, seed, device, report, workdir):
    norm = {"none": 0, "batch": 1}[config.model.norm]
    rate = round((config.optim.lr - 0.1) / 0.2)
    report(0, train_loss=9.0)
    wobble = ((7 * seed + 3 * norm + 5 * rate) % 11 - 5) / 1000
    return {"train_loss": 10 + 1.5 * rate - 3.5 * norm + rate * norm + seed + wobble}
"""

STUDY: dict[str, Any] = {
    "baseline": {"task._target_": "additive.train", "optim.lr": 0.1},
    "arms": [],
    "factorial": {"axes": {"optim.lr": [0.1, 0.3], "model.norm": ["none", "batch"]}},
    "seeds": 5,
    "metrics": {"train_loss": {"smallest_effect": 0.01}},
    "claims": [
        {"id": "F1", "effect": "model.norm", "kind": "better", "statement": "norm helps"},
        {"id": "F2", "effect": "optim.lr", "kind": "no_effect", "statement": "no step size"},
        {"id": "F3", "effect": "model.norm:optim.lr", "kind": "worse", "statement": "together"},
    ],
}


@pytest.fixture
def project(project: Any, here: Callable[..., Any]) -> Any:
    project.inside = here
    project.write("additive.py", ADDITIVE)
    return project


def test_a_factorial_tells_the_true_effects_and_their_interaction(project: Any) -> None:
    project.recipe("effects", **STUDY)
    answer = project.run("effects", "--allow", "additive")
    assert answer.code == 0, answer
    rows = {row["effect"]: row for row in project.table("effects/effects.csv")}
    assert list(rows) == ["optim.lr", "model.norm", "optim.lr:model.norm"]
    deltas = [float(row["delta"]) for row in rows.values()]
    assert deltas == pytest.approx([2, -3, 0.5], abs=0.01)
    assert [row["verdict"] for row in rows.values()] == ["worse", "better", "worse"]
    verdicts = {row["claim"]: row["verdict"] for row in project.table("effects/claims.csv")}
    assert verdicts == {"F1": "reproduced", "F2": "contradicted", "F3": "reproduced"}
    assert (
        "outputs/effects: trials.csv arms.csv comparisons.csv claims.csv curves.csv" in answer.out
    )
    assert "curves.csv effects.csv" in answer.out
    (line,) = [line for line in answer.out.splitlines() if line.startswith(" optim.lr:model.norm ")]
    assert line.split()[-1] == "worse"

    before = (project.folder / "outputs/effects/effects.csv").read_bytes()
    (project.folder / "outputs/effects/effects.csv").unlink()
    assert project.cli("compare", "effects").code == 0
    assert (project.folder / "outputs/effects/effects.csv").read_bytes() == before


def test_a_recipe_that_drops_its_factorial_drops_its_table_too(project: Any) -> None:
    few = {"seeds": 1, "claims": []}
    project.recipe("effects", **{**STUDY, **few})
    assert project.run("effects", "--allow", "additive").code == 0
    table = project.folder / "outputs/effects/effects.csv"
    assert table.is_file()
    grid = STUDY["factorial"]["axes"]
    project.recipe("effects", **{**STUDY, **few, "factorial": None, "grid": grid})
    answer = project.run("effects", "--allow", "additive")
    assert answer.code == 0 and "effects.csv" not in answer.out
    assert not table.exists()
    assert project.attempts() == {"done": 4}  # a grid has the same cells


DESIGNS = {
    "leave_one_out": ({"leave_one_out": {"momentum": {"optim": "sgd"}, "optim.lr": 0.5}}, 3),
    "add_one_in": ({"add_one_in": {"model.norm": "batch"}}, 2),
    "linked": ({"ladder": {"optim.lr, train.batch_size": [[0.2, 8], [0.4, 16]]}}, 3),
    "union": ({"grid": [{"optim.lr": [0.1, 0.2]}, {"optim.lr": [0.2, 0.3]}]}, 3),
    "conditional": ({"grid": {"schedule": ["constant", "step"], "schedule.factor": [0.1, 0.5]}}, 3),
    "default_value": ({"grid": {"model.norm": ["none", "batch"]}}, 2),
    "fraction": (
        {
            "factorial": {
                "axes": {f"task.{name}": [0, 1] for name in "abcde"},
                "resolution": 4,
            },
            "baseline": {
                "task._target_": "additive.train", **{f"task.{name}": 0 for name in "abcde"},
            },
        },
        16,
    ),
}  # fmt: skip


def test_every_design_is_listed_with_as_many_arms_as_are_planned_and_shown(project: Any) -> None:
    for path in (project.folder / "recipes").glob("*.yaml"):
        path.unlink()
    for name, (keys, _) in DESIGNS.items():
        project.recipe(name, **{**STUDY, "factorial": None, "claims": [], **keys})
    listed = project.cli("list", "--recipes", "recipes").out.splitlines()
    counts = {line.split()[0]: line.split()[-3] for line in listed if line.split()[:1]}
    planned = project.cli(
        "plan", *DESIGNS, "--recipes", "recipes"
    ).out  # fmt: skip
    for name, (_, arms) in DESIGNS.items():
        assert counts[name] == str(arms), name
        assert f"{arms} arms × 5 seeds = {arms * 5} cells" in planned, name
    lines = planned.splitlines()
    (without,) = [line for line in lines if line.startswith(" without_momentum ")]
    assert "optim.momentum: 0.9 → none" in without
    (step,) = [line for line in lines if line.startswith(" schedule=step,schedule.factor=0.5 ")]
    assert "schedule.name: constant → step" in step
    assert "schedule.factor: none → 0.5" in step


def test_an_interaction_of_a_fraction_is_told_undecidable_before_anything_runs(
    project: Any,
) -> None:
    keys, _ = DESIGNS["fraction"]
    axes = dict(list(keys["factorial"]["axes"].items())[:4])
    claim = {"id": "F1", "effect": "task.b:task.a", "kind": "better", "statement": "both"}
    project.recipe(
        "half", **{**STUDY, **keys, "factorial": {"axes": axes, "resolution": 4}, "claims": [claim]}
    )
    answer = project.cli("plan", "half", "--recipes", "recipes")
    assert (
        "Cannot be decided: F1: resolution 4 measures it together with task.c:task.d: only the "
        "full design tells them apart."
    ) in answer.out
