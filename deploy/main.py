"""Where the `fswire` command begins: what an editor starts does not wait for the other commands' imports."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process; the console script `fswire`."""
    match sys.argv[1:]:
        case ["watch"]:
            _watch("seed")
        case ["watch", "--dialect", ("seed" | "distant") as dialect]:
            _watch(dialect)
        case _:
            from deploy import command

            command.main()


def _watch(dialect: str) -> None:
    from deploy import watch_process

    sys.exit(watch_process.main(dialect))


if __name__ == "__main__":
    main()
