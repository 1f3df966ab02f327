"""Which file system a path lies on, by the kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.filesystem import is_network, type_at

_MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
40 27 0:50 / /mnt/share rw,relatime - nfs4 server:/export rw
41 40 0:51 / /mnt/share/deep rw,relatime - tmpfs tmpfs rw
42 27 0:52 / /mnt/with\040space\134 rw - fuse.sshfs host:/ rw
43 27 0:53 / /mnt/over rw - ext4 /dev/vdb rw
44 43 0:54 / /mnt/over rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/someone", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/a/b", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/share/deep/x", "tmpfs"),
        ("/mnt/with space\\/x", "fuse.sshfs"),
        ("/mnt/over/x", "cifs"),
    ],
)
def test_type_is_that_of_the_innermost_mount(tmp_path: Path, path: str, kind: str) -> None:
    """The longest mount point above a path decides, by whole components; of two in one place, the later."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(_MOUNTS)

    assert type_at(path.encode(), mounts) == kind


def test_type_where_there_is_no_list(tmp_path: Path) -> None:
    """Without a list of mounts the type is unknown, and unknown is no network."""
    kind = type_at(b"/", tmp_path / "nowhere")

    assert (kind, is_network(kind)) == ("", False)


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.rclone", "ceph", "virtiofs"]
)
def test_network_file_systems(kind: str) -> None:
    """What others may change behind this kernel's back is a network file system, most of FUSE among them."""
    assert is_network(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.gocryptfs"]
)
def test_local_file_systems(kind: str) -> None:
    """What only this kernel changes is local."""
    assert not is_network(kind)
