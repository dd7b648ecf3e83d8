"""Searches through the command line: conditions, samplers, pruners, several metrics, going on."""

# ruff: noqa: E501 - a case of a table is a line

import json
import math
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sweeper import folders
from sweeper.compose import Composer
from sweeper.executors.job import Ended, Job
from sweeper.folders import Outputs
from sweeper.narrator import SilentWatcher
from sweeper.overrides import parse_overrides
from sweeper.plan import ConcludedSearch
from sweeper.planning import make_request
from sweeper.proposals import study_name
from sweeper.recipe_file import read_recipe
from sweeper.records import Reader
from sweeper.store import Store
from sweeper.sweep import How, Sweep
from sweeper.trial import Ending

# The nearer the step size is to 0.01 the lower the curve. A file `stop` says at which call, and at
# which of its steps, the command is killed; `fails` says up to which call everything fails.
CURVES = """
import math
from pathlib import Path


def read(name):
    text = Path(name).read_text() if Path(name).exists() else ""
    return int(text) if text else -1


def train(config, *, seed, device, report, workdir):
    calls = read("calls") + 1
    Path("calls").write_text(str(calls))
    away = abs(math.log10(config.optim.lr) + 2) + config.optim.get("momentum", 0) / 10
    for step in range(8):
        if (calls, step) == (read("stop"), 1):
            raise KeyboardInterrupt
        report(step, val_loss=away + 1 / (step + 1) + seed % 7 / 1000, quiet=1)
    if calls == read("fails"):
        raise ValueError("one mistake")
    if calls == read("diverges"):
        return {"val_loss": float("nan")}
    return {"val_loss": away + seed % 7 / 1000, "val_accuracy": away / 10}


def silent(config, *, seed, device, report, workdir):
    return {"val_loss": abs(math.log10(config.optim.lr) + 2)}
"""
LR = {"low": 1e-4, "high": 1.0, "log": True}
AXES = {"optim.lr": LR}


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(folders.search("conf", []))


@pytest.fixture(autouse=True)
def one_composer(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all tests: composing is most of what a request costs that ends early."""
    monkeypatch.setattr("sweeper.compose.Composer", lambda _: composer)


@pytest.fixture
def searched(project: Any, here: Callable[..., Any]) -> Iterator[Any]:
    """A folder whose training reports curves, and the command line within this process."""
    project.write("curves.py", CURVES)
    project.inside = here
    yield project
    sys.modules.pop("curves", None)


def run(project: Any, *words: str, **recipe: Any) -> Any:
    given = {"arms": [], "claims": [], "seeds": 2, "metrics": ["val_loss"], **recipe}
    given["baseline"] = {"task._target_": "curves.train", **given.get("baseline", {})}
    project.recipe("tuned", **given)
    own = ("--recipes", "recipes", "--allow", "curves")
    where = () if any(word.startswith("executor") for word in words) else ("executor=inline",)
    return project.cli("run", "tuned", *own, *where, *words)


def search(project: Any, outputs: str = "outputs", arm: str = "baseline") -> ConcludedSearch:
    with Reader(Outputs(project.folder / outputs)) as reader:
        return next(s for s in reader.plan("tuned").searches if s.arm == arm)


def turns(project: Any, outputs: str = "outputs") -> list[Any]:
    rows = project.sql(
        "SELECT what FROM turns WHERE study NOT LIKE '% before %' ORDER BY study, turn", outputs
    )
    return [json.loads(what) for (what,) in rows]


def test_a_search_is_kept_with_how_it_was_done_and_what_came_of_it(searched: Any) -> None:
    assert run(searched, search={"axes": AXES, "trials": 12}).code == 0
    found = search(searched)
    assert (found.metrics, found.goals, found.budget) == (("val_loss",), ("down",), 12)
    assert found.axes == {"optim.lr": LR} and found.pruner == {"name": "none"}
    assert found.sampler["name"] == "tpe" and found.optuna == turns(searched)[0]["optuna"]
    assert [p.number for p in found.proposals] == list(range(12))
    best = min(found.proposals, key=lambda p: p.told)
    assert best.number == found.winner and found.importance.keys() == {"optim.lr"}
    rows = [r for r in searched.table("tuned/trials.csv") if r["phase"] == "report"]
    assert {float(r["optim.lr"]) for r in rows} == {best.values["optim.lr"]}


WHEN = {
    "optim": {"choices": ["sgd", "momentum"]},
    "optim.momentum": {"low": 0.0, "high": 0.99, "when": {"optim": "momentum"}},
    "optim.lr": LR,
}


def test_an_axis_with_a_condition_is_there_only_where_it_holds(searched: Any) -> None:
    base = {"search.startup_trials": 4}
    assert (
        run(
            searched, search={"axes": WHEN, "trials": 14}, baseline={**base, "optim.momentum": 0.9}
        ).code
        == 0
    )
    found = search(searched)
    assert {p.values["optim"] for p in found.proposals} == {"sgd", "momentum"}
    for proposal in found.proposals:
        assert ("optim.momentum" in proposal.values) == (proposal.values["optim"] == "momentum")
    assert found.axes["optim.momentum"]["when"] == {"optim": ["momentum"]}


def test_a_condition_on_an_arms_own_choice_is_decided_by_the_arm(searched: Any) -> None:
    axes = {
        "optim.lr": LR,
        "optim.momentum": {"low": 0.0, "high": 0.9, "when": {"optim": ["momentum", "nesterov"]}},
    }
    arms = [
        {"name": "sgd", "set": {"optim": "sgd"}},
        {"name": "still", "set": {"optim": "rmsprop"}},
    ]
    assert (
        run(
            searched,
            search={"axes": axes, "trials": 3, "arms": ["baseline", "sgd"]},
            arms=arms,
            seeds=1,
        ).code
        == 0
    )
    assert search(searched).axes.keys() == {"optim.lr", "optim.momentum"}
    assert search(searched, arm="sgd").axes.keys() == {"optim.lr"}


def test_an_arm_in_which_no_axis_is_there_has_nothing_to_tune_and_runs_as_it_is(
    searched: Any,
) -> None:
    axes = {"optim.momentum": {"low": 0.0, "high": 0.9, "when": {"optim": "momentum"}}}
    assert (
        run(
            searched,
            search={"axes": axes, "trials": 3},
            arms=[{"name": "sgd", "set": {"optim": "sgd"}}],
        ).code
        == 0
    )
    rows = searched.table("tuned/trials.csv")
    assert [r["phase"] for r in rows if r["arm"] == "sgd"] == ["report", "report"]
    assert [r["phase"] for r in rows if r["arm"] == "baseline"] == ["report"] * 2 + ["search"] * 3


PRUNERS = {
    "median": {"pruner.startup_trials": 2},
    "percentile": {"pruner.percentile": 50.0, "pruner.startup_trials": 2},
    "asha": {"pruner.reduction_factor": 2},
    "hyperband": {"pruner.max_resource": 7, "pruner.reduction_factor": 2},
}


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_pruner_gives_proposals_up_and_none_that_is_reported(searched: Any, pruner: str) -> None:
    base = {"pruner": pruner, "search": "random", **PRUNERS[pruner]}
    assert run(searched, search={"axes": AXES, "trials": 12}, baseline=base).code == 0
    found = search(searched)
    pruned = [p for p in found.proposals if p.status == "pruned"]
    assert pruned and all(p.told == () for p in pruned)
    assert found.winner is not None and found.proposals[found.winner].status == "done"
    assert found.pruner["name"] == pruner
    rows = searched.table("tuned/trials.csv")
    assert {r["status"] for r in rows if r["phase"] == "report"} == {"done"}
    cut = {i for p in pruned for i in p.trial_ids}
    assert {r["trial_id"] for r in rows if r["status"] == "pruned"} == cut
    steps = {i: [r for r in searched.table("tuned/curves.csv") if r["trial_id"] == i] for i in cut}
    assert all(len(of_trial) < 8 for of_trial in steps.values())


@pytest.mark.parametrize("pruner, stop", [("median", 6), ("hyperband", 9)])
def test_a_search_with_a_pruner_that_was_killed_ends_in_the_same_turns(
    searched: Any, pruner: str, stop: int
) -> None:
    base = {"pruner": pruner, **PRUNERS[pruner], "search.startup_trials": 4}
    given = {"search": {"axes": AXES, "trials": 12}, "baseline": base, "seeds": 1}
    assert run(searched, "--outputs", "whole", **given).code == 0
    assert "pruned" in searched.attempts("whole")
    (searched.folder / "calls").unlink()
    searched.write("stop", str(stop))
    assert run(searched, **given).code == 130
    assert 0 < len(turns(searched)) < len(turns(searched, "whole"))
    assert run(searched, **given).code == 0
    assert turns(searched) == turns(searched, "whole")
    assert search(searched) == search(searched, "whole")
    cut = [r for r in searched.table("tuned/trials.csv") if r["status"] == "pruned"]
    assert len(cut) == searched.attempts("whole")["pruned"]


def test_wilcoxon_gives_a_proposal_up_over_its_seeds_and_the_rest_are_not_run(
    searched: Any,
) -> None:
    base = {"pruner": "wilcoxon", "search": "random"}
    given = {"axes": AXES, "trials": 8, "seeds": list(range(10000, 10008))}
    assert run(searched, search=given, baseline=base).code == 0
    found = search(searched)
    pruned = [p for p in found.proposals if p.status == "pruned"]
    assert pruned and all(2 <= len(p.trial_ids) < 8 for p in pruned)
    rows = [r for r in searched.table("tuned/trials.csv") if r["phase"] == "search"]
    assert {r["status"] for r in rows} == {"done"} and len(rows) < 64
    assert len(found.proposals[found.winner or 0].trial_ids) == 8


def test_on_two_slots_a_killed_search_goes_on_with_what_was_recorded(
    project: Any, wait_until: Callable[..., None]
) -> None:
    project.write(
        "curves.py",
        CURVES.replace("        report(", "        time.sleep(0.05)\n        report(").replace(
            "import math", "import math, time"
        ),
    )
    given = {"axes": AXES, "trials": 10}
    base = {"task._target_": "curves.train", "pruner": "asha", "pruner.reduction_factor": 2}
    project.recipe(
        "tuned", arms=[], claims=[], seeds=1, metrics=["val_loss"], search=given, baseline=base
    )
    words = (
        "run",
        "tuned",
        "--recipes",
        "recipes",
        "--allow",
        "curves",
        "executor=local",
        "executor.slots=2",
    )
    begun = project.start(*words)
    store = project.folder / "outputs" / "sweeper.sqlite"
    wait_until(lambda: store.exists() and len(store_turns(project)) > 12, 60)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()
    before = turns(project)
    answer = project.cli(*words)
    assert answer.code == 0, answer
    assert turns(project)[: len(before)] == before
    found = search(project)
    assert len(found.proposals) == 10 and {"pruned", "done"} == {p.status for p in found.proposals}


def store_turns(project: Any) -> list[Any]:
    try:
        return turns(project)
    except sqlite3.OperationalError:  # it is only just being made
        return []


def test_of_several_seeds_the_first_is_judged_and_the_others_that_wait_are_not_run(
    searched: Any,
) -> None:
    base = {"pruner": "median", "search": "random", **PRUNERS["median"]}
    assert (
        run(
            searched, search={"axes": AXES, "trials": 8, "seeds": [10000, 10001]}, baseline=base
        ).code
        == 0
    )
    pruned = [p for p in search(searched).proposals if p.status == "pruned"]
    assert pruned and all(len(p.trial_ids) == 1 for p in pruned)


def test_a_pruned_trial_that_a_fixed_arm_asks_for_runs_whole(searched: Any) -> None:
    choices = {"optim.lr": {"choices": [0.01, 0.011, 1.0]}}
    base = {"pruner": "median", "search": "random", "pruner.startup_trials": 1}
    asked = {"axes": choices, "trials": 9, "arms": ["baseline"]}
    assert run(searched, search=asked, baseline=base, seeds=[7]).code == 0
    (cut,) = {i for p in search(searched).proposals if p.status == "pruned" for i in p.trial_ids}
    arms = [{"name": "far", "set": {"optim.lr": 1.0}}]
    # Its seed is one of the search's, so that both ask for the very same trial.
    assert (
        run(
            searched, search={**asked, "seeds": [10001]}, baseline=base, seeds=[10000], arms=arms
        ).code
        == 0
    )
    rows = {(r["arm"], r["phase"]): r for r in searched.table("tuned/trials.csv")}
    assert rows["far", "report"]["trial_id"] == cut and rows["far", "report"]["status"] == "done"
    assert searched.sql(
        f"SELECT status FROM attempts WHERE trial_id = '{cut}' ORDER BY attempt"
    ) == [("pruned",), ("done",)]


def test_a_trial_that_a_fixed_arm_waits_for_is_not_given_up(searched: Any) -> None:
    choices = {"optim.lr": {"choices": [0.01, 0.011, 1.0]}}
    base = {"pruner": "median", "search": "random", "pruner.startup_trials": 1}
    far = {"task._target_": "curves.train", "optim.lr": 1.0, "pruner": "median"}
    searched.recipe("fixed", arms=[], claims=[], seeds=[10000], metrics=["val_loss"], baseline=far)
    asked = {"axes": choices, "trials": 9}
    assert run(searched, "fixed", search=asked, baseline=base, seeds=[7]).code == 0
    assert "pruned" not in searched.attempts()
    shared = {r["trial_id"] for r in searched.table("fixed/trials.csv")}
    tried = {i for p in search(searched).proposals for i in p.trial_ids}
    assert shared < tried and sum(searched.attempts().values()) == 3 + 1


class Taker:
    """An executor that only takes jobs; how they end is said to the sweep's turn directly."""

    slots = 4

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def room(self) -> int:
        return 4 - len(self.jobs)

    def start(self, job: Job) -> None:
        self.jobs.append(job)

    def drop(self) -> list[Job]:
        return []

    def events(self, judge: Any) -> list[Ended]:
        return []

    def preempt(self) -> None: ...

    def close(self) -> None: ...


def test_a_trial_that_a_fixed_arm_came_to_want_too_late_is_run_again(
    project: Any, composer: Composer
) -> None:
    raw = {"question": "?", "metrics": ["val_loss"], "arms": [], "seeds": [10000]}
    base = {"pruner": "median", "optim.lr": 0.5}
    asked = {"axes": {"optim.lr": {"choices": [0.5]}}, "trials": 1}
    recipes = {
        "fixed": {**raw, "baseline": base},
        "tuned": {**raw, "baseline": base, "seeds": [7], "search": asked},
    }
    requests = [
        make_request(name, read_recipe(r, where="test"), composer) for name, r in recipes.items()
    ]
    with Store(Outputs(project.folder / "outputs")) as store:
        taker = Taker()
        sweep = Sweep(store, taker, How(outputs=store.outputs), SilentWatcher())
        sweep.begin(requests, composer)
        sweep.turn([])
        (job,) = taker.jobs  # both wait for it
        searched = next(s for study in sweep._studies for s in study.searches)
        searched._proposals[0].given_up_at = 0
        sweep._given_up.add(job.trial_id)
        taker.jobs = []
        sweep.turn([Ended(job, "cpu", Ending("pruned"))])
        assert searched._proposals[0].status == "pruned"
        (again,) = [j for j in taker.jobs if j.trial_id == job.trial_id]
        assert again.attempt == 2
        sweep.turn([Ended(again, "cpu", Ending("done", {"val_loss": 1.0}))])
        assert store.statuses()[job.trial_id] == "done"
        assert searched._proposals[0].status == "pruned"


def test_several_metrics_leave_a_pareto_set_whose_best_by_the_first_wins(searched: Any) -> None:
    given = {"axes": AXES, "trials": 10, "metric": ["val_loss", "val_accuracy", "duration_s"]}
    assert (
        run(
            searched,
            search=given,
            metrics=["val_loss", "val_accuracy"],
            baseline={"search": "random"},
        ).code
        == 0
    )
    found = search(searched)
    assert found.goals == ("down", "up", "down") and len(found.pareto) > 1
    assert all(len(p.told) == 3 and p.told[2] > 0 for p in found.proposals)
    assert found.winner == min(found.pareto, key=lambda n: found.proposals[n].told[0])


def test_failed_proposals_are_run_again_and_the_search_goes_on_from_there(searched: Any) -> None:
    given = {"search": {"axes": AXES, "trials": 8}, "seeds": 1, "baseline": {"search": "random"}}
    searched.write("fails", "3")
    assert run(searched, **given).code == 1
    assert [p.status for p in search(searched).proposals] == ["done"] * 3 + ["failed"] + [
        "done"
    ] * 4
    assert run(searched, "--retry", **given).code == 0
    assert {p.status for p in search(searched).proposals} == {"done"}
    rows = [r for r in searched.table("tuned/trials.csv") if r["phase"] == "search"]
    # the others are asked for again, and answered
    assert sorted(r["attempt"] for r in rows) == ["1"] * 7 + ["2"]
    assert searched.sql("SELECT count(*) FROM turns WHERE study LIKE '% before 1'") == [(16,)]


def with_other_values(project: Any) -> None:
    """As an Optuna that draws otherwise would have recorded it."""
    with sqlite3.connect(project.folder / "outputs" / "sweeper.sqlite") as db:
        ((what,),) = db.execute("SELECT what FROM turns WHERE turn = 0")
        what = {**json.loads(what), "values": {"optim.lr": 0.02}, "optuna": "1.2.3"}
        db.execute("UPDATE turns SET what = ? WHERE turn = 0", (json.dumps(what),))
    db.close()


def test_under_another_optuna_a_search_goes_on_from_what_was_recorded_only_if_told_so(
    searched: Any,
) -> None:
    given = {"seeds": 1, "baseline": {"search": "random"}}
    assert run(searched, search={"axes": AXES, "trials": 3}, **given).code == 0
    with_other_values(searched)
    answer = run(searched, search={"axes": AXES, "trials": 5}, **given)
    assert answer.code == 2 and "begun under Optuna 1.2.3, and version" in answer.err
    answer = run(searched, search={"axes": AXES, "trials": 5, "replay": "enqueue"}, **given)
    said = "tuned: the search of arm 'baseline' goes on from its recorded values, since the search was begun under Optuna 1.2.3"
    assert answer.code == 0 and said in answer.out
    assert said in (searched.folder / "outputs" / "sweeper.log").read_text()
    rates = [p.values["optim.lr"] for p in search(searched).proposals]
    assert rates[0] == 0.02 and len(set(rates)) == 5


def test_a_metric_that_nobody_reports_ends_the_search_at_its_first_result(searched: Any) -> None:
    answer = run(
        searched,
        search={"axes": AXES, "trials": 5, "metric": "val_los"},
        metrics={"val_loss": {}, "val_los": {"goal": "down"}},
    )
    assert answer.code == 2
    assert (
        "recipe tuned: the search of arm 'baseline' is told 'val_los', which its trials do not report. Did you mean 'val_loss'? Name one of them under search.metric."
        in answer.err
    )
    assert sum(searched.attempts().values()) == 1


def test_a_diverged_proposal_is_told_as_the_worst_and_kept_so(searched: Any) -> None:
    searched.write("diverges", "2")
    assert run(searched, search={"axes": AXES, "trials": 5}, seeds=1).code == 0
    diverged = search(searched).proposals[2]
    assert (diverged.status, diverged.told) == ("diverged", (math.inf,))


def test_values_that_do_not_go_together_are_passed_over(searched: Any) -> None:
    axes = {"model": {"choices": ["mlp", "cnn"]}, "data": {"choices": ["digits", "diabetes"]}}
    base = {
        "loss": "mse",
        "search": "random",
        "task._target_": "sweeper.training.loop.train",
        "train.epochs": 1,
    }
    given = {"axes": {**axes, "optim.lr": {"low": 0.001, "high": 0.01}}, "trials": 6}
    answer = run(searched, search=given, baseline=base, seeds=1)
    skipped = [p for p in search(searched).proposals if p.status == "skipped"]
    assert answer.code == 0 and skipped and all(p.trial_ids == () for p in skipped)
    assert (
        f"passed over {len(skipped)} of its 6 proposals, whose values do not compose" in answer.out
    )


def test_a_search_without_a_winner_says_so(searched: Any) -> None:
    answer = run(
        searched, search={"axes": AXES, "trials": 3, "metric": "at(val_loss, 99)"}, seeds=1
    )
    said = "tuned: the search of arm 'baseline' has no winner, since none of its 3 proposals came to a value of at(val_loss, 99): the arm has no reported trials."
    assert answer.code == 1 and said in answer.out
    assert search(searched).winner is None


def test_a_pruner_that_never_hears_of_the_metric_says_so(searched: Any) -> None:
    base = {"task._target_": "curves.silent", "pruner": "median"}
    answer = run(searched, search={"axes": AXES, "trials": 3}, baseline=base)
    assert answer.code == 0
    assert "gave up nothing, since no report of 'val_loss' reached pruner=median." in answer.out


REFUSED = {
    "circle": ({"axes": {"task.a": {"low": 0, "high": 1, "when": {"task.b": 1}}, "task.b": {"low": 0, "high": 1, "when": {"task.a": 1}}}}, {}, "search: axes: the `when` of 'task.a' and 'task.b' go in a circle"),
    "itself": ({"axes": {"task.a": {"low": 0, "high": 1, "when": {"task.a": 1}}}}, {}, "the `when` of 'task.a' go in a circle"),
    "value-never-taken": ({"axes": {**WHEN, "optim.momentum": {"low": 0, "high": 0.9, "when": {"optim": "adam"}}}}, {}, "'optim.momentum' is there when 'optim' is 'adam', which is not among the values that 'optim' is searched over"),
    "value-outside-range": ({"axes": {"optim.lr": LR, "model.dropout": {"low": 0, "high": 0.5, "when": {"optim.lr": 3}}}}, {}, "'model.dropout' is there when 'optim.lr' is 3, which is not among"),
    "unknown-parent": ({"axes": {"optim.lr": {**LR, "when": {"optm": "sgd"}}}}, {}, "'optim.lr' is there when 'optm' has some value, which is no axis. Did you mean 'optim'"),
    "choice-unknown": ({"axes": {"optim.lr": {**LR, "when": {"optim": "sgdd"}}}}, {}, "'optim.lr' is there when optim is 'sgdd', which it never is. Did you mean 'sgd'"),
    "nowhere": ({"axes": {"optim.lr": LR, "optim.momentum": {"low": 0, "high": 0.9, "when": {"optim.lrr": 1}}}}, {}, "'optim.momentum' is there in no searched arm, since its `when` holds in none"),
    "empty-when": ({"axes": {"optim.lr": {**LR, "when": {"optim": []}}}}, {}, "when.optim: "),
    "group-without-when": ({"axes": {"optim": {"choices": ["sgd", "momentum"]}, "optim.momentum": {"low": 0, "high": 0.9}}}, {}, "with optim=sgd: unknown axis 'optim.momentum'"),
    "when-of-mappings": ({"axes": {"optim.lr": {**LR, "when": {"optim": {"a": 1}}}}}, {}, "when.optim: give a value, or a list of values, and not {'a': 1}."),
    "asha-text": ({"axes": AXES}, {"pruner": "asha", "pruner.min_resource": "soon"}, "pruner.min_resource: give steps from 1 up, or auto, and not 'soon'."),
    "qmc-when": ({"axes": WHEN}, {"search": "qmc"}, "search=qmc needs axes that every proposal has, and 'optim.momentum' has a `when`"),
    "cmaes-when": ({"axes": WHEN}, {"search": "cmaes"}, "search=cmaes needs axes that every proposal has"),
    "cmaes-choices": ({"axes": {"optim": {"choices": ["sgd", "adam"]}, "optim.lr": LR}}, {"search": "cmaes"}, "search=cmaes moves along numbers, and 'optim' has choices"),
    "cmaes-metrics": ({"axes": AXES, "metric": ["val_loss", "duration_s"]}, {"search": "cmaes"}, "search=cmaes takes one metric"),
    "pruner-metrics": ({"axes": AXES, "metric": ["val_loss", "duration_s"]}, {"pruner": "asha"}, "pruner=asha takes one metric"),
    "pruner-duration": ({"axes": AXES, "metric": "duration_s"}, {"pruner": "median"}, "duration_s is not known before the end"),
    "pruner-epochs-to": ({"axes": AXES, "metric": "epochs_to(val_loss, 1)"}, {"pruner": "median"}, "epochs_to(val_loss, 1) is not known before the end"),
    "wilcoxon-one-seed": ({"axes": AXES}, {"pruner": "wilcoxon"}, "search.seeds holds 1, with which it never gives one up at p < 0.1: give at least 5"),
    "wilcoxon-never": ({"axes": AXES, "seeds": [10000, 10001]}, {"pruner": "wilcoxon", "pruner.p_threshold": 0.0}, "raise pruner.p_threshold"),
    "unknown-pruner": ({"axes": AXES}, {"pruner": "medium"}, "pruner: there is no choice 'medium'. Did you mean 'median'"),
    "unknown-option": ({"axes": AXES}, {"pruner": "median", "pruner.percentile": 3}, "unknown axis 'pruner.percentile'"),
    "wrong-type": ({"axes": AXES}, {"pruner": "median", "pruner.warmup_steps": "soon"}, "pruner.warmup_steps: "),
    "switch-for-number": ({"axes": AXES}, {"search": "gp", "search.startup_trials": True}, "search.startup_trials: a number belongs here, not a switch"),
    "asha-auto-bootstrap": ({"axes": AXES}, {"pruner": "asha", "pruner.min_resource": "auto", "pruner.bootstrap_count": 2}, "bootstrap_count needs a number of steps where auto stands"),
    "cmaes-both": ({"axes": AXES}, {"search": "cmaes", "search.separable": True, "search.with_margin": True}, "separable and with_margin exclude each other"),
    "doubled-choice": ({"axes": {"optim.lr": {"choices": [0.1, 0.1]}}}, {}, "the choice 0.1 stands twice"),
    "doubled-metric": ({"axes": AXES, "metric": ["val_loss", "val_loss"]}, {}, "a metric stands twice"),
    "no-metric": ({"axes": AXES, "metric": []}, {}, "search.metric: "),
    "metric-without-goal": ({"axes": AXES, "metric": ["val_loss", "reward"]}, {}, "search.metric 'reward': its name says neither loss nor accuracy"),
    "no-trials": ({"axes": AXES, "trials": 0}, {}, "search.trials: "),
    "too-many": ({"axes": AXES, "trials": 60_000, "seeds": [10000, 10001]}, {}, "1 searched arms with 60000 proposals on 2 seeds are 120000 trials, and at most 100000 are possible"),
    "unknown-replay": ({"axes": AXES, "replay": "again"}, {}, "search.replay: "),
    "log-from-zero": ({"axes": {"optim.lr": {"low": 0, "high": 1, "log": True}}}, {}, "a log range starts above zero"),
}  # fmt: skip


@pytest.mark.parametrize("given, baseline, said", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_searched_so_is_refused_with_the_mend(
    project: Any, here: Callable[..., Any], given: Any, baseline: Any, said: str
) -> None:
    project.recipe(
        "tuned", arms=[], claims=[], search=given, metrics=["val_loss"], seeds=2, baseline=baseline
    )
    answer = here("plan", "tuned", "--recipes", "recipes")
    assert answer.code == 2 and "Traceback" not in answer.err
    assert said in answer.err, answer.err


def test_the_pruner_is_no_part_of_a_trials_name_and_none_leaves_a_search_its_own(
    composer: Composer,
) -> None:
    from sweeper.compose import Composer

    composer = Composer(folders.search("conf", []))
    raw = {
        "question": "?",
        "seeds": 2,
        "metrics": ["val_loss"],
        "search": {"axes": AXES},
        "arms": [{"name": "deep", "set": {"model.depth": 3}}],
    }
    recipe = read_recipe({**raw, "search": {**raw["search"], "arms": ["deep"]}}, where="test")
    plain, pruned = (
        make_request("study", recipe, composer, parse_overrides(words), as_name="study")
        for words in ([], ["pruner=median"])
    )
    assert plain.trials.keys() == pruned.trials.keys()
    # Pinned: under another name the turns recorded so far are no longer found.
    assert study_name(plain, plain.searches[0]) == "study/deep/c45a971d"
    assert study_name(pruned, pruned.searches[0]) != study_name(plain, plain.searches[0])


def test_a_search_that_is_told_of_another_metric_begins_anew(project: Any) -> None:
    given = {"axes": AXES, "trials": 4}
    base = {"task._target_": "curves.train", "search": "random"}
    for metrics in (["val_loss", "val_accuracy"], ["val_accuracy", "val_loss"]):
        project.write("curves.py", CURVES)
        project.recipe(
            "tuned", arms=[], claims=[], seeds=1, metrics=metrics, search=given, baseline=base
        )
        assert project.run("tuned", "--allow", "curves").code == 0
        found = search(project)
        told = {p.number: p.told[0] for p in found.proposals}
        best = min if metrics[0] == "val_loss" else max
        assert found.metrics == (metrics[0],)
        assert told[found.winner] == best(told.values())


def test_a_wrong_signature_is_found_before_any_proposal(project: Any) -> None:
    project.write("curves.py", "def train(config):\n    return {'val_loss': 1.0}\n")
    base = {"task._target_": "curves.train"}
    project.recipe(
        "tuned", arms=[], claims=[], seeds=1, metrics=["val_loss"],
        search={"axes": AXES, "trials": 4}, baseline=base,
    )  # fmt: skip
    answer = project.run("tuned", "--allow", "curves")
    assert answer.code == 2 and "curves.train" in answer.err
    assert project.attempts() == {}


@pytest.mark.parametrize(
    "metrics, pruner, message",
    [
        (
            {"epochs_to(val_accuracy, 0.9)": {}}, "median",
            "pruner=median compares what is reported on the way, and epochs_to(val_accuracy, 0.9) "
            "is not known before the end: choose pruner=none, or search for another metric.",
        ),
        (
            {"spread(reward)": {}}, "none",
            "search.metric 'reward': its name says neither loss nor accuracy; name it under "
            "`metrics:` with its `goal`",
        ),
    ],
)  # fmt: skip
def test_the_first_metric_is_checked_as_one_that_is_named(
    project: Any, metrics: Any, pruner: str, message: str
) -> None:
    project.write("curves.py", CURVES)
    base = {"task._target_": "curves.train", "pruner": pruner}
    project.recipe(
        "tuned", arms=[], claims=[], seeds=1, metrics=metrics,
        search={"axes": AXES, "trials": 4}, baseline=base,
    )  # fmt: skip
    answer = project.run("tuned", "--allow", "curves")
    assert answer.code == 2 and message in answer.err


def test_a_failure_of_a_proposal_that_is_still_open_is_retried(searched: Any) -> None:
    given = {"search": {"axes": AXES, "trials": 2, "seeds": [10000, 10001]}, "seeds": 1}
    slow = CURVES.replace("import math", "import math, time")
    searched.write("curves.py", slow.replace("    for step", "    time.sleep(0.1)\n    for step"))
    (searched.folder / "fails").write_text("0")
    (searched.folder / "stop").write_text("1")
    assert run(searched, **given).code == 130
    assert searched.attempts()["failed"] == 1 and not any(
        "tell" in turn for turn in turns(searched)
    )
    assert run(searched, "--retry", **given).code == 0
    assert {r["status"] for r in searched.table("tuned/trials.csv")} == {"done"}
