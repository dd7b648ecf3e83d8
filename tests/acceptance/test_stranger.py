"""Recipes on a stranger's code: what does not apply is skipped, and later steps leave it out."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

# Reads the learning rate and its own keys, and nothing of model, data or train.
MINE = """
import os

import sweeper


def train(config, *, seed, device, report, workdir):
    if config.task.get("unheard_of"):
        raise sweeper.DoesNotApply("there is no such thing here")
    loss = config.optim.lr * (1 + seed / 100) + config.task.get("more", 0)
    if seed == 1 and config.task.get("looks"):
        loss += config.train.batch_size
    if config.task.get("forks"):
        child = os.fork()
        if not child:
            os._exit(config.model.depth)
        os.waitpid(child, 0)
    return {"train_loss": loss}
"""
STEPS: dict[str, Any] = {
    "baseline": {"task._target_": "mine.train", "optim.lr": 0.1},
    "arms": None,
    "sequence": [
        {"name": "faster", "set": {"optim.lr": 0.2}},
        {"name": "norm", "set": {"model.norm": "batch", "train.batch_size": 16}},
        {"name": "unheard_of", "set": {"task.unheard_of": 1}},
        {"name": "more", "set": {"task.more": 0.5}},
    ],
    "claims": None,
    "seeds": 2,
}
RUN = ("run", "steps", "--recipes", "recipes", "--allow", "mine", "executor=inline")
SEARCH = {
    "arms": ["tuned"],
    "axes": {"optim.lr": {"low": 0.01, "high": 0.1}},
    "trials": 2,
    "seeds": [100],
    "metric": "train_loss",
}
UNREAD = "the task read none of: model.norm, train.batch_size"
CLAIMS = [
    {"id": "N1", "arm": "norm", "kind": "no_effect", "statement": "?"},
    {"id": "N2", "arm": "more", "reference": "unheard_of", "kind": "worse", "statement": "?"},
    {"id": "N3", "arm": "unheard_of", "kind": "diverges", "statement": "?"},
    {"id": "N4", "arm": "more", "kind": "worse", "statement": "?"},
]


@pytest.fixture
def steps(project: Any) -> Callable[..., Any]:
    """steps(**changes): the recipe `steps`, with these keys changed."""
    project.write("mine.py", MINE)

    def write(**changes: Any) -> Any:
        return project.recipe("steps", **{**STEPS, **changes})

    write()
    return write


def of_arms(project: Any, column: str, plan: str = "steps") -> dict[str, str]:
    """A column of trials.csv at the first seed, by arm."""
    rows = project.table(f"{plan}/trials.csv")
    return {row["arm"]: row[column] for row in rows if row["seed"] == "0"}


def compared(project: Any, plan: str = "steps") -> dict[str, str]:
    return {row["arm"]: row["baseline"] for row in project.table(f"{plan}/arms.csv")}


def test_a_later_step_starts_from_the_last_one_that_applied(
    here: Callable[..., Any], project: Any, steps: Any
) -> None:
    steps(arms=[{"name": "aside", "from": "norm", "set": {"task.more": 1}}], claims=CLAIMS)
    answer = here(*RUN)
    assert answer.code == 0, answer
    assert of_arms(project, "status") == {
        "baseline": "done", "faster": "done", "norm": "skipped", "unheard_of": "skipped",
        "more": "done", "aside": "done",
    }  # fmt: skip
    errors = of_arms(project, "error")
    assert (errors["norm"], errors["unheard_of"]) == (UNREAD, "there is no such thing here")
    assert compared(project) == {
        "baseline": "", "faster": "baseline", "norm": "faster", "unheard_of": "faster",
        "more": "faster", "aside": "faster",
    }  # fmt: skip
    assert of_arms(project, "train.batch_size")["more"] == "32"
    assert of_arms(project, "task.unheard_of")["more"] == "null"
    assert f"steps: norm is skipped ({UNREAD}), so unheard_of starts from faster." in answer.out
    assert "(unheard_of, seed 1): skipped: there is no such thing here" in answer.out
    assert project.attempts() == {"done": 10, "skipped": 2}  # and of each arm one configuration
    found = {row["claim"]: row for row in project.table("steps/claims.csv")}
    assert [found[f"N{n}"]["verdict"] for n in (1, 2, 3)] == ["undecided"] * 3
    dropped = "2 of 2 seeds dropped: 2 skipped; "
    assert found["N1"]["reason"] == f"{dropped}norm is skipped: {UNREAD}"
    why = f"{dropped}unheard_of is skipped: there is no such thing here"
    assert (found["N2"]["reason"], found["N3"]["reason"]) == (why, why)
    assert found["N4"]["reference"] == "faster"

    folder = project.folder / "outputs" / "steps"
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    for again in (("compare", "steps"), RUN):
        assert here(*again).code == 0
        assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == before
    planned = here("plan", "steps", "--recipes", "recipes")
    assert "6 arms × 2 seeds = 12 cells, 12 trials: 12 done" in planned.out
    assert ["more", "faster", "task.more:", "none", "→", "0.5"] in [
        line.split() for line in planned.out.splitlines()
    ]


def test_what_comes_to_be_what_another_arm_is_counts_once_and_a_later_step_keeps_it(
    here: Callable[..., Any], project: Any, steps: Any
) -> None:
    first, second, third = ({"task.unheard_of": 1}, {"optim.lr": 0.2}, {"task.more": 1})
    steps(
        sequence=[
            {"name": name, "set": change}
            for name, change in zip("abc", (first, second, third), strict=True)
        ],
        arms=[{"name": "aside", "set": {"optim.lr": 0.2}}],
    )
    assert here(*RUN).code == 0
    assert of_arms(project, "error")["b"] == "the arm 'aside' has it already"
    assert of_arms(project, "optim.lr")["c"] == "0.2"
    assert compared(project)["c"] == "aside"
    assert project.attempts() == {"done": 6, "skipped": 2}


def test_a_key_that_one_seed_or_a_fork_reads_is_read_and_a_rung_that_nobody_reads_is_skipped(
    here: Callable[..., Any], project: Any, steps: Any
) -> None:
    one = {"name": "batch", "set": {"train.batch_size": 16}}
    forked = {"name": "forked", "set": {"task.forks": True, "model.depth": 5}}
    steps(
        baseline={**STEPS["baseline"], "task.looks": True, "task.forks": False},
        sequence=None,
        arms=[one, forked, {"name": "deeper", "from": "forked", "set": {"model.depth": 6}}],
        ladder={"model.hidden_units": [3, 4]},
    )
    answer = here(*RUN)
    assert answer.code == 0, answer
    assert of_arms(project, "status") == {
        "baseline": "done", "batch": "done", "forked": "done", "deeper": "done",
        "model.hidden_units=3": "skipped", "model.hidden_units=4": "skipped",
    }  # fmt: skip
    error = "the task read none of: model.hidden_units"
    assert of_arms(project, "error")["model.hidden_units=4"] == error
    assert compared(project)["model.hidden_units=4"] == "model.hidden_units=3"


def test_what_is_typed_may_be_what_an_arm_sets_which_is_skipped_then(
    here: Callable[..., Any], project: Any, steps: Any
) -> None:
    claims = [
        {"id": f"C{n}", "arm": arm, "kind": "better", "statement": "?"}
        for n, arm in enumerate(("faster", "optim.lr=0.2"))
    ]
    steps(claims=claims, one_at_a_time={"optim.lr": [0.2, 0.3]}, sequence=STEPS["sequence"][::3])
    planned = here("plan", "steps", "--recipes", "recipes", "optim.lr=0.2", "--as", "fast")
    assert "skipped: baseline has it already" in planned.out
    answer = here(*RUN, "optim.lr=0.2", "--as", "fast")
    assert answer.code == 0, answer
    errors = of_arms(project, "error", "fast")
    assert errors["faster"] == errors["optim.lr=0.2"] == "the baseline has it already"
    assert compared(project, "fast")["more"] == "baseline"
    for row in project.table("fast/claims.csv"):
        assert row["verdict"] == "undecided"
        assert row["reason"].endswith(f"{row['arm']} is skipped: the baseline has it already")
    assert project.attempts() == {"done": 6}


def test_a_recipe_that_was_written_so_is_refused(here: Callable[..., Any], steps: Any) -> None:
    steps(sequence=[{"name": "same", "set": {"optim.lr": 0.1}}])
    answer = here("plan", "steps", "--recipes", "recipes", "executor=inline", "seeds=1")
    assert (answer.code, answer.out) == (2, "")
    assert "recipe steps: arm 'same' changes nothing of 'baseline'" in answer.err


def test_a_search_that_starts_from_a_skipped_step_starts_from_the_last_that_applied(
    here: Callable[..., Any], project: Any, steps: Any
) -> None:
    steps(
        sequence=[*STEPS["sequence"][1:2], {"name": "tuned"}],
        search=SEARCH,
    )
    answer = here(*RUN)
    assert answer.code == 0, answer
    assert compared(project)["tuned"] == "baseline"
    assert of_arms(project, "model.norm")["tuned"] == "none"
    assert project.attempts() == {"done": 8}  # 2 × (baseline, norm, tuned), 2 proposals
    assert here(*RUN).code == 0
    assert project.attempts() == {"done": 8}


def test_an_older_store_that_noted_no_reading_skips_nothing(
    here: Callable[..., Any], project: Any, steps: Any
) -> None:
    import sqlite3

    steps(sequence=STEPS["sequence"][:2])
    here(*RUN)
    assert of_arms(project, "status")["norm"] == "skipped"
    with closing(sqlite3.connect(project.folder / "outputs" / "sweeper.sqlite")) as db:
        db.execute("ALTER TABLE attempts DROP COLUMN read_keys")
    assert here("compare", "steps").code == 0
    assert of_arms(project, "status")["norm"] == "done"


def test_where_nothing_of_a_recipe_applies_there_is_no_result(
    here: Callable[..., Any], project: Any, steps: Any
) -> None:
    project.recipe("fine", **{**STEPS, "sequence": STEPS["sequence"][:1]})
    steps(baseline={**STEPS["baseline"], "task.unheard_of": True}, sequence=STEPS["sequence"][:2])
    answer = here("run", "fine", *RUN[1:])
    assert answer.code == 1
    assert answer.out.endswith("Nothing of steps applies here: every trial was skipped.\n")
    assert set(of_arms(project, "status").values()) == {"skipped"}


def test_a_searched_arm_of_which_no_proposal_applies_is_skipped_and_no_failure(
    here: Callable[..., Any], project: Any, steps: Any
) -> None:
    steps(
        sequence=None,
        arms=[{"name": "tuned", "set": {"task.unheard_of": 1}}],
        claims=[{"id": "S1", "arm": "tuned", "kind": "better", "statement": "?"}],
        search=SEARCH,
    )
    answer = here(*RUN)
    assert answer.code == 0, answer
    (row,) = project.table("steps/claims.csv")
    assert row["verdict"] == "undecided"
    assert "tuned is skipped: there is no such thing here" in row["reason"]
