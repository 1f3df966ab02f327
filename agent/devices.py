"""The number by which a journal knows a file system, however the kernel numbers its devices after a reboot.

A number is the device's own when the file system was first met, and is kept with what names the file system:
its id (statfs(2)), its UUID, or of another machine's the export. So files keep their identity and their ids.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys

from agent import filesystem
from agent.files import State
from agent.reach import Reached

_GET_UUID = 0x8011_1500
"""FS_IOC_GETFSUUID of linux/fs.h, since Linux 6.9."""
_UUID = struct.Struct("B16s")
_LISTING = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


class Devices:
    """The file systems of one journal; `numbers`: those that it has met, by name."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self.numbers = dict(numbers)
        self._met: dict[int, int] = {}

    def of(self, device: int) -> int:
        """Return the number for a device that has been met; any thread may ask."""
        return self._met.get(device, device)

    def translated(self, state: State, path: bytes) -> State:
        """Return a state that was just seen at `path` with the number of its file system for a device."""
        number = self._met.get(state.device)
        if number is None:
            number = self.meet(state.device, name_at(path, state.device))
        return state if number == state.device else state._replace(device=number)

    def meet(self, device: int, name: str) -> int:
        """Return the number of a device whose file system is called `name`, `""` if that is not known."""
        name = self._distinct(device, name)
        number = self.numbers.get(name) if name else None
        if number is None:
            number = self._unused(device)
        self.take(device, name, number)
        return number

    def take(self, device: int, name: str, number: int) -> None:
        """Know a device by a number from now on."""
        self._met[device] = number
        if name:
            self.numbers[name] = number

    def _distinct(self, device: int, name: str) -> str:
        """Tell apart two devices of one name, such as an overlay and the file system that it lies on."""
        number = self.numbers.get(name)
        twin = next((each for each, known in self._met.items() if known == number), device)
        if not name or twin == device or twin not in filesystem.devices():
            return name
        return self._distinct(device, name + "+")

    def _unused(self, device: int) -> int:
        """Return a number that no other file system has: its device's, if that is free."""
        taken = set(self.numbers.values()) | set(self._met.values())
        number = device
        while number in taken:
            number = min(number, 0) - 1
        return number


def name_at(path: bytes, device: int) -> str:
    """Return what names the file system at `path`, which has this device now; `""` if nothing does.

    Called once for each device of a tree. Asks no link where it leads.
    """
    if sys.platform != "linux":
        return ""
    try:
        with Reached(path) as near:
            descriptor = os.open(near, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if os.fstat(descriptor).st_dev != device:
            return ""
        number = os.fstatvfs(descriptor).f_fsid
        if number not in (0, device):  # some file systems make their id of the device's number
            return f"fsid:{number:x}"
        return _uuid(descriptor) or filesystem.export_at(path)
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _uuid(directory: int) -> str:
    import fcntl  # there is none on Windows

    with contextlib.suppress(OSError):
        descriptor = os.open(b"/proc/self/fd/%d" % directory, _LISTING & ~os.O_NOFOLLOW)
        try:
            length, uuid = _UUID.unpack(fcntl.ioctl(descriptor, _GET_UUID, bytes(_UUID.size)))
        finally:
            os.close(descriptor)
        if any(uuid[:length]):
            return f"uuid:{uuid[:length].hex()}"
    return ""
