"""What a trial leaves in its folder for people to look at."""

from contextlib import suppress
from pathlib import Path


def leave(path: Path, content: bytes | None) -> None:
    """Replace the file as a whole; nothing is left of None.

    A full disk costs the file and not the trial.
    """
    if content is None:
        return
    half = path.with_name(f"{path.name}.half")
    try:
        half.unlink(missing_ok=True)
        with half.open("xb") as file:  # a link that somebody put there is not followed
            file.write(content)
        half.replace(path)
    except OSError:
        with suppress(OSError):
            half.unlink(missing_ok=True)
