"""Two thousand mutated requests, of fixed seeds: refused in a sentence, or composed."""

import datetime
import itertools
import math
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweeper.compose

OURS = Path(sweeper.__file__).parents[1] / "recipes"
SECONDS = 20  # far beyond what any needs, on a machine that does other things too
PLAN = ("plan", "tiny", "--recipes", "recipes")
RUN = ("run", "tiny", "--recipes", "recipes", "--allow", "instant", "executor=inline")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


DEEP: Any = reduce(lambda inside, _: [inside], range(40), 1)
# What stands where something else belongs. Of a few the text is dumped as YAML's own type.
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**12, 2**70, 10**400, math.nan, math.inf, -math.inf, -0.0, "",
    " ", "nan", "1e-3", "off", "../x", "a/b", "a\nb", "a\tb", "x" * 5000, "ｌarger", "lаrger",
    "\u202elarger", "\x1b[31m", "😀", "\ud800", "=", "<<", [], [None], [[]], [1, "a", None], {},
    {"a": 1}, {1: 2}, {None: 1}, {1.5: 1}, {"a": {}}, datetime.date(2020, 1, 1), b"\xff",
    "${optim.lr}", "${train.epochs}", "${x}", "${", "${oc.env:HOME}", "???", "baseline", "larger",
    "smaller", "train_loss", "better", DEEP, list(range(300)),
]  # fmt: skip
METRICS = [
    "best(train_loss)", "at(train_loss, 1)", "bst(train_loss)", "best(", "best()", "best(a, b)",
    "at(train_loss)", "at(train_loss, nan)", "at(train_loss, 1e999)", "best(" * 2000 + ")" * 2000,
    "best_of(optim.lr, train_loss)", "largest_of(optim.lr, val_loss, x)", "best_of(train_loss)",
    "epochs_to(val_loss, -inf)", "spread(spread(val_loss))", "loss)", "(loss)", "löss", "1loss",
    "loss loss", "loss\n", "a" * 3000 + "loss", "", ",", "best(,)", "best (loss)",
]  # fmt: skip
# Whole parts of a recipe that a change of one value would rarely come to.
PARTS: list[dict[str, Any]] = [
    {"seeds": seeds}
    for seeds in (10**12, -3, 0, True, 2.0, [], [1, 1], [0, -1], [2**32], [True], "3", {"a": 1})
] + [{"metrics": {text: {"goal": "down"}}, "claims": []} for text in METRICS] + [
    {"grid": {f"train.{k}": list(range(1, 1001)) for k in ("epochs", "batch_size", "log_every")}},
    {"grid": {"optim.lr": [0.1, 0.2], "train.epochs": [1, 2, True, "x"]}},
    {"metrics": METRICS[:3]}, {"grid": {"optim.lr": []}}, {"grid": {"optim.lr": [0.3, 0.3]}},
    {"one_at_a_time": {"optim": ["adam", "sgd"], "optim.lr": [0.2, 0.1]}},
    {"one_at_a_time": {"nothing": [1]}}, {"ladder": {"optim.lr": [1, 0.1, 0.01]}},
    {"ladder": {"optim.lr": [1], "train.epochs": [2]}}, {"ladder": {"optim.lr": [math.nan]}},
    {"sequence": [{"name": "a", "from": "b", "set": {"optim.lr": 1}},
                  {"name": "b", "from": "a", "set": {"optim.lr": 2}}]},
    {"sequence": [{"name": "a", "from": "a", "set": {"optim.lr": 1}}]},
    {"sequence": [{"name": "a", "set": {"optim.lr": 1}}, {"name": "b", "set": {"optim.lr": 2}}]},
    {"search": {"axes": {"optim.lr": {"low": 1e-3, "high": 1, "log": True}}}, "arms": [],
     "claims": []},
    {"search": {"axes": {"task.x": {"low": -1e308, "high": 1e308}}}},
    {"search": {"axes": {"task.x": {"low": 0, "high": 1e300, "integer": True}}}},
    {"search": {"axes": {"optim": {"choices": ["adam", math.nan]}}}},
    {"search": {"axes": {}}}, {"search": {"axes": {"seeds": {"low": 0, "high": 1}}}},
    {"claims": [{"id": "X", "kind": "better", "statement": "x",
                 "contrast": {"larger": math.nan, "smaller": -1}}]},
    {"claims": [{"id": "9" * 5000, "kind": "better", "statement": "x", "arm": "larger"}]},
    {"claims": [{"id": "X", "kind": "worse", "statement": "x", "arm": "lаrger"}]},
    {"claims": [{"id": "X", "kind": "exact", "statement": "x", "arm": "larger",
                 "documented": math.nan}]},
    {"claims": [{"id": "X", "kind": "order", "statement": "x", "arms": ["larger", "larger"]}]},
    {"claims": [{"id": "X", "statement": "x", "parts": {}}]},
    {"baseline": {"task._target_": ["instant.train"]}},
    {"baseline": {"task._target_": {"instant": "train"}}},
    {"baseline": {"optim._target_": "instant.train"}},
    {"baseline": {"executor.slots": 10**12}}, {"baseline": {"seeds": 3}},
]  # fmt: skip

# Put somewhere into the text of a recipe.
INSERTED = [
    "\t", "\0", "\ufeff", "😀", "\x07", "\x1b", "\x85", "\u2028", "9" * 5000, "0x" + "f" * 5000,
    ".nan", "-.inf", "2020-13-45", "2020-01-01", "2001-12-14t21:59:43.10-95:00", "yes", "off", "~",
    "&a ", "*a", "\n<<: *a\n", "\n<<: 3\n", "\n? [a, b]\n: 3\n", "\n? {a: b}\n: 3\n", "!!int ",
    "!!float x", "!!bool x", "!!timestamp x", "!!binary x", "!!set ", "!!map ", "!!int _", "!x ",
    "!!python/object/apply:os.system [ls]", "[", "]", "{", "}", ": ", "- ", "? ", "|\n", ">\n",
    " # ", "\n---\n", "\n...\n", "%YAML 9.9\n", "'", '"', '"\\ud800"', '"\\e[31m"', "\\", "0x_",
    "0b_", "1:99:99", "=", "[" * 40, "[" * 2000, "{a: " * 40, "  ", "\n", "null", "\r",
]  # fmt: skip
TENFOLD = ", ".join(["*a{0}"] * 10)
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{TENFOLD.format(i - 1)}]\n" for i in range(1, 10)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{TENFOLD.format(i - 1)}]}}\n" for i in range(1, 10)
)
ENDLESS = "baseline: &b {task.x: *b}\n"

GOOD = [
    "optim.lr=0.03", "optim=adam", "seeds=2", "seeds=[5,6]", "train.epochs=3", "model=cnn",
    "data=captcha", "model.depth=3", "schedule=cosine", "task.fate=well", "search=random",
    "executor=inline", "executor.slots=1", "task._target_=instant.train", "model.norm=batch",
    "optim.lr='${optim.weight_decay}'", "data.class_samples={9: 3}", "task.note='a b'",
]  # fmt: skip
KEYS = [
    "optim.lr", "optim", "seeds", "task.x", "+task.x", "++optim.lr", "~optim", "optim@model", "",
    ".", "optim.", "optim..lr", "optim.lr.x", "optim.lr[0]", "öptim.lr", "ｏptim", "\udcff", "a/b",
    "task.a.b.c", "hydra.run.dir", "defaults", "executor", "executor.slots", "executor.devices",
    "executor.per_device", "executor.devices_per_trial", "executor.memory_mib", "executor.grace_s",
    "executor.timeout_s", "executor.name", "executor.nothing", "search.seed", "task._target_",
    "model._target_", "optim._target_", "data", "data.path", "loss", "train.epochs", "_self_",
]  # fmt: skip
FILLINGS = [
    "", " ", "null", "true", "nan", "inf", "-1", "0", "1.5", "1e999", "3", "'3'", "1000000000000",
    "9" * 400, "9" * 5000, "x" * 5000, "x" * 20000, "[", "]", "{", "}", "(", "'", '"', "\\", "`",
    "$", "$(ls)", "[]", "[1,2]", "[1,1]", "[-1]", "[[1]]", "[null]", "[cpu]", "[cuda:0]", "[GPU-]",
    "[cpu,cpu]", "{}", "{a: 1}", "{1: 2}", "{null: 2}", "{a}", "{a:}", "[" * 20 + "]" * 20,
    "[" * 200 + "]" * 200, "[" * 3000, "{a:" * 100, "0.1,0.2", "range(3)", "range(0,1000000000)",
    "choice(1)", "interval(0,1)", "glob(*)", "int(nan)", "int()", "nothing(3)", "str(1)", "${x}",
    "'${optim.lr}'", "'${task}'", "'${task.x}'", "'${'", "'${}'", "'${..}'", "'${now:}'",
    "'${oc.env:NOT_THERE_AT_ALL}'", "'${oc.select:task.x}'", "'${oc.dict.values:task}'",
    "'${oc.create:{a: 1}}'", "'${oc.decode:\"[\"}'", "'${nothing:1}'", "'${${optim.lr}}'", "???",
    "é", "'é'", "\udcff", "'\udcff'", "a=b", "a:b", "#", "%", ";", "\n", "\t3", "\x1b[31m", "adm",
    "adam", "none", "off", "../../etc", "local", "ray", "os.system", "a..b", "instant", "-0.0",
]  # fmt: skip
# Given to commands as they stand.
WORDS = [
    "", "tiny", "tiny+abcdef", "../tiny", "..", ".", "/", "a/b", "all", "x" * 300, "x" * 5000, "%",
    "_", "0", "f" * 16, "%' OR 1=1", "\udcff", "é", "😀", "\x1b[31m", "\n", "*", "[", "--", "-x",
    "seeds=3", "--now", "--axes", "--retry", "--keep", "--rerun", "--strict", "--version", "--help",
    "--outputs", "--as", "--allow", "--conf", "--recipes",
    *(f"--{name}={value}" for name in ("outputs", "as", "allow", "conf", "recipes") for value in (
        "", "nowhere", "instant.py", "instant.py/deep", "/dev/null", "/proc/none", "x" * 300, ".",
        "x" * 5000, "\udcff", "\n", "é", "a\0b", "trials", "tiny", "a,b", "a.b", "recipes",
    )),
]  # fmt: skip
FOURFOLD = "${{task.a{0}}}" * 4
NINEFOLD = ",".join(["'${{task.a{0}}}'"] * 9)
SWELLING = [
    ["+task.a0=x", *(f"+task.a{i}='{FOURFOLD.format(i - 1)}'" for i in range(1, 14))],
    ["+task.a0=[1,1]", *(f"+task.a{i}=[{NINEFOLD.format(i - 1)}]" for i in range(1, 9))],
    ["+task.a='${task.b}'", "+task.b='${task.a}'"],
]


def mutated_text(text: str, chance: random.Random) -> bytes:
    """A recipe's text, torn, shuffled or with something in it that does not belong there."""
    lines = text.splitlines(keepends=True)
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    kind = chance.randrange(10)
    if kind == 0:
        return text.encode()[: chance.randrange(len(text))]
    if kind == 1:
        return text.encode()[: (at := chance.randrange(len(text)))] + b"\xff" + text.encode()[at:]
    if kind == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 3:
        lines.insert(one, lines[other])
    elif kind == 4:
        del lines[one]
    elif kind == 5:
        lines[one] = chance.choice([" ", "  ", "\t"]) + lines[one]
    elif kind == 6:
        lines[one] = lines[one].removeprefix(" ")
    elif kind == 7:
        lines.insert(0, chance.choice([BOMB, MERGE_BOMB, ENDLESS, "\ufeff", "---\n"]))
    else:
        at = chance.randrange(len(lines[one]))
        lines[one] = lines[one][:at] + chance.choice(INSERTED) + lines[one][at:]
    return "".join(lines).encode()


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Each container of a tree with each of its keys or indices."""
    if isinstance(tree, dict | list):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from places(tree[key])


def mutated_tree(recipe: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    """A recipe with something of another kind, missing, doubled, misspelt or moved."""
    tree = deepcopy(dict(recipe))
    if chance.random() < 0.3:
        return tree | deepcopy(chance.choice(PARTS))
    holder, key = chance.choice(list(places(tree)))
    _, elsewhere = other = chance.choice(list(places(tree)))
    kind = chance.randrange(6)
    if kind <= 2:
        holder[key] = deepcopy(chance.choice(ODD))
    elif kind == 3:
        del holder[key]
    elif kind == 4:
        holder[key] = deepcopy(other[0][elsewhere])
    elif isinstance(holder, list):
        holder.append(deepcopy(holder[key]))
    else:
        name = chance.choice([f"{key}s", "", 3, None, "😀", key.upper(), key[:-1], "\ud800"])
        holder[name] = holder.pop(key)
    return tree


def mutated_overrides(chance: random.Random) -> list[str]:
    """One or two overrides, most of them wrong in one place."""
    if chance.random() < 0.01:
        return chance.choice(SWELLING)
    kind = chance.randrange(11)
    if kind <= 5:
        return [f"{chance.choice(KEYS)}={chance.choice(FILLINGS)}"]
    text = chance.choice(GOOD)
    at = chance.randrange(len(text) + 1)
    if kind <= 7:
        text = text[:at] + chance.choice(FILLINGS) + text[at:]
    elif kind == 8:
        text = text[:at] + text[at + 1 :]
    elif kind == 9:
        text = chance.choice(["~", "+", "++", "-", "/", "@", "="]) + text
    return [text, chance.choice(GOOD)]


class TooSlow(BaseException):
    """No part of the product catches it."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fails what takes longer, as a request that never ends would."""

    def late(*_: object) -> None:
        raise TooSlow(f"not answered within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def ask(here: Callable[..., Any], project: Any) -> Callable[..., int]:
    """ask(*words): the exit code, once it has been seen that nothing but an answer came."""
    outputs = project.folder / "outputs"

    def written() -> set[Path]:
        """Less SQLite's own, which a reader leaves behind in a process that goes on."""
        return {p for p in outputs.rglob("*") if not p.name.endswith(("-wal", "-shm"))}

    def asked(*words: str) -> int:
        before = written()
        with within(SECONDS):
            answer = here(*words)
        if answer.code == 2:
            assert answer.err.startswith("sweeper: ")
            assert answer.err.count("sweeper: ") == 1
            assert len(answer.err) < 2000
            assert not CONTROLS.search(answer.err)
            assert not answer.out
            assert written() == before
        else:
            assert not answer.err
        assert "Traceback" not in answer.err + answer.out
        return int(answer.code)

    return asked


@pytest.fixture
def shared_composer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Composed configurations are kept between requests: they depend on the folders alone."""
    made: dict[tuple[Path, ...], Any] = {}
    make = sweeper.compose.Composer

    def composer(folders: tuple[Path, ...]) -> Any:
        if folders not in made:
            made[folders] = make(folders)
        return made[folders]

    monkeypatch.setattr(sweeper.compose, "Composer", composer)


def codes_of(examples: Iterator[Any], answer: Callable[[Any], int], allowed: set[int]) -> list[int]:
    """The exit code of each example; the example that breaks a rule is in the message."""
    codes = []
    for number, example in enumerate(examples):
        try:
            code = answer(example)
            assert code in allowed, f"exit code {code}"
        except BaseException as error:
            shown = repr(example)
            raise AssertionError(f"example {number}: {shown[:3000]}\n{error!r}") from error
        codes.append(code)
    return codes


def write_tree(project: Any, tree: Mapping[str, Any]) -> None:
    project.write("recipes/tiny.yaml", yaml.safe_dump(dict(tree), sort_keys=False))


@pytest.mark.parametrize("seed", range(6))
def test_a_recipe_whose_text_is_damaged_is_composed_or_refused(
    ask: Callable[..., int], project: Any, tiny: Any, shared_composer: None, seed: int
) -> None:
    text, chance = yaml.safe_dump(dict(tiny), sort_keys=False), random.Random(f"text {seed}")

    def answer(damaged: bytes) -> int:
        (project.folder / "recipes/tiny.yaml").write_bytes(damaged)
        return ask(*PLAN)

    codes = codes_of((mutated_text(text, chance) for _ in range(80)), answer, {0, 2})
    assert codes.count(0) > 5
    assert codes.count(2) > 30


# One of each kind: a sequence, ladders with a search, checks without arms, looks, and contrasts.
@pytest.mark.parametrize(
    "name",
    ["exact_checks", "hard_examples", "lr_ladder", "mse_or_mae", "train_loss_not_falling"],
)
def test_a_recipe_of_ours_that_is_damaged_is_read_or_refused(
    ask: Callable[..., int], project: Any, shared_composer: None, name: str
) -> None:
    text, chance = (OURS / f"{name}.yaml").read_text(encoding="utf-8"), random.Random(name)

    def answer(damaged: bytes) -> int:
        (project.folder / "recipes/tiny.yaml").write_bytes(damaged)
        return ask("list", "--recipes", "recipes") if chance.random() < 0.9 else ask(*PLAN)

    codes = codes_of((mutated_text(text, chance) for _ in range(40)), answer, {0, 2})
    assert codes.count(2) > 10


@pytest.mark.parametrize("seed", range(6))
def test_a_recipe_with_something_wrong_in_it_is_composed_or_refused(
    ask: Callable[..., int], project: Any, tiny: Any, shared_composer: None, seed: int
) -> None:
    chance = random.Random(f"tree {seed}")

    def answer(tree: dict[str, Any]) -> int:
        write_tree(project, tree)
        return ask(*PLAN)

    codes = codes_of((mutated_tree(tiny, chance) for _ in range(100)), answer, {0, 2})
    assert codes.count(0) > 5
    assert codes.count(2) > 50


@pytest.mark.parametrize("seed", range(7))
def test_a_damaged_override_is_composed_or_refused(
    ask: Callable[..., int], shared_composer: None, seed: int
) -> None:
    chance = random.Random(f"override {seed}")
    examples = (mutated_overrides(chance) for _ in range(100))
    codes = codes_of(examples, lambda words: ask(*PLAN, *words), {0, 2})
    assert codes.count(0) > 3
    assert codes.count(2) > 50


def mutated_words(chance: random.Random) -> list[str]:
    """A command with up to three words that were not meant for it."""
    command = chance.choice(["plan", "compare", "show", "status", "cancel", "list", "nothing", ""])
    return [command, *chance.choices(WORDS, k=chance.randrange(4))]


@pytest.mark.parametrize("seed", range(2))
def test_any_word_is_answered_by_any_command(
    ask: Callable[..., int], shared_composer: None, seed: int
) -> None:
    chance = random.Random(f"words {seed}")
    assert ask(*RUN) == 0
    examples = (mutated_words(chance) for _ in range(100))
    codes = codes_of(examples, lambda words: ask(*words), {0, 2})
    assert codes.count(0) > 3
    assert codes.count(2) > 50


def test_what_is_composed_runs(
    ask: Callable[..., int], project: Any, tiny: Any, shared_composer: None
) -> None:
    chance = random.Random("run")

    def answer(example: Any) -> int:
        shutil.rmtree(project.folder / "outputs", ignore_errors=True)
        if isinstance(example, list):
            write_tree(project, tiny)
            return ask(*RUN, *example)
        write_tree(project, example)
        return ask(*RUN)

    def examples() -> Iterator[Any]:
        """Those that name another function or place would train for real, or by hundreds."""
        while True:
            words, tree = mutated_overrides(chance), mutated_tree(tiny, chance)
            if not any("_target_" in w or w.lstrip("+~").startswith("executor") for w in words):
                yield words
            baseline = tree.get("baseline")
            if isinstance(baseline, dict) and baseline.get("task._target_") == "instant.train":
                yield tree

    codes = codes_of(itertools.islice(examples(), 100), answer, {0, 1, 2})
    assert codes.count(0) > 10
    assert codes.count(2) > 30
