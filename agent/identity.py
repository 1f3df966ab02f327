"""Who an agent is and what its files are called: ids that outlive names, restarts and rewrites."""

from __future__ import annotations

import functools
import hashlib
import secrets
import socket
from pathlib import Path

VIRTUAL_ROOT_ID = "2"
"""Of `/` in the virtual tree: every spine begins with it (contracts: notify)."""


def new_agent_id() -> str:
    """Return a random id for a new installation."""
    return "agt_" + secrets.token_hex(8)


def new_epoch() -> str:
    """Return a random epoch; epochs are compared for equality only."""
    return secrets.token_hex(8)


def machine_id() -> str:
    """Return what tells this machine from a copy of its disk: systemd's machine id, else the host's name."""
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            found = path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found
    return socket.gethostname()


@functools.lru_cache(maxsize=4096)
def file_id(agent: str, identity: tuple[int, int, int]) -> str:
    """Return the decimal 64-bit id of a file that `agent` sees; `identity`: device, inode, birth time."""
    return _decimal(f"{agent}\0{identity[0]}\0{identity[1]}\0{identity[2]}")


def root_id(project: str) -> str:
    """Return the id of a project's root: the same for every agent of the project."""
    return _decimal(f"project\0{project}")


def _decimal(name: str) -> str:
    """Hash a name to a decimal 64-bit number; 0 to 15 are left to ids with a meaning of their own."""
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
    return str(number | 1 << 4 if number < 16 else number)
