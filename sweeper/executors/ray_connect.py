"""From the address of a Ray cluster to a connection that ships what the trials need."""

import importlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sweeper
from sweeper.errors import RequestError
from sweeper.executors.job import Executor

# What a submitted job (`ray job submit`) was given reaches its driver in this variable.
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_DEFAULTS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray warns; we set what a trial sees ourselves
    "RAY_NUM_REDIS_GET_RETRIES": "3",  # seconds to try a cluster that answers with a refusal
}
_NEVER_SHIPPED = (
    ".git", ".venv", "venv", "node_modules", "__pycache__", "*.pyc", ".mypy_cache", ".pytest_cache",
    ".ruff_cache",
)  # fmt: skip
_REACH_S = 5.0
_HOW_TO_START = (
    "start one with `ray start --head`, let other machines join it with `ray start "
    "--address=HEAD:6379`, and run this on one of them (docs/cluster.md)"
)


def make(where: Mapping[str, Any], outputs: Path) -> Executor:
    """The executor of the settings' cluster; raises RequestError where there is none."""
    ray = connect(where["address"], outputs)
    from sweeper.executors.ray import Needs, RayExecutor  # imports Ray: not before it is set up

    try:
        wants_gpus = (where["per_device"] or where["devices_per_trial"]) > 1
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        is_on_gpus = where["devices"] is None and (wants_gpus or has_gpus)
        if is_on_gpus and where["memory_mib"]:
            raise RequestError(
                "executor.memory_mib limits trials on the cpu, and CUDA reserves more than it "
                "uses: leave it out, or add executor.devices=[cpu]."
            )
        gpus = where["devices_per_trial"] if is_on_gpus else 0
        needs = Needs(where["cpus_per_trial"], gpus, where["per_device"] or 1 if gpus else 1)
        return RayExecutor(needs, outputs, where["lease_s"], where["grace_s"], where["slots"])
    except BaseException:
        ray.shutdown()
        raise


def connect(address: str | None, outputs: Path) -> Any:
    """The module `ray`, connected to the cluster at `address`, never to one of our own making.

    Raises RequestError where Ray is not installed, or no cluster answers or lets us in.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)  # before Ray is imported: it reads them then
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise RequestError(
            "executor=ray needs Ray: pip install 'sweeper[ray]' -c constraints.txt"
        ) from None
    if ray.is_initialized():
        raise RequestError(
            "this process is connected to Ray already: call ray.shutdown() first, so that the "
            "sweep can ship its code with a connection of its own."
        )
    _check_answers(_resolved(address))
    _init(ray, address, outputs)
    return ray


def _resolved(address: str | None) -> str:
    """The cluster's host and port."""
    given = address or os.environ.get("RAY_ADDRESS") or "auto"
    if given == "local":
        raise RequestError(
            f"executor.address={given} would start a cluster of this machine alone, where "
            f"executor=local does the same without one; else {_HOW_TO_START}."
        )
    if "://" in given:
        raise RequestError(
            f"{given} is no cluster's own address (HOST:6379), and a sweep runs on one of its "
            "machines: from elsewhere, send it there with `ray job submit` (docs/cluster.md)."
        )
    if given != "auto":
        return given
    from ray._private.services import canonicalize_bootstrap_address

    try:
        return str(canonicalize_bootstrap_address("auto"))
    except ConnectionError:
        raise RequestError(f"no Ray cluster runs on this machine: {_HOW_TO_START}.") from None


def _check_answers(place: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except (OSError, ValueError) as error:
        raise RequestError(
            f"no Ray cluster answers at {place} ({error}): check executor.address (or "
            f"RAY_ADDRESS), or {_HOW_TO_START}."
        ) from None


def _init(ray: Any, address: str | None, outputs: Path) -> None:
    from ray.exceptions import AuthenticationError, RayError

    try:
        with _hushed() as said, _own_handlers():
            ray.init(
                address=address or "auto", log_to_driver=False, logging_level=logging.ERROR,
                runtime_env=shipped(outputs),
            )  # fmt: skip
        # A dead node's last log lines, which Ray prints whatever `log_to_driver` says.
        worker: Any = importlib.import_module("ray._private.worker")
        worker._worker_logs_enabled = False
    except AuthenticationError:
        raise RequestError(
            "the cluster's token is missing: copy its ~/.ray/auth_token here or set "
            "RAY_AUTH_TOKEN (docs/cluster.md); only for a cluster that was started without one, "
            "set RAY_AUTH_MODE=disabled."
        ) from None
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise RequestError(_why_not(error, said())) from None


def _why_not(error: Exception, said: str) -> str:
    text = f"{error} {said}"
    if "InvalidAuthToken" in text:
        return (
            "the cluster refuses our token: give the one it was started with in ~/.ray/auth_token "
            "or RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token (docs/cluster.md)."
        )
    if "exceeds the maximum size" in text:
        return (
            f"the current folder {Path.cwd()} is too large to ship to the nodes ({error}): name "
            "what the trials do not import in a file .rayignore, written as a .gitignore is."
        )
    return f"Ray did not let us in ({str(error).splitlines()[0]}): {_HOW_TO_START}."


def shipped(outputs: Path) -> dict[str, Any]:
    """What every node gets: this package and the user's folder, but for what the job set already.

    In a job that was submitted to the cluster Ray refuses a second value.
    """
    given = json.loads(os.environ.get(_JOB) or "{}").get("runtime_env") or {}
    package = Path(sweeper.__file__).parent
    wanted: dict[str, Any] = {"py_modules": [str(package)], "working_dir": str(Path.cwd())}
    new = {key: value for key, value in wanted.items() if key not in given}
    if new and "excludes" not in given:
        new["excludes"] = list(_NEVER_SHIPPED)
        with suppress(ValueError):
            new["excludes"].append(f"/{outputs.resolve().relative_to(Path.cwd().resolve())}/")
    return new


@contextmanager
def _hushed() -> Iterator[Any]:
    """Ray's core writes to file 2 itself, the same line every second; kept to read the reason."""
    with tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)

        def said() -> str:
            kept.seek(0)
            return kept.read().decode(errors="replace")

        text = ""
        try:
            yield lambda: text
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            text = said()


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Ray takes SIGTERM for itself; a sweep answers it with checkpoints."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
