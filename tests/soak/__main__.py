"""The soak in full: `python -m tests.soak`, ten minutes on a broker of its own."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.parts import kafka
from tests.soak.drill import drill


def main() -> int:
    """Run it and say what was found."""
    arguments = argparse.ArgumentParser(prog="python -m tests.soak")
    arguments.add_argument("--seconds", type=float, default=600)
    arguments.add_argument("--subscribers", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = arguments.parse_args()
    print(f"{given.subscribers} subscribers, {given.seconds:g} s, seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fswire-soak-") as directory, kafka(Path(directory)) as settings:
        found = drill(
            settings,
            Path(directory),
            subscribers=given.subscribers,
            seconds=given.seconds,
            seed=given.seed,
        )
    print(found)
    return int(bool(found.faults))


if __name__ == "__main__":
    sys.exit(main())
