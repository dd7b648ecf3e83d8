"""A real Ray cluster of several nodes on this machine, driven line by line from a test.

Run as a script it is the cluster, in a process of its own: Ray keeps global state, and a test's
process must not be what the cluster hangs on. Every process of it, and of the trials on it, has
the cluster's name in its environment.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MARK = "SWEEPER_TEST_CLUSTER"
PATIENCE_S = 90.0


class RayCluster:
    """Starts a head without resources, and nodes; `close` leaves nothing of it behind."""

    def __init__(self, auth: str = "token") -> None:
        self.name, self.token = secrets.token_hex(8), secrets.token_hex(16)
        self._folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie in it
        self.environment = {
            "RAY_AUTH_MODE": auth, "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0",
        }  # fmt: skip
        unwanted = ("RAY_", "PYTHONWARNINGS", "COV_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            env={**inherited, **self.environment, MARK: self.name, "RAY_TMPDIR": self._folder},
        )  # fmt: skip
        self.address: str = self._ask("head")
        self.environment["RAY_ADDRESS"] = self.address

    def add(self, cpus: int = 2, gpus: int = 2) -> None:
        """Let a node join."""
        self._ask("add", cpus, gpus)

    def kill_node_of(self, pid: int) -> None:
        """SIGKILL for the raylet, which makes a node a node, of a trial's process."""
        while "raylet/raylet" not in Path(f"/proc/{pid}/cmdline").read_text():
            pid = parent_of(pid)
        os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """The live processes of this cluster and of its trials."""
        return [pid for pid in map(_number, Path("/proc").iterdir()) if pid and self._owns(pid)]

    def _owns(self, pid: int) -> bool:
        """By its environment; Ray's own write their titles over that, and keep logs open."""
        folder = Path(f"/proc/{pid}")
        try:
            if f"{MARK}={self.name}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                return bool((folder / "cmdline").read_bytes())  # else it is dead already
            return any(self._folder in str(f.readlink()) for f in (folder / "fd").iterdir())
        except OSError:
            return False

    def close(self) -> None:
        """SIGKILL for all of it at once, as when the power goes."""
        deadline = time.monotonic() + PATIENCE_S
        while left := self.processes():
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.05)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, *words: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _number(folder: Path) -> int:
    return int(folder.name) if folder.name.isdigit() else 0


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for number, line in enumerate(sys.stdin):
        what, *numbers = json.loads(line)
        if what == "head":
            cluster.add_node(num_cpus=0, include_dashboard=False, include_log_monitor=False)
            answer = cluster.address
        else:
            # Two nodes in one folder would take each other's shipped files away.
            folder = f"{os.environ['RAY_TMPDIR']}/{number}"
            cluster.add_node(num_cpus=numbers[0], num_gpus=numbers[1], temp_dir=folder)
            answer = number
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
