"""The report: one page for each recipe, read by a real browser, from the store alone."""

import base64
import json
import re
import shutil
import sqlite3
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sweeper.evidence import page
from sweeper.evidence.page import Cell, Column, Failure, Page, Section, Table
from sweeper.evidence.report import as_html

PROGRAMS = {
    "browser": ("chromium", "chromium-browser", "google-chrome", "chrome"),
    "driver": ("chromedriver",),
}
# The middle arm fails at one seed and diverges at another; the built-in ones leave images.
TASK = """
from sweeper.training import loop


def train(config, *, seed, device, report, workdir):
    rate = config.optim.lr
    if config.task.get("fate") == "mixed" and seed == 1:
        raise ValueError("<script>document.title = 'taken'</script>\\x1b[31m " + "x" * 50)
    for step in range(4):
        report(step, train_loss=rate / (step + 1) + seed / 1000, val_loss=1.0)
    if config.task.get("fate") == "mixed" and seed == 2:
        return {"train_loss": float("nan")}
    return {"train_loss": rate * (1 + seed / 100)}
"""
PAGE: dict[str, Any] = {
    "question": "Is <em>this</em> & that shown as it is <script>document.title = 'asked'</script>?",
    "notes": 'A note "with" <b>all</b> of it.',
    "baseline": {"task._target_": "instant.train", "optim.lr": 0.1},
    "sequence": [
        {"name": "larger", "set": {"optim.lr": 0.5}},
        {"name": "mixed", "set": {"task.fate": "mixed", "optim.lr": 0.05}},
        {"name": "smaller", "set": {"task.fate": "well", "optim.lr": 0.02}},
    ],
    "arms": [],
    "seeds": 3,
    "metrics": {"train_loss": {"smallest_effect": 0.01, "scale": "log"}},
    "claims": [
        {
            "id": "X1", "arm": "larger", "kind": "worse", "documented": 0.7,
            "statement": "<img src=x onerror=alert(1)>",
        },
    ],
}  # fmt: skip
FED: dict[str, Any] = {
    "question": "What is it fed?",
    "baseline": {"data": "digits", "data.train_samples": 100, "train.epochs": 1},
    "arms": [{"name": "slower", "set": {"optim.lr": 0.001}}],
    "seeds": 1,
    "metrics": {"val_loss": {}},
    "claims": [],
}


@pytest.fixture(scope="module")
def reported(make_project: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with two swept recipes and their reports; tests only read it."""
    project = make_project(tmp_path_factory.mktemp("reported"))
    project.write("instant.py", TASK)
    project.recipe("page", **PAGE)
    project.recipe("fed", **FED)
    assert project.run("page", "fed").code == 1  # a trial failed
    project.answer = project.cli("report")
    return project


@pytest.fixture
def project(project: Any, here: Callable[..., Any]) -> Any:
    project.inside = here
    return project


def html(project: Any, name: str) -> str:
    return (project.folder / "outputs" / name / "report.html").read_text(encoding="utf-8")


# What is written.


def test_report_names_each_page_that_it_wrote(reported: Any) -> None:
    assert (reported.answer.code, reported.answer.err) == (0, "")
    assert reported.answer.out.split() == ["outputs/page/report.html", "outputs/fed/report.html"]


def test_the_figures_lie_beside_the_page_as_png_and_svg(reported: Any) -> None:
    names = {p.name for p in (reported.folder / "outputs/page/figures").iterdir()}
    stems = {"curves-train_loss", "curves-val_loss", "documented", "forest-train_loss",
             "staircase-train_loss"}  # fmt: skip
    assert names == {f"{stem}.{end}" for stem in stems for end in ("png", "svg")}


def test_the_same_store_gives_the_same_bytes(reported: Any) -> None:
    def files() -> dict[str, bytes]:
        folder = reported.folder / "outputs/page"
        return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    before = files()
    assert reported.cli("report", "page").code == 0
    assert files() == before


def test_the_page_says_what_was_asked_found_and_run_in_that_order(reported: Any) -> None:
    text = html(reported, "page")
    titles = re.findall(r"<h2>(.*?)</h2>", text)
    assert titles == [
        "Contents", "Claims", "Curves", "Differences between arms", "Documented and measured",
        "The sequence, step by step", "Arms", "Trials", "What failed", "What was run",
    ]  # fmt: skip
    assert "4 arms, 12 trials: 10 done, 1 failed, 1 diverged." in text
    assert "1 trial failed: mixed (1); for example" in text
    for part in ("<td>devices</td>", "<td>first and last start</td>", "3: 0, 1, 2"):
        assert part in text, part


def test_whatever_is_a_users_is_text_in_the_page(reported: Any) -> None:
    text = html(reported, "page")
    assert text.count("<script>") == 1  # our own
    assert "&lt;script&gt;document.title = &#39;taken&#39;&lt;/script&gt;" in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "A note &#34;with&#34; &lt;b&gt;all&lt;/b&gt; of it." in text
    assert "\x1b" not in text


def test_a_foreign_stores_names_are_text_too() -> None:
    bad = "</script><script>alert(1)</script>\x00\udc80"
    cell = Cell(bad, bad, bad, bad)
    section = Section(
        bad, bad, (bad,), tables=(Table(bad, (Column(bad),), ((cell,),), bad),),
        errors=(Failure(bad, bad),),
    )  # fmt: skip
    found = as_html(Page(bad, bad, bad, bad, bad, (bad,), (section,)))
    assert found.count("<script>") == 1
    assert "\x00" not in found and 'class="verdict &lt;' in found


def test_the_page_asks_nobody_for_anything(reported: Any) -> None:
    text = html(reported, "fed")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert not re.search(r'(src|href)="(?!data:|#|figures/)', text)
    assert not re.search(r"https?://", text)


def test_every_arm_shows_what_it_was_fed_and_what_it_answered(reported: Any) -> None:
    text = html(reported, "fed")
    assert text.count('<ul class="shots">') == 4
    (mistakes, of) = re.findall(r"slower, seed 0: (\d+) of (\d+) validation", text)[0]
    assert 0 < int(mistakes) <= int(of)
    assert text.count('class="mistake"') >= 32


def test_the_weights_of_every_arm_are_drawn_before_training_and_after(reported: Any) -> None:
    text = html(reported, "fed")
    (alt,) = re.findall(r'alt="(Distributions of weights[^"]*)"', text)
    arms = re.findall(r"(\w+) (-?\d\S*) to (\S*\d)", alt)
    assert [arm for arm, *_ in arms] == ["baseline", "slower"]
    assert all(float(low) < 0 < float(high) for _, low, high in arms)
    assert "grey before training, coloured after" in text
    for end in ("png", "svg"):
        assert (reported.folder / f"outputs/fed/figures/weights.{end}").stat().st_size > 1000


# For TensorBoard.


def events(folder: Path) -> Any:
    """As TensorBoard reads a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"histograms": 0})
    return read.Reload()


def test_tensorboard_reads_curves_images_and_weights(reported: Any, project: Any) -> None:
    shutil.copytree(reported.folder / "outputs", project.folder / "outputs")
    answer = project.cli("report", "fed", "--tensorboard")
    assert answer.out.split() == ["outputs/fed/report.html", "outputs/fed/tensorboard"]
    (row,) = (r for r in project.table("fed/trials.csv") if r["arm"] == "slower")
    found = events(project.folder / "outputs/fed/tensorboard/slower/seed-0")
    tags = found.Tags()
    losses = found.Scalars("val_loss")
    assert [one.step for one in losses] == [0, 1]
    assert losses[-1].value == pytest.approx(float(row["val_loss"]), rel=1e-6)
    before, after = found.Histograms("weights/1.weight")
    assert (before.step, after.step) == (0, 1)
    assert before.histogram_value.num == after.histogram_value.num == 64 * 64
    assert len([tag for tag in tags["images"] if tag.startswith("fed/")]) == 16
    (image,) = found.Images(next(tag for tag in tags["images"] if "→" in tag))
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert (image.width, image.height) == (8, 8)


def test_tensorboard_is_given_a_task_of_the_users_too(reported: Any, project: Any) -> None:
    shutil.copytree(reported.folder / "outputs", project.folder / "outputs")
    assert project.cli("report", "page", "--tensorboard").code == 0
    folder = project.folder / "outputs/page/tensorboard"
    assert len(list(folder.rglob("events.out.tfevents.*"))) == 11  # one of twelve failed
    assert events(folder / "mixed/seed-2").Tags()["scalars"] == ["train_loss", "val_loss"]


def test_a_foreign_store_leads_no_event_file_out_of_its_folder(project: Any) -> None:
    project.run("tiny")
    with closing(sqlite3.connect(project.folder / "outputs/sweeper.sqlite")) as db, db:
        (blob,) = db.execute("SELECT plan FROM plans").fetchone()
        plan = json.loads(zlib.decompress(blob))
        for part, key in (("arms", "name"), ("cells", "arm")):
            for one in plan[part]:
                one[key] = {"larger": "../../../out"}.get(one[key], one[key])
        db.execute("UPDATE plans SET plan = ?", (zlib.compress(json.dumps(plan).encode()),))
    assert project.cli("report", "tiny", "--tensorboard").code == 0
    folder = project.folder / "outputs/tiny/tensorboard"
    assert {path.name for path in folder.iterdir()} == {"baseline", "_1", "smaller"}
    assert not list(project.folder.rglob("out"))


def test_an_arm_named_after_a_path_has_event_files_too(project: Any) -> None:
    words = ("-m", "--as", "paths", "task._target_=instant.train", "+task.fate='a/b','c/d'")
    own = ("--allow", "instant", "executor=inline", "--metric", "train_loss", "seeds=1")
    assert project.cli("run", *words, *own).code == 0
    assert project.cli("report", "paths", "--tensorboard").code == 0
    found = (project.folder / "outputs/paths/tensorboard").rglob("events.out.tfevents.*")
    assert len(list(found)) == 2


def test_without_tensorboard_the_way_to_it_is_said(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("tiny")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    answer = project.inside("report", "tiny", "--tensorboard")
    assert answer.code == 2
    assert answer.err == (
        "sweeper: --tensorboard needs TensorBoard: pip install 'sweeper[tensorboard]' "
        "-c constraints.txt\n"
    )
    assert not (project.folder / "outputs/tiny/report.html").exists()


def test_a_long_table_is_cut_with_a_sentence_that_says_where_the_rest_is(
    monkeypatch: pytest.MonkeyPatch, reported: Any, project: Any
) -> None:
    shutil.copytree(reported.folder / "outputs", project.folder / "outputs")
    monkeypatch.setattr(page, "MOST_TRIALS", 2)
    assert project.cli("report", "page").code == 0
    text = html(project, "page")
    assert "The first 2 of 12 rows; all of them are in trials.csv." in text


# Bad input.


def test_a_plan_that_was_never_run_is_named_with_those_that_were(project: Any) -> None:
    project.run("tiny")
    answer = project.cli("report", "tinny")
    assert answer.code == 2
    assert answer.err == "sweeper: 'tinny' was never run into outputs: its plans are tiny.\n"
    assert not (project.folder / "outputs/tinny").exists()


def test_without_results_the_way_to_some_is_said(project: Any) -> None:
    answer = project.cli("report", "--outputs", "nowhere")
    assert answer.code == 2
    assert "nowhere holds no results yet: start with `sweeper run RECIPE`." in answer.err
    assert not (project.folder / "nowhere").exists()


def test_a_damaged_store_is_one_sentence(project: Any) -> None:
    (project.folder / "outputs").mkdir()
    project.write("outputs/sweeper.sqlite", "no store at all" * 100)
    answer = project.cli("report")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "is damaged or no store of sweeper" in answer.err


def test_a_plan_whose_trials_have_not_ended_has_a_page_that_says_so(project: Any) -> None:
    project.run("tiny")
    with closing(sqlite3.connect(project.folder / "outputs/sweeper.sqlite")) as db, db:
        db.execute("UPDATE trials SET status = 'waiting', attempt = NULL")
        db.execute("DELETE FROM attempts")
    answer = project.cli("report", "tiny")
    assert (answer.code, answer.err) == (0, "")
    text = html(project, "tiny")
    assert "No trial has ended in a result yet." in text
    assert "9 trials: 9 waiting." in text
    assert "<img" not in text


def test_an_outputs_folder_that_cannot_be_written_is_one_sentence(project: Any) -> None:
    project.run("tiny")
    project.write("outputs/tiny/figures", "a file where the folder goes")
    answer = project.cli("report", "tiny")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "cannot write outputs/tiny/figures/" in answer.err
    assert "nothing that was recorded is lost" in answer.err


def test_a_foreign_trial_id_leads_nowhere(project: Any) -> None:
    project.run("tiny")
    secret = project.write("outputs/secret/work/samples.npz", "")
    with closing(sqlite3.connect(project.folder / "outputs/sweeper.sqlite")) as db, db:
        (one,) = db.execute("SELECT min(trial_id) FROM trials").fetchone()
        (blob,) = db.execute("SELECT plan FROM plans").fetchone()
        plan = zlib.decompress(blob).decode().replace(one, "../secret")
        db.execute("UPDATE plans SET plan = ?", (zlib.compress(plan.encode()),))
        for table in ("trials", "attempts"):
            db.execute(f"UPDATE {table} SET trial_id = '../secret' WHERE trial_id = ?", (one,))
    assert secret.exists()
    assert project.cli("report", "tiny").code == 0
    assert "What the net is fed" not in html(project, "tiny")


# In a real browser.


def _program(kind: str) -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS[kind])), None)


@pytest.fixture(scope="module")
def browser(reported: Any) -> Iterator[Any]:
    """One session, with the log of what it asked the network for."""
    found = {kind: _program(kind) for kind in PROGRAMS}
    if not all(found.values()):
        pytest.skip("needs Chromium and chromedriver (apt-get install chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(found["browser"])
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(found["driver"])))
    yield driver
    driver.quit()


def visit(browser: Any, reported: Any, name: str, width: int = 1200) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((reported.folder / "outputs" / name / "report.html").as_uri())


@pytest.mark.parametrize("name", ["page", "fed"])
def test_a_browser_shows_every_figure_and_complains_of_nothing(
    browser: Any, reported: Any, name: str
) -> None:
    browser.get_log("performance")
    visit(browser, reported, name)
    images = browser.execute_script(
        "return Array.from(document.images, i => [i.naturalWidth, i.alt.length])"
    )
    assert images and all(width > 0 and alt > 0 for width, alt in images)
    assert browser.title == f"{name} – sweeper report"  # no script of a user's has run
    assert browser.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in asked
            if m["method"] == "Network.requestWillBeSent"]  # fmt: skip
    assert urls and {url.partition(":")[0] for url in urls} <= {"file", "data"}


@pytest.mark.parametrize("width", [360, 768])
@pytest.mark.parametrize("name", ["page", "fed"])
def test_a_narrow_page_does_not_scroll_sideways(
    browser: Any, reported: Any, name: str, width: int
) -> None:
    visit(browser, reported, name, width)
    inside = browser.execute_script("return document.documentElement.scrollWidth")
    assert inside <= width
    wide = (
        "return Array.from(document.querySelectorAll('.wide'), e => e.scrollWidth > e.clientWidth)"
    )
    assert any(browser.execute_script(wide))  # what is wider scrolls by itself


COLUMN = """
const tables = Array.from(document.querySelectorAll("table"));
const table = tables.find(t => t.ariaLabel === arguments[0]);
const heads = Array.from(table.tHead.rows[0].cells);
const place = heads.findIndex(h => h.textContent.startsWith(arguments[1]));
if (arguments[2]) heads[place].querySelector("button").click();
const cells = Array.from(table.tBodies[0].rows, r => r.cells[place]);
return [heads[place].getAttribute("aria-sort"), cells.map(c => c.dataset.v ?? c.innerText)];
"""
TRIALS = "The trials: a row for each"


def test_a_click_on_a_heading_sorts_by_number_and_a_second_the_other_way_round(
    browser: Any, reported: Any
) -> None:
    visit(browser, reported, "page")
    _, before = browser.execute_script(COLUMN, TRIALS, "duration", False)
    up, rising = browser.execute_script(COLUMN, TRIALS, "duration", True)
    down, falling = browser.execute_script(COLUMN, TRIALS, "duration", True)
    assert (up, down) == ("ascending", "descending")
    numbers = sorted(map(float, before))
    assert [float(v) for v in rising] == numbers
    assert [float(v) for v in falling] == numbers[::-1]


def test_what_is_missing_stays_last_whichever_way_it_is_sorted(browser: Any, reported: Any) -> None:
    visit(browser, reported, "page")
    arms = "The arms: a row for each arm and metric"
    for order in ("ascending", "descending"):
        sort, cells = browser.execute_script(COLUMN, arms, "mean", True)
        assert sort == order
        assert cells[-1] == "" and "" not in cells[:-1]  # the arm of which a run diverged
        assert [float(c) for c in cells[:-1]] == sorted(
            map(float, cells[:-1]), reverse=order == "descending"
        )


def test_a_heading_is_reached_and_pressed_by_keyboard(browser: Any, reported: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    visit(browser, reported, "page")
    button = browser.find_element("css selector", "th button")
    button.send_keys(Keys.ENTER)
    head = browser.find_element("css selector", "th")
    assert head.get_attribute("aria-sort") == "ascending"


def test_without_scripts_the_page_says_the_same(browser: Any, reported: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        visit(browser, reported, "page")
        assert browser.find_elements("css selector", "th button") == []
        assert len(browser.find_elements("css selector", "tbody tr")) > 12
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


FOLDED = "return document.querySelector('details:not([open]) li').checkVisibility()"


def test_on_paper_all_is_unfolded_and_the_ground_is_white(browser: Any, reported: Any) -> None:
    visit(browser, reported, "fed")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(ground) == "rgb(22, 24, 28)"
    assert not browser.execute_script(FOLDED)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    assert browser.execute_script(ground) == "rgb(255, 255, 255)"
    assert browser.execute_script(FOLDED)
    made = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert base64.b64decode(made).startswith(b"%PDF-")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
