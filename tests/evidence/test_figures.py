"""Figures: the numbers that are computed, and that what is drawn of them is a file."""

import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from sweeper.evidence.claims import claims_table
from sweeper.evidence.figures import (
    canvas,
    curves,
    documented,
    forest,
    samples,
    search,
    staircase,
    weights,
)
from sweeper.evidence.findings import Evidence
from sweeper.evidence.runs import Run
from sweeper.plan import Cell, ConcludedSearch, Plan, PlannedArm, Proposal

Study = Callable[..., tuple[Plan, list[Run]]]


def run_with(
    values: list[float | None],
    seed: int = 0,
    status: str = "done",
    steps: list[float] | None = None,
) -> Run:
    at: list[float | None] = list(steps or map(float, range(len(values))))
    return Run("a", seed, "report", f"a-{seed}", status, curve={"step": at, "train_loss": values})


# Curves.


def test_an_arms_curve_is_the_median_of_its_runs_with_the_middle_half_as_its_band() -> None:
    runs = [run_with([1.0 * seed, 10.0 * seed], seed) for seed in range(1, 6)]
    found = curves.of_arm("a", runs, "train_loss", math.inf)
    assert found is not None
    assert found.steps.tolist() == [0, 1]
    assert found.middle.tolist() == [3, 30]
    assert (found.low.tolist(), found.high.tolist()) == ([2, 20], [4, 40])


def test_of_three_runs_the_band_is_from_the_least_to_the_largest() -> None:
    runs = [run_with([float(seed)], seed) for seed in (1, 2, 7)]
    found = curves.of_arm("a", runs, "train_loss", math.inf)
    assert found is not None
    assert (found.low.tolist(), found.middle.tolist(), found.high.tolist()) == ([1], [2], [7])


def test_a_run_that_diverged_counts_as_the_worst_from_there_on_and_its_end_is_marked() -> None:
    runs = [
        run_with([1, 1, 1], 0),
        run_with([2, math.nan, None], 1, "diverged"),
        run_with([3, 30, math.inf], 2, "diverged"),
    ]
    found = curves.of_arm("a", runs, "train_loss", math.inf)
    assert found is not None
    assert found.ends == ((0, 2), (1, 30))
    assert found.middle.tolist() == [2, 30, math.inf]  # not 1, the median of what is left
    assert found.low.tolist() == [1, 1, 1]


def test_runs_of_other_steps_are_read_between_their_points_and_not_beyond() -> None:
    runs = [run_with([0, 4], 0, steps=[0, 4]), run_with([0, 2, 4], 1, steps=[0, 2, 8])]
    found = curves.of_arm("a", runs, "train_loss", math.inf)
    assert found is not None
    assert found.steps.tolist() == [0, 2, 4, 8]
    assert found.middle.tolist() == [0, 2, pytest.approx((4 + 8 / 3) / 2), 4]


def test_a_long_curve_is_thinned_to_two_hundred_points_its_ends_included() -> None:
    found = curves.of_arm("a", [run_with([float(v) for v in range(5000)])], "train_loss", math.inf)
    assert found is not None
    assert len(found.steps) == curves.MOST_POINTS
    assert (found.steps[0], found.steps[-1]) == (0, 4999)


@pytest.mark.parametrize("status", ["failed", "waiting", "crashed"])
def test_a_run_without_a_result_is_not_drawn(status: str) -> None:
    assert curves.of_arm("a", [run_with([1.0], status=status)], "train_loss", math.inf) is None


def test_quantiles_are_numpys_where_all_is_finite() -> None:
    table = np.random.default_rng(0).normal(size=(7, 30))
    table[np.random.default_rng(1).random(table.shape) < 0.3] = np.nan
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        np.testing.assert_allclose(curves.quantile(table, share), np.nanquantile(table, share, 0))


def test_the_metrics_of_the_recipe_come_first_and_a_log_scale_where_it_says_so(
    make_study: Study,
) -> None:
    entry = {"curve": {"step": [0, 1], "val_loss": [1.0, 0.1], "train_loss": [1.0, 0.5]}}
    plan, runs = make_study(
        {"base": [entry, entry], "other": [entry, entry]},
        metrics={"tail(val_loss)": {"scale": "log"}},
    )
    found = curves.curves(Evidence(plan, runs))
    assert [(c.metric, c.is_log) for c in found] == [("val_loss", True), ("train_loss", False)]
    assert [a.arm for a in found[0].arms] == ["base", "other"]


def test_an_arm_keeps_its_colour_where_another_has_no_curve(make_study: Study) -> None:
    both = {"step": [0.0, 1.0], "train_loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}
    one = {name: values for name, values in both.items() if name != "val_loss"}
    entries = {"baseline": [{"curve": one}], "a": [{"curve": both}], "b": [{"curve": both}]}
    panels = curves.curves(Evidence(*make_study(entries)))
    looks = {
        panel.metric: {arm.arm: canvas.style(arm.place)["color"] for arm in panel.arms}
        for panel in panels
    }
    assert looks["train_loss"] == dict(zip(entries, canvas.COLORS, strict=False))
    assert looks["val_loss"] == {arm: looks["train_loss"][arm] for arm in ("a", "b")}


def test_one_arm_that_is_far_off_does_not_flatten_the_others() -> None:
    near = [curves.of_arm("a", [run_with([1.0, 2.0] * 50)], "train_loss", math.inf)]
    far = curves.of_arm("b", [run_with([1e9])], "train_loss", math.inf)
    assert near[0] is not None and far is not None
    low, high = curves.limits([near[0], far], is_log=False)
    assert -1 < low <= 1 and 2 <= high < 10


# Forests, staircases.


def test_a_forest_has_the_differences_and_verdicts_of_the_arms_table(make_study: Study) -> None:
    plan, runs = make_study(
        {"base": [1.0, 1.1, 1.2], "lower": [0.5, 0.61, 0.7], "same": [1.0, 1.1, 1.2]}
    )
    (found,) = forest.forests(Evidence(plan, runs))
    assert [(r.arm, r.reference, r.verdict) for r in found.rows] == [
        ("lower", "base", "better"), ("same", "base", "no_effect"),
    ]  # fmt: skip
    assert found.rows[0].delta == pytest.approx(-0.49666667)
    assert found.rows[0].low < found.rows[0].delta < found.rows[0].high
    assert (found.metric, found.smallest_effect) == ("train_loss", 0.1)


def test_where_a_run_diverged_the_forest_says_that_ranks_decide(make_study: Study) -> None:
    bad = {"status": "diverged", "metrics": {"train_loss": math.nan}}
    plan, runs = make_study({"base": [1.0, 1.1, 1.2, 1.0, 1.1], "wild": [bad] * 5})
    (found,) = forest.forests(Evidence(plan, runs))
    (row,) = found.rows
    assert row.by_ranks and math.isnan(row.delta) and row.verdict == "worse"
    assert "ranks decide" in forest.drawing(found).caption


def test_a_forest_of_very_many_arms_keeps_the_most_certain(make_study: Study) -> None:
    values = {f"a{i}": [0.1 * i + 0.01 * s * (i % 3) for s in range(3)] for i in range(80)}
    (found,) = forest.forests(Evidence(*make_study(values)))
    assert (len(found.rows), found.left_out) == (forest.MOST_ROWS, 79 - forest.MOST_ROWS)
    assert "19 less certain ones are in arms.csv" in forest.drawing(found).caption


def chained(make_study: Study, **more: Any) -> Evidence:
    values = {"baseline": [3.0, 3.1], "one": [2.0, 2.1], "two": [1.0, 1.1], "aside": [5.0, 5.1]}
    compared = {"two": "one", "aside": "one"}
    plan, runs = make_study(values, compared=compared)
    steps = [{"name": "one", "set": {"optim.lr": 1}}, {"name": "two", "set": {"optim.lr": 2}}]
    recipe = {**plan.recipe, **(more or {"sequence": steps})}
    return Evidence(Plan(plan.name, plan.recipe_name, recipe, plan.arms, plan.cells), runs)


def test_a_staircase_follows_the_sequence_and_leaves_out_what_branches_off(
    make_study: Study,
) -> None:
    (found,) = staircase.staircases(chained(make_study))
    assert [(s.arm, pytest.approx(s.level)) for s in found.steps] == [
        ("baseline", 3.05), ("one", 2.05), ("two", 1.05),
    ]  # fmt: skip
    assert found.steps[0].verdict == "" and found.steps[1].verdict != ""
    assert "baseline 3.05, then one 2.05, then two 1.05" in staircase.drawing(found).alt


def test_arms_without_a_sequence_are_no_staircase(make_study: Study) -> None:
    assert staircase.staircases(chained(make_study, notes="no sequence")) == []


# Documented figures.


@pytest.mark.parametrize(
    "said, value",
    [
        ("0.55", 0.55), (0.55, 0.55), ("−3e-2", -0.03), ("1.1 → 0.55", None), ("50 %", None),
        ("no effect", None), ("", None), (True, None), ("nan", None),
    ],
)  # fmt: skip
def test_a_documented_figure_is_a_number_or_it_is_not(said: object, value: float | None) -> None:
    assert documented.number(said) == value


def test_only_differences_with_two_numbers_stand_beside_each_other(make_study: Study) -> None:
    claims = [
        {"id": "D1", "arm": "lower", "kind": "better", "statement": "s", "documented": -0.5},
        {"id": "D2", "arm": "lower", "kind": "better", "statement": "s", "documented": "halved"},
        {"id": "D3", "arm": "lower", "kind": "reaches", "level": 1, "statement": "s",
         "documented": 0.7},
    ]  # fmt: skip
    study = make_study({"base": [1.0, 1.1, 1.2], "lower": [0.5, 0.61, 0.7]}, claims=claims)
    evidence = Evidence(*study)
    (found,) = documented.beside(claims_table(evidence), evidence.recipe)
    assert (found.claim, found.documented) == ("D1", -0.5)
    assert found.measured == pytest.approx(-0.49666667)
    assert "D1 documented −0.5, measured −0.497" in documented.drawing([found]).alt


# Searches.


def concluded(**more: Any) -> ConcludedSearch:
    told = ((3.0, 1.0), (math.inf, math.inf), (), (1.0, 2.0), (2.0, 0.5))
    proposals = tuple(Proposal(i, {"optim.lr": 0.1 * i}, "done", t, ()) for i, t in enumerate(told))
    base: dict[str, Any] = {
        "arm": "tuned", "study": "s", "metrics": ("val_loss", "time"), "goals": ("down", "down"),
        "axes": {}, "sampler": {"name": "tpe"}, "pruner": {}, "optuna": "5", "budget": 5,
        "proposals": proposals, "winner": 3, "pareto": (3, 4),
        "importance": {"optim.lr": (0.7, 0.2), "model.width": (0.1, 0.2)},
    }  # fmt: skip
    return ConcludedSearch(**{**base, **more})


def test_the_history_of_a_search_is_what_was_told_and_the_best_so_far(make_study: Study) -> None:
    plan, runs = make_study({"tuned": [1.0, 1.1]})
    plan = Plan(*(getattr(plan, n) for n in ("name", "recipe_name", "recipe", "arms", "cells")),
                searches=(concluded(),))  # fmt: skip
    first, second = search.histories(Evidence(plan, runs))
    assert (first.arm, first.metric, second.metric) == ("tuned", "val_loss", "time")
    np.testing.assert_array_equal(first.told, [3, math.inf, math.nan, 1, 2])
    np.testing.assert_array_equal(first.best, [3, 3, 3, 1, 1])
    assert "tuned came to 1 in 5 proposals" in search.history_drawing([first]).alt


def test_without_a_concluded_search_its_trials_tell_the_history() -> None:
    recipe = {
        "question": "?", "seeds": 1, "metrics": {"val_loss": {}},
        "search": {"axes": {"optim.lr": {"low": 0.1, "high": 1}}, "seeds": [10000, 10001]},
    }  # fmt: skip
    rates = (0.1, 0.2, 0.3)
    cells = tuple(
        Cell("tuned", seed, f"{rate}-{seed}", "search", {"optim.lr": rate})
        for rate in rates
        for seed in (10000, 10001)
    )
    runs = [
        Run(c.arm, c.seed, c.phase, c.trial_id, "done", metrics={"val_loss": c.axes["optim.lr"] * 10
            + (c.seed - 10000)}, axes=c.axes)
        for c in cells
    ]  # fmt: skip
    runs[2] = Run("tuned", 10000, "search", "x", "diverged", axes={"optim.lr": 0.2})
    runs[4] = Run("tuned", 10000, "search", "y", "failed", axes={"optim.lr": 0.3})
    plan = Plan("s", "s", recipe, (PlannedArm("tuned", None, {}),), cells)
    (found,) = search.histories(Evidence(plan, runs))
    np.testing.assert_array_equal(found.told, [1.5, math.inf, math.nan])
    np.testing.assert_array_equal(found.best, [1.5, 1.5, 1.5])


def test_a_pareto_front_is_of_the_proposals_that_the_search_names() -> None:
    (found,) = search.fronts([concluded(), concluded(metrics=("val_loss",), goals=("down",))])
    assert found.metrics == ("val_loss", "time")
    assert [(found.first[i], found.second[i]) for i in found.best] == [(1, 2), (2, 0.5)]
    assert search.front_drawing(found).alt.endswith("(val_loss, time): 1, 2; 2, 0.5.")


def test_importances_stand_beside_their_noise_floor_the_weightiest_first() -> None:
    (found,) = search.importances([concluded(), concluded(importance={})])
    assert (found.axes, found.shares, found.floors) == (
        ("optim.lr", "model.width"), (0.7, 0.1), (0.2, 0.2),
    )  # fmt: skip
    drawing = search.importance_drawing([found])
    assert "optim.lr 0.7 (floor 0.2), model.width 0.1 (floor 0.2)" in drawing.alt


# Files.


def is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82")


def every_drawing(make_study: Study) -> Iterator[canvas.Drawing]:
    entry = {"metrics": {"train_loss": 1.0}, "curve": {"step": [0, 1], "train_loss": [2.0, 1.0]}}
    wild = {"status": "diverged", "metrics": {"train_loss": math.nan},
            "curve": {"step": [0, 1], "train_loss": [2.0, None]}}  # fmt: skip
    evidence = Evidence(*make_study({"$a$ <b>": [entry] * 5, "名前": [wild, *[entry] * 4]}))
    few = curves.curves(evidence)[0]
    many = curves.Curves("loss", True, "all", tuple([few.arms[0]] * 13))
    beside = documented.Beside("D1", 1.0, 2.0, 1.5, 2.5, "reproduced")
    histories = [search._history("a", "loss", "down", [3.0, math.inf, 1.0])]
    yield from (curves.drawing(c) for c in (few, many))
    yield from (forest.drawing(f) for f in forest.forests(evidence))
    yield from (staircase.drawing(s) for s in staircase.staircases(chained(make_study)))
    yield documented.drawing([beside])
    yield search.history_drawing(histories)
    yield from (search.front_drawing(f) for f in search.fronts([concluded()]))
    yield search.importance_drawing(search.importances([concluded()]))


def test_every_figure_is_drawn_as_png_and_svg_says_what_it_shows_and_is_the_same_each_time(
    make_study: Study,
) -> None:
    first, again = list(every_drawing(make_study)), every_drawing(make_study)
    assert first[:3] == list(islice(again, 3))
    assert [d.name for d in first] == [
        "curves-train_loss", "curves-loss", "forest-train_loss", "staircase-train_loss",
        "documented", "search-loss", "pareto-tuned", "importances",
    ]  # fmt: skip
    for drawing in first:
        assert is_png(drawing.png) and drawing.alt and drawing.caption.endswith(".")
        assert ElementTree.fromstring(drawing.svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert b"<dc:date>" not in drawing.svg and len(drawing.svg) < 200_000


def test_drawing_leaves_the_users_settings_of_matplotlib_as_they_were(make_study: Study) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 31.0}):
        forest.drawing(forest.forests(Evidence(*make_study({"a": [1, 2], "b": [3, 5]})))[0])
        assert matplotlib.rcParams["font.size"] == 31.0


@pytest.mark.parametrize(
    "name, stem",
    [("curves-val_loss", "curves-val_loss"), ("forest-at(val_loss, 5)", "forest-at-val_loss-5"),
     ("pareto-../../etc/x", "pareto-..-..-etc-x"), ("…", "")],
)  # fmt: skip
def test_a_files_stem_holds_nothing_that_leads_out_of_its_folder(name: str, stem: str) -> None:
    assert canvas.slug(name) == stem


# What the net is fed.


def write_samples(path: Path, **changes: Any) -> Path:
    about: dict[str, Any] = {
        "train_range": ["0 to 1"], "train_label": ["cat"], "val_range": ["−1 to 1", "0 to 2"],
        "val_label": ["cat", "dog"], "val_predicted": ["dog", "dog"],
        "val_probability": [0.9, 0.6], "val_mistakes": 1, "val_count": 20,
    }  # fmt: skip
    arrays: dict[str, Any] = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "train_images": np.zeros((1, 4, 5), np.uint8),
        "val_images": np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3),
    }
    np.savez(path, **{**arrays, **changes})
    return path


def test_samples_are_read_as_images_with_what_was_answered(tmp_path: Path) -> None:
    found = samples.read(write_samples(tmp_path / "samples.npz"))
    assert found is not None
    assert (found.mistakes, found.count, len(found.train)) == (1, 20, 1)
    assert [(p.label, p.predicted, p.is_mistake) for p in found.validation] == [
        ("cat", "dog", True), ("dog", "dog", False),
    ]  # fmt: skip


BAD_SAMPLES: dict[str, Any] = {
    "a pickle": {"train_images": np.array([[{}]], dtype=object)},
    "a foreign array": {"more": np.zeros(3)},
    "floats": {"val_images": np.zeros((2, 4, 5))},
    "far too large": {"val_images": np.zeros((2, 4000, 2000), np.uint8)},
    "too wide": {"val_images": np.zeros((2, 4, 500), np.uint8)},
    "another number of them": {"val_images": np.zeros((5, 4, 5), np.uint8)},
    "no JSON": {"about": np.frombuffer(b"{", np.uint8)},
    "another JSON": {"about": np.frombuffer(b"[1]", np.uint8)},
}


@pytest.mark.parametrize("changes", BAD_SAMPLES.values(), ids=BAD_SAMPLES)
def test_what_is_not_as_we_write_it_shows_no_samples(tmp_path: Path, changes: Any) -> None:
    assert samples.read(write_samples(tmp_path / "samples.npz", **changes)) is None


def test_a_torn_file_a_link_or_none_shows_no_samples(tmp_path: Path) -> None:
    whole = write_samples(tmp_path / "samples.npz")
    (tmp_path / "torn.npz").write_bytes(whole.read_bytes()[:300])
    (tmp_path / "link.npz").symlink_to(whole)
    for name in ("torn.npz", "link.npz", "none.npz"):
        assert samples.read(tmp_path / name) is None


# Weights.

LAYER: dict[str, Any] = {
    "name": "0.weight", "shape": [2, 3], "low": -1.0, "high": 1.0, "counts": [1, 2, 3],
}  # fmt: skip


def write_weights(path: Path, *layers: Any) -> Path:
    path.write_text(json.dumps({"before": [LAYER], "after": list(layers)}))
    return path


def test_weights_are_read_as_histograms(tmp_path: Path) -> None:
    wild = {"name": "1.weight", "shape": [3, 1]}
    found = weights.read(write_weights(tmp_path / "weights.json", LAYER, wild))
    assert found is not None
    one = weights.Histogram("0.weight", -1.0, 1.0, (1, 2, 3))
    assert found.before == (one,)
    assert (found.after[0], found.after[1].counts) == (one, ())


BAD_WEIGHTS: dict[str, Any] = {
    "no layers": [],
    "no mapping": [3],
    "no name": [{"shape": [1]}],
    "words for counts": [{**LAYER, "counts": ["many"]}],
    "no counts": [{**LAYER, "counts": []}],
    "a count below zero": [{**LAYER, "counts": [-1, 2]}],
    "nothing counted": [{**LAYER, "counts": [0, 0]}],
    "more bins than ours": [{**LAYER, "counts": [1] * 1000}],
    "upside down": [{**LAYER, "low": 2.0}],
    "infinite": [{**LAYER, "high": float("inf")}],
    "larger than weights are": [{**LAYER, "high": 1e200}],
    "a huge file": [{**LAYER, "name": "x" * (2 << 20)}],
}


@pytest.mark.parametrize("layers", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_what_is_not_as_we_write_it_shows_no_weights(tmp_path: Path, layers: Any) -> None:
    assert weights.read(write_weights(tmp_path / "weights.json", *layers)) is None


def test_a_torn_file_of_weights_or_a_link_shows_none(tmp_path: Path) -> None:
    whole = write_weights(tmp_path / "weights.json", LAYER)
    (tmp_path / "torn.json").write_bytes(whole.read_bytes()[:50])
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "link.json").symlink_to(whole)
    for name in ("torn.json", "deep.json", "link.json", "none.json"):
        assert weights.read(tmp_path / name) is None


def test_many_arms_and_layers_are_cut_and_the_caption_says_so() -> None:
    layer = weights.Histogram("w", -1e38, 1e38, (1, 2, 1))
    same = weights.Histogram("w", 0.5, 0.5, (4,))
    wild = weights.Histogram("w", math.nan, math.nan, ())
    deep = weights.Weights((layer,) * 20, (same, wild, *(layer,) * 18))
    arms = [weights.ArmWeights(f"arm {n}", n % 2, n, deep) for n in range(15)]
    found = weights.drawing(arms)
    assert is_png(found.png) and found.svg.startswith(b"<?xml")
    assert "the first seed of each arm" in found.caption
    assert found.caption.endswith(
        "3 further arms are in the folders of their trials. Of more than 16 layers the first 16."
    )
    nothing = weights.Weights((layer,), (wild,))
    assert "lost not finite." in weights.drawing([weights.ArmWeights("lost", 0, 0, nothing)]).alt


@pytest.mark.parametrize("shape", [(3, 5), (4, 2, 3)])
def test_a_png_holds_the_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    made = samples.png(pixels)
    assert is_png(made)
    assert struct.unpack(">II", made[16:24]) == (shape[1], shape[0])
    start = made.index(b"IDAT") + 4
    length = struct.unpack(">I", made[start - 8 : start - 4])[0]
    rows = np.frombuffer(zlib.decompress(made[start : start + length]), np.uint8)
    rows = rows.reshape(shape[0], -1)
    assert (rows[:, 0] == 0).all()
    np.testing.assert_array_equal(rows[:, 1:].reshape(shape), pixels)
