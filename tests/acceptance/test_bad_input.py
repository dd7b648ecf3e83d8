"""Every wrong request is answered by one message that names the place and the mend, exit code 2."""

# ruff: noqa: E501 - a case of a table is a line

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

LOCAL = ("run", "tiny", "--recipes", "recipes", "--allow", "instant", "executor=local")
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
    assert len(answer.err) < 2000
    for part in said:
        assert part in answer.err


REQUESTS = {
    # the recipe's name
    "run-unknown-recipe": (("run", "train_loss_not_faling"), "unknown recipe 'train_loss_not_faling'. Did you mean 'train_loss_not_falling'"),
    "plan-unknown-recipe": (("plan", "nothing_like_it_at_all"), "unknown recipe 'nothing_like_it_at_all'. The recipes are: "),
    "plan-all-and-an-unknown-recipe": (("plan", "all", "lr_laddre"), "unknown recipe 'lr_laddre'. Did you mean 'lr_ladder'"),
    "run-no-recipe": (("run",), "name a recipe, or `all`"),
    "plan-no-recipe": (("plan", "seeds=3"), "name a recipe, or `all`"),
    "run-no-such-file": (("run", "recipes/none.yaml"), "there is no recipe file 'recipes/none.yaml'"),
    "plan-name-of-many-letters": (("plan", "x" * 5000), "unknown recipe 'xxx"),
    "plan-file-of-many-letters": (("plan", "x" * 5000 + ".yaml"), "there is no recipe file 'xxx"),
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
    "number-of-many-digits": ((*PLAN, "optim.lr=" + "9" * 5000), "cannot be read (Exceeds the limit (4300 digits)"),
    "nested-deeply": ((*PLAN, "optim.lr=" + "[" * 3000), "override 'optim.lr' is nested more than 30 levels deep."),
    "nested-deeply-in-mappings": ((*PLAN, "optim.lr=" + "{a:" * 200 + "1" + "}" * 200), "override 'optim.lr' is nested more than 30 levels deep."),
    "long-override": ((*PLAN, "optim.lr=" + "a" * 100_000), "override 'optim.lr' is longer than 10000 characters: write a recipe."),
    "long-override-without-secrets": ((*PLAN, "optim.lr=" + "a" * 9000 + ",b"), "for one value that is a list write 'optim.lr=[…]'."),
    "order-to-the-terminal": ((*PLAN, "optim.lr=\x1b[31m"), r"token recognition error at: '\x1b'"),
    "argument-in-another-encoding": ((*PLAN, "+task.note='\udcff'"), r"is not UTF-8: write it so."),
    "folder-in-another-encoding": ((*PLAN, "--outputs", "\udcff"), r"the argument '\udcff' is not UTF-8: write it so."),
    "target-that-is-a-list": ((*PLAN, "task._target_=[a]"), "task._target_: not given. Write task._target_=module.function."),
    "target-that-is-a-mapping": ((*PLAN, "task._target_={a: 1}"), "task._target_: not given. Write task._target_=module.function."),
    "target-of-a-group-without": ((*PLAN, "optim._target_=own.optimiser"), "optim._target_: unknown. The keys are: lr, weight_decay, momentum."),
    "package": ((*PLAN, "optim@model=adam"), "only axis=value and +axis=value are known"),
    "comma-list": ((*RUN, "optim.lr=0.1,0.2"), "override 'optim.lr=0.1,0.2' gives several values where one belongs: to compare them add -m (without a recipe also --as NAME); for one value that is a list write 'optim.lr=[…]'."),
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
    "interpolation-of-itself": ((*PLAN, "+task.x='${oc.select:task.x}'"), "task.x does not resolve: it leads through more than 30 interpolations"),
    "interpolation-of-what-holds-it": ((*PLAN, "+task.x='${oc.dict.values:task}'"), "does not resolve: "),
    "interpolations-that-swell": ((*PLAN, "+task.a0=x", *(f"+task.a{i}='{f'${{task.a{i - 1}}}' * 10}'" for i in range(1, 10))), "the configuration has more than 1000 interpolations to resolve"),
    "lists-that-swell": ((*PLAN, "+task.a0=[1]", *(f"+task.a{i}=[{','.join([f'${{task.a{i - 1}}}'] * 10)}]" for i in range(1, 10))), "the configuration has more than 1000 interpolations to resolve"),
    # seeds
    "zero-seeds": ((*RUN, "seeds=0"), "seeds is at least 1, but got 0"),
    "negative-seeds": ((*RUN, "seeds=-3"), "seeds is at least 1, but got -3"),
    "negative-seed": ((*PLAN, "seeds=[0,-1]"), "a list of seeds holds whole numbers from 0 up, but got [0, -1]"),
    "doubled-seed": ((*PLAN, "seeds=[1,1]"), "a seed stands twice in [1, 1]"),
    "no-seeds": ((*PLAN, "seeds=[]"), "a list of seeds holds whole numbers from 0 up, but got []"),
    "word-for-seeds": ((*PLAN, "seeds=many"), "seeds is a number (10 means 0 … 9) or a list, but got 'many'"),
    "part-of-seeds": ((*PLAN, "seeds.a=3"), "unknown axis 'seeds.a'"),
    "seeds-without-end": ((*PLAN, "seeds=1000000000000"), "seeds is at most 10000, but got 1000000000000."),
    "trials-without-end": ((*PLAN[:1], "lr_ladder", "seeds=10000"), "31 arms with 10000 seeds are 310000 trials, and at most 100000 are possible: ask for fewer arms or seeds."),
    # the executor and the sampler
    "unknown-executor": ((*RUN, "executor=cloud"), "executor: there is no choice 'cloud'"),
    "no-slots": ((*RUN, "executor.slots=0"), "executor.slots: Input should be greater than or equal to 1 (got 0)"),
    "negative-limit": ((*PLAN, "executor.timeout_s=-1"), "executor.timeout_s: Input should be greater than 0 (got -1)"),
    "no-share": ((*PLAN, "executor.per_device=0"), "executor.per_device: Input should be greater than or equal to 1 (got 0)"),
    "share-and-span": ((*PLAN, "executor.per_device=2", "executor.devices_per_trial=2"), "executor.per_device shares a GPU between trials and devices_per_trial gives a trial several: give one of the two"),
    "more-gpus-than-there-are": ((*LOCAL, "executor.devices_per_trial=2"), "executor.devices_per_trial=2 needs as many GPUs, and there are cpu"),
    "more-slots-than-shares": ((*LOCAL, "executor.slots=9", "executor.per_device=2"), "executor.slots=9 is more than 2 on each of 1 devices: leave executor.slots out, or give at most 2"),
    "memory-limit-on-a-gpu": ((*LOCAL, "executor.memory_mib=100", "executor.devices=[cuda:0]"), "executor.memory_mib limits trials on the cpu, and CUDA reserves more than it uses: leave it out, or add executor.devices=[cpu]."),
    "memory-in-words": ((*PLAN, "executor.memory_mib=lots"), "executor.memory_mib: Input should be a valid integer"),
    "negative-grace": ((*PLAN, "executor.grace_s=-1"), "executor.grace_s: Input should be greater than or equal to 0 (got -1)"),
    "no-such-executor": ((*PLAN, "executor=slurm"), "executor: there is no choice 'slurm'. The choices of executor are: inline, local, ray."),
    "inline-shares-nothing": ((*RUN, "executor.per_device=2"), "unknown axis 'executor.per_device'"),
    "keep-and-rerun": ((*RUN, "--keep", "--rerun"), "--keep and --rerun exclude each other: choose one."),
    "cancel-takes-no-word": (("cancel", "tiny"), "unexpected extra argument"),
    "cancel-where-nothing-runs": (("cancel",), "no sweep is writing to outputs: there is nothing to cancel."),
    "no-devices": ((*PLAN, "executor.devices=[]"), "executor.devices: List should have at least 1 item"),
    "slots-without-end": ((*PLAN, "executor.slots=1000000000000"), "executor.slots: Input should be less than or equal to 1000 (got 1000000000000)."),
    "shares-without-end": ((*PLAN, "executor.per_device=1000000000000"), "executor.per_device: Input should be less than or equal to 1000"),
    "slots-without-end-on-many": ((*PLAN, "executor.per_device=600", "executor.devices=[cuda:0,cuda:1]"), "devices and per_device make at most 1000 slots"),
    "switch-for-slots": ((*RUN, "executor.slots=true"), "executor.slots: a number belongs here, not a switch."),
    "limit-no-clock-holds": ((*PLAN, "executor.timeout_s=1e9"), "executor.timeout_s: Input should be less than or equal to 2000000 (got 1000000000.0)."),
    "memory-no-limit-holds": ((*PLAN, "executor.memory_mib=99999999999999999999"), "executor.memory_mib: Input should be less than or equal to 1099511627776"),
    "unknown-sampler": ((*PLAN, "search=grid"), "search: there is no choice 'grid'"),
    # folders and options
    "conf-not-there": (("run", "tiny", "--recipes", "recipes", "--conf", "nowhere"), "nowhere: there is no such folder"),
    "recipes-not-there": (("list", "--recipes", "nowhere"), "nowhere: there is no such folder"),
    "list-conf-not-there": (("list", "--axes", "--conf", "nowhere"), "nowhere: there is no such folder"),
    "conf-is-a-file": (("plan", "tiny", "--conf", "instant.py"), "instant.py: there is no such folder"),
    "outputs-is-a-file": ((*RUN, "--outputs", "instant.py"), "cannot write to instant.py (File exists): choose another with --outputs DIR"),
    "outputs-below-a-file": ((*RUN, "--outputs", "instant.py/deep"), "cannot write to instant.py/deep (Not a directory)"),
    "unknown-command": (("runn", "tiny"), "No such command 'runn'. Did you mean 'run'?"),
    "unknown-option": (("run", "tiny", "--retries"), "No such option: --retries (Possible options: --metric, --recipes, --retry)"),
    "list-takes-no-word": (("list", "tiny"), "unexpected extra argument"),
    "option-without-value": (("plan", "tiny", "--outputs"), "Option '--outputs' requires an argument"),
    "name-that-leaves-the-folder": ((*RUN, "--as", "../elsewhere"), "--as '../elsewhere' cannot name a folder of results: choose another, as in --as wider_net"),
    "name-that-is-empty": ((*RUN, "--as", ""), "--as '' cannot name a folder of results"),
    "name-no-folder-can-have": ((*RUN, "--as", "x" * 300), "cannot name a folder of results"),
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
    "seeds-without-end": ({"seeds": 10**12}, "seeds is at most 10000, but got 1000000000000"),
    "grid-without-end": ({"grid": {f"task.x{i}": list(range(10)) for i in range(9)}}, "this design has 1000000003 arms, and at most 10000 are possible"),
    "metrics-that-are-mappings": ({"metrics": [{"train_loss": {}}]}, "metrics: Input should be a mapping"),
    "metric-that-is-switched-off": ({"metrics": {"train_loss": False}}, "metrics.train_loss: Input should be"),
    "metric-nested-deeply": ({"metrics": ["best(" * 2000 + "loss" + ")" * 2000], "claims": []}, "is nested too deeply: write best(val_loss)"),
    "target-that-is-a-list": ({"baseline": {"task._target_": ["instant.train"]}}, "task._target_: not given"),
    "target-of-a-group-without": ({"baseline": {"optim._target_": "instant.train"}}, "optim._target_: unknown"),
    "contrast-of-no-numbers": ({"claims": [{"id": "X1", "kind": "better", "statement": "x", "contrast": {"larger": float("nan"), "smaller": -1}}]}, "claims.0.contrast.larger: Input should be a finite number (got nan)"),
    "documented-nan": ({"claims": [{**X1, "documented": float("nan")}]}, "Input should be a finite number (got nan)"),
    "claim-id-of-many-digits": ({"claims": [{**X1, "id": "9" * 5000}]}, "claims.0.id: String should have at most 200 characters"),
    "arm-of-many-letters": ({"arms": [{**ARM, "name": "x" * 300}], "claims": []}, "arms.0.name: String should have at most 200 characters"),
    "search-range-without-end": ({"search": {"axes": {"task.x": {"low": -1e308, "high": 1e308}}}}, "a range is finite, but got -1e+308 to 1e+308"),
    "search-of-whole-numbers-without-end": ({"search": {"axes": {"task.x": {"low": 0, "high": 1e300, "integer": True}}}}, "an integer range lies within ±2**53"),
    "search-choice-nan": ({"search": {"axes": {"task.x": {"choices": [float("nan")]}}}}, "Input should be a finite number (got nan)"),
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
    "a-list-as-key": ("? [a, b]\n: 3\n", "a list or mapping cannot be a key"),
    "a-mapping-as-key": ("? {a: b}\n: 3\n", "a list or mapping cannot be a key"),
    "a-date-that-is-none": ("notes: 2020-13-45\n", "this is no timestamp: month must be in 1..12"),
    "an-hour-that-is-none": ("notes: 2001-12-14t21:59:43.10-95:00\n", "this is no timestamp: offset must be"),
    "no-int": ("notes: !!int abc\n", "this is no int: invalid literal"),
    "no-digits": ("notes: !!int _\n", "this is no int: string index out of range"),
    "no-float": ("notes: !!float abc\n", "this is no float: could not convert"),
    "no-bool": ("notes: !!bool abc\n", "this is no bool: 'abc'"),
    "no-timestamp": ("notes: !!timestamp abc\n", "this is no timestamp: "),
    "no-mapping": ("notes: !!map a\n", "expected a mapping node, but found scalar"),
    "many-digits": ("notes: " + "9" * 5000 + "\n", "this is no int: Exceeds the limit (4300 digits)"),
    "many-digits-of-sixteen": ("notes: 0x" + "f" * 5000 + "\n", "tiny.yaml: a whole number has more than 300 digits: write a smaller one."),
    "nested-too-deeply-for-yaml": ("notes: " + "[" * 3000, "tiny.yaml: is nested too deeply: write it flatter."),
    "nested-too-deeply": ("notes: " + "[" * 40 + "]" * 40 + "\n", "tiny.yaml: values are nested more than 30 levels deep: write them flatter."),
    "aliases-that-swell": ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)), "tiny.yaml: this comes to more than 100000 values (an alias counts each time it stands)"),
    "merges-that-swell": ("a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 10)), "more than 100000 keys are merged"),
    "an-alias-of-itself": ("baseline: &b {task.x: *b}\n", "tiny.yaml: values are nested more than 30 levels deep"),
    "half-a-character": ('question: "\\ud800"\n', r"tiny.yaml: '\ud800' cannot be recorded: it holds half a character."),
    "another-file": ("#" * 300_000, "tiny.yaml: is larger than any recipe (256 KiB): is it another file?"),
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
    "compare-in-another-encoding": (("compare", "\udcff"), r"the argument '\udcff' is not UTF-8"),
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


CONFIGURATIONS = {
    "a-number": ("3", "the configuration does not compose (task=mine): Invalid loaded object type: int"),
    "a-number-as-key": ("_target_: instant.train\n1: 2\n", "task: Keys should be strings (got 1)."),
    "null-as-key": ("_target_: instant.train\nnull: 2\n", "does not compose (task=mine): Incompatible key type 'NoneType'"),
    "half-an-interpolation": ("x: ${\n", "does not compose (task=mine): no viable alternative at input '${'"),
    "many-digits": ("x: " + "9" * 5000 + "\n", "does not compose (task=mine): Exceeds the limit (4300 digits)"),
    "many-digits-of-sixteen": ("_target_: instant.train\nx: 0x" + "f" * 5000 + "\n", "task.x: a whole number has more than 300 digits"),
    "no-int": ("x: !!int y\n", "does not compose (task=mine): invalid literal for int()"),
    "an-alias-of-itself": ("x: &a [*a]\n", "does not compose (task=mine): maximum recursion depth exceeded"),
    "no-defaults": ("defaults: 3\n", "does not compose (task=mine): Invalid defaults list in 'task/mine'"),
}  # fmt: skip


@pytest.mark.parametrize("text, said", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_file_that_is_no_configuration_is_refused(
    here: Callable[..., Any], project: Any, text: str, said: str
) -> None:
    project.write("conf/task/mine.yaml", text)
    check(here(*PLAN, "--conf", "conf", "task=mine"), said)


def test_a_terminal_that_knows_no_arrows_is_shown_the_rest(project: Any) -> None:
    answer = project.cli(*PLAN, PYTHONIOENCODING="ascii")
    assert answer.code == 0, answer
    assert "optim.lr: 0.1 ? 0.5" in answer.out
