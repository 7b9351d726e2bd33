"""Start of the console script: an interrupt while the packages are imported is an interrupt, not a traceback."""

from __future__ import annotations

import sys


def run() -> None:
    """Import the command line and run it."""
    try:
        from .main import run as run_commands

        run_commands()
    except KeyboardInterrupt:
        sys.stderr.write("ugrn: interrupted; nothing was changed\n")
        sys.exit(130)
