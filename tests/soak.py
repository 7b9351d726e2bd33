"""Random inputs, attacks and kills with new seeds again and again: ``SOAK=60 python -m tests.soak`` for an hour.

Every round runs all tests that draw random inputs, those of hostile files and those of killed runs, in an order of its
own. A failure is printed with the command that repeats it. The exit code is 1 where a test failed.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections import Counter

PYTEST = (sys.executable, "-m", "pytest")
COUNTED = re.compile(r"(\d+) (passed|failed|errors?)\b")
FAILED = re.compile(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$")


def soak(minutes: float) -> int:
    """Run rounds until the time is over; the number of failures."""
    end = time.time() + 60 * minutes
    counts: Counter[str] = Counter()
    while time.time() < end:
        seed = secrets.randbelow(2**31 - 1) + 1
        options = ("--seed", str(seed), f"--hypothesis-seed={seed}")
        print(f"seed {seed}", flush=True)
        done = subprocess.run(
            [*PYTEST, "-q", "-rfE", "-p", "no:cacheprovider", *options, f"--soak={end}"],
            capture_output=True,
            text=True,
            check=False,
            env={"OMP_NUM_THREADS": "1"} | os.environ,
        )
        lines = done.stdout.splitlines()
        for line in lines:
            if match := FAILED.match(line):
                print(f"failed: python -m pytest '{match[1]}' {' '.join(options)}", flush=True)
        found = Counter({kind.rstrip("s"): int(number) for number, kind in COUNTED.findall(lines[-1] if lines else "")})
        if not found:
            print(done.stdout + done.stderr)
            found["error"] += 1
        counts += found + Counter(rounds=1)
    print(", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())))
    return counts["failed"] + counts["error"]


if __name__ == "__main__":
    sys.exit(soak(float(os.environ.get("SOAK", "5"))) > 0)
