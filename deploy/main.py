"""Where the `fswire` command begins: what an editor starts does not wait for the other commands' imports."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line of this process; the console script `fswire`."""
    match sys.argv[1:]:
        case ["watch"]:
            _watch("seed")
        case ["watch", "--dialect", ("seed" | "distant") as dialect]:
            _watch(dialect)
        case _:
            _command()


def _command() -> None:
    # Ctrl-C while modules are read ends the process at once, as there is nothing to put away yet; the shell
    # may have it ignored for a job in the background, which stays so.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from deploy import command

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command.main()


def _watch(dialect: str) -> None:
    from deploy import watch_process

    sys.exit(watch_process.main(dialect))


if __name__ == "__main__":
    main()
