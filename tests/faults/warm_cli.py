"""The command line, loaded once: each request is a fork of it in which one disk operation fails.

Reads a line of JSON a request from standard input, answers the exit code on standard output.
"""

import ctypes
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import sweeper.watching
from sweeper import api, cli
from sweeper.executors.job import Ended


def compose_once() -> None:
    """A request is composed by the first run alone: that takes Hydra longer than all the rest."""
    prepare, prepared = api.prepare, dict[str, Any]()

    def prepare_once(names: Any, overrides: Any, *others: Any) -> Any:
        asked = repr((names, overrides))
        if asked not in prepared:
            prepared[asked] = prepare(names, overrides, *others)
        return prepared[asked]

    api.prepare = prepare_once


def warm_up(arguments: list[str]) -> None:
    """One sound run, so that a fork has imported all that it comes to."""
    said = os.dup(1)
    os.dup2(2, 1)
    code = cli._guarded(arguments)
    sys.stdout.flush()
    os.dup2(said, 1)
    os.close(said)
    assert code == 0


def acknowledge(file: str) -> None:
    """Note each result that the watcher is told of: from then on it must not be lost."""
    plain = sweeper.watching.PlainWatcher.ended

    def ended(self: sweeper.watching.PlainWatcher, event: Ended, *, again: bool) -> None:
        if event.ending.status == "done":
            with Path(file).open("a") as told:
                told.write(f"{event.job.trial_id}\n")
        plain(self, event, again=again)

    sweeper.watching.PlainWatcher.ended = ended  # type: ignore[method-assign]


def live(request: dict[str, Any]) -> int:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.chdir(request["cwd"])
    acknowledge(request["told"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    below, only = request["below"].encode(), request["only"].encode()
    ctypes.CDLL(None).fault_arm(below, only, request["at"], request["errno"], log)
    try:
        code = cli._guarded(request["arguments"])
    except BaseException:  # noqa: BLE001 - said as the interpreter would
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    compose_once()
    warm_up(sys.argv[1:])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(live(json.loads(line)))
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
