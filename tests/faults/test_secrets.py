"""Values of keys named like secrets reach the trial, and no record."""

# ruff: noqa: E501 - a case of a table is a line

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sweeper.evidence.csvfile import read_csv

TOKEN, WORD = "hf_0123456789abcdef", "correct-horse-battery"
KEEPER = f"""
def train(config, *, seed, device, report, workdir):
    print(config)
    task = config.task
    report(0, train_loss=0.5 + seed)
    return {{"is_true": float(task.api_token == {TOKEN!r} and task.db.password == {WORD!r})}}
"""
SECRETS = ("task.db.password=" + WORD, "task.max_tokens=64", "task.cls_token=CLS")


def everything_in(outputs: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and every blob of the store unpacked."""
    for path in outputs.rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes()
    with closing(sqlite3.connect(outputs / "sweeper.sqlite")) as db:
        for table in ("trials", "attempts", "plans", "turns", "meta"):
            for row in db.execute(f"SELECT * FROM {table}"):
                for cell in row:
                    packed = isinstance(cell, bytes)
                    yield table, zlib.decompress(cell) if packed else str(cell).encode()


def test_a_secret_reaches_the_trial_and_no_record(trapped: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    trapped.write("keeper.py", KEEPER)
    typed = "task.api_token=${oc.env:HF_TOKEN}"
    baseline = {"task._target_": "keeper.train", "task.api_token": "another", "task.wide": 1}
    arms = [
        {"name": "wider", "set": {"task.wide": 2, "task.max_tokens": 128}},
        {"name": "keyed", "set": {"task.secret_key": f"{WORD}-too"}},
    ]
    trapped.recipe(baseline=baseline, arms=arms, claims=[], metrics=["train_loss"])
    words = ("--as", "kept", "+" + typed, *(f"+{s}" for s in SECRETS))
    first = trapped.run(*words, allow="keeper")
    assert first.code == 0, first
    again, plan = (
        trapped.run(*words, allow="keeper"),
        trapped.cli("plan", "tiny", "--recipes", "recipes", *words, "seeds=1"),
    )
    assert "3 done already" in again.out and plan.code == 0
    outputs = trapped.folder / "outputs"
    (trial, *_) = sorted(p.name for p in (outputs / "trials").iterdir())
    shown = trapped.cli("show", trial)
    assert '"api_token": "***"' in shown.out and '"password": "***"' in shown.out
    said = "".join(a.out + a.err for a in (first, again, plan, shown, trapped.cli("compare")))
    assert TOKEN not in said and WORD not in said
    for name, content in everything_in(outputs):
        assert TOKEN.encode() not in content and WORD.encode() not in content, name
    rows = read_csv(outputs / "kept/trials.csv")
    assert set(rows["is_true"]) == {"1.0"}
    assert rows["task.secret_key"].tolist() == ["null", "null", "***"]
    assert rows["task.max_tokens"].tolist() == ["64", "128", "64"]
    config = json.loads((outputs / "trials" / trial / "config.json").read_text())
    assert (config["task"]["api_token"], config["task"]["cls_token"]) == ("***", "CLS")


@pytest.mark.parametrize(
    "value, words",
    [
        pytest.param("${oc.env:HF_TOKEN}", (), id="straight"),
        pytest.param("a ${oc.env:HF_TOKEN} b", (), id="within"),
        pytest.param(
            "${.hidden_key}", ("+task.hidden_key=${oc.env:HF_TOKEN}",), id="by another key"
        ),
        pytest.param("${oc.decode:${oc.env:HF_TOKEN}}", (), id="decoded"),
        pytest.param("${oc.env:${.name}}", ("+task.name=HF_TOKEN",), id="by its name"),
        pytest.param("${oc.env:NO_SUCH_TOKEN,plain}", (), id="by default"),
        pytest.param("of ${.token}", (f"+task.token={TOKEN}",), id="of another key"),
        pytest.param(
            "${.deep.er}",
            ("+task.deep={er: '${task.db.password}', db: 1}", f"+task.db.password={TOKEN}"),
            id="of a key's key",
        ),
    ],
)
def test_a_secret_goes_into_no_other_key(
    trapped: Any, monkeypatch: Any, value: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    trapped.recipe(
        baseline={"task._target_": "mymod.train", "task.note": value}, arms=[], claims=[]
    )
    answer = trapped.run(*words)
    trapped.refused(answer, "task.note is made of a secret (", "task.api_token.")
    assert TOKEN not in answer.err


@pytest.mark.parametrize(
    "words, changes, said",
    [
        (["task.token=[hunter2-"], {}, "override 'task.token=***' cannot be read"),
        (["task.token=hunter2-,x"], {}, "override 'task.token=***' gives several values"),
        (["task.x={token: hunter2-"], {}, "override 'task.x=***' cannot be read"),
        ([], {"grid": {"task.token": ["hunter2-"]}}, "write `arms:` with names of your own"),
        ([], {"search": {"axes": {"task.token": {"choices": ["hunter2-"]}}}}, "'task.token' is named like a secret"),
        ([], {"arms": [{"name": "same", "set": {"task.token": "hunter2-"}}]}, "{'task.token': '***'} are its values already"),
    ],
)  # fmt: skip
def test_no_message_of_ours_says_a_secret(
    trapped: Any, words: list[str], changes: dict[str, Any], said: str
) -> None:
    baseline = {"task._target_": "mymod.train", "task.token": "hunter2-"}
    trapped.recipe(**{"baseline": baseline, "arms": [], "claims": [], **changes})
    answer = trapped.cli("plan", "tiny", "--recipes", "recipes", *words)
    trapped.refused(answer, said)
    assert "hunter2" not in answer.err
