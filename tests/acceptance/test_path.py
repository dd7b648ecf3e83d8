"""A path from the baseline to a target: which change is taken next follows from what was measured."""

# ruff: noqa: E501 - a case of a table is a line

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

# `a` does much, `b` some, `c` some once `b` is there, and `d` diverges without `b`.
TASK = '''
"""A training function whose changes depend on each other."""

import os
import time


def train(config, *, seed, device, report, workdir):
    task = config.task
    time.sleep(task.get("seconds", 0))
    if task.get("fails") and task.get("a") and not os.path.exists("mended"):
        raise ValueError("a does not work yet")
    if task.get("d") and not task.get("b"):
        return {"val_loss": float("nan")}
    loss = 1.0 - 0.5 * task.a * (1 + seed / 100) - 0.2 * task.b * (1 + seed / 50)
    loss -= 0.3 * task.c * (1 if task.b else 0.1) * (1 + seed / 80)
    return {"val_loss": loss, "val_score": -loss}
'''
WALK: dict[str, Any] = {
    "baseline": {
        "task._target_": "walking.train",
        "task.a": 0,
        "task.b": 0,
        "task.c": 0,
        "task.d": 0,
    },
    "arms": None,
    "path": {"task.d": 1, "task.c": 1, "task.b": 1, "task.a": 1},
    "claims": None,
    "metrics": ["val_loss"],
}
ROUNDS = [
    ("1", "task.d=1", "1_task.d=1", "false"), ("1", "task.c=1", "1_task.c=1", "false"),
    ("1", "task.b=1", "1_task.b=1", "false"), ("1", "task.a=1", "1_task.a=1", "true"),
    ("2", "task.d=1", "2_task.d=1", "false"), ("2", "task.c=1", "2_task.c=1", "false"),
    ("2", "task.b=1", "2_task.b=1", "true"), ("3", "task.d=1", "3_task.d=1", "false"),
    ("3", "task.c=1", "3_task.c=1", "true"), ("4", "task.d=1", "target", "true"),
]  # fmt: skip
RUN = ("run", "walk", "--recipes", "recipes", "--allow", "walking", "executor=inline")
PLAN = ("plan", "walk", "--recipes", "recipes")


@pytest.fixture
def walk(project: Any) -> Callable[..., Any]:
    """walk(**changes): the recipe `walk`, with these keys changed."""
    project.write("walking.py", TASK)

    def write(**changes: Any) -> Any:
        return project.recipe("walk", **{**WALK, **changes})

    write()
    return write


def rounds(project: Any) -> list[tuple[str, ...]]:
    columns = ("round", "change", "arm", "is_taken")
    return [tuple(row[c] for c in columns) for row in project.table("walk/path.csv")]


def test_each_round_takes_the_change_that_measured_best_on_top_of_those_before(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    answer = here(*RUN)
    assert answer.code == 0, answer
    assert "walk: 6 arms, 33 trials, 0 done already" in answer.out
    assert rounds(project) == ROUNDS
    compared = {row["arm"]: row["baseline"] for row in project.table("walk/arms.csv")}
    assert compared == {
        "baseline": "", "1_task.d=1": "baseline", "1_task.c=1": "baseline",
        "1_task.b=1": "baseline", "1_task.a=1": "baseline", "2_task.d=1": "1_task.a=1",
        "2_task.c=1": "1_task.a=1", "2_task.b=1": "1_task.a=1", "3_task.d=1": "2_task.b=1",
        "3_task.c=1": "2_task.b=1", "target": "baseline",
    }  # fmt: skip
    row = next(r for r in project.table("walk/trials.csv") if r["arm"] == "2_task.b=1")
    assert [row[f"task.{axis}"] for axis in "abcd"] == ["1", "1", "0", "0"]
    assert project.attempts() == {"done": 27, "diverged": 6}


def test_the_shares_of_what_was_taken_add_up_to_the_whole_distance(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    answer = here(*RUN)
    taken = [row for row in project.table("walk/path.csv") if row["is_taken"] == "true"]
    shares = [float(row["share"]) for row in taken]
    assert sum(shares) == pytest.approx(1)
    deltas = [float(row["delta"]) for row in taken]
    assert deltas == pytest.approx([-0.505, -0.204, -0.30375, 0])
    first, *_, last = project.table("walk/path.csv")
    assert (first["mean"], first["delta"], first["share"]) == ("", "", "")  # it diverged
    assert float(last["delta_ci_low"]) == float(last["delta_ci_high"]) == 0
    lines = [line.split() for line in answer.out.splitlines()]
    assert ["1", "task.a=1", "val_loss", "0.495", "-0.505", "0.499"] in lines


def test_a_metric_that_goes_up_leads_the_same_way(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    walk(metrics=["val_score", "val_loss"])
    here(*RUN)
    found = [row for row in project.table("walk/path.csv") if row["is_taken"] == "true"]
    assert [r["change"] for r in found[::2]] == ["task.a=1", "task.b=1", "task.c=1", "task.d=1"]
    assert [r["metric"] for r in found[:2]] == ["val_score", "val_loss"]


def test_of_equal_changes_the_recipes_first_is_taken(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    project.write(
        "even.py",
        "def train(config, *, seed, device, report, workdir):\n"
        "    return {'val_loss': 1.0 - config.task.x - config.task.y}\n",
    )
    walk(
        baseline={"task._target_": "even.train", "task.x": 0, "task.y": 0},
        path={"task.x": 1, "task.y": 1},
    )
    here(*RUN, "--allow", "even")
    assert rounds(project)[0] == ("1", "task.x=1", "1_task.x=1", "true")


def test_where_every_change_diverges_somewhere_the_median_decides(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    project.write(
        "fates.py",
        "def train(config, *, seed, device, report, workdir):\n"
        "    task = config.task\n"
        "    lost = (task.a and seed < 2) or (task.b and seed < 1)\n"
        "    return {'val_loss': float('nan') if lost else 1.0 + task.b}\n",
    )
    task = {**WALK["baseline"], "task._target_": "fates.train"}
    walk(baseline=task, path={"task.a": 1, "task.b": 1})
    here(*RUN, "--allow", "fates")
    assert [row[1] for row in rounds(project) if row[3] == "true"] == ["task.b=1", "task.a=1"]


def test_linked_axes_are_one_change(here: Callable[..., Any], project: Any, walk: Any) -> None:
    walk(path={"task.d, task.b": [1, 1], "task.a": 1})
    here(*RUN)
    assert rounds(project) == [
        ("1", "task.d=1,task.b=1", "1_task.d=1,task.b=1", "false"),
        ("1", "task.a=1", "1_task.a=1", "true"),
        ("2", "task.d=1,task.b=1", "target", "true"),
    ]


def test_again_it_comes_to_the_same_path_and_runs_nothing(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    here(*RUN)
    before = {p.name: p.read_bytes() for p in (project.folder / "outputs/walk").glob("*.csv")}
    assert "walk: 6 arms, 33 trials, 33 done already" in here(*RUN).out
    assert before == {
        p.name: p.read_bytes() for p in (project.folder / "outputs/walk").glob("*.csv")
    }
    (project.folder / "outputs/walk/path.csv").unlink()
    here("compare", "walk")
    assert (project.folder / "outputs/walk/path.csv").read_bytes() == before["path.csv"]
    assert ["walk", "33", "27", "6"] in [
        line.split()[:4] for line in here("status").out.splitlines()
    ]


def test_more_seeds_may_take_another_way_and_keep_every_trial(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    here(*RUN)
    answer = here(*RUN, "seeds=4")
    assert "walk: 6 arms, 44 trials, 33 done already" in answer.out
    assert project.attempts() == {"done": 36, "diverged": 8}


def test_what_failed_is_passed_over_and_tried_again_on_request(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    walk(baseline={**WALK["baseline"], "task.fails": True})
    answer = here(*RUN)
    assert answer.code == 1
    assert next(row[1] for row in rounds(project) if row[3] == "true") == "task.b=1"
    project.write("mended", "")
    answer = here(*RUN, "--retry")
    assert answer.code == 0, answer
    assert rounds(project) == ROUNDS


def test_where_nothing_was_measured_the_path_waits(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    walk(
        baseline={**WALK["baseline"], "task.fails": True, "task.a": 1},
        path={"task.b": 1, "task.c": 1},
    )
    assert here(*RUN).code == 1
    assert [row[3] for row in rounds(project)] == ["false", "false"]


def test_plan_says_how_many_arms_are_still_to_be_chosen(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    walk(path={**WALK["path"], "task._target_": "walking.train"})
    answer = here(*PLAN)
    assert (
        "11 arms (5 of them chosen by what is measured) × 3 seeds = 33 cells, 33 trials: 0 done"
        in answer.out
    )
    assert "path: task._target_=walking.train is the baseline's already: left out." in answer.out
    (row,) = (r for r in here("list", "--recipes", "recipes").out.splitlines() if " walk " in r)
    assert row.split()[-3:-1] == ["11", "33"]
    here(*RUN)
    answer = here(*PLAN)
    assert "11 arms × 3 seeds = 33 cells, 33 trials: 33 done" in answer.out
    assert "3_task.c=1" in answer.out
    answer = here(*PLAN, "seeds={min: 4, max: 6}")
    assert "× 4 to 6 seeds = 44 to 66 cells, 44 to 66 trials: 18 done" in answer.out


def test_claims_may_speak_of_the_first_round_and_of_the_target(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    walk(claims=[{"id": "P1", "kind": "better", "arm": "target", "statement": "all of it helps"}])
    here(*RUN)
    (claim,) = project.table("walk/claims.csv")
    assert (claim["verdict"], claim["reference"]) == ("reproduced", "baseline")


def test_seeds_that_are_added_in_looks_leave_the_path_as_it_is(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    claim = {"id": "P1", "kind": "better", "arm": "target", "statement": "all of it helps"}
    walk(seeds={"min": 3, "max": 9}, claims=[claim])
    here(*RUN)
    assert rounds(project) == ROUNDS
    here(*RUN)
    assert rounds(project) == ROUNDS
    assert "11 arms × 3 seeds = 33 cells, 33 trials: 33 done" in here(*PLAN).out


def test_one_change_alone_is_a_path_of_one_round(
    here: Callable[..., Any], project: Any, walk: Any
) -> None:
    walk(path={"task.a": 1})
    here(*RUN)
    assert rounds(project) == [("1", "task.a=1", "1_task.a=1", "true")]
    assert {row["arm"] for row in project.table("walk/arms.csv")} == {"baseline", "1_task.a=1"}


SEARCH = {"axes": {"optim.lr": {"low": 0.1, "high": 1}}, "trials": 2}
LATER = {"id": "P1", "kind": "better", "arm": "2_task.b=1", "statement": "it helps"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no-distance": ({"path": {"task.a": 0}}, "path: its target equals the baseline: let it change something."),
    "misspelt-axis": ({"path": {"optim.lrr": 1}}, "arm '1_optim.lrr=1': unknown axis 'optim.lrr'. Did you mean 'optim.lr'"),
    "axis-twice": ({"path": {"task.a": 1, "task.a, task.b": [1, 1]}}, "path: the axis 'task.a' stands twice: take it out of one key."),
    "linked-without-a-list": ({"path": {"task.a, task.b": 1}}, "path: 'task.a, task.b' links 2 axes, so each of its values is a list of 2: value 1 is not."),
    "of-no-effect-alone": ({"baseline": {**WALK["baseline"], "optim": "sgd"}, "path": {"optim": "adam", "optim.lr": 0.01}}, "path: optim.lr=0.01 changes nothing of the baseline, but something of the target: link it to the axis that it belongs to, as in 'optim, optim.lr': [adam, 0.001]."),
    "no-effect-together": ({"baseline": {**WALK["baseline"], "task.c": "${task.b}"}, "path": {"task.b": 1, "task.c": 1, "task.a": 1}}, "path: task.b=1 and task.c=1 together are no other than task.b=1: leave one out, or link them"),
    "later-round": ({"claims": [LATER]}, "claim P1 speaks of the arm '2_task.b=1', which does not exist."),
    "an-arm-named-target": ({"arms": [{"name": "target", "set": {"task.a": 1}}]}, "two arms have the name 'target': give each its own."),
    "search": ({"search": SEARCH}, "path: neither its arms nor the baseline can be tuned"),
    "too-long": ({"path": {f"task.x{i}": 1 for i in range(150)}}, "this design has 11326 arms, and at most 10000 are possible"),
    "too-many-trials": ({"path": {f"task.x{i}": 1 for i in range(100)}, "seeds": 100}, "5051 arms with 100 seeds are 505100 trials, and at most 100000 are possible"),
    "no-mapping": ({"path": ["task.a"]}, "path: Input should be a mapping."),
    "secret": ({"path": {"task.token": "b"}}, "the values of task.token are secret and would name the arms"),
}  # fmt: skip


@pytest.mark.parametrize("changes, said", WRONG.values(), ids=WRONG)
def test_a_wrong_path_is_refused_with_the_mend(
    here: Callable[..., Any], walk: Any, changes: dict[str, Any], said: str
) -> None:
    walk(**changes)
    answer = here(*PLAN)
    assert answer.code == 2, answer
    assert said in answer.err


def test_a_path_that_was_killed_goes_on_where_it_stood(
    project: Any, walk: Any, wait_until: Callable[..., None]
) -> None:
    walk(baseline={**WALK["baseline"], "task.seconds": 0.1})
    begun = project.start(*RUN[:-1], "executor=local", "executor.slots=1")
    folder = project.folder / "outputs/trials"
    wait_until(lambda: folder.is_dir() and len(list(folder.iterdir())) > 20, 60)  # the second round
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()
    answer = project.cli(*RUN)
    assert answer.code == 0, answer
    assert rounds(project) == ROUNDS
    done = dict(
        project.sql("SELECT status, count(DISTINCT trial_id) FROM attempts GROUP BY status")
    )
    assert (done["done"], done["diverged"]) == (27, 6)
