"""A folder of a user, the command line in it, and a training function that takes no time."""

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

# Always the same examples, however busy the machine is.
settings.register_profile("ours", deadline=None, derandomize=True, database=None)
settings.load_profile("ours")

# What befalls a trial is an axis of its own, so that one sweep sees all of it.
INSTANT = '''
"""A training function that takes no time; `task.fate` says what befalls it."""

import os
import signal
import subprocess
import sys
import time

import sweeper


def train(config, *, seed, device, report, workdir):
    rate, fate = config.optim.lr, config.task.get("fate", "well")
    for step in range(3):
        report(step, train_loss=rate / (step + 1) + seed / 1000)
    print(f"seed {seed} went {fate}")
    if fate == "raises":
        raise ValueError("the user's own mistake")
    if fate == "exits":
        sys.exit("the user's own exit")
    if fate == "ends_the_process":
        os._exit(3)
    if fate == "kills_itself":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "out_of_memory":
        raise MemoryError("no room")
    if fate == "not_for_this":
        raise sweeper.DoesNotApply("there is nothing to tune here")
    if fate == "not_a_number":
        return {"train_loss": float("nan")}
    if fate == "text":
        return {"train_loss": "low"}
    if fate == "nothing":
        return None
    if fate == "grandchild":
        helper = subprocess.Popen(["sleep", "600"])
        (workdir / "helper").write_text(str(helper.pid))
    if fate == "busy_in_c":
        (workdir / "pid").write_text(str(os.getpid()))
        sum(range(10**12))
    if fate in ("sleeps", "grandchild"):
        (workdir / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    time.sleep(config.task.get("seconds", 0))
    rate *= 1 + seed / 100  # differences that vary with the seed, as real ones do
    return {"train_loss": rate + seed / 1000, "val_loss": 2 * rate + seed / 1000}
'''

TINY: dict[str, Any] = {
    "question": "Does the step size matter?",
    "source": "own-notes",
    "baseline": {"task._target_": "instant.train", "optim.lr": 0.1},
    "arms": [
        {"name": "larger", "set": {"optim.lr": 0.5}},
        {"name": "smaller", "set": {"optim.lr": 0.05}},
    ],
    "seeds": 3,
    "metrics": {"train_loss": {"smallest_effect": 0.01}},
    "claims": [
        {"id": "X1", "arm": "larger", "kind": "worse", "statement": "a larger step is worse"},
        {"id": "X2", "arm": "smaller", "kind": "worse", "statement": "a smaller one too"},
    ],
}


def environment(**more: str) -> dict[str, str]:
    """Ours without what would change the answers; wide, so that no table is folded."""
    dropped = ("SWEEPER_", "PYTHON", "COV_", "FORCE_COLOR", "OMP_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return {**kept, "COLUMNS": "400", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": "", **more}


@dataclass(frozen=True)
class Answer:
    """What the command line answered."""

    code: int
    out: str
    err: str


@dataclass
class Project:
    """A user's folder: files go in, the command line runs in it, results are read from it."""

    folder: Path
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)
    inside: Callable[..., Answer] | None = None  # set where this process is the command line

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def recipe(self, name: str = "tiny", **changes: Any) -> Path:
        """The tiny recipe with these keys changed, or left out where None, as `<name>.yaml`."""
        raw = {k: v for k, v in {**TINY, **changes}.items() if v is not None}
        return self.write(f"recipes/{name}.yaml", yaml.safe_dump(raw, sort_keys=False))

    def start(
        self, *words: str, command: Sequence[str] | None = None, **env: str
    ) -> "subprocess.Popen[str]":
        """The command line in a group of its own, as a shell starts it."""
        begun = subprocess.Popen(
            command or [sys.executable, "-m", "sweeper", *words],
            cwd=self.folder, env=environment(**env),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.started.append(begun)
        return begun

    def cli(self, *words: str, **env: str) -> Answer:
        if self.inside is not None:
            return self.inside(*words)
        begun = self.start(*words, **env)
        out, err = begun.communicate(timeout=90)
        return Answer(begun.returncode, out, err)

    def run(self, *words: str, executor: str = "inline", **env: str) -> Answer:
        """`sweeper run` of recipes in this folder, whose training function is allowed."""
        own = ("--recipes", "recipes", "--allow", "instant", f"executor={executor}")
        return self.cli("run", *words, *own, **env)

    def table(self, name: str, outputs: str = "outputs") -> list[dict[str, str]]:
        with (self.folder / outputs / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def sql(self, query: str, outputs: str = "outputs") -> list[tuple[Any, ...]]:
        store = self.folder / outputs / "sweeper.sqlite"
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(query).fetchall()

    def attempts(self, outputs: str = "outputs") -> dict[str, int]:
        """How many attempts ended in which status."""
        query = "SELECT status, count(*) FROM attempts GROUP BY status"
        return dict(self.sql(query, outputs))

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture(scope="session")
def make_project() -> Iterator[Callable[[Path], Project]]:
    """make_project(folder): a folder with `instant.py` and the recipe `tiny` in it."""
    made: list[Project] = []

    def make(folder: Path) -> Project:
        project = Project(folder)
        made.append(project)
        project.write("instant.py", INSTANT)
        project.recipe()
        return project

    yield make
    for project in made:
        project.close()


@pytest.fixture
def project(make_project: Callable[[Path], Project], tmp_path: Path) -> Iterator[Project]:
    """A fresh folder of a user, whose modules the next test does not find imported."""
    yield make_project(tmp_path)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def here(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """here(*words): the command line within this process, for the many requests that end early."""
    from sweeper.cli import main
    from sweeper.view import console

    monkeypatch.setattr(console, "width", 400)  # it may have been made before COLUMNS was set
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, value in {"COLUMNS": "400", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SWEEPER_ALLOW", raising=False)

    def run(*words: str) -> Answer:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["sweeper", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """wait_until(condition, seconds): fails if the condition has not become true by then."""

    def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def tiny() -> Mapping[str, Any]:
    """The tiny recipe as a mapping."""
    return TINY


@pytest.fixture(scope="session")
def names() -> Callable[[Sequence[Mapping[str, str]], str], list[str]]:
    """names(rows, column): a column of a table."""
    return lambda rows, column: [row[column] for row in rows]
