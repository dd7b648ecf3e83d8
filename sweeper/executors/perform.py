"""One attempt, performed in this process: call the task, turn every ending into a record."""

import json
import math
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from sweeper import __version__, targets
from sweeper.axes import DATA_AXES
from sweeper.errors import DoesNotApply, Preempted, Pruned, RequestError, is_full, writing
from sweeper.executors import workdir
from sweeper.executors.job import Job
from sweeper.fingerprint import calls_user_code, imported
from sweeper.folders import new_file, private
from sweeper.masking import masked
from sweeper.trial import Config, Ending, read_all

Report = Callable[[float, Mapping[str, float]], None]
_CONTRACT = "train(config, *, seed, device, report, workdir)"
_has_forked = False


def _note_fork() -> None:
    global _has_forked
    _has_forked = True


os.register_at_fork(before=_note_fork)


class Curve:
    """Collects reported points as equally long columns, None where a name was not reported."""

    def __init__(self) -> None:
        self.columns: dict[str, list[float | None]] = {"step": []}
        self._last: dict[str, float] = {}

    def add(self, step: float, metrics: Mapping[str, float]) -> None:
        """Add a point; what is reported of the last step again joins the point that is there."""
        steps = self.columns["step"]
        if steps and steps[-1] == step:
            for column in self.columns.values():
                column.pop()
            metrics = {**self._last, **metrics}
        self._last = dict(metrics)
        before = len(steps)
        steps.append(step)
        for name in metrics:  # in the order reported, so that equal trials are equal bytes
            if name not in self.columns:
                self.columns[name] = [None] * before
        for name, column in self.columns.items():
            if name != "step":
                column.append(metrics.get(name))

    def last(self) -> dict[str, float]:
        """The last value of each reported name."""
        found = {}
        for name, column in self.columns.items():
            values = [v for v in column if v is not None]
            if name != "step" and values:
                found[name] = values[-1]
        return found


@private()
def perform(job: Job, device: str, report: Report) -> tuple[Ending, str]:
    """Run the attempt (or the check); returns its ending, and the mend if the request was wrong.

    Never raises but for KeyboardInterrupt: a user's exception is a record.
    """
    started = time.perf_counter()
    status, metrics, error, mend = "done", dict[str, float](), "", ""
    is_the_users = calls_user_code(job.config)
    read = None if job.is_check or _is_own(job.config) else set[str]()
    if is_the_users:
        imported.begin()
    try:
        _let_import_from_here()
        targets.allow(job.allowed)
        if job.is_check:
            check(job)
        else:
            metrics = _call_task(job, Config(job.config, read), device, report)
            status = _done_or_diverged(metrics)
    except Pruned:
        status = "pruned"
    except Preempted:
        status, error = "preempted", "told to stop before it had ended"
    except DoesNotApply as reason:
        status, error = "skipped", str(reason)
    except RequestError as reason:
        status, error, mend = "failed", str(reason), str(reason)
    except KeyboardInterrupt:
        raise
    except BaseException as raised:  # noqa: BLE001 - SystemExit of a user's code is a record too
        status, error = _classify(raised), _last_line(raised)
        if is_full(raised):  # no fault of this trial, and the next would fare the same
            mend = f"{error}: make room and run the same command again."
        with suppress(OSError):  # a log without room for it
            traceback.print_exc()
    duration_s = time.perf_counter() - started
    sources = imported.digests() if is_the_users else {}
    ending = Ending(
        status, metrics, {}, error, duration_s, _versions(), sources=sources, data=job.data,
        read=None if read is None else sorted(map(_text, read.copy())),
    )  # fmt: skip
    return ending, mend


def _let_import_from_here() -> None:
    """The user's modules lie in the current folder: last on the path, so none hides a library."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _is_own(config: Mapping[str, Any]) -> bool:
    """Whether the task is ours, which reads all that there is."""
    return str(config.get("task", {}).get("_target_", "")).startswith(targets.OWN)


def _call_task(job: Job, config: Config, device: str, report: Report) -> dict[str, float]:
    global _has_forked
    task = targets.load(job.config["task"]["_target_"])
    with writing(Path(job.folder)):
        work = _make_folder(job)
    curve = Curve()

    def report_checked(step: float, **metrics: float) -> None:
        checked = {_text(name): _number(name, value) for name, value in metrics.items()}
        curve.add(_number("step", step), checked)
        report(step, checked)

    if _is_own(job.config):
        # Only the built-in task keeps rendered data; a user's own imports nothing of it.
        from sweeper.training.data import cache_at

        cache_at(Path(job.cache))
    _has_forked = False
    try:
        with one_thread():
            returned = task(
                config, seed=job.seed, device=device, report=report_checked, workdir=work
            )
    finally:
        if _has_forked:  # what a fork of the user's reads nobody hears of
            read_all(config)
    return {**curve.last(), **_checked_result(returned, job.config["task"]["_target_"])}


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread a trial in every executor: equal bits, whatever runs beside it."""
    torch = sys.modules.get("torch")  # imported by the task, if it is used at all
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make_folder(job: Job) -> Path:
    """The trial's folder with its configuration; returns the user's part of it."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    asked = json.dumps({"seed": job.seed, **masked(job.config)}, indent=1)
    with os.fdopen(new_file(folder / "config.json", os.O_TRUNC), "w", encoding="utf-8") as file:
        file.write(asked)
    if job.work == workdir.SETTLED:
        workdir.settle(folder)
    work = folder / job.work
    work.mkdir(exist_ok=True)
    return work


def _checked_result(returned: Any, path: str) -> dict[str, float]:
    if not isinstance(returned, Mapping):
        raise RequestError(
            f"{path} returned {type(returned).__name__} where a mapping of names to numbers is "
            'due: end it with, for example, `return {"val_loss": loss}`.'
        )
    return {
        _text(str(name)): _number(str(name), value, f"{path} returned ")
        for name, value in returned.items()
    }


def _number(name: str, value: Any, who: str = "report got ") -> float:
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise RequestError(
            f"{who}{name}={value!r} ({type(value).__name__}), which is not a number: give a float."
        ) from None


def _done_or_diverged(metrics: Mapping[str, float]) -> str:
    return "done" if all(math.isfinite(v) for v in metrics.values()) else "diverged"


def _classify(raised: BaseException) -> str:
    text = str(raised)
    is_oom = isinstance(raised, MemoryError) or (
        isinstance(raised, RuntimeError)
        and ("can't allocate memory" in text or type(raised).__name__ == "OutOfMemoryError")
    )
    return "oom" if is_oom else "failed"


def _last_line(raised: BaseException) -> str:
    text = "".join(traceback.format_exception_only(raised)).strip()
    return _text(text)


def _text(text: str) -> str:
    """The store and the tables are UTF-8, which has no half characters."""
    return text.encode(errors="backslashreplace").decode()


def _versions() -> dict[str, str]:
    found = {"sweeper": __version__, "python": platform.python_version()}
    if "torch" in sys.modules:
        found["torch"] = version("torch")
    return found


def check(job: Job) -> None:
    """Import the user's functions and check their signatures before anything is spent."""
    for group in ("task", "model", "data"):
        path = job.config.get(group, {}).get("_target_")
        if not path or path.startswith(targets.OWN):
            continue
        function = targets.load(path)
        if group == "task":
            _check_task(path, function)
        else:
            _check_keys(f"{path}{signature(function)}", function, group, job)


def _check_task(path: str, function: Callable[..., Any]) -> None:
    found = signature(function)
    try:
        found.bind({}, seed=0, device="cpu", report=print, workdir=Path())
    except TypeError as error:
        raise RequestError(
            f"{path}{found} does not fit ({error}): a training function is called as {_CONTRACT}."
        ) from None


def _check_keys(shown: str, function: Callable[..., Any], group: str, job: Job) -> None:
    """What the baseline gives must be taken; what has no default must be given."""
    known, takes_any = targets.parameters(function)
    axes = {"_target_"} | (DATA_AXES if group == "data" else set())
    for key in job.config[group]:
        if key not in known | axes and not takes_any:
            raise RequestError(
                f"{shown} takes no {key!r}: leave {group}.{key} out, or add the parameter."
            )
    given = {*job.config[group], "input_shape", "outputs"}
    for parameter in signature(function).parameters.values():
        is_open = parameter.default is Parameter.empty and parameter.name in known
        if is_open and parameter.name not in given:
            raise RequestError(
                f"{shown} needs {parameter.name!r}: give it, as in {group}.{parameter.name}=…"
            )
