"""Every wrong request is answered by one message that names the place and the mend, exit code 2."""

# ruff: noqa: E501 - a case of a table is a line

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

RUN = ("run", "tiny", "--recipes", "recipes", "--allow", "instant", "executor=inline")
PLAN = ("plan", "tiny", "--recipes", "recipes")
X1 = {"id": "X1", "arm": "larger", "kind": "worse", "statement": "worse"}
ARM = {"name": "larger", "set": {"optim.lr": 0.5}}
FOLDER = "outputs"


def check(answer: Any, *said: str) -> None:
    """The answer is a refusal whose message holds each of these."""
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err + answer.out
    assert answer.err.startswith("sweeper: ")
    for part in said:
        assert part in answer.err


REQUESTS = {
    # the recipe's name
    "run-unknown-recipe": (("run", "train_loss_not_faling"), "unknown recipe 'train_loss_not_faling'. Did you mean 'train_loss_not_falling'"),
    "plan-unknown-recipe": (("plan", "nothing_like_it_at_all"), "unknown recipe 'nothing_like_it_at_all'. The recipes are: "),
    "run-no-recipe": (("run",), "name a recipe, or `all`"),
    "plan-no-recipe": (("plan", "seeds=3"), "name a recipe, or `all`"),
    "run-no-such-file": (("run", "recipes/none.yaml"), "there is no recipe file 'recipes/none.yaml'"),
    "plan-recipe-is-a-folder": (("plan", "recipes/"), "there is no recipe file 'recipes/'"),
    "run-as-with-two": ((*RUN, "train_loss_not_falling", "--as", "mine"), "--as names one variant: give one recipe with it"),
    "as-the-store": ((*RUN, "--as", "sweeper.sqlite"), "--as 'sweeper.sqlite' cannot name a folder of results"),
    "two-of-one-name": ((*PLAN, "recipes/tiny.yaml"), "two of these recipes are named 'tiny': run one at a time"),
    # axes, choices and overrides
    "unknown-axis": ((*RUN, "optm=adam"), "unknown axis 'optm'. Did you mean 'optim'"),
    "unknown-key": ((*RUN, "optim.lrr=0.1"), "unknown axis 'optim.lrr'. Did you mean 'optim.lr'"),
    "unknown-choice": ((*RUN, "optim=adm"), "optim: there is no choice 'adm'. Did you mean 'adam'"),
    "key-of-another-choice": ((*PLAN, "optim=sgd", "optim.momentum=0.5"), "unknown axis 'optim.momentum'"),
    "no-value": ((*PLAN, "optim.lr="), "optim.lr"),
    "not-the-grammar": ((*PLAN, "optim.lr=[0.1"), "override 'optim.lr=[0.1' cannot be read"),
    "deletion": ((*PLAN, "~optim=adam"), "only axis=value and +axis=value are known"),
    "package": ((*PLAN, "optim@model=adam"), "only axis=value and +axis=value are known"),
    "comma-list": ((*RUN, "optim.lr=0.1,0.2"), "override 'optim.lr=0.1,0.2' gives several values where one belongs: to compare them write a recipe with `grid: {optim.lr: [0.1,0.2]}`"),
    "range-sweep": ((*PLAN, "optim.lr=range(1,5)"), "gives several values where one belongs"),
    # values
    "wrong-type": ((*RUN, "optim.lr=fast"), "arm 'baseline': optim.lr: 'fast' is not a number above zero"),
    "nan": ((*RUN, "optim.lr=nan"), "arm 'baseline': optim.lr: nan is not a number above zero"),
    "inf": ((*PLAN, "optim.weight_decay=inf"), "optim.weight_decay: inf is not a number from zero up"),
    "nan-in-own-group": ((*RUN, "task.fate=nan"), "task.fate: nan cannot be recorded"),
    "fraction-for-a-count": ((*PLAN, "train.epochs=2.5"), "train.epochs: 2.5 is not a whole number from 1 up"),
    "below-the-bound": ((*PLAN, "train.batch_size=0"), "train.batch_size: 0 is not a whole number from 1 up"),
    "wrong-word": ((*PLAN, "model.activation=rele"), "model.activation: 'rele' is not one of relu, leaky_relu"),
    "value-for-a-group": ((*PLAN, "optim=0.1"), "optim: there is no choice 0.1"),
    "list-for-a-group": ((*PLAN, "optim=[adam,sgd]"), "optim: there is no choice"),
    "mapping-for-a-group": ((*PLAN, "optim={lr: 0.1}"), "optim: there is no choice"),
    "missing-value": ((*PLAN, "data=folder"), "data.path has no value: give one, as in data.path=…"),
    "unresolvable": ((*PLAN, "optim.lr=${optim.nothing}"), "arm 'baseline': optim.lr does not resolve: Interpolation key 'optim.nothing' not found"),
    "unknown-resolver": ((*PLAN, "optim.lr='${nothing:1}'"), "optim.lr does not resolve: Unsupported interpolation type nothing"),
    # seeds
    "zero-seeds": ((*RUN, "seeds=0"), "seeds is at least 1, but got 0"),
    "negative-seeds": ((*RUN, "seeds=-3"), "seeds is at least 1, but got -3"),
    "negative-seed": ((*PLAN, "seeds=[0,-1]"), "a list of seeds holds whole numbers from 0 up, but got [0, -1]"),
    "doubled-seed": ((*PLAN, "seeds=[1,1]"), "a seed stands twice in [1, 1]"),
    "no-seeds": ((*PLAN, "seeds=[]"), "a list of seeds holds whole numbers from 0 up, but got []"),
    "word-for-seeds": ((*PLAN, "seeds=many"), "seeds is a number (10 means 0 … 9) or a list, but got 'many'"),
    "part-of-seeds": ((*PLAN, "seeds.a=3"), "unknown axis 'seeds.a'"),
    # the executor and the sampler
    "unknown-executor": ((*RUN, "executor=cloud"), "executor: there is no choice 'cloud'"),
    "no-slots": ((*RUN, "executor.slots=0"), "executor.slots: Input should be greater than or equal to 1 (got 0)"),
    "negative-limit": ((*PLAN, "executor.timeout_s=-1"), "executor.timeout_s: Input should be greater than 0 (got -1)"),
    "no-devices": ((*PLAN, "executor.devices=[]"), "executor.devices: List should have at least 1 item"),
    "unknown-sampler": ((*PLAN, "search=grid"), "search: there is no choice 'grid'"),
    # folders and options
    "conf-not-there": (("run", "tiny", "--recipes", "recipes", "--conf", "nowhere"), "nowhere: there is no such folder"),
    "recipes-not-there": (("list", "--recipes", "nowhere"), "nowhere: there is no such folder"),
    "list-conf-not-there": (("list", "--axes", "--conf", "nowhere"), "nowhere: there is no such folder"),
    "conf-is-a-file": (("plan", "tiny", "--conf", "instant.py"), "instant.py: there is no such folder"),
    "outputs-is-a-file": ((*RUN, "--outputs", "instant.py"), "cannot write to instant.py (File exists): choose another with --outputs DIR"),
    "outputs-below-a-file": ((*RUN, "--outputs", "instant.py/deep"), "cannot write to instant.py/deep (Not a directory)"),
    "unknown-command": (("runn", "tiny"), "No such command 'runn'. Did you mean 'run'?"),
    "unknown-option": (("run", "tiny", "--retries"), "No such option: --retries (Possible options: --recipes, --retry)"),
    "list-takes-no-word": (("list", "tiny"), "unexpected extra argument"),
    "option-without-value": (("plan", "tiny", "--outputs"), "Option '--outputs' requires an argument"),
    "name-that-leaves-the-folder": ((*RUN, "--as", "../elsewhere"), "--as '../elsewhere' cannot name a folder of results: choose another, as in --as wider_net"),
    "name-that-is-empty": ((*RUN, "--as", ""), "--as '' cannot name a folder of results"),
    "name-of-the-folder-of-trials": ((*RUN, "--as", "trials"), "--as 'trials' cannot name a folder of results"),
    "name-of-a-recipe": ((*RUN, "--as", "tiny"), "--as 'tiny' is a recipe's: choose another"),
    # where nothing was run yet
    "compare-before-run": (("compare", "tiny"), "outputs holds no results yet: start with `sweeper run RECIPE`"),
    "compare-all-before-run": (("compare",), "outputs holds no results yet"),
    "status-before-run": (("status",), "outputs holds no results yet"),
    "status-elsewhere": (("status", "--outputs", "nowhere"), "nowhere holds no results yet"),
    "show-before-run": (("show", "0123"), "outputs holds no results yet"),
    "show-nothing": (("show",), "Missing argument 'TRIAL'"),
}  # fmt: skip


@pytest.mark.parametrize("words, said", REQUESTS.values(), ids=REQUESTS)
def test_a_wrong_request_is_refused_before_anything_is_written(
    here: Callable[..., Any], project: Any, words: tuple[str, ...], said: str
) -> None:
    check(here(*words), said)
    assert not (project.folder / FOLDER).exists()


RECIPES: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt-key": ({"basline": {}}, "unknown key 'basline'. Did you mean 'baseline'"),
    "misspelt-key-of-an-arm": ({"arms": [{"name": "a", "sets": {}}]}, "unknown key 'arms.0.sets'. Did you mean 'set'"),
    "misspelt-key-of-a-claim": ({"claims": [{**X1, "statment": "x"}]}, "unknown key 'claims.0.statment'. Did you mean 'statement'"),
    "misspelt-key-of-a-metric": ({"metrics": {"train_loss": {"smalest_effect": 1}}}, "unknown key 'metrics.train_loss.smalest_effect'. Did you mean 'smallest_effect'"),
    "misspelt-kind": ({"claims": [{**X1, "kind": "beter"}]}, "claims.0: there is no kind 'beter'. Did you mean 'better'?\n"),
    "two-arms-of-one-name": ({"arms": [ARM, ARM]}, "two arms have the name 'larger': give each its own"),
    "an-arm-named-baseline": ({"arms": [{**ARM, "name": "baseline"}]}, "two arms have the name 'baseline'"),
    "claim-on-no-arm": ({"claims": [{**X1, "arm": "largr"}]}, "claim X1 speaks of the arm 'largr', which does not exist. Did you mean 'larger'"),
    "claim-without-kind": ({"claims": [{"id": "X1", "arm": "larger", "statement": "x"}]}, "claims.0: the key 'kind' is missing: one of better, "),
    "two-claims-of-one-id": ({"claims": [X1, X1]}, "two claims have the id 'X1'"),
    "claim-on-no-metric": ({"claims": [{**X1, "metric": "val_loss"}]}, "claim X1: metric 'val_loss' is not under `metrics:`"),
    "baseline-of-no-axis": ({"baseline": {"optm": "adam"}}, "arm 'baseline': unknown axis 'optm'"),
    "baseline-of-no-choice": ({"baseline": {"optim": "adm"}}, "arm 'baseline': optim: there is no choice 'adm'"),
    "baseline-that-contradicts-itself": ({"baseline": {"data": "diabetes"}}, "arm 'baseline': loss.name: cross_entropy needs classes"),
    "baseline-that-is-no-mapping": ({"baseline": ["optim"]}, "baseline: Input should be a mapping."),
    "last-arm-is-mistyped": ({"arms": [ARM, {"name": "b", "set": {"optim.lr": "hi"}}], "claims": []}, "arm 'b': optim.lr: 'hi' is not a number above zero"),
    "arm-that-changes-nothing": ({"arms": [ARM, {"name": "b", "set": {"optim.lr": 0.1}}], "claims": []}, "arm 'b' changes nothing of 'baseline'"),
    "from-no-arm": ({"arms": [ARM, {"name": "b", "from": "c", "set": {"optim.lr": 1}}]}, "arm 'b' starts from 'c', which is no arm before it"),
    "name-of-an-arm-with-a-slash": ({"arms": [{**ARM, "name": "a/b"}]}, "arms.0.name: 'a/b' is no name: use letters, digits and _ . + = , - alone"),
    "seeds-zero": ({"seeds": 0}, "tiny.yaml: seeds is at least 1, but got 0.\n"),
    "seeds-missing": ({"seeds": None}, "the key 'seeds' is missing"),
    "question-missing": ({"question": None}, "the key 'question' is missing"),
    "metrics-missing": ({"metrics": None}, "the key 'metrics' is missing"),
    "metric-of-no-direction": ({"metrics": ["speed"], "claims": []}, "metric 'speed': its name says neither loss nor accuracy; add `goal: down` or `goal: up`"),
    "metric-of-no-function": ({"metrics": ["bst(train_loss)"], "claims": []}, "there is no function 'bst'. Did you mean 'best'"),
    "metric-effect-nan": ({"metrics": {"train_loss": {"smallest_effect": float("nan")}}}, "metrics.train_loss.smallest_effect: Input should be a finite number (got nan)"),
    "grid-without-values": ({"grid": {"optim.lr": []}}, "the axis 'optim.lr' has no values"),
    "search-on-reported-seeds": ({"search": {"axes": {"optim.lr": {"low": 0.1, "high": 1}}, "seeds": [0]}}, "search.seeds are never the reported seeds"),
    "search-range-upside-down": ({"search": {"axes": {"optim.lr": {"low": 1, "high": 0.1}}}}, "`low < high` must hold, but got (low=1.0, high=0.1)"),
    "search-of-an-arms-own-axis": ({"search": {"axes": {"optim.lr": {"low": 0.1, "high": 1}}}}, "search.axes: 'optim.lr' is set by the arm 'larger' itself"),
    "search-of-no-axis": ({"search": {"axes": {"optim.lrr": {"low": 0.1, "high": 1}}}}, "search.axes, arm 'baseline': unknown axis 'optim.lrr'. Did you mean 'optim.lr'"),
    "search-beyond-the-bound": ({"arms": [], "claims": [], "search": {"axes": {"optim.momentum": {"low": 0.5, "high": 1.5}}}}, "search.axes, arm 'baseline': optim.momentum: 1.5 is not a number from 0 to below 1"),
}  # fmt: skip


@pytest.mark.parametrize("changes, said", RECIPES.values(), ids=RECIPES)
def test_a_wrong_recipe_is_refused_naming_the_place(
    here: Callable[..., Any], project: Any, changes: dict[str, Any], said: str
) -> None:
    project.recipe(**changes)
    check(here(*RUN), said, "tiny")
    assert not (project.folder / FOLDER).exists()


TEXTS = {
    "not-yaml": ("question: [", "tiny.yaml: cannot be read as YAML"),
    "a-list": ("- question\n", "tiny.yaml: a recipe is a mapping"),
    "empty": ("", "tiny.yaml: a recipe is a mapping"),
    "not-text": ("\udcff", "tiny.yaml: cannot be read as YAML"),
    "a-key-twice": ("question: a\nquestion: b\n", "the key 'question' stands twice"),
    "runs-code": ("question: !!python/object/apply:os.system [ls]\n", "tiny.yaml: cannot be read as YAML"),
}  # fmt: skip


@pytest.mark.parametrize("text, said", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("words", [PLAN, ("list", "--recipes", "recipes")], ids=["plan", "list"])
def test_a_file_that_is_no_recipe_is_refused(
    here: Callable[..., Any], project: Any, words: tuple[str, ...], text: str, said: str
) -> None:
    (project.folder / "recipes/tiny.yaml").write_bytes(text.encode(errors="surrogateescape"))
    check(here(*words), said)


def nothing_ran(project: Any) -> bool:
    """No attempt has a result, and no table was written."""
    return not project.sql(
        "SELECT 1 FROM attempts WHERE status IN ('done', 'diverged')"
    ) and not list((project.folder / FOLDER).rglob("*.csv"))


OWN = """
import os

def no_workdir(config, *, seed, device, report): ...

def positional(): ...

def returns_nothing(config, *, seed, device, report, workdir): ...

def returns_text(config, *, seed, device, report, workdir):
    return {"train_loss": "low"}

def returns_a_number(config, *, seed, device, report, workdir):
    return 0.5

def reports_text(config, *, seed, device, report, workdir):
    report(1, train_loss="low")

def net(width): ...

shell = os.system
not_a_function = 3
"""

FUNCTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "lacks-an-argument": (("task._target_=own.no_workdir",), "own.no_workdir(config, *, seed, device, report) does not fit (got an unexpected keyword argument 'workdir'): a training function is called as train(config, *, seed, device, report, workdir)"),
    "takes-nothing": (("task._target_=own.positional",), "own.positional() does not fit"),
    "returns-nothing": (("task._target_=own.returns_nothing",), "own.returns_nothing returned NoneType where a mapping of names to numbers is due"),
    "returns-text": (("task._target_=own.returns_text",), "own.returns_text returned train_loss='low' (str), which is not a number: give a float"),
    "returns-a-number": (("task._target_=own.returns_a_number",), "own.returns_a_number returned float where a mapping of names to numbers is due"),
    "reports-text": (("task._target_=own.reports_text",), "report got train_loss='low' (str), which is not a number: give a float"),
    "no-such-module": (("task._target_=nowhere.train",), "there is no module 'nowhere' in the current folder or in this environment"),
    "no-such-function": (("task._target_=own.trian",), "module 'own' has no 'trian'"),
    "no-module-at-all": (("task._target_=train",), "_target_ 'train' has no module: write module.train"),
    "not-a-function": (("task._target_=own.not_a_function",), "_target_ 'own.not_a_function' is a int, not a callable"),
    "really-another": (("task._target_=own.shell",), "is really 'posix.system', which is not allowed: add --allow posix"),
    "key-that-the-model-lacks": (("model._target_=own.net", "model.depth=3", "model.width=3"), "own.net(width) takes no 'depth': leave model.depth out, or add the parameter"),
    "key-that-the-model-needs": (("model._target_=own.net",), "own.net(width) needs 'width': give it, as in model.width=…"),
}  # fmt: skip


@pytest.mark.parametrize("overrides, said", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_wrong_function_of_the_users_is_refused_with_the_mend(
    here: Callable[..., Any], project: Any, overrides: tuple[str, ...], said: str
) -> None:
    project.write("own.py", OWN)
    check(here(*RUN, *overrides), said)
    assert nothing_ran(project)


def test_user_code_named_by_a_recipe_needs_leave(here: Callable[..., Any], project: Any) -> None:
    words = [word for word in RUN if word not in ("--allow", "instant")]
    check(here(*words), "_target_ 'instant.train' is not allowed: add --allow instant")
    assert nothing_ran(project)


# The trial fails (exit 1) where the request should be refused.
BUILTIN = ("task=builtin", "train.epochs=1", "seeds=1", "--recipes", "recipes", "executor=inline")


@pytest.fixture
def builtin(project: Any) -> Any:
    """The recipe trains our own net."""
    project.recipe(baseline={"train.epochs": 1}, arms=[], claims=[])
    return project


def test_an_image_folder_that_is_empty_is_refused(here: Callable[..., Any], builtin: Any) -> None:
    (builtin.folder / "images").mkdir()
    check(here("run", "tiny", "data=folder", "data.path=images", *BUILTIN), "images")
    assert nothing_ran(builtin)


def test_a_broken_image_is_refused_by_its_name(here: Callable[..., Any], builtin: Any) -> None:
    for name in ("cat", "dog"):
        builtin.write(f"images/{name}/1.png", "this is no picture")
    check(here("run", "tiny", "data=folder", "data.path=images", *BUILTIN), "images/cat/1.png")
    assert nothing_ran(builtin)


@pytest.mark.parametrize(
    "arrays, said",
    [
        pytest.param({"x": (10, 4)}, "'own.npz' holds x; it needs x and y", id="no-targets"),
        pytest.param(
            {"x": (10, 4), "y": (9,)}, "x has 10 samples and y has 9", id="lengths-differ"
        ),
        pytest.param(
            {"x": (9, 4, 4, 4, 4), "y": (9,)}, "x has shape (9, 4, 4, 4, 4)", id="too-deep"
        ),
        pytest.param({"x": (0, 4), "y": (0,)}, "x is empty", id="no-samples"),
    ],
)
def test_arrays_of_wrong_shape_are_refused(
    here: Callable[..., Any], builtin: Any, arrays: dict[str, tuple[int, ...]], said: str
) -> None:
    np.savez(builtin.folder / "own.npz", **{k: np.zeros(v, np.int64) for k, v in arrays.items()})
    check(here("run", "tiny", "data=arrays", "data.path=own.npz", *BUILTIN), "own.npz", said)
    assert nothing_ran(builtin)


def test_a_file_that_is_no_npz_is_refused(here: Callable[..., Any], builtin: Any) -> None:
    builtin.write("own.npz", "x,y")
    check(here("run", "tiny", "data=arrays", "data.path=own.npz", *BUILTIN), "own.npz")


def test_a_data_file_that_is_not_there_is_refused(here: Callable[..., Any], builtin: Any) -> None:
    check(here("run", "tiny", "data=arrays", "data.path=none.npz", *BUILTIN), "none.npz")


@pytest.fixture
def stored(here: Callable[..., Any], project: Any) -> Any:
    """A folder with the results of a sweep."""
    assert here(*RUN).code == 0
    return project


AFTER: dict[str, tuple[tuple[str, ...], str]] = {
    "compare-unknown-plan": (("compare", "tny"), "'tny' was never run into outputs: its plans are tiny"),
    "compare-a-variant-not-run": (("compare", "tiny+abcdef"), "'tiny+abcdef' was never run into outputs"),
    "compare-with-an-override": (("compare", "tiny", "seeds=3"), "'seeds=3' was never run into outputs"),
    "compare-known-and-unknown": (("compare", "tiny", "other"), "'other' was never run"),
    "compare-takes-no-recipes": (("compare", "tiny", "--recipes", "recipes"), "No such option: --recipes"),
    "compare-elsewhere": (("compare", "tiny", "--outputs", "nowhere"), "nowhere holds no results yet"),
    "show-unknown-trial": (("show", "zzzz"), "no trials start with 'zzzz': ids are in trials.csv"),
    "show-every-trial": (("show", ""), "9 trials start with ''"),
    "show-a-pattern": (("show", "%"), "no trials start with '%'"),
    "show-a-recipe": (("show", "tiny"), "no trials start with 'tiny'"),
    "show-two": (("show", "0", "1"), "unexpected extra argument"),
    "status-takes-no-word": (("status", "tiny"), "unexpected extra argument"),
}  # fmt: skip


def test_requests_about_results_that_are_not_there_are_refused(
    here: Callable[..., Any], stored: Any
) -> None:
    before = (stored.folder / "outputs/tiny/trials.csv").read_bytes()
    for words, said in AFTER.values():
        check(here(*words), said)
    assert (stored.folder / "outputs/tiny/trials.csv").read_bytes() == before


COMMANDS = {
    "run": RUN,
    "plan": PLAN,
    "compare": ("compare", "tiny"),
    "show": ("show", "0"),
    "status": ("status",),
}


def test_every_command_refuses_a_store_of_a_newer_version(
    here: Callable[..., Any], stored: Any
) -> None:
    with closing(sqlite3.connect(stored.folder / "outputs/sweeper.sqlite")) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
        db.commit()
    for words in COMMANDS.values():
        check(
            here(*words),
            "was written by a newer version of sweeper (store 99, this version reads 1): upgrade sweeper",
        )


def test_every_command_refuses_a_damaged_store(here: Callable[..., Any], stored: Any) -> None:
    for file in (stored.folder / "outputs").glob("sweeper.sqlite*"):
        file.write_bytes(b"not a store at all" * 1000)
    for words in COMMANDS.values():
        check(here(*words), "is damaged or no store of sweeper", "move it away")


@pytest.mark.parametrize("place", ["trials", "tiny"])
def test_a_file_where_a_folder_of_results_belongs_is_named(
    project: Any, here: Callable[..., Any], place: str
) -> None:
    project.write(f"outputs/{place}", "in the way")
    check(here(*RUN[:-1], "executor.slots=1"), f"outputs/{place}", "--outputs DIR")
