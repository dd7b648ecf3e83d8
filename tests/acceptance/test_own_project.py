"""The example project: every command of its README runs, and its training resumes."""

import csv
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_project"
TIMEOUT_S = 120


def commands() -> list[str]:
    """Every line of the README's `sh` blocks, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example in which every command of its README has been run."""
    here = tmp_path_factory.mktemp("somewhere") / "own_project"
    shutil.copytree(EXAMPLE, here, ignore=shutil.ignore_patterns("outputs", "__pycache__"))
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    for command in commands():
        ended = subprocess.run(
            ["bash", "-c", command], cwd=here, env=environment,
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{command}\n{ended.stdout[-2000:]}\n{ended.stderr}"
    return here


def rows(project: Path, table: str) -> list[dict[str, str]]:
    with (project / "outputs" / table).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_readme_has_a_command_for_each_use() -> None:
    text = "\n".join(commands())
    for use in ("plan", "my_study.yaml", "my_training_study.yaml", "model._target_=", "compare"):
        assert use in text


def test_own_model_and_data_train_under_the_built_in_loop(project: Path) -> None:
    trials = rows(project, "my_study/trials.csv")
    assert {row["status"] for row in trials} == {"done"}
    assert len(trials) == 4 * 6  # arms × seeds, after the command that adds a sixth seed
    assert all(0.5 < float(row["val_accuracy"]) <= 1 for row in trials)


def test_adding_a_seed_repeats_no_trial(project: Path) -> None:
    assert {row["attempt"] for row in rows(project, "my_study/trials.csv")} == {"1"}


def test_every_claim_of_the_examples_has_a_verdict(project: Path) -> None:
    verdicts = {row["claim"]: row["verdict"] for row in rows(project, "reproduction.csv")}
    assert verdicts.keys() == {"S1", "S2", "S3", "S4", "W1", "W2"}
    assert verdicts["S3"] == verdicts["W1"] == "reproduced"
    assert set(verdicts.values()) <= {"reproduced", "contradicted", "undecided"}


def test_a_named_variant_has_a_folder_of_its_own(project: Path) -> None:
    assert len(rows(project, "quick/trials.csv")) == 4 * 2


def test_own_training_function_gets_its_keys_and_reports_every_epoch(project: Path) -> None:
    trials = rows(project, "my_training_study/trials.csv")
    assert {row["task.waves"] for row in trials} == {"0", "8", "32", "128"}
    assert {row["epochs"] for row in trials} == {"200"}
    assert len(rows(project, "my_training_study/curves.csv")) == len(trials) * 201


def test_a_shipped_recipe_runs_on_own_model_and_data(project: Path) -> None:
    (folder,) = (project / "outputs").glob("lr_ladder+*")
    trials = rows(project, f"{folder.name}/trials.csv")
    skipped = [row for row in trials if row["status"] == "skipped"]
    assert {row["status"] for row in trials} <= {"done", "diverged", "skipped"}
    assert len(skipped) < len(trials) / 2
    assert {row["error"].partition(";")[0] for row in skipped} == {
        "my_data.spirals takes no 'colors', 'dots'",
        "my_model.SpiralNet takes no 'hidden_units'",
        "the arm 'small_batch' has it already",
        "the arm 'raw_0.01' has it already",
        "the arm 'raw_0.001' has it already",
    }
    reference = {row["arm"]: row["baseline"] for row in rows(project, f"{folder.name}/arms.csv")}
    assert reference["characters_0.01"] == reference["diabetes_0.01"] == "baseline"
    assert reference["small_batch"] == "raw_0.01"  # which is what `diabetes_0.01` has come to be


@pytest.fixture
def my_training(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield importlib.import_module("my_training")
    for name in ("my_training", "my_data"):
        sys.modules.pop(name, None)


class KilledError(Exception):
    """Stands for the end of the process in the middle of training."""


def test_own_training_goes_on_from_its_checkpoint(my_training: ModuleType, tmp_path: Path) -> None:
    def train(workdir: Path, killed_at: int | None = None) -> tuple[Any, list[int]]:
        heard: list[int] = []

        def report(step: int, **metrics: float) -> None:
            heard.append(step)
            if step == killed_at:
                raise KilledError

        task = {"lr": 2.0, "epochs": 60, "waves": 16, "frequency": 6.0}
        workdir.mkdir(exist_ok=True)
        return my_training.train(
            {"task": task}, seed=3, device="cpu", report=report, workdir=workdir
        ), heard  # fmt: skip

    whole, _ = train(tmp_path / "whole")
    with pytest.raises(KilledError):
        train(tmp_path / "killed", killed_at=50)
    assert (tmp_path / "killed" / "checkpoint.json").is_file()
    resumed, heard = train(tmp_path / "killed")
    assert resumed == whole
    assert heard == list(range(61))
