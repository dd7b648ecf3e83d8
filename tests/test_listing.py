"""What there is to ask: recipes with their sizes, axes with choices, defaults and documents."""

from pathlib import Path

import pytest

from sweeper import folders, listing
from sweeper.compose import Composer
from sweeper.errors import RequestError
from sweeper.listing import ListedAxis, ListedRecipe


@pytest.fixture(scope="module")
def axes() -> dict[str, ListedAxis]:
    return {axis.axis: axis for axis in listing.axes(folders.search("conf", []))}


def test_a_recipe_is_listed_with_its_arms_trials_and_lines_of_claims(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "question: Why?\nseeds: 4\nmetrics: [loss]\ngrid: {optim.lr: [0.1, 0.2]}\nclaims:\n"
        "- id: T1\n  parts:\n"
        "    a: {kind: better, arm: optim.lr=0.1, statement: x}\n"
        "    b: {kind: worse, arm: optim.lr=0.2, statement: x}\n"
    )
    assert listing.recipes([tmp_path]) == [ListedRecipe("mine", "Why?", 3, 12, 2)]


def test_a_broken_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("question: Why?\n")
    with pytest.raises(RequestError, match=r"mine\.yaml: the key 'seeds' is missing"):
        listing.recipes([tmp_path])


def test_a_group_is_listed_with_its_choices_and_the_one_by_default(
    axes: dict[str, ListedAxis],
) -> None:
    optim = axes["optim"]
    assert optim.choices == "adam | adamw | momentum | nesterov | rmsprop | sgd"
    assert optim.default == "momentum"


def test_a_key_is_listed_with_what_it_takes_and_who_speaks_of_it(
    axes: dict[str, ListedAxis],
) -> None:
    depth = axes["model.activation"]
    assert depth.choices.startswith("relu | leaky_relu | tanh")
    assert depth.default == "relu | none"
    assert depth.about.startswith("Activation after each hidden layer")
    assert "B03" in depth.spoken_of and "[" not in depth.about


def test_a_key_of_some_choices_says_of_which(axes: dict[str, ListedAxis]) -> None:
    assert axes["optim.betas"].about.endswith("(with adam, adamw)")
    assert axes["optim.lr"].default == "0.001 | 0.01"


def test_every_key_of_ours_says_what_it_is(axes: dict[str, ListedAxis]) -> None:
    assert [a.axis for a in axes.values() if "." in a.axis and not a.about] == []
    assert {a.axis.split(".")[0] for a in axes.values()} >= {"data", "model", "executor", "search"}


def test_a_group_of_the_users_is_listed_too(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/first.yaml").write_text("# How many. [X1]\ncount: 3\n")
    found = {a.axis: a for a in listing.axes(folders.search("conf", [tmp_path]))}
    assert found["own"].choices == "first"
    assert found["own.count"] == ListedAxis("own.count", "", "3", "How many.", "X1")


@pytest.mark.parametrize("taken", ["digits", "any/axes@_here_", "/data/any/axes@_here_"])
def test_a_users_choice_that_takes_over_ours_has_the_keys_of_both(
    tmp_path: Path, taken: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.yaml").write_text(
        f"defaults: [{taken}, _self_]\n_target_: sweeper.training.data.digits\n"
        "# Fewer. [X1]\nlabel_noise: 0.25\n"
    )
    folders_ = folders.search("conf", [tmp_path])
    found = {a.axis: a for a in listing.axes(folders_)}
    assert "data.defaults" not in found
    assert found["data.label_noise"].default == "0.0 | 0.25"
    assert "Fewer. (with mine)" in found["data.label_noise"].about
    assert "with" not in found["data.median_filter"].about  # every choice has it
    values, _ = listing.Files(folders_).read(tmp_path / "data/mine.yaml")
    composed = Composer(folders_).resolve({"data": "mine"})["data"]
    assert (values["folds"], values["label_noise"]) == (5, 0.25)
    assert values.items() <= composed.items()


def test_files_that_take_over_each_other_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/one.yaml").write_text("defaults: [other]\na: 1\n")
    (tmp_path / "own/other.yaml").write_text("defaults: [one]\nb: 2\n")
    assert listing.Files([tmp_path]).read(tmp_path / "own/one.yaml")[0] == {"a": 1, "b": 2}


@pytest.mark.parametrize("text", ["name: [", "- a\n- b\n", "just words"])
def test_a_broken_file_of_the_users_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim/mine.yaml").write_text(text)
    with pytest.raises(RequestError, match=r"optim/mine\.yaml"):
        listing.axes(folders.search("conf", [tmp_path]))
