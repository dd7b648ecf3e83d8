"""The way to a Ray cluster: what is refused before one is asked, and what is shipped to it."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sweeper.errors import RequestError
from sweeper.executors import ray_connect
from sweeper.settings import Executor


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No cluster of anybody's, and a current folder of the test's own."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    monkeypatch.chdir(tmp_path)
    yield
    os.environ.clear()
    os.environ.update(before)


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def refusal(address: str | None, outputs: Path = Path("outputs")) -> str:
    with pytest.raises(RequestError) as refused:
        ray_connect.connect(address, outputs)
    return str(refused.value)


def test_a_cluster_of_our_own_making_is_refused() -> None:
    assert refusal("local").startswith(
        "executor.address=local would start a cluster of this machine alone, where executor=local "
        "does the same without one; else start one with `ray start --head`"
    )


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_an_address_that_is_not_the_clusters_own_is_refused(address: str) -> None:
    assert refusal(address) == (
        f"{address} is no cluster's own address (HOST:6379), and a sweep runs on one of its "
        "machines: from elsewhere, send it there with `ray job submit` (docs/cluster.md)."
    )


def test_where_nothing_answers_the_address_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = f"127.0.0.1:{closed_port()}"
    expected = f"no Ray cluster answers at {place} ("
    assert refusal(place).startswith(expected)
    monkeypatch.setenv("RAY_ADDRESS", place)
    assert refusal(None).startswith(expected)
    assert "start one with `ray start --head`" in refusal(None)
    assert refusal("no-port").startswith("no Ray cluster answers at no-port (")


def test_without_a_cluster_on_this_machine_the_mend_is_to_start_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray._private import services

    def finds_none(*_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(services, "canonicalize_bootstrap_address", finds_none)
    assert refusal(None) == (
        "no Ray cluster runs on this machine: start one with `ray start --head`, let other "
        "machines join it with `ray start --address=HEAD:6379`, and run this on one of them "
        "(docs/cluster.md)."
    )


def test_without_ray_the_mend_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refusal(None) == (
        "executor=ray needs Ray: pip install 'sweeper[ray]' -c constraints.txt"
    )


def test_a_token_is_asked_for_unless_the_user_says_otherwise() -> None:
    refusal("local")
    assert os.environ["RAY_AUTH_MODE"] == "token"
    os.environ["RAY_AUTH_MODE"] = "disabled"
    refusal("local")
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_this_package_and_the_current_folder_are_shipped_without_the_results(
    tmp_path: Path,
) -> None:
    sent = ray_connect.shipped(Path("results/here"))
    assert sent["working_dir"] == str(tmp_path)
    assert [Path(module).name for module in sent["py_modules"]] == ["sweeper"]
    assert {"/results/here/", ".git", ".venv"} <= set(sent["excludes"])
    elsewhere = ray_connect.shipped(tmp_path.parent / "elsewhere")
    assert set(elsewhere["excludes"]) == set(sent["excludes"]) - {"/results/here/"}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"working_dir": "gcs://a.zip"}, {"py_modules", "excludes"}),
        ({"working_dir": "gcs://a.zip", "py_modules": ["gcs://b.zip"]}, set()),
        ({}, {"working_dir", "py_modules", "excludes"}),
    ],
)
def test_what_a_submitted_job_was_given_is_not_given_again(
    given: dict[str, Any], left: set[str]
) -> None:
    os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps({"runtime_env": given})
    assert set(ray_connect.shipped(Path("outputs"))) == left


def test_a_share_of_a_gpu_fits_as_often_as_it_should() -> None:
    from sweeper.executors.job import Job
    from sweeper.executors.ray import Needs

    node = {"CPU": 64.0, "GPU": 8.0}
    assert Needs(cpus=1, devices=1, per_device=3).fit(node) == 24
    assert Needs(cpus=1, devices=3).fit(node) == 2
    assert Needs(cpus=4, devices=1, per_device=3).fit(node) == 16
    assert Needs(cpus=0.5).fit(node) == 128 and Needs(cpus=1, devices=1).fit({"CPU": 9}) == 0
    thirds = Needs(cpus=1, devices=1, per_device=3)
    assert 3 * thirds.gpus <= 1 < 4 * thirds.gpus
    job = Job("t", 2, 0, {}, "", "")
    alone = Job("t", 2, 0, {}, "", "", alone=True)
    assert (thirds.shares(job), thirds.shares(alone)) == (1, 3)
    assert thirds.options(alone)["num_gpus"] == 1 and thirds.options(job)["num_gpus"] == 0.3333


def test_ray_is_imported_by_its_own_runs_alone(
    here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # importing it fails
    own = ("tiny", "--recipes", "recipes", "--allow", "instant")
    assert here("plan", *own[:3], "executor=ray").code == 0
    assert here("run", *own, "executor=local").code == 0
    again = here("run", *own, "executor=ray", "seeds=4")
    assert (again.code, again.err) == (
        2, "sweeper: executor=ray needs Ray: pip install 'sweeper[ray]' -c constraints.txt\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"devices": ["cuda:0"]}, "leave devices out, or give [cpu]"),
        ({"lease_s": 2}, "greater than or equal to 3"),
        ({"cpus_per_trial": 0}, "greater than 0"),
    ],
)
def test_settings_that_no_cluster_could_follow_are_refused(
    values: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Executor(name="ray", **values)
    assert says in str(refused.value)


def test_a_node_that_does_not_see_the_results_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweeper.executors import ray_node

    monkeypatch.setattr(ray_node, "_BETWEEN_LOOKS_S", 0.0)
    monkeypatch.setattr(ray_node, "node", lambda: "10.0.0.7")
    shared = tmp_path / "word"
    said = f"node 10.0.0.7 does not see the results' folder {tmp_path}: keep it where every node "
    assert ray_node.look(str(shared), "this run").startswith(said)
    shared.write_text("another run")
    assert ray_node.look(str(shared), "that run").startswith(said)
    shared.write_text("the run")
    assert ray_node.look(str(shared), "the run") == ""
