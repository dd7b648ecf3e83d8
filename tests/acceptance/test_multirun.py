"""A sweep without a recipe file: lists on the command line, and the recipe that they leave."""

# ruff: noqa: E501 - a case of a table is a line

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweeper
from sweeper.folders import Outputs
from sweeper.multirun import Multirun
from sweeper.overrides import parse_overrides
from sweeper.plan import Plan
from sweeper.records import Reader

TASK = ("task._target_=instant.train", "executor=inline")
RATES = ("-m", "--as", "rates", *TASK, "optim.lr=0.1,0.01", "optim=sgd,adam", "seeds=3")
GROUPS = {"optim": ["adam", "adamw", "sgd"]}


def written(project: Any, name: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(
        (project.folder / f"outputs/{name}/{name}.yaml").read_text()
    )
    return raw


def recorded(project: Any, name: str) -> Plan:
    with Reader(Outputs(project.folder / "outputs")) as reader:
        return reader.plan(name)


def arms(answer: Any) -> list[str]:
    """The arms that a plan lists."""
    table, _, _ = answer.out.partition(" arms")
    rows = [line for line in table.splitlines()[2:-1] if not line.startswith("  ")]
    return [row.split()[0] for row in rows]


def test_lists_become_a_grid_whose_first_cell_is_the_baseline(
    here: Callable[..., Any], project: Any
) -> None:
    answer = here("run", *RATES)
    assert answer.code == 0, answer
    rows = project.table("rates/arms.csv")
    assert [r["arm"] for r in rows[::2]] == [
        "baseline", "optim.lr=0.1,optim=adam", "optim.lr=0.01,optim=sgd", "optim.lr=0.01,optim=adam",
    ]  # fmt: skip
    assert [r["metric"] for r in rows[:2]] == ["val_loss", "train_loss"]
    assert {r["baseline"] for r in rows[2:]} == {"baseline"}
    assert project.attempts() == {"done": 12}


def test_the_recipe_it_leaves_is_the_same_plan_all_of_it_done(
    here: Callable[..., Any], project: Any
) -> None:
    first = here("run", *RATES, "--smallest-effect", "0.02")
    assert "outputs/rates/rates.yaml: this sweep as a recipe" in first.out
    before, plan = project.table("rates/trials.csv"), recorded(project, "rates")
    file = "outputs/rates/rates.yaml"
    assert here("run", file, "executor=inline").code == 2  # it names code: that must be allowed
    text = (project.folder / file).read_text()
    assert "# To run it add --allow instant: it names code.\n" in text
    assert text.startswith("# yaml-language-server: $schema=") and "schema.json\n" in text
    answer = here("run", file, "executor=inline", "--allow", "instant")
    assert "rates: 4 arms, 12 trials, 12 done already" in answer.out
    assert project.table("rates/trials.csv") == before
    assert recorded(project, "rates") == plan


def test_the_recipe_it_leaves_reads_like_one_of_ours(
    here: Callable[..., Any], project: Any
) -> None:
    here("run", *RATES, "--metric", "best(train_loss)", "--metric", "reward=up")
    assert written(project, "rates") == {
        "question": "How do optim.lr and optim change best(train_loss)?",
        "baseline": {"task._target_": "instant.train", "optim.lr": 0.1, "optim": "sgd"},
        "grid": {"optim.lr": [0.1, 0.01], "optim": ["sgd", "adam"]},
        "seeds": 3,
        "metrics": {"best(train_loss)": {}, "reward": {"goal": "up"}},
    }
    assert "  optim.lr: [0.1, 0.01]\n" in (project.folder / "outputs/rates/rates.yaml").read_text()


def test_texts_that_look_like_numbers_stay_texts_in_the_file(
    here: Callable[..., Any], project: Any
) -> None:
    here("run", "-m", "--as", "texts", *TASK, "+task.word='1e-3','off','x,y'", "seeds=1")
    assert written(project, "texts")["grid"] == {"task.word": ["1e-3", "off", "x,y"]}
    again = here("run", "outputs/texts/texts.yaml", "executor=inline", "--allow", "instant")
    assert "3 arms, 3 trials, 3 done already" in again.out


DESIGNS = {
    "one_at_a_time": ["optim.lr=0.01", "optim=adam"],
    "leave_one_out": ["without_optim.lr", "without_optim"],
    "add_one_in": ["with_optim.lr", "with_optim"],
    "factorial": ["optim.lr=0.1,optim=adam", "optim.lr=0.01,optim=sgd", "optim.lr=0.01,optim=adam"],
    "path": ["1_optim.lr=0.01", "1_optim=adam", "target"],
}


@pytest.mark.parametrize("design, expected", DESIGNS.items(), ids=DESIGNS)
def test_lists_may_become_another_design(
    here: Callable[..., Any], design: str, expected: list[str]
) -> None:
    answer = here("plan", *RATES, "--design", design)
    assert arms(answer) == ["baseline", *expected]


def test_a_ladder_takes_one_list(here: Callable[..., Any]) -> None:
    words = ("-m", "--as", "x", "--design", "ladder", "optim.lr=0.1,0.01,0.001")
    lines = [line.split() for line in here("plan", *words).out.splitlines()]
    assert ["optim.lr=0.001", "optim.lr=0.01", "optim.lr:", "0.01", "→", "0.001"] in lines


def test_without_a_list_it_is_one_arm_as_hydra_runs_one_job(here: Callable[..., Any]) -> None:
    answer = here("run", "-m", "--as", "one", *TASK, "optim.lr=0.5", "seeds=2")
    assert answer.code == 0, answer
    assert "one: 1 arms, 2 trials, 0 done already" in answer.out


def test_plan_shows_the_same_and_writes_nothing(here: Callable[..., Any], project: Any) -> None:
    answer = here("plan", "--multirun", *RATES[1:])
    assert "4 arms × 3 seeds = 12 cells, 12 trials: 0 done, 0 shared" in answer.out
    assert not (project.folder / "outputs").exists()


SEEDS = {
    "seeds=4": "2 arms × 4 seeds = 8 cells",
    "seeds=0,1,2": "2 arms × 3 seeds = 6 cells",
    "seeds={min: 3, max: 20}": "2 arms × 3 to 20 seeds = 6 to 40 cells, 6 to 40 trials",
    "optim.weight_decay=0": "2 arms × 5 seeds = 10 cells",
}


@pytest.mark.parametrize("word, said", SEEDS.items(), ids=SEEDS)
def test_seeds_are_typed_beside_the_lists(here: Callable[..., Any], word: str, said: str) -> None:
    assert said in here("plan", "-m", "--as", "x", "optim.lr=0.1,0.01", word).out


def test_lists_on_a_recipe_take_the_place_of_its_arms(
    here: Callable[..., Any], project: Any
) -> None:
    words = ("-m", "tiny", "--recipes", "recipes", "--allow", "instant", "executor=inline")
    answer = here("run", *words, "optim.lr=0.2,0.02")
    assert "A grid takes the place of the recipe's arms." in answer.out
    assert "Its 2 claims speak of the recipe's own arms: left out." in answer.out
    (name,) = (n for (n,) in project.sql("SELECT name FROM plans"))
    assert name.startswith("tiny+") and len(name) == len("tiny+") + 6
    raw = written(project, name)
    assert raw["question"] == "How does optim.lr change train_loss on the baseline of tiny?"
    assert raw["baseline"] == {"task._target_": "instant.train", "optim.lr": 0.2}
    assert (raw["seeds"], raw["metrics"]) == (3, {"train_loss": {"smallest_effect": 0.01}})
    assert project.table("reproduction.csv") == []
    other = here("run", *words, "optim.lr=0.2,0.03")
    assert f"{name}:" not in other.out  # other lists are another variant
    assert "tiny+" in other.out


def test_what_of_a_recipe_speaks_of_its_own_axes_is_left_out(here: Callable[..., Any]) -> None:
    answer = here("plan", "-m", "lr_ladder", "--as", "x", "optim.lr=0.1,0.01")
    assert "optim.lr is listed, so it is not searched." in answer.out
    answer = here("plan", "-m", "lr_ladder", "--as", "x", "model.norm=none,batch")
    assert "Search: 2 arms" in answer.out


def test_an_axis_that_the_baseline_has_not_is_left_to_the_choices_that_have_it(
    here: Callable[..., Any],
) -> None:
    answer = here("plan", "-m", "--as", "x", "data=digits,captcha", "data.dots=0,3")
    assert arms(answer) == ["baseline", "data=captcha,data.dots=0", "data=captcha,data.dots=3"]


def test_a_secret_stands_in_no_file(here: Callable[..., Any], project: Any) -> None:
    here("run", "-m", "--as", "own", *TASK, "task.token=hunter2", "optim.lr=0.1,0.2", "seeds=1")
    assert (
        "# To run it add task.token=…: kept out of this file.\n"
        in (project.folder / "outputs/own/own.yaml").read_text()
    )
    found = [
        p
        for p in (project.folder / "outputs").rglob("*")
        if p.is_file() and b"hunter2" in p.read_bytes()
    ]
    assert found == []


def test_from_python_too(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    tables = sweeper.run(
        (), [*TASK, "optim.lr=0.1,0.01,0.001", "seeds=2"],
        as_name="steps", multirun=Multirun("ladder", ["train_loss"]),
    )  # fmt: skip
    assert list(tables["steps"].arms["baseline"]) == ["", "baseline", "optim.lr=0.01"]


SWEEPS = {
    "a=1,2": (1, 2),
    "a='x,y',z": ("x,y", "z"),
    "a=choice(1,[2,'3'],{b: c})": (1, [2, "3"], {"b": "c"}),
    "a=range(1,4)": (1, 2, 3),
    "a=range(0.1,0.45,0.1)": (0.1, 0.2, 0.3, 0.4),
    "a=range(3,0,-1)": (3, 2, 1),
    "a=sort(3,1,2)": (1, 2, 3),
    "a=null,true": (None, True),
    "optim=glob(*)": ("adam", "adamw", "sgd"),
    "optim=glob([a*,s*],exclude=adamw)": ("adam", "sgd"),
}  # fmt: skip


@pytest.mark.parametrize("text, values", SWEEPS.items(), ids=SWEEPS)
def test_hydras_sweeps_are_read(text: str, values: tuple[Any, ...]) -> None:
    (found,) = parse_overrides([text], GROUPS)
    assert found.listed == values
    assert found.value == values[0]


def test_a_list_of_one_is_a_value() -> None:
    (found,) = parse_overrides(["a=choice(7)"], GROUPS)
    assert (found.value, found.listed) == (7, ())


WRONG = {
    "no-name": (("-m", "optim.lr=1,2"), "-m without a recipe needs a name for its results: add --as NAME, as in --as norms."),
    "name-of-a-recipe": (("-m", "--as", "lr_ladder", "optim.lr=1,2"), "--as 'lr_ladder' is a recipe's: choose another"),
    "bad-name": (("-m", "--as", "../x", "optim.lr=1,2"), "--as '../x' cannot name a folder of results"),
    "two-recipes": (("-m", "lr_ladder", "val_loss_not_falling", "optim.lr=1,2"), "-m sweeps on the baseline of one recipe, or of none: name one at most."),
    "every-recipe": (("-m", "all", "optim.lr=1,2"), "name one at most."),
    "recipe-without-a-list": (("-m", "lr_ladder", "optim.lr=1"), "-m replaces the arms of lr_ladder by lists of values, and there is none: list some, as in optim.lr=0.1,0.01, or leave -m out."),
    "no-such-recipe": (("-m", "lr_laddr", "optim.lr=1,2"), "unknown recipe 'lr_laddr'. Did you mean 'lr_ladder'"),
    "without-m": (("optim.lr=1,2",), "gives several values where one belongs: to compare them add -m (without a recipe also --as NAME)"),
    "unknown-design": (("-m", "--as", "x", "--design", "gird", "optim.lr=1,2"), "--design 'gird' is not known. Did you mean 'grid'?"),
    "design-without-m": (("lr_ladder", "--design", "grid"), "--design, --metric and --smallest-effect say what becomes of lists of values: add -m."),
    "ladder-of-two": (("-m", "--as", "x", "--design", "ladder", "optim.lr=1,2", "model.depth=1,2"), "--design ladder takes one list of values, and here are 2 (optim.lr, model.depth)"),
    "factorial-of-three-values": (("-m", "--as", "x", "--design", "factorial", "optim.lr=1,2,3"), "--design factorial takes two values of each axis, the baseline's first, and optim.lr has 3"),
    "interval": (("-m", "--as", "x", "optim.lr=interval(0,1)"), "an interval has no values to compare: list some, as in optim.lr=0.1,0.01, or search it with `search: {axes: {optim.lr: {low: …, high: …}}}` in a recipe."),
    "shuffle": (("-m", "--as", "x", "optim.lr=shuffle(1,2)"), "the first value is the baseline's, so shuffle would draw it by chance: leave shuffle out."),
    "glob-of-a-key": (("-m", "--as", "x", "optim.lr=glob(*)"), "glob picks among the choices of a group, and 'optim.lr' is none. Did you mean 'optim'?"),
    "glob-of-nothing": (("-m", "--as", "x", "optim=glob(z*)"), "picks nothing. The choices of optim are: adam, "),
    "empty-range": (("-m", "--as", "x", "optim.lr=range(5,1)"), "override 'optim.lr=range(5,1)' gives no value"),
    "range-that-stands-still": (("-m", "--as", "x", "optim.lr=range(1,5,0)"), "a range has finite ends and a step other than 0"),
    "range-without-end": (("-m", "--as", "x", "optim.lr=range(1,1e12)"), "gives more than 10000 values"),
    "doubled-value": (("-m", "--as", "x", "optim.lr=1,1"), "override 'optim.lr=1,1' gives 1 twice: leave one out."),
    "doubled-axis": (("-m", "--as", "x", "optim.lr=1,2", "optim.lr=3"), "optim.lr is given twice beside -m: put all its values into one list."),
    "sweep-in-a-list": (("-m", "--as", "x", "optim.lr=1,interval(2,3)"), "a sweep stands within a list: write its values themselves."),
    "executor": (("-m", "--as", "x", "executor.slots=1,2"), "executor.slots says how trials are run or searched, which is no axis to compare: give it one value."),
    "secret": (("-m", "--as", "x", "task.token=a,b"), "task.token is named like a secret, and its values would name the arms: give it one."),
    "misspelt-axis": (("-m", "--as", "x", "optim.lrr=1,2"), "recipe x: arm 'baseline': unknown axis 'optim.lrr'. Did you mean 'optim.lr'"),
    "misspelt-choice": (("-m", "--as", "x", "optim=sgd,adm"), "recipe x: arm 'optim=adm': optim: there is no choice 'adm'. Did you mean 'adam'"),
    "wrong-value": (("-m", "--as", "x", "optim.lr=1,fast"), "recipe x: arm 'optim.lr=fast': optim.lr: 'fast' is not a number above zero."),
    "too-many-arms": (("-m", "--as", "x", "model.depth=range(1,200)", "optim.lr=range(1,200)"), "this design has 39602 arms, and at most 10000 are possible"),
    "metric-without-goal": (("-m", "--as", "x", "--metric", "reward", "optim.lr=1,2"), "--metric 'reward': its name says neither loss nor accuracy: say which way is better, as in --metric reward=up (or down)."),
    "no-goal": (("-m", "--as", "x", "--metric", "reward=best", "optim.lr=1,2"), "--metric 'reward': 'best' is no goal"),
    "negative-effect": (("-m", "--as", "x", "--smallest-effect", "-1", "optim.lr=1,2"), "-m: metrics.val_loss.smallest_effect: Input should be greater than or equal to 0"),
    "no-seeds": (("-m", "--as", "x", "seeds=many", "optim.lr=1,2"), "-m: seeds is a number (10 means 0 … 9) or a list, but got 'many'"),
}  # fmt: skip


@pytest.mark.parametrize("words, said", WRONG.values(), ids=WRONG)
def test_a_wrong_sweep_is_refused_with_the_mend(
    here: Callable[..., Any], project: Any, words: tuple[str, ...], said: str
) -> None:
    answer = here("run", *words)
    assert answer.code == 2, answer
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not (project.folder / "outputs").exists()


def test_a_sweep_from_a_shell_runs_in_processes_of_its_own(project: Any) -> None:
    words = ("-m", "--as", "rates", "task._target_=instant.train", "optim.lr=0.1,0.01", "seeds=2")
    answer = project.cli("run", *words)
    assert answer.code == 0, answer
    assert project.attempts() == {"done": 4}
    assert Path(project.folder / "outputs/rates/rates.yaml").is_file()
