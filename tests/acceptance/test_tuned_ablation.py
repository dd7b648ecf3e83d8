"""The example whose answer is known: a fixed comparison gets it wrong, a tuned one right."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "tuned_ablation"


def commands() -> list[list[str]]:
    """The words of every line of the README's `sh` blocks, in order, without `sweeper`."""
    blocks = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line]


@pytest.fixture
def example(project: Any, here: Callable[..., Any]) -> Any:
    """A copy of the example, in which its README's commands may be run."""
    shutil.copytree(EXAMPLE, project.folder, dirs_exist_ok=True)
    project.inside = here
    return project


def verdicts(example: Any, plan: str) -> dict[str, str]:
    return {row["arm"]: row["verdict"] for row in example.table(f"{plan}/arms.csv")}


def test_arms_that_only_look_worse_at_the_baselines_learning_rate(example: Any) -> None:
    fixed, planned, tuned, again = commands()
    assert example.cli(*fixed, "executor=inline").code == 0
    assert verdicts(example, "fixed_lr") == {
        "baseline": "", "larger_batch": "worse", "mean_loss": "worse",
    }  # fmt: skip

    shown = example.cli(*planned).out
    assert re.search(r"task\.lr +0\.0001 … 0\.1 \(log\) +baseline, larger_batch, mean_loss", shown)
    assert (
        "Search: 3 arms × 20 proposals × 5 seeds = 300 trials for excess_loss; sampler tpe, pruner "
        "none." in shown
    )

    answer = example.cli(*tuned, "executor=inline")
    assert answer.code == 0 and "Tuning:" not in answer.out
    assert verdicts(example, "tuned_lr") == {
        "baseline": "", "larger_batch": "better", "mean_loss": "no_effect",
    }  # fmt: skip
    searches = example.table("tuned_lr/searches.csv")
    assert [(row["arm"], row["budget"], row["warnings"]) for row in searches] == [
        (arm, "20", "") for arm in ("baseline", "larger_batch", "mean_loss")
    ]
    assert len(example.table("tuned_lr/proposals.csv")) == 3 * 20
    assert {row["verdict"] for row in example.table("tuned_lr/importance.csv")} == {
        "above the floor"
    }
    claims = {(r["recipe"], r["claim"]): r["verdict"] for r in example.table("reproduction.csv")}
    assert claims == {
        ("fixed_lr", "K1"): "contradicted", ("fixed_lr", "K2"): "contradicted",
        ("tuned_lr", "K1"): "reproduced", ("tuned_lr", "K2"): "reproduced",
    }  # fmt: skip
    assert again[1:4] == ["tuned_lr.yaml", "search.seed=1", "--as"]  # takes as long again


def test_importance_is_told_by_one_of_three_means(example: Any) -> None:
    answer = example.cli("plan", "tuned_lr.yaml", "search.importance=shap")
    assert answer.code == 2
    assert answer.err == (
        "sweeper: recipe tuned_lr: arm 'baseline': search.importance: Input should be 'ped_anova', "
        "'fanova' or 'none' (got 'shap').\n"
    )


def test_run_and_compare_say_what_is_to_be_mended_before_a_tuned_arm_is_believed(
    project: Any, here: Callable[..., Any]
) -> None:
    project.inside = here
    axes = {"optim.lr": {"low": 1, "high": 3, "integer": True}}  # the lower, the better
    search = {"axes": axes, "trials": 6, "arms": ["decayed"]}
    project.recipe(
        "tuned",
        arms=[{"name": "decayed", "set": {"optim.weight_decay": 0.5}}],
        claims=[{"id": "X1", "arm": "decayed", "kind": "worse", "statement": "it is worse"}],
        search=search,
    )
    said = (
        "the search of 'decayed' found its best optim.lr, 1, at the lower end of the range: widen "
        "optim.lr below 1"
    )
    answer = project.run("tuned")
    assert answer.code == 0 and f"Tuning: {said}." in answer.out
    assert "curves.csv searches.csv importance.csv proposals.csv" in answer.out
    (claim,) = project.table("tuned/claims.csv")
    assert claim["verdict"] == "reproduced" and claim["reason"].endswith(f"; {said}")
    (row,) = project.table("tuned/searches.csv")
    assert (row["optim.lr"], row["warnings"]) == ("1", said)

    files = sorted((project.folder / "outputs/tuned").glob("*.csv"))
    before = {path.name: path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    assert f"Tuning: {said}." in project.cli("compare", "tuned").out
    assert {path.name: path.read_bytes() for path in files} == before
