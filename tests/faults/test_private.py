"""What the machine sees of a sweep: its files, its sockets, what it imports."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sweeper

PLANTED = 'open({canary!r}, "a").write(__name__)\n'
LOCAL = """
import os


def train(config, *, seed, device, report, workdir):
    (workdir / "own").write_text("x")
    (workdir / "deeper").mkdir(exist_ok=True)
    report(0, train_loss=0.5 + seed)
    return {}
"""


@pytest.fixture(scope="module")
def swept(make_project: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One sweep of children under umask 022, of a user's function and of ours, traced."""
    project = make_project(tmp_path_factory.mktemp("traced"))
    project.write("instant.py", LOCAL)
    project.recipe(seeds=2, claims=[])
    small = {"data": "captcha", "data.images": 40, "data.validation_samples": 10, "train.epochs": 1}
    project.recipe("ours", baseline=small, arms=[], claims=[], seeds=1)
    words = (
        "run",
        "tiny",
        "ours",
        "--recipes",
        "recipes",
        "--allow",
        "instant",
        "executor.slots=2",
    )
    project.trace = project.folder / "trace"
    strace = (
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=socket,bind,connect,listen",
        "-o",
        str(project.trace),
    )
    tracer = strace if can_trace() else ()
    shell = f"umask 022; exec {' '.join(tracer)} {sys.executable} -m sweeper {' '.join(words)}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SWEEPER_", "PYTHON"))}
    ended = subprocess.run(
        ["sh", "-c", shell], cwd=project.folder, env={**kept, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended
    assert {s for (s,) in project.sql("SELECT status FROM trials")} == {"done"}
    return project


def can_trace() -> bool:
    try:
        done = subprocess.run(["strace", "-f", "true"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(not can_trace(), reason="needs strace, and leave to trace")
def test_a_local_sweep_opens_no_socket_to_a_network(swept: Any) -> None:
    calls = [line for line in swept.trace.read_text().splitlines() if "(" in line]
    assert any("AF_UNIX" in line for line in calls)  # the trace saw the server of the children
    assert [line for line in calls if "AF_INET" in line] == []


@pytest.mark.skipif(not can_trace(), reason="needs strace, and leave to trace")
def test_the_server_of_the_children_listens_where_nobody_else_comes(swept: Any) -> None:
    bound = re.findall(r'bind\(\d+, \{sa_family=AF_UNIX, sun_path=(\S+?)"', swept.trace.read_text())
    assert bound
    for path in bound:  # in a folder of multiprocessing's own (0700), never in the abstract space
        assert re.match(r'"/.*/pymp-\w+/listener-', path), path


def test_everything_under_outputs_is_for_its_owner_alone(swept: Any) -> None:
    outputs = swept.folder / "outputs"
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (outputs, *outputs.rglob("*"))}
    names = {p.name for p in modes}
    assert {
        "sweeper.sqlite",
        "sweeper.lock",
        "sweeper.log",
        "config.json",
        "log-1.txt",
        "work",
    } <= names
    assert {"own", "deeper", "trials.csv", "reproduction.csv", "cache"} <= names
    assert {str(p): oct(m) for p, m in modes.items() if m != (0o700 if p.is_dir() else 0o600)} == {}


def test_a_folder_that_was_there_keeps_its_mode_and_the_process_its_umask(trapped: Any) -> None:
    (trapped.folder / "outputs").mkdir(mode=0o755)
    (trapped.folder / "outputs").chmod(0o755)
    before = os.umask(0o022)
    try:
        trapped.recipe(baseline={"task._target_": "mymod.train"}, arms=[], claims=[])
        sweeper.run("tiny", {"executor": "inline"}, recipes=["recipes"], allow=["mymod"])
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    outputs = trapped.folder / "outputs"
    assert stat.S_IMODE(outputs.stat().st_mode) == 0o755
    assert {stat.S_IMODE(p.stat().st_mode) for p in outputs.rglob("*")} == {0o700, 0o600}


# Python itself reads these before any code of ours, when it is started with -m.
BEFORE_US = {
    "importlib", "warnings", "contextlib", "collections", "keyword", "operator", "reprlib",
    "functools", "types",
}  # fmt: skip


@pytest.fixture(scope="module")
def beset(swept: Any) -> Any:
    """The folder of a sweep, with a file in it for every module that anybody may import."""
    names = {*sys.stdlib_module_names, *(m.partition(".")[0] for m in sys.modules)}
    names |= {"sitecustomize", "usercustomize", "pyarrow", "numexpr", "bottleneck", "torch", "ray"}
    swept.canary = swept.folder / "canary"
    for name in names - BEFORE_US - {"sweeper", "__main__"}:
        if name.isidentifier():
            swept.write(f"{name}.py", PLANTED.format(canary=str(swept.canary)))
    swept.write("planted.pth", f"import os; open({str(swept.canary)!r}, 'a')\n")
    swept.write("hydra_plugins/planted.py", PLANTED.format(canary=str(swept.canary)))
    return swept


READS = ["list", "plan", "compare", "report", "status", "show", "diagnose"]


@pytest.mark.parametrize("command", READS)
def test_what_only_reads_imports_nothing_from_the_current_folder(beset: Any, command: str) -> None:
    (trial, *_) = [t for (t,) in beset.sql("SELECT trial_id FROM trials")]
    own = ("--recipes", "recipes")
    words = {
        "list": own, "plan": ("tiny", *own), "show": (trial,),
        "diagnose": ("outputs/ours/curves.csv",),
    }.get(command, ())  # fmt: skip
    answer = beset.cli(command, *words)
    assert answer.code == 0, answer
    assert not beset.canary.exists(), beset.canary.read_text()


def test_the_documents_say_what_is_guarded() -> None:
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    for word in ("--allow", "0700", "pickle", "***", "Ray", "private network", "umask", "-P"):
        assert word in text, word
