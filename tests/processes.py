"""What processes there are, for tests that see them come and go."""

from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process runs or is stopped: one that is dead and not yet waited for is neither."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
