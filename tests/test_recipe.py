"""Recipes: what is read, what is refused and in which words, and the schema for editors."""

# ruff: noqa: E501 - a case of a table is a line

import json
from pathlib import Path
from typing import Any

import pytest

from sweeper import folders
from sweeper.errors import RequestError
from sweeper.recipe import Recipe, read_seeds
from sweeper.recipe_file import json_schema, load_recipe, read_recipe, recipe_names

LEAST: dict[str, Any] = {
    "question": "?",
    "seeds": 2,
    "metrics": {"val_loss": {"smallest_effect": 0.1}},
}
SAID = {"arm": "a", "statement": "as documented"}


def read(**changes: Any) -> Recipe:
    return read_recipe(
        {k: v for k, v in {**LEAST, **changes}.items() if v is not ...}, where="file"
    )


def claim(**own: Any) -> dict[str, Any]:
    return {"claims": [{"id": "T1", **SAID, **own}]}


GOOD: dict[str, tuple[dict[str, Any], str, Any]] = {
    "seeds-as-a-count": ({"seeds": 3}, "seeds", [0, 1, 2]),
    "seeds-as-a-list": ({"seeds": [7, 3]}, "seeds", [7, 3]),
    "metrics-as-a-list": ({"metrics": ["val_loss", "accuracy"]}, "goal('accuracy')", "up"),
    "goal-from-the-name": ({}, "goal('val_loss')", "down"),
    "goal-as-given": ({"metrics": {"speed": {"goal": "up"}}}, "goal('speed')", "up"),
    "goal-of-epochs": ({"metrics": {"epochs_to(accuracy, 0.9)": {}}}, "goal('epochs_to(accuracy, 0.9)')", "down"),
    "goal-of-a-largest-value": ({"metrics": {"largest_of(optim.lr, val_loss, 1)": {}}}, "goal('largest_of(optim.lr, val_loss, 1)')", "up"),
    "from-an-arm": ({"arms": [{"name": "a", "from": "b"}]}, "arms[0].from_", "b"),
    "claim-with-a-kind": (claim(kind="better"), "claims[0].assertion.kind", "better"),
    "claim-in-parts": ({"claims": [{"id": "T2", "parts": {"a": {**SAID, "kind": "worse"}, "b": {**SAID, "kind": "better"}}}]}, "[line for line, _ in claims[0].assertions()]", ["T2a", "T2b"]),
    "claim-of-a-contrast": ({"claims": [{"id": "T1", "statement": "x", "kind": "better", "contrast": {"a": 1, "b": -2, "c": 1}}]}, "claims[0].assertion.arms_named()", ["a", "b", "c"]),
    "claim-of-an-order": ({"claims": [{"id": "T1", "statement": "x", "kind": "order", "arms": ["b", "a"]}]}, "claims[0].assertion.arms_named()", ["b", "a"]),
    "claim-of-an-event": (claim(kind="reaches", level=0.5), "claims[0].assertion.level", 0.5),
    "claim-of-a-divergence": (claim(kind="diverges", within_steps=10, negated=True), "claims[0].assertion.within_steps", 10),
    "claim-of-a-diagnosis": (claim(kind="diagnosed", diagnosis="R7_overfitting"), "claims[0].assertion.diagnosis", "R7_overfitting"),
    "claim-of-an-equality": (claim(kind="exact", reference="b"), "claims[0].assertion.reference", "b"),
    "search": ({"search": {"axes": {"optim.lr": {"low": 1e-3, "high": 1, "log": True}}}}, "search.seeds", [10000]),
}  # fmt: skip


@pytest.mark.parametrize("changes, expression, expected", GOOD.values(), ids=GOOD)
def test_a_good_recipe_is_read(changes: dict[str, Any], expression: str, expected: Any) -> None:
    recipe = read(**changes)
    names = {name: getattr(recipe, name) for name in (*Recipe.model_fields, "goal")}
    assert eval(expression, names) == expected


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "search-seed-below-zero": ({"search": {"axes": {"a.b": {"choices": [1]}}, "seeds": [-1]}}, "search.seeds: a list of seeds holds whole numbers from 0 up, but got [-1]."),
    "search-metric-without-a-goal": ({"search": {"axes": {"a.b": {"choices": [1]}}, "metric": "reward"}}, "search.metric 'reward': its name says neither loss nor accuracy; name it under `metrics:` with its `goal`."),
    "seed-too-large": ({"seeds": [2**32]}, "a seed is below 2**32, as NumPy's are, but got 4294967296."),
    "line-of-two-claims": ({"claims": [{"id": "T1a", **SAID, "kind": "better"}, {"id": "T1", "parts": {"a": {**SAID, "kind": "better"}}}]}, "two claims have the id 'T1a'."),
    "unknown-key": ({"arm": []}, "file: unknown key 'arm'. Did you mean 'arms'?"),
    "unknown-key-of-a-search": ({"search": {"axes": {"a.b": {"choices": [1]}}, "trails": 3}}, "unknown key 'search.trails'. Did you mean 'trials'"),
    "unknown-key-of-a-range": ({"search": {"axes": {"a.b": {"lo": 1}}}}, "unknown key 'search.axes.a.b.lo'. Did you mean 'low'"),
    "unknown-key-of-a-claim": (claim(kind="better", documentd=3), "unknown key 'claims.0.documentd'. Did you mean 'documented'?"),
    "no-question": ({"question": ...}, "file: the key 'question' is missing."),
    "empty-question": ({"question": ""}, "question: String should have at least 1 character (got '')."),
    "no-metric": ({"metrics": {}}, "metrics: Dictionary should have at least 1 item after validation, not 0."),
    "seeds-true": ({"seeds": True}, "seeds is a number (10 means 0 … 9) or a list, but got True."),
    "seeds-a-fraction": ({"seeds": 2.5}, "seeds is a number (10 means 0 … 9) or a list, but got 2.5."),
    "seeds-of-words": ({"seeds": ["a"]}, "a list of seeds holds whole numbers from 0 up, but got ['a']."),
    "effect-below-zero": ({"metrics": {"loss": {"smallest_effect": -1}}}, "metrics.loss.smallest_effect: Input should be greater than or equal to 0 (got -1)."),
    "goal-sideways": ({"metrics": {"loss": {"goal": "left"}}}, "metrics.loss.goal: Input should be 'down' or 'up' (got 'left')."),
    "unknown-kind": (claim(kind="improves"), "claims.0: there is no kind 'improves'."),
    "no-kind": (claim(), "claims.0: the key 'kind' is missing: one of better, "),
    "no-statement": ({"claims": [{"id": "T1", "kind": "better", "arm": "a"}]}, "the key 'claims.0.statement' is missing."),
    "id-with-a-space": ({"claims": [{"id": "T 1", **SAID, "kind": "better"}]}, "claims.0.id: 'T 1' is no name"),
    "arm-and-contrast": (claim(kind="better", contrast={"a": 1, "b": -1}), "claims.0: give one of `arm`, `contrast` and `effect`."),
    "contrast-that-does-not-add-up": ({"claims": [{"id": "T1", "statement": "x", "kind": "better", "contrast": {"a": 1, "b": 1}}]}, "the weights of a `contrast` add up to zero, as in {a: 1, b: -1}."),
    "contrast-with-a-reference": ({"claims": [{"id": "T1", "statement": "x", "kind": "better", "contrast": {"a": 1, "b": -1}, "reference": "c"}]}, "a `contrast` has no `reference`: give that arm a weight."),
    "event-without-an-arm": ({"claims": [{"id": "T1", "statement": "x", "kind": "diverges"}]}, "give either `arm` or `arms`."),
    "reaches-no-level": (claim(kind="reaches"), "the key 'claims.0.level' is missing."),
    "level-of-nan": (claim(kind="reaches", level=float("nan")), "claims.0.level: Input should be a finite number (got nan)."),
    "part-of-two-letters": ({"claims": [{"id": "T1", "parts": {"ab": {**SAID, "kind": "worse"}}}]}, "parts are named by one small letter, but got 'ab'."),
    "no-effect-without-a-size": ({"metrics": ["val_loss"], **claim(kind="no_effect")}, "claim T1: no_effect needs `smallest_effect` above zero for 'val_loss'."),
    "metric-not-listed": (claim(kind="better", metric="val_los"), "claim T1: metric 'val_los' is not under `metrics:`. Did you mean 'val_loss'?"),
    "metric-that-does-not-parse": (claim(kind="better", metric="best("), "claims.0.metric: metric 'best(' is neither a reported name nor a function of one"),
    "two-ladders": ({"ladder": {"a.b": [1], "c.d": [2]}}, "ladder: Dictionary should have at most 1 item"),
    "range-of-neither": ({"search": {"axes": {"a.b": {"low": 1}}}}, "search.axes.a.b: give `low` and `high`, or `choices`."),
    "range-of-both": ({"search": {"axes": {"a.b": {"low": 1, "high": 2, "choices": [1]}}}}, "give either `choices` or `low` and `high`."),
    "log-range-from-zero": ({"search": {"axes": {"a.b": {"low": 0, "high": 2, "log": True}}}}, "a log range starts above zero, but got low=0.0."),
    "search-of-a-spread": ({"search": {"axes": {"a.b": {"choices": [1]}}, "metric": "spread(loss)"}}, "'spread(loss)' is no metric of a single run."),
    "value-that-is-a-date": ({"arms": [{"name": "a", "set": {"a.b": object()}}]}, "arms.0.set.a.b"),
}  # fmt: skip


@pytest.mark.parametrize("changes, message", BAD.values(), ids=BAD)
def test_a_bad_recipe_is_refused_with_the_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as refused:
        read(**changes)
    assert message in str(refused.value)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(RequestError) as refused:
        read(question="", seeds=0, arms=[{"nam": "a"}])
    assert len(str(refused.value).splitlines()) >= 3


def test_numbers_are_read_as_hydra_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "question: q\nseeds: 1\nmetrics: [loss]\n"
        "baseline: {a.b: 1e-3, a.c: 1_000, a.d: .5, a.e: 'off', a.f: 1.0e-08, a.g: 12e03}\n"
    )
    name, recipe = load_recipe(str(path), [])
    assert name == "study"
    assert recipe.baseline == {
        "a.b": 0.001, "a.c": 1000, "a.d": 0.5, "a.e": "off", "a.f": 1e-8, "a.g": 12000.0,
    }  # fmt: skip


def test_a_recipe_of_the_users_is_found_before_ours(tmp_path: Path) -> None:
    own = tmp_path / "train_loss_not_falling.yaml"
    own.write_text("question: mine\nseeds: 1\nmetrics: [loss]\n")
    _, recipe = load_recipe("train_loss_not_falling", folders.search("recipes", [tmp_path]))
    assert recipe.question == "mine"


@pytest.mark.parametrize("name", ["trials", "cache", "all", "a b"])
def test_a_recipe_may_not_be_named_like_what_lies_beside_it(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.yaml").write_text("question: q\nseeds: 1\nmetrics: [loss]\n")
    with pytest.raises(RequestError, match="name the file with letters, digits and _ alone"):
        load_recipe(str(tmp_path / f"{name}.yaml"), [])


def test_every_recipe_of_ours_is_good() -> None:
    ours = folders.search("recipes", [])
    assert "train_loss_not_falling" in recipe_names(ours)
    for name in recipe_names(ours):
        assert load_recipe(name, ours)[1].claims


def test_a_recipe_survives_being_kept_as_json() -> None:
    arms = [{"name": "a", "from": "baseline", "set": {"optim.lr": 0.5, "data.drop_classes": [1]}}]
    recipe = read(arms=arms, **claim(kind="reaches", level=0.5))
    kept = recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert read_recipe(json.loads(json.dumps(kept)), where="kept") == recipe


@pytest.mark.parametrize("seeds, expected", [(1, [0]), ([5], [5]), ([2, 0], [2, 0])])
def test_seeds_are_a_count_or_a_list(seeds: Any, expected: list[int]) -> None:
    assert read_seeds(seeds) == expected


def test_the_schema_for_editors_is_current() -> None:
    path = folders.search("recipes", [])[-1] / "schema.json"
    if not path.is_file():
        pytest.skip("recipes/schema.json is not there: `make schema` writes it")
    current = json.loads(json.dumps(json_schema()))
    assert json.loads(path.read_text()) == current, "renew recipes/schema.json: make schema"


def test_the_schema_knows_every_key_and_every_kind() -> None:
    schema = json_schema()
    assert schema["properties"].keys() == Recipe.model_fields.keys()
    kinds: set[str] = set()
    for variant in schema["$defs"]["Claim"]["anyOf"][:-1]:
        kind = variant["properties"]["kind"]
        kinds |= set(kind.get("enum", [kind.get("const")]))
        assert "id" in variant["required"]
    assert kinds >= {
        "better",
        "worse",
        "no_effect",
        "reaches",
        "diverges",
        "diagnosed",
        "order",
        "exact",
    }
