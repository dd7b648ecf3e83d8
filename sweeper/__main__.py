"""`python -m sweeper`."""

import sys
from pathlib import Path

# -m puts the current folder first on the path, where a user's `grp.py` would hide a library's.
if not sys.flags.safe_path and sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd():
    del sys.path[0]

from sweeper.cli import main

if __name__ == "__main__":
    main()
