"""`make chaos`: the drill in full size, on servers of its own."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.drill import FULL, Chaos
from tests.chaos.fleet import running
from tests.chaos.load import Size


def main() -> int:
    """Run it in full and say what was found."""
    arguments = argparse.ArgumentParser(prog="make chaos")
    arguments.add_argument("--events", type=int, default=FULL.events)
    arguments.add_argument("--seconds", type=float, default=FULL.seconds, help="over which they are spread")
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = arguments.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that the broker is away is meant
    outage_s = FULL.outage_s * given.seconds / FULL.seconds
    size = Size(given.events, FULL.agents, FULL.per_batch, given.seconds, outage_s)
    print(f"{size.events} events of {size.agents} agents, seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fswire-chaos-") as directory, running(Path(directory)) as fleet:
        chaos = Chaos(fleet, size, given.seed)
        checker = chaos.run()
        print(chaos.summary())
        print(checker.faults)
    return int(bool(checker.faults))


if __name__ == "__main__":
    sys.exit(main())
