"""Run benchmarks, each a table: `python -m tests.benchmarks [NAME …]`, all without a name."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

NAMES = (
    *("stages", "normalizer", "workers", "recovery", "sink", "stored_bytes", "reach"),
    *("put", "latency", "startup", "agent", "agent_scan", "watch_local", "live", "transfers"),
)


def main() -> None:
    """Run the benchmarks that are named, one after the other: each wants the machine for itself."""
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            sys.exit(f"no benchmark {name}: there are {', '.join(NAMES)}")
        with tempfile.TemporaryDirectory(prefix=f"fswire-bench-{name}-") as directory:
            importlib.import_module(f"tests.benchmarks.{name}").run(Path(directory))


if __name__ == "__main__":
    main()
