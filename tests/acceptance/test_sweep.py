"""A sweep through the command line: what it writes, what it repeats, what it shares."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

COLUMNS = {
    "trials.csv": "recipe,arm,seed,phase,trial_id,status,attempt,device,duration_s,epochs,steps,"
    "train_loss,train_accuracy,val_loss,val_accuracy,diagnosis,error,optim.lr",
    "arms.csv": "recipe,arm,metric,n,n_diverged,n_failed,mean,std,median,ci_low,ci_high,baseline,"
    "delta,delta_ci_low,delta_ci_high,p_value,p_holm,verdict",
    "comparisons.csv": "recipe,arm,reference,metric,test,n,delta,delta_ci_low,delta_ci_high,"
    "p_value,p_sign_flip,p_holm,effect_size,effect_size_ci_low,effect_size_ci_high,correlation,"
    "pairing_gain,iqm_delta,iqm_delta_ci_low,iqm_delta_ci_high,further_seeds,verdict",
    "claims.csv": "claim,recipe,source,statement,arm,reference,metric,documented,measured,ci_low,"
    "ci_high,n,verdict,reason",
    "curves.csv": "recipe,arm,seed,trial_id,step,train_loss,train_accuracy,val_loss,val_accuracy",
}


@pytest.fixture(scope="module")
def swept(make_project: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder in which the tiny recipe has been run once; tests only read it."""
    project = make_project(tmp_path_factory.mktemp("swept"))
    project.answer = project.run("tiny")
    assert project.answer.code == 0, project.answer
    return project


@pytest.fixture
def project(project: Any, here: Callable[..., Any]) -> Any:
    """A fresh folder; its short sweeps run within this process, which spares their start."""
    project.inside = here
    return project


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.csv")}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_first_run_writes_every_table_with_its_columns(swept: Any, name: str) -> None:
    with (swept.folder / "outputs/tiny" / name).open(newline="") as file:
        assert ",".join(next(csv.reader(file))) == COLUMNS[name]
    assert len(pd.read_csv(swept.folder / "outputs/tiny" / name)) > 0


def test_a_row_of_trials_stands_for_an_arm_and_a_seed_in_the_recipes_order(swept: Any) -> None:
    rows = swept.table("tiny/trials.csv")
    arms = ("baseline", "larger", "smaller")
    assert [(r["arm"], r["seed"]) for r in rows] == [(a, s) for a in arms for s in "012"]
    assert {r["status"] for r in rows} == {"done"}
    assert [float(r["train_loss"]) for r in rows[3:6]] == [0.5, 0.506, 0.512]
    assert [r["optim.lr"] for r in rows[::3]] == ["0.1", "0.5", "0.05"]


def test_a_row_of_curves_stands_for_a_reported_step(swept: Any) -> None:
    first = swept.table("tiny/curves.csv")[:3]
    assert [(r["step"], float(r["train_loss"])) for r in first] == [
        ("0", 0.1), ("1", 0.05), ("2", 0.1 / 3),
    ]  # fmt: skip


def test_every_claim_has_a_verdict_there_and_in_reproduction_csv(swept: Any) -> None:
    verdicts = {row["claim"]: row["verdict"] for row in swept.table("tiny/claims.csv")}
    assert verdicts == {"X1": "reproduced", "X2": "contradicted"}
    assert swept.table("reproduction.csv") == swept.table("tiny/claims.csv")


def test_the_claims_stand_on_the_screen_too(swept: Any) -> None:
    said = swept.answer.out
    assert "tiny: 3 arms, 9 trials, 0 done already" in said
    assert "tiny — 9 done" in said
    assert "outputs/tiny: trials.csv arms.csv comparisons.csv claims.csv curves.csv" in said
    (line,) = [line for line in said.splitlines() if line.startswith(" X1 ")]
    assert "a larger step is worse" in line and "reproduced" in line


def test_strict_exits_1_unless_every_claim_is_reproduced(swept: Any) -> None:
    assert swept.run("tiny", "--strict").code == 1


def test_the_same_command_again_runs_nothing_and_keeps_every_byte(swept: Any) -> None:
    before = bytes_of(swept.folder / "outputs")
    answer = swept.run("tiny")
    assert (answer.code, swept.attempts()) == (0, {"done": 9})
    assert "9 done already" in answer.out
    assert bytes_of(swept.folder / "outputs") == before


def test_compare_rebuilds_every_table_byte_for_byte(swept: Any) -> None:
    before = bytes_of(swept.folder / "outputs")
    for path in (swept.folder / "outputs").rglob("*.csv"):
        path.unlink()
    answer = swept.cli("compare", "tiny")
    assert answer.code == 0, answer
    assert "tiny — 9 done" in answer.out
    assert bytes_of(swept.folder / "outputs") == before


def test_compare_without_a_name_compares_everything(swept: Any) -> None:
    assert "tiny — 9 done" in swept.cli("compare").out


def test_status_counts_the_trials_of_each_plan(swept: Any) -> None:
    lines = [line.split() for line in swept.cli("status").out.splitlines()]
    assert lines[0] == [
        "plan",
        "trials",
        "done",
        "diverged",
        "skipped",
        "running",
        "waiting",
        "failed",
    ]
    assert ["tiny", "9", "9", "0", "0", "0", "0", "0"] in lines


def test_show_finds_a_trial_by_its_first_digits(swept: Any) -> None:
    row = swept.table("tiny/trials.csv")[4]
    answer = swept.cli("show", row["trial_id"][:12])
    assert answer.code == 0
    assert f"trial {row['trial_id']}, seed 1: done" in answer.out
    assert "attempt 1 on cpu: done after" in answer.out
    assert "train_loss = 0.506" in answer.out
    assert '"lr": 0.5' in answer.out


def test_plan_shows_differences_what_is_done_and_what_cannot_be_decided(swept: Any) -> None:
    answer = swept.cli("plan", "tiny", "--recipes", "recipes", "seeds=4")
    (larger,) = [line.split() for line in answer.out.splitlines() if line.startswith(" larger ")]
    assert larger == ["larger", "baseline", "optim.lr:", "0.1", "→", "0.5"]
    assert (
        "3 arms × 4 seeds = 12 cells, 12 trials: 9 done, 0 shared with other recipes." in answer.out
    )
    assert (
        "Cannot be decided: X1, X2: if a run diverges, the rank test over 2 comparisons needs 5"
        in answer.out
    )
    assert swept.attempts() == {"done": 9}


def test_list_names_every_recipe_with_its_size(swept: Any) -> None:
    answer = swept.cli("list", "--recipes", "recipes")
    (line,) = [line for line in answer.out.splitlines() if line.startswith(" tiny ")]
    assert line.split() == ["tiny", "Does", "the", "step", "size", "matter?", "3", "9", "2"]
    assert " train_loss_not_falling " in answer.out


def test_list_axes_names_choices_defaults_and_documents(swept: Any) -> None:
    answer = swept.cli("list", "--axes")
    assert answer.code == 0, answer.err
    lines = {line.split()[0]: line for line in answer.out.splitlines() if line.strip()}
    assert {"data", "model", "optim", "executor", "search"} <= lines.keys()
    assert "adam | adamw | momentum | nesterov | rmsprop | sgd" in lines["optim"]
    assert "relu | leaky_relu" in lines["model.activation"]
    assert "D09" in lines["optim.weight_decay"]


def test_the_python_door_loads_what_the_command_line_measured(swept: Any) -> None:
    code = (
        "import sweeper; t = sweeper.load('outputs'); print(len(t), t['status'].unique().tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=swept.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "9 ['done']\n"


def test_the_python_door_runs_a_recipe(project: Any) -> None:
    import sweeper

    own = {"recipes": ["recipes"], "allow": ["instant"]}
    tables = sweeper.run("tiny", {"executor": "inline", "seeds": 2}, "mine", **own)
    assert len(tables["tiny"].trials) == 6
    assert (
        sweeper.load("mine")["train_loss"].tolist() == tables["tiny"].trials["train_loss"].tolist()
    )
    with pytest.raises(
        sweeper.RequestError, match=r"overrides is a list or a mapping, as in \['seeds=2'\]"
    ):
        sweeper.run("tiny", "seeds=2", "mine", **own)
    with pytest.raises(sweeper.RequestError, match="nowhere holds no results yet"):
        sweeper.load("nowhere")


def test_more_seeds_extend_what_was_run(project: Any) -> None:
    project.run("tiny")
    before = {row["trial_id"] for row in project.table("tiny/trials.csv")}
    assert project.run("tiny", "seeds=5").code == 0
    rows = project.table("tiny/trials.csv")
    assert len(rows) == 15 and before < {row["trial_id"] for row in rows}
    assert project.attempts() == {"done": 15}
    assert {row["n"] for row in project.table("reproduction.csv")} == {"5"}


def test_more_arms_in_the_recipe_extend_what_was_run(project: Any) -> None:
    project.run("tiny")
    before = {row["trial_id"] for row in project.table("tiny/trials.csv")}
    largest = {"name": "largest", "set": {"optim.lr": 0.9}}
    project.recipe(arms=[largest, {"name": "larger", "set": {"optim.lr": 0.5}}], claims=[])
    answer = project.run("tiny")
    assert answer.code == 0 and "tiny: 3 arms, 9 trials, 6 done already" in answer.out
    rows = project.table("tiny/trials.csv")
    assert [row["arm"] for row in rows[::3]] == ["baseline", "largest", "larger"]
    assert len(before & {row["trial_id"] for row in rows}) == 6
    assert project.attempts() == {"done": 12}  # an arm that was taken out keeps its records


@pytest.mark.parametrize(
    "design, more",
    [
        pytest.param(
            {"grid": {"optim.lr": [0.2, 0.4]}}, {"grid": {"optim.lr": [0.8, 0.2, 0.6, 0.4]}},
            id="grid",
        ),
        pytest.param(
            {"ladder": {"optim.lr": [0.2, 0.4]}}, {"ladder": {"optim.lr": [0.2, 0.4, 0.6, 0.8]}},
            id="ladder",
        ),
    ],
)  # fmt: skip
def test_more_values_of_an_axis_extend_what_was_run(
    project: Any, design: dict[str, Any], more: dict[str, Any]
) -> None:
    project.recipe(arms=None, claims=None, **design)
    assert project.run("tiny").code == 0 and project.attempts() == {"done": 9}
    first = {row["trial_id"]: row for row in project.table("tiny/trials.csv")}
    project.recipe(arms=None, claims=None, **more)
    assert "15 trials, 9 done already" in project.run("tiny").out
    assert project.attempts() == {"done": 15}
    now = {row["trial_id"]: row for row in project.table("tiny/trials.csv")}
    assert len(now) == 15 and first.keys() < now.keys()
    assert all(now[trial_id] == row for trial_id, row in first.items())


def test_a_variant_has_a_folder_of_its_own_and_no_say_in_reproduction_csv(project: Any) -> None:
    project.run("tiny")
    before = (project.folder / "outputs/reproduction.csv").read_bytes()
    assert project.run("tiny", "optim.weight_decay=0.5").code == 0
    (name,) = [p.name for p in (project.folder / "outputs").glob("tiny+*")]
    assert len(name) == len("tiny+") + 6 and int(name[-6:], 16) >= 0
    assert {row["recipe"] for row in project.table(f"{name}/trials.csv")} == {name}
    assert (project.folder / "outputs/reproduction.csv").read_bytes() == before
    assert project.attempts() == {"done": 18}


def test_a_variant_may_be_named(project: Any) -> None:
    answer = project.run("tiny", "optim.weight_decay=0.5", "--as", "decayed")
    assert answer.code == 0 and "outputs/decayed: trials.csv" in answer.out
    assert {row["recipe"] for row in project.table("decayed/claims.csv")} == {"decayed"}
    assert project.table("reproduction.csv") == []


def test_where_a_trial_runs_makes_no_variant(project: Any) -> None:
    project.run("tiny")
    answer = project.run("tiny", "executor.slots=1")
    assert "9 done already" in answer.out
    assert project.attempts() == {"done": 9}


def test_equal_trials_of_two_recipes_and_of_two_arms_run_once(project: Any) -> None:
    twin = {"name": "twin", "set": {"optim.lr": 0.5}}
    project.recipe("other", arms=[{"name": "fast", "set": {"optim.lr": 0.5}}, twin], claims=[])
    answer = project.run("tiny", "other")
    assert answer.code == 0, answer
    assert project.attempts() == {"done": 9}
    tiny, other = (
        {(r["optim.lr"], r["seed"]): r["trial_id"] for r in project.table(f"{n}/trials.csv")}
        for n in ("tiny", "other")
    )
    assert other.items() <= tiny.items()
    assert len(project.table("other/trials.csv")) == 9


def test_one_value_written_two_ways_is_one_trial(project: Any) -> None:
    project.recipe("text", baseline={"task._target_": "instant.train", "optim.lr": "1e-1"})
    project.run("tiny")
    assert "9 done already" in project.run("text").out


def test_a_search_runs_its_winner_on_the_reported_seeds(project: Any) -> None:
    search = {"axes": {"optim.lr": {"low": 0.01, "high": 1.0, "log": True}}, "trials": 5}
    arms = [{"name": "decayed", "set": {"optim.weight_decay": 0.5}}]
    project.recipe("tuned", arms=arms, claims=[], search=search, seeds=2)
    answer = project.run("tuned")
    assert answer.code == 0, answer
    rows = project.table("tuned/trials.csv")
    for arm in ("baseline", "decayed"):
        tried = [float(r["optim.lr"]) for r in rows if (r["arm"], r["phase"]) == (arm, "search")]
        reported = {float(r["optim.lr"]) for r in rows if (r["arm"], r["phase"]) == (arm, "report")}
        assert len(tried) == 5 and reported == {min(tried)}  # the loss is the rate
    before = project.attempts()
    assert project.run("tuned").code == 0
    assert project.attempts() == before == {"done": 2 * (5 + 2)}


def test_a_search_that_meets_only_known_answers_still_comes_to_its_end(project: Any) -> None:
    search = {"axes": {"optim.lr": {"choices": [0.1, 0.2]}}, "trials": 6}
    project.recipe("tuned", arms=[], claims=[], search=search, seeds=2)
    assert project.run("tuned").code == 0
    rows = project.table("tuned/trials.csv")
    assert [r["phase"] for r in rows].count("search") == 6
    assert [float(r["optim.lr"]) for r in rows if r["phase"] == "report"] == [0.1, 0.1]


def test_tables_wait_for_the_winner_of_a_search_whose_last_answers_were_known(project: Any) -> None:
    """Beside another recipe, whose trials fill the room before the winner is named."""
    axes = {"optim.lr": {"choices": [0.1, 0.01]}}
    for trials, seeds in ((1, "seeds=1"), (6, "seeds=2")):
        project.recipe(
            "tuned", arms=[], claims=[], seeds=1, search={"axes": axes, "trials": trials}
        )
        words = ("tuned", "tiny", seeds, "executor.slots=1", "executor.devices=[cpu]")
        assert project.run(*words, executor="local").code == 0
    assert {r["status"] for r in project.table("tuned/trials.csv")} == {"done"}


def test_failed_trials_of_a_searchs_winner_are_retried(project: Any) -> None:
    search = {"axes": {"optim.lr": {"choices": [0.1]}}, "trials": 1}
    project.recipe("tuned", arms=[], claims=[], seeds=2, search=search)
    source = (project.folder / "instant.py").read_text()
    failing = source.replace(
        "    rate, fate =", "    assert seed != 1, 'not yet'\n    rate, fate ="
    )
    project.write("instant.py", failing)
    assert project.run("tuned", executor="local").code == 1
    project.write("instant.py", source)
    assert project.run("tuned", "--retry", "--keep", executor="local").code == 0
    report = [r for r in project.table("tuned/trials.csv") if r["phase"] == "report"]
    assert [(r["seed"], r["status"], r["attempt"]) for r in report] == [
        ("0", "done", "1"), ("1", "done", "2"),
    ]  # fmt: skip


def test_the_plan_in_the_store_needs_no_recipe_file(swept: Any, project: Any) -> None:
    project.run("tiny")
    (project.folder / "recipes/tiny.yaml").unlink()
    assert project.cli("compare", "tiny").code == 0


IMPORTED = """
import json, sys
sys.argv = ["sweeper", *{words!r}]
from sweeper.cli import main
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words, heavy",
    [
        pytest.param(["--help"], {"torch", "hydra", "optuna", "pandas", "ray", "numpy"}, id="help"),
        pytest.param(["list"], {"torch", "hydra", "optuna", "pandas", "ray"}, id="list"),
        pytest.param(["list", "--axes"], {"torch", "hydra", "optuna", "ray"}, id="list-axes"),
        pytest.param(["plan", "tiny", "--recipes", "recipes"], {"torch", "ray"}, id="plan"),
        pytest.param(["compare", "tiny"], {"torch", "hydra", "optuna", "ray"}, id="compare"),
        pytest.param(["report", "tiny"], {"torch", "hydra", "optuna", "ray"}, id="report"),
        pytest.param(["status"], {"torch", "hydra", "optuna", "ray"}, id="status"),
    ],
)
def test_a_command_imports_nothing_heavy(swept: Any, words: list[str], heavy: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(words=words)],
        cwd=swept.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert heavy.isdisjoint(modules)


def test_every_command_has_help(swept: Any) -> None:
    for command in ("list", "plan", "run", "compare", "report", "show", "status"):
        assert swept.cli(command, "--help").code == 0
    assert "list" in swept.cli().out
