"""The user's code or data changed since trials ran: the run stops, and names the choice."""

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import sweeper

CHOICE = (
    ": add --keep to count them as they are, or --rerun to run them again (their records stay)."
)
HELPED = """
import helper


def train(config, *, seed, device, report, workdir):
    import late
    return {"train_loss": helper.LOSS + late.MORE + config.optim.lr + seed / 1000}
"""
PHOTOS = {"task._target_": "instant.train", "task.photos": "photos", "optim.lr": 0.1}


@pytest.fixture
def project(project: Any, here: Callable[..., Any]) -> Any:
    """A fresh folder; a command within this process imports the user's modules anew, as any."""

    def afresh(*words: str) -> Any:
        for name in ("instant", "helper", "late", "broken"):
            sys.modules.pop(name, None)
        return here(*words)

    project.inside = afresh
    return project


def edit(project: Any, name: str = "instant.py", text: str = "# another line\n") -> None:
    with (project.folder / name).open("a") as file:
        file.write(text)


def tables(project: Any) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (project.folder / "outputs").rglob("*.csv")}


def change_store(project: Any, *statements: str) -> None:
    with closing(sqlite3.connect(project.folder / "outputs/sweeper.sqlite")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def helped(project: Any, **changes: Any) -> None:
    """A training function that imports one module at once and one when it is called."""
    project.write("instant.py", HELPED)
    project.write("helper.py", "LOSS = 1.0\n")
    project.write("late.py", "MORE = 0.5\n")
    project.recipe(**changes)


def test_edited_source_stops_the_run_and_names_the_choice(project: Any) -> None:
    project.run("tiny")
    before = tables(project)
    edit(project)
    answer = project.run("tiny")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"sweeper: instant.py changed since 9 finished trials ran{CHOICE}\n"
    assert (tables(project), project.attempts()) == (before, {"done": 9})


def test_processes_of_their_own_say_what_they_imported_too(project: Any) -> None:
    project.inside = None
    project.recipe(arms=[], claims=[], seeds=2)
    assert project.run("tiny", executor="local").code == 0
    edit(project)
    answer = project.run("tiny", executor="local")
    assert (answer.code, answer.err) == (
        2, f"sweeper: instant.py changed since 2 finished trials ran{CHOICE}\n",
    )  # fmt: skip
    assert project.run("tiny", "--rerun", executor="local").code == 0
    assert project.attempts() == {"done": 4}


def test_what_is_kept_counts_as_it_is_until_the_next_change(project: Any) -> None:
    project.run("tiny")
    before = tables(project)
    edit(project)
    assert project.run("tiny", "--keep").code == 0
    assert (tables(project), project.attempts()) == (before, {"done": 9})
    assert project.run("tiny").code == 0  # said once for this change
    edit(project)
    assert project.run("tiny").code == 2


def test_what_is_rerun_runs_from_nothing_and_its_records_stay(project: Any) -> None:
    saves = (
        "\n\ndef train(config, *, seed, device, report, workdir):\n"
        "    kept = workdir / 'checkpoint'\n"
        "    if not kept.exists():\n"
        "        kept.write_text('LOSS')\n"
        "    return {'train_loss': float(kept.read_text())}\n"
    )
    edit(project, text=saves.replace("LOSS", "1"))
    project.run("tiny")
    edit(project, text=saves.replace("LOSS", "2"))
    assert project.run("tiny", "--rerun").code == 0
    rows = project.table("tiny/trials.csv")
    assert {(row["attempt"], row["train_loss"]) for row in rows} == {("2", "2.0")}
    assert project.sql("SELECT attempt, count(*) FROM attempts GROUP BY 1") == [(1, 9), (2, 9)]
    folder = project.folder / "outputs/trials" / rows[0]["trial_id"]
    assert (folder / "work.1/checkpoint").read_text() == "1"
    assert project.run("tiny").code == 0 and project.attempts() == {"done": 18}


def test_what_was_kept_may_be_rerun_later(project: Any) -> None:
    project.run("tiny")
    edit(project)
    project.run("tiny", "--keep")
    assert project.run("tiny", "--rerun").code == 0
    assert project.attempts() == {"done": 18}


@pytest.mark.parametrize("name", ["helper.py", "late.py"])
def test_a_module_that_the_code_imports_is_its_source_too(project: Any, name: str) -> None:
    helped(project)
    project.run("tiny")
    edit(project, name)
    assert f"sweeper: {name} changed since 9 finished trials ran:" in project.run("tiny").err


def test_every_file_that_changed_or_went_is_named(project: Any) -> None:
    helped(project)
    project.run("tiny")
    edit(project)
    (project.folder / "helper.py").unlink()
    edit(project, "late.py")
    assert project.run("tiny").err == (
        "sweeper: helper.py is gone, instant.py changed and late.py changed since 9 finished "
        f"trials ran{CHOICE}\n"
    )


def test_what_is_not_imported_or_says_the_same_stops_nothing(project: Any) -> None:
    project.write("other.py", "")
    project.run("tiny")
    edit(project, "other.py")
    project.write("new.py", "")
    source = project.folder / "instant.py"
    text = source.read_text()
    source.write_text(text + "#")
    source.write_text(text)
    os.utime(source, (1, 1))
    answer = project.run("tiny")
    assert (answer.code, project.attempts()) == (0, {"done": 9}) and "9 done already" in answer.out


def test_a_trial_stands_for_the_source_that_it_began_with(project: Any) -> None:
    edits = (
        "\n\ndef train(config, **_):\n"
        "    with open('instant.py', 'a') as file:\n"
        "        file.write('# edited while it runs\\n')\n"
        "    return {'train_loss': 1.0}\n"
    )
    edit(project, text=edits)
    project.recipe(arms=[], claims=[], seeds=1)
    assert project.run("tiny").code == 0
    assert "instant.py changed since 1 finished trial ran:" in project.run("tiny").err


def test_more_seeds_after_a_change_stop_too_and_what_is_kept_is_said_to_be_mixed(
    project: Any,
) -> None:
    project.run("tiny")
    edit(project)
    assert "since 9 finished trials ran:" in project.run("tiny", "seeds=4").err
    answer = project.run("tiny", "seeds=4", "--keep")
    assert (answer.code, project.attempts()) == (0, {"done": 12})
    rows = project.table("tiny/trials.csv")
    old, new = rows[0]["instant.py"], rows[3]["instant.py"]
    assert [row["instant.py"] for row in rows] == [old, old, old, new] * 3 and old != new
    counts = sorted([(old, 9), (new, 3)])
    assert (
        f"Mixed: {counts[0][1]} of 12 trials ran with instant.py {counts[0][0]}, {counts[1][1]} "
        f"with {counts[1][0]}: `sweeper run … --rerun` runs again what is not of today."
    ) in answer.out
    assert {row["reason"].rpartition("; ")[2] for row in project.table("reproduction.csv")} == {
        "not all trials ran with the same instant.py"
    }
    assert "Mixed: " in project.cli("compare", "tiny").out


def test_only_the_trials_that_ran_with_what_changed_are_rerun(project: Any) -> None:
    helped(project)
    project.run("tiny")
    project.recipe("other")
    project.write("instant.py", HELPED.replace("    import late", "    class late: MORE = 0"))
    project.run("other", "--rerun")
    assert project.attempts() == {"done": 18}
    edit(project, "late.py")  # what only the attempts of before had imported
    assert project.run("tiny").code == 0


def test_plan_tells_of_the_change_and_changes_nothing(project: Any) -> None:
    project.run("tiny")
    assert "Changed:" not in project.cli("plan", "tiny", "--recipes", "recipes").out
    edit(project)
    answer = project.cli("plan", "tiny", "--recipes", "recipes")
    assert answer.code == 0
    assert (
        "Changed: instant.py changed since 9 finished trials ran: `sweeper run` will ask for "
        "--keep or --rerun.\n"
    ) in answer.out
    assert project.run("tiny").code == 2


def test_a_choice_is_one_choice(project: Any) -> None:
    answer = project.run("tiny", "--keep", "--rerun")
    assert (answer.code, answer.err) == (
        2, "sweeper: --keep and --rerun exclude each other: choose one.\n",
    )  # fmt: skip
    own = {"recipes": ["recipes"], "allow": ["instant"]}
    with pytest.raises(
        sweeper.RequestError, match=r"^changed='again': it is 'keep', 'rerun' or None\.$"
    ):
        sweeper.run("tiny", **own, changed="again")


def test_the_python_door_takes_the_choice_too(project: Any) -> None:
    project.run("tiny")
    edit(project)
    sys.modules.pop("instant")
    own: dict[str, Any] = {"recipes": ["recipes"], "allow": ["instant"]}
    with pytest.raises(sweeper.RequestError, match=r"instant\.py changed since 9 finished trials"):
        sweeper.run("tiny", ["executor=inline"], **own)
    done = sweeper.run("tiny", ["executor=inline"], **own, changed="rerun")
    assert set(done["tiny"].trials["attempt"]) == {2}


def test_a_mended_failure_is_only_retried(project: Any) -> None:
    project.write("broken.py", "def train(config, **_):\n    raise ValueError('mine')\n")
    project.recipe(baseline={"task._target_": "broken.train", "optim.lr": 0.1})
    assert project.run("tiny", "--allow", "broken").code == 1
    project.write("broken.py", "def train(config, **_):\n    return {'train_loss': 1.0}\n")
    assert project.run("tiny", "--allow", "broken").code == 2
    assert project.run("tiny", "--allow", "broken", "--retry").code == 0
    assert project.attempts() == {"failed": 9, "done": 9}


@pytest.fixture
def photos(project: Any) -> Any:
    """A folder in which trials that read a folder of files have run."""
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png"):
        project.write(f"photos/{name}", name)
    project.recipe(baseline=PHOTOS, arms=[], claims=[], seeds=2)
    assert project.run("tiny").code == 0
    return project


@pytest.mark.parametrize(
    "change, differ",
    [
        pytest.param(
            lambda photos: (photos / "cats/2.png").write_text("CATS/2.PNG"),
            "1 file differs: cats/2.png", id="changed",
        ),
        pytest.param(
            lambda photos: (photos / "dogs/2.png").write_text(""),
            "1 file differs: dogs/2.png", id="added",
        ),
        pytest.param(
            lambda photos: (photos / "cats/1.png").unlink(),
            "1 file differs: cats/1.png", id="removed",
        ),
        pytest.param(
            lambda photos: (photos / "dogs").rename(photos / "wolves"),
            "2 files differ: dogs/1.png, wolves/1.png", id="renamed",
        ),
    ],
)  # fmt: skip
def test_a_data_set_that_changed_stops_the_run_too(
    photos: Any, change: Callable[[Path], None], differ: str
) -> None:
    change(photos.folder / "photos")
    answer = photos.run("tiny")
    assert (answer.code, photos.attempts()) == (2, {"done": 2})
    assert answer.err == (
        f"sweeper: the data set photos changed ({differ}) since 2 finished trials ran{CHOICE}\n"
    )
    assert photos.run("tiny", "--keep").code == 0 and photos.attempts() == {"done": 2}
    assert photos.run("tiny", "--rerun").code == 0 and photos.attempts() == {"done": 4}
    assert photos.run("tiny").code == 0


def test_a_data_set_that_says_the_same_stops_nothing(photos: Any) -> None:
    file = photos.folder / "photos/cats/1.png"
    os.utime(file, (1, 1))
    photos.write("photos/.thumbnails", "not for us")
    photos.write("notes.txt", "not named")
    assert photos.run("tiny").code == 0 and photos.attempts() == {"done": 2}


def test_a_data_set_that_went_is_named(photos: Any) -> None:
    (photos.folder / "photos").rename(photos.folder / "elsewhere")
    assert "sweeper: the data set photos is gone since 2 finished" in photos.run("tiny").err


def test_the_file_of_built_in_data_is_a_data_set(project: Any) -> None:
    import numpy as np

    x, y = np.arange(200.0).reshape(40, 5), np.arange(40) % 2
    np.savez(project.folder / "points.npz", x=x, y=y)
    small = {"data": "arrays", "data.path": "points.npz", "model": "mlp", "train.epochs": 1}
    project.recipe(baseline=small, arms=[], claims=[], seeds=1)
    assert project.run("tiny").code == 0
    np.savez(project.folder / "points.npz", x=x + 1, y=y)
    answer = project.run("tiny")
    assert answer.err == (
        f"sweeper: the data set points.npz changed since 1 finished trial ran{CHOICE}\n"
    )


def test_a_table_that_mixes_versions_says_so_and_rerun_mends_it(project: Any) -> None:
    project.run("tiny")
    older, now = "SELECT trial_id FROM trials WHERE seed = 0", version("torch")
    change_store(
        project,
        f"UPDATE attempts SET versions = json_set(versions, '$.torch', '{now}')",
        "UPDATE attempts SET versions = json_set(versions, '$.torch', '2.12.0') "
        f"WHERE trial_id IN ({older})",
    )
    answer = project.run("tiny")  # another version is no other code of the user's
    assert answer.code == 0
    notice = f"3 of 9 trials ran with torch 2.12.0, 6 with {now}: `sweeper run … --rerun` runs"
    assert notice in answer.out
    assert [row["torch"] for row in project.table("tiny/trials.csv")] == [
        "2.12.0", now, now,
    ] * 3  # fmt: skip
    (reason, *_) = {row["reason"] for row in project.table("tiny/claims.csv")}
    assert reason.endswith("; not all trials ran with the same torch")
    assert project.run("tiny", "--rerun").code == 0
    rows = project.table("tiny/trials.csv")
    assert [row["attempt"] for row in rows] == ["2", "1", "1"] * 3
    assert "torch" not in rows[0]


def test_a_search_that_used_what_is_rerun_begins_anew_and_its_turns_stay(project: Any) -> None:
    search = {"axes": {"optim.lr": {"low": 0.01, "high": 1.0, "log": True}}, "trials": 4}
    project.recipe("tuned", arms=[], claims=[], search=search, seeds=2)
    project.run("tuned")
    before = project.table("tuned/trials.csv")
    edit(project)
    assert "instant.py changed since 6 finished trials ran:" in project.run("tuned").err
    assert project.run("tuned", "--rerun").code == 0
    rows = project.table("tuned/trials.csv")
    assert [row["trial_id"] for row in rows] == [row["trial_id"] for row in before]
    assert {row["attempt"] for row in rows} == {"2"}
    counts = dict(project.sql("SELECT study, count(*) FROM turns GROUP BY study"))
    (name,) = [study for study in counts if " before " not in study]
    assert counts == {name: 8, f"{name} before 1": 8}
    assert project.run("tuned").code == 0 and project.attempts() == {"done": 12}


def test_a_store_of_before_is_read_and_written_on(project: Any) -> None:
    project.run("tiny")
    before = tables(project)
    change_store(
        project,
        "DROP TABLE fingerprints",
        "ALTER TABLE attempts DROP COLUMN fingerprint",
        "ALTER TABLE attempts DROP COLUMN kept",
    )
    edit(project)
    assert project.cli("compare", "tiny").code == 0
    assert project.cli("plan", "tiny", "--recipes", "recipes").code == 0
    assert project.run("tiny").code == 0  # nobody noted what those trials ran with
    assert tables(project) == before
    assert project.run("tiny", "seeds=4").code == 0
    edit(project)
    assert "since 3 finished trials ran:" in project.run("tiny", "seeds=4").err
