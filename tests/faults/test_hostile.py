"""Hostile recipes, configurations and overrides: nothing of them runs."""

# ruff: noqa: E501, SIM905 - a case of a table is a line

from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

TARGETS = """
os.system posix.system subprocess.run subprocess.Popen builtins.eval builtins.exec
builtins.__import__ runpy.run_path importlib.import_module pickle.loads shutil.rmtree
webbrowser.open urllib.request.urlopen socket.create_connection ctypes.CDLL code.interact
hydra.utils.call hydra.utils.instantiate torch.load torch.hub.load joblib.load numpy.load
pandas.read_pickle evil.touch evil.Touch planted.touch my.touch mymods.touch mymod_more.touch
mymod.touch mymod.Touch mymod.halfway mymod.named mymod.cached mymod.thing mymod.bound
mymod.evaluate mymod.get mymod.run mymod.system mymod.evil.touch mymod.os.system
mymod.subprocess.run mymod.__builtins__.eval mymod.__builtins__ mymod.__loader__.exec_module
mymod.__loader__ mymod.__class__ mymod.__init__ mymod.__getattribute__ mymod.train.__globals__
sweeper.run sweeper.api.run sweeper.targets.allow sweeper.targets.call sweeper.sweep.Sweep
sweeper.training.data.cache_at sweeper.training.data.os.system sweeper.training.data.np.load
sweeper.executors.perform.perform sweeper.executors.child.main mymod .mymod.touch mymod..touch
mymod.touch() mymod:touch ../evil.touch ./planted.py /etc/passwd mymod.train;planted
${hydra:runtime.cwd} ${oc.env:PATH}
""".split()
PLACES = ("task of the baseline", "model of an arm", "choice of data", "choice of task")


@pytest.mark.parametrize("number, target", list(enumerate(TARGETS)), ids=TARGETS)
def test_a_target_that_is_not_allowed_is_refused(trapped: Any, number: int, target: str) -> None:
    place = PLACES[number % len(PLACES)]
    own = {"task._target_": "mymod.train"}
    if place == "task of the baseline":
        trapped.recipe(baseline={"task._target_": target}, arms=[], claims=[])
    elif place == "model of an arm":
        arm = {"name": "evil", "set": {"model._target_": target}}
        trapped.recipe(baseline=own, arms=[arm], claims=[])
    else:
        group = place.rpartition(" ")[2]
        trapped.write(f"conf/{group}/chosen.yaml", yaml.safe_dump({"_target_": target}))
        baseline = {**(own if group == "data" else {}), group: "chosen"}
        trapped.recipe(baseline=baseline, arms=[], claims=[])
    conf = () if place in PLACES[:2] else ("--conf", "conf")
    trapped.refused(trapped.run(*conf))


def test_a_target_that_is_the_users_own_runs(trapped: Any) -> None:
    trapped.recipe(baseline={"task._target_": "mymod.train"}, arms=[], claims=[])
    assert trapped.run().code == 0
    trapped.untouched()


NESTED = {
    "_target_": "evil.touch", "_partial_": True, "_args_": ["now"], "_recursive_": True,
    "deeper": [{"_target_": "evil.touch", "of": [{"_target_": "os.system", "command": "true"}]}],
}  # fmt: skip


def test_a_target_deep_within_a_value_is_a_plain_mapping(trapped: Any) -> None:
    trapped.write("conf/transform/evil.yaml", yaml.safe_dump({**NESTED, "list": [NESTED]}))
    baseline = {"task._target_": "mymod.train", "task.note": [NESTED], "transform": "evil"}
    trapped.recipe(baseline=baseline, arms=[], claims=[])
    answer = trapped.run("--conf", "conf")
    assert answer.code == 0, answer
    trapped.untouched()
    assert [row["note_is_plain"] for row in trapped.table("tiny/trials.csv")] == ["1.0"]


@pytest.mark.parametrize(
    "key", ["optim.hook", "data.transform", "model.norm", "loss.name", "train.x"]
)
def test_a_target_within_a_value_of_ours_is_refused(trapped: Any, key: str) -> None:
    trapped.recipe(baseline={key: NESTED}, arms=[], claims=[])
    trapped.refused(trapped.run())


VALUES = (
    "${evil:}", "${now:%Y}", "${hydra:runtime.cwd}", "${${.word}:}", "${python_version:}",
    '${oc.decode:"${evil:}"}', "${oc.decode:${.code}}", "${oc.create:{a: '${evil:}'}}",
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_only_omegaconfs_own_resolvers_are_known(trapped: Any, value: str) -> None:
    def touch() -> str:
        trapped.canary.write_text("resolved")
        return "x"

    OmegaConf.register_new_resolver("evil", touch)
    try:
        own = {"task._target_": "mymod.train", "task.word": "evil", "task.code": "$" + "{evil:}"}
        trapped.recipe(baseline={**own, "task.note": value}, arms=[], claims=[])
        trapped.refused(trapped.run(), "Unsupported interpolation type")
        assert OmegaConf.has_resolver("evil")  # and is there again for whom it belongs to
    finally:
        OmegaConf.clear_resolver("evil")


TAGS = (
    "!!python/object/apply:evil.touch []", "!!python/object/new:evil.Touch []",
    "!!python/name:evil.touch ''", "!!python/module:planted ''", "!!python/object:evil.Touch {}",
    "!!python/object/apply:os.system ['touch canary']", "!<tag:yaml.org,2002:python/tuple> [1]",
)  # fmt: skip


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_of_yaml_makes_no_object(trapped: Any, tag: str) -> None:
    text = "question: q\nbaseline: {task._target_: mymod.train}\nseeds: 1\nmetrics: [train_loss]\n"
    trapped.write("recipes/tagged.yaml", f"{text}notes: {tag}\n")
    trapped.refused(trapped.run(recipe="tagged"), "cannot be read as YAML")
    trapped.write("recipes/tagged.yaml", text.replace("mymod.train", "mymod.train, transform: own"))
    trapped.write("conf/transform/own.yaml", f"x: {tag}\n")
    trapped.refused(trapped.run("--conf", "conf", recipe="tagged"))
    trapped.refused(trapped.cli("list", "--axes", "--conf", "conf"), "cannot be read as YAML")


OVERRIDES = (
    "hydra/launcher=evil", "hydra.launcher._target_=evil.touch", "hydra.searchpath=[pkg://planted]",
    "+hydra.callbacks.x._target_=evil.touch", "hydra.sweeper._target_=evil.touch", "hydra=evil",
    "hydra.job.env_set.PATH=x", "+hydra/job_logging=evil", "model@task=mlp", "~model", "a@b=c",
    "model={_target_: evil.touch}", "optim.lr=${evil:}", "task.allow=[evil]", "executor.allow=[evil]",
    "allow=[evil]", "optim.lr=!!python/name:evil.touch", "optim.lr=extend_list(1)",
    "model._target_=evil.touch,planted.touch", "optim.lr=${oc.env:PATH}", "=x", "==", "model.=1",
)  # fmt: skip


@pytest.mark.parametrize("override", OVERRIDES)
def test_an_override_reaches_nothing_of_hydras(trapped: Any, override: str) -> None:
    trapped.recipe(baseline={}, arms=[], claims=[])
    trapped.refused(trapped.run(override))


FILES = {
    "conf/sweeper.yaml": "hydra: {searchpath: [pkg://planted]}\ndefaults: [data: digits]\n",
    "conf/hydra/launcher/evil.yaml": "_target_: evil.touch\n",
    "conf/hydra/evil.yaml": "callbacks: {x: {_target_: evil.touch}}\n",
    "conf/model/mlp.yaml": "# @package hydra\ncallbacks: {x: {_target_: evil.touch}}\n",
    "conf/data/digits.yaml": "defaults:\n  - override /hydra/launcher: evil\n",
    "conf/optim/momentum.yaml": "# @package _global_\nhydra: {searchpath: [pkg://planted]}\n",
    "conf/executor/inline.yaml": "name: inline\nallow: [evil]\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_conf_folder_reaches_nothing_of_hydras(trapped: Any, name: str) -> None:
    trapped.write(name, FILES[name])
    trapped.recipe(baseline={}, arms=[], claims=[])
    trapped.refused(trapped.run("--conf", "conf"))


@pytest.mark.parametrize("place", ["recipe", "environment file", "conf", "results"])
def test_what_is_allowed_is_never_read_from_a_file(trapped: Any, place: str) -> None:
    trapped.recipe(baseline={"task._target_": "evil.touch"}, arms=[], claims=[])
    if place == "recipe":
        trapped.recipe(baseline={"task._target_": "evil.touch"}, arms=[], claims=[], allow=["evil"])
    elif place == "environment file":
        trapped.write(".env", "SWEEPER_ALLOW=evil\n")
    elif place == "conf":
        trapped.write(
            "conf/task/custom.yaml", "_target_: evil.touch\nallow: [evil]\nallowed: [evil]\n"
        )
    else:
        trapped.write("outputs/allow", "evil\n")
        trapped.write("outputs/.sweeper.yaml", "allow: [evil]\n")
    trapped.refused(trapped.run(*(("--conf", "conf") if place == "conf" else ())))


def test_a_prefix_ends_at_a_dot(trapped: Any) -> None:
    trapped.recipe(baseline={"task._target_": "mymod.train"}, arms=[], claims=[])
    trapped.refused(trapped.run(allow="my"), "add --allow mymod ")
    for bad in ("", ".", "*", "my*", "mymod..", "../mymod", "mymod.py "):
        trapped.refused(trapped.run(allow=bad), "is no module")
