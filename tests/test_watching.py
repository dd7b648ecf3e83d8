"""The live view of a sweep: what it counts as answered and as failed."""

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sweeper.watching import LiveWatcher


def ended(trial_id: str, status: str) -> Any:
    return SimpleNamespace(
        job=SimpleNamespace(trial_id=trial_id), ending=SimpleNamespace(status=status)
    )


def test_a_skipped_trial_is_answered_and_has_not_failed() -> None:
    progress = Progress(console=Console(file=io.StringIO()))
    plan: Any = SimpleNamespace(name="steps", arms=("a", "b"))
    request: Any = SimpleNamespace(plan=plan, trials={"one": 0}, notes=(), searches=())
    watcher = LiveWatcher(progress)
    watcher.planned(request, 2, 0)
    watcher.ended(ended("one", "skipped"), again=False)
    request.trials = {"two": 0}
    watcher.grown(request)  # a later arm that was planned anew
    watcher.ended(ended("two", "failed"), again=False)
    (task,) = progress.tasks
    assert (task.completed, task.fields["note"]) == (2, "0 running, 1 failed")
