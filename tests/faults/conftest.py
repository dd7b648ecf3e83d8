"""Disks that fail, fill up or may only be read, and the command line on them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sweeper.compose import Composer

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def failing_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that, preloaded, makes one operation of a disk fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("a disk that fails is made with a C compiler, on Linux")
    library = tmp_path_factory.mktemp("library") / "failing_disk.so"
    build = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library]
    subprocess.run([*build, HERE / "failing_disk.c", "-ldl"], check=True)
    return library


@dataclass(frozen=True)
class Faulted:
    """What a run came to in which one operation of the disk failed."""

    code: int
    out: str
    err: str
    operations: list[str]  # in order, as "pwrite64 /sweeper.sqlite-wal"
    told: list[str]  # the trials whose ending was said to be recorded


class WarmCli:
    """The command line, loaded once, as it fares on a failing disk."""

    def __init__(self, process: "subprocess.Popen[str]", arguments: list[str]) -> None:
        self._process, self._arguments = process, arguments

    def run(
        self, folder: Path, at: int = 0, error: int = 0, only: str = "", more: Sequence[str] = ()
    ) -> Faulted:
        """A sweep into `outputs` of this folder; its operation number `at` (from 1) fails once.

        With `only`, of those that begin so, as in "rename /tiny".
        """
        said = {name: folder / name for name in ("out", "err", "log", "told")}
        said["told"].write_text("")
        below = folder / "outputs"
        request = {
            "cwd": str(folder), "below": str(below), "at": at, "errno": error, "only": only,
            "arguments": [*self._arguments, "--outputs", str(below), *more],
            **{name: str(path) for name, path in said.items()},
        }  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        text = {name: path.read_text() for name, path in said.items()}
        operations = text["log"].splitlines()
        return Faulted(code, text["out"], text["err"], operations, text["told"].split())


@pytest.fixture(scope="module")
def warm(
    failing_disk: Path,
    make_project: Callable[[Path], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WarmCli]:
    """`sweeper run` of the recipe `tiny`, six trials within the process."""
    project = make_project(tmp_path_factory.mktemp("warm"))
    own = ["--recipes", str(project.folder / "recipes"), "--allow", "instant", "executor=inline"]
    arguments = ["run", "tiny", "seeds=2", *own]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("SWEEPER_", "COV_"))},
        "LD_PRELOAD": str(failing_disk), "PYTHONPATH": str(project.folder),
        "NO_COLOR": "1", "COLUMNS": "400", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(HERE / "warm_cli.py"), *arguments], cwd=project.folder,
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        yield WarmCli(process, arguments)
        assert process.stdin is not None
        process.stdin.close()


@dataclass(frozen=True)
class Disk:
    """A small disk of its own, in memory."""

    folder: Path

    def change(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.folder).free


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """make_disk("2m"): a disk of this size; skips where disks may not be mounted."""
    made: list[Path] = []

    def make(size: str) -> Disk:
        folder = tmp_path / f"disk-{len(made)}"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a small disk is mounted by root alone, on Linux")
        made.append(folder)
        return Disk(folder)

    yield make
    for folder in made:
        subprocess.run(["umount", "-l", folder], check=True)


# Each makes the canary: `planted` and its like when they are imported, `evil` when it is called.
PLANTED = 'open({canary!r}, "a").write(__name__)\n'
EVIL = """
def touch(*_, **__):
    open({canary!r}, "a").write("called")
    return {{"train_loss": 0.0}}


class Touch:
    def __init__(self, *_, **__):
        touch()

    def method(self, *_, **__):
        touch()

    __call__ = method
"""
# A module that is allowed, and holds much that is not its own.
MYMOD = """
import functools
import os
import subprocess

import evil
from evil import Touch, touch

halfway = functools.partial(functools.partial(touch), 1)
named = functools.partial(touch)
named.__module__ = named.__qualname__ = "mymod"
cached = functools.lru_cache(touch)
cached.__module__ = "mymod"
thing = object.__new__(Touch)
thing.__module__ = "mymod"
bound = thing.method
evaluate, get, run, system = eval, getattr, subprocess.run, os.system


def train(config, *, seed, device, report, workdir):
    report(0, train_loss=seed + 0.5)
    return {"note_is_plain": float(type(config["task"].get("note")).__module__ == "builtins")}
"""


class Trapped:
    """A user's folder full of traps, in which this process is the command line."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.folder, self.canary = project.folder, project.folder / "canary"
        self.write, self.recipe, self.cli = project.write, project.recipe, project.cli
        self.table, self.sql = project.table, project.sql

    def trap(self, *modules: str) -> None:
        """Modules that make the canary when imported, and when something in them is called."""
        for name in modules:
            text = (PLANTED + EVIL).format(canary=str(self.canary))
            self.write(f"{name}.py", text)

    def run(self, *words: str, allow: str = "mymod", recipe: str = "tiny") -> Any:
        own = ("--recipes", "recipes", "--allow", allow, "executor=inline", "seeds=1")
        return self.cli("run", recipe, *own, *words)

    def refused(self, answer: Any, *said: str) -> None:
        """A message with the mend and exit code 2, and nothing has run."""
        self.untouched()
        assert answer.code == 2, answer
        assert answer.err.startswith("sweeper: "), answer
        assert "Traceback" not in answer.err + answer.out, answer
        for part in said:
            assert part in answer.err

    def untouched(self) -> None:
        assert not self.canary.exists(), self.canary.read_text()


@pytest.fixture
def trapped(
    project: Any, here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Trapped]:
    """trapped.run(), trapped.refused(answer): see Trapped."""
    # one for all tests: composing is most of what a request costs that ends early
    monkeypatch.setattr("sweeper.compose.Composer", _one_composer)
    project.inside = here
    found = Trapped(project)
    found.write("mymod.py", MYMOD)
    found.write("evil.py", EVIL.format(canary=str(found.canary)))
    found.trap("planted", "mymod_more", "mymods", "hydra_plugins/planted", "my")
    yield found
    own = ("mymod", "evil", "planted", "mymod_more", "mymods", "instant", "taker", "keeper")
    for name in own:
        sys.modules.pop(name, None)


@cache
def _composer(folders: tuple[Path, ...]) -> Composer:
    return Composer(folders)


def _one_composer(folders: Sequence[Path]) -> Composer:
    return _composer(tuple(folders)) if len(folders) == 1 else Composer(folders)


@pytest.fixture
def stored(trapped: Trapped) -> Trapped:
    """The same with results of the tiny recipe, to plant something in."""
    trapped.recipe(seeds=1)
    answer = trapped.run(allow="instant")
    assert answer.code == 0, answer
    return trapped
