"""Processes end with the one that started them, even when that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from deploy import lifeline
from tests.unit.deploy.processes import ends_within

WAIT = [sys.executable, "-c", "import os, signal; print(os.getpid(), flush=True); signal.pause()"]
SUPERVISOR = """
import subprocess, sys
from deploy import lifeline
command = lifeline.shim(sys.argv[2:], by_kernel=sys.argv[1] == "kernel")
subprocess.Popen(command, stdin=subprocess.PIPE).wait()
"""
SIGNALLED_AT_ONCE = """
import os, signal, subprocess, sys
from deploy import lifeline

class Popen(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)

lifeline.subprocess.Popen = Popen
sys.exit(lifeline.attend(sys.argv[1:]))
"""


@pytest.mark.parametrize("how", ["kernel", "pipe"])
def test_killed_supervisor_takes_its_part_along(how: str) -> None:
    """SIGKILL of the supervisor ends what it started, whether the kernel or a pipe tells of it."""
    command = [sys.executable, "-c", SUPERVISOR, how, *WAIT]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        part = int(supervisor.stdout.readline())

        supervisor.kill()

        assert ends_within(part, 10)


def test_attended_command_gets_the_signal() -> None:
    """Where the shim stays, it passes SIGTERM on and ends with the command's status."""
    command = lifeline.shim(WAIT, by_kernel=False)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shim:
        assert shim.stdout is not None
        shim.stdout.readline()

        shim.terminate()

        assert shim.wait(60) == 128 + signal.SIGTERM


def test_signal_is_passed_on_however_early_it_comes() -> None:
    """One that comes before anybody knows the command's process leaves no command behind."""
    attend = [sys.executable, "-c", SIGNALLED_AT_ONCE, *WAIT]
    with subprocess.Popen(
        attend, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as attending:
        assert attending.wait(60) == 128 + signal.SIGTERM
        assert attending.stdout is not None
        attending.stdout.read()  # ends with the last process that holds it


def test_shim_of_a_dead_supervisor_starts_nothing() -> None:
    """A supervisor that died before the kernel was asked leaves no process behind."""
    command = lifeline.shim([sys.executable, "-c", "print('ran')"])
    command[command.index(str(os.getpid()))] = str(2**22)  # no parent of anybody

    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (125, b"")
