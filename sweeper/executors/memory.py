"""Running out of memory: a limit for a child, and which deaths the kernel's killer caused."""

import resource
import threading
from pathlib import Path

_MIB = 1 << 20


def limit(memory_mib: int) -> None:
    """Let this process allocate so much beyond what it has; more fails, as on a full machine."""
    has_kib = next(
        int(line.split()[1])
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmData:")
    )
    most = has_kib * 1024 + memory_mib * _MIB
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _counter() -> tuple[Path, str] | None:
    """The file of this process's control group that counts its OOM kills, and the count's name."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = {controllers: path for _, controllers, path in (x.split(":", 2) for x in lines)}
    root = Path("/sys/fs/cgroup")
    files = [
        *(root / "memory" / p.lstrip("/") / "memory.oom_control"
          for p in (paths.get("memory"), "") if p is not None),
        *(root / p.lstrip("/") / "memory.events" for p in (paths.get(""), "") if p is not None),
    ]  # fmt: skip
    return next(((file, "oom_kill ") for file in files if file.is_file()), None)


class OomKills:
    """Tells a SIGKILL of the kernel's out-of-memory killer from any other by the group's count."""

    def __init__(self, counter: tuple[Path, str] | None = None) -> None:
        self._counter = counter or _counter()
        self._claimed = 0
        self._lock = threading.Lock()

    def count(self) -> int | None:
        """Kills of this control group so far; None where nobody counts."""
        if self._counter is None:
            return None
        file, name = self._counter
        try:
            lines = file.read_text().splitlines()
        except OSError:
            return None
        return next((int(x.removeprefix(name)) for x in lines if x.startswith(name)), None)

    def took_one(self, before: int | None) -> bool:
        """Whether a death since the count was `before` is one of these kills; each counts once."""
        now = self.count()
        if now is None or before is None:
            return False
        with self._lock:
            claimed = max(before, self._claimed)
            if now <= claimed:
                return False
            self._claimed = claimed + 1
            return True
