"""The storms: what is done to a directory at full speed.

Each is a generator: where it yields, it waits until the watcher has taken in what was done so far. `size` is
its number of files, or of operations of its kind, from `FULL` or `SMALL`.
"""

from __future__ import annotations

import os
import sysconfig
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from tests.storms.ground import Ground, text, together

Storm = Callable[[Ground, int], Iterator[None]]
PROCESSES = 4


def creates(ground: Ground, size: int) -> Iterator[None]:
    """Make files, in turns in each of many directories (100,000 in 1,000)."""
    directories = [f"d{number}" for number in range(max(1, size // 100))]
    for directory in directories:
        ground.mkdir(directory)
    yield
    for number in range(size):
        ground.create(f"{directories[number % len(directories)]}/f{number}", text(number))


def deep_trees(ground: Ground, size: int) -> Iterator[None]:
    """Make deep trees in several processes, which race for the same directories, and fill them at once."""
    together(ground, partial(_grow, size // PROCESSES // 10), PROCESSES)
    yield


def _grow(trees: int, ground: Ground, worker: int) -> None:
    for number in range(trees):
        above = f"t{number}"
        ground.mkdir_if_missing(above)
        for depth in range(5):
            ground.create(f"{above}/f{worker}-{depth}", text(worker, number, depth))
            above = f"{above}/d{depth}"
            ground.mkdir_if_missing(above)


def renames(ground: Ground, size: int) -> Iterator[None]:
    """Rename full directories: within, out, in, over empty ones; chains, swaps, files put in right after."""
    rounds = size // 10
    for number in range(rounds):
        _fill(ground, f"full{number}")
        ground.mkdir(f"empty{number}")
    yield
    for number in range(rounds):
        full = f"full{number}"
        _chain(ground, full, number)
        _swap(ground, f"{full}/sub", f"empty{number}", f"swap{number}")
        _out_and_in(ground, full, number)
    yield
    for number in range(rounds):
        ground.rename(f"back{number}", f"over{number}")
        ground.create(f"over{number}/new", text(number, "put in after the rename"))


def _fill(ground: Ground, top: str) -> None:
    ground.mkdir(top)
    ground.mkdir(f"{top}/sub")
    for number in range(5):
        ground.create(f"{top}/f{number}", text(top, number))
        ground.create(f"{top}/sub/f{number}", text(top, "sub", number))


def _chain(ground: Ground, full: str, number: int) -> None:
    """Pass a directory on from name to name, and its entries too while its name changes."""
    ground.rename(full, f"a{number}")
    ground.rename(f"a{number}/f0", f"a{number}/f1")
    ground.rename(f"a{number}", f"b{number}")
    ground.create(f"b{number}/sub/late", text(number, "late"))
    ground.rename(f"b{number}/sub", f"b{number}/under")
    ground.rename(f"b{number}", full)
    ground.rename(f"{full}/under", f"{full}/sub")


def _swap(ground: Ground, one: str, other: str, third: str) -> None:
    ground.rename(one, third)
    ground.rename(other, one)
    ground.rename(third, other)


def _out_and_in(ground: Ground, full: str, number: int) -> None:
    """Move a directory out, change it there, move it in again over an empty directory of another name."""
    ground.move_out(full, f"out{number}")
    (ground.outside / f"out{number}" / "f2").unlink()
    (ground.outside / f"out{number}" / "added").write_bytes(text(number, "outside"))
    ground.move_in(f"out{number}", f"back{number}")
    ground.mkdir(f"over{number}")


def races(ground: Ground, size: int) -> Iterator[None]:
    """Rename full directories from several processes, one in the other, between parents that are renamed."""
    parents = [f"p{number}" for number in range(PROCESSES)]
    for parent in parents:
        ground.mkdir(parent)
        for number in range(PROCESSES):
            _fill(ground, f"{parent}/own{number}-{parent}")
    yield
    together(ground, partial(_wander, size // PROCESSES), PROCESSES, in_turn=True)


def _wander(moves: int, ground: Ground, worker: int) -> None:
    for number in range(moves):
        with ground.turn:
            _shuffle(ground, worker, number)


def _shuffle(ground: Ground, worker: int, number: int) -> None:
    """Rename one parent, or move one of the worker's directories to another parent under another name."""
    parents = sorted(name for name in os.listdir(ground.root) if name.startswith("p"))  # noqa: PTH208 - names
    parent, other = parents[number % len(parents)], parents[(number * 7 + worker) % len(parents)]
    own = sorted(path.name for path in (ground.root / parent).glob(f"own{worker}-*"))
    if not own or number % 5 == worker:
        ground.rename(parent, f"p{worker}x{number}")
    else:
        ground.rename(f"{parent}/{own[0]}", f"{other}/own{worker}-{number}")
        ground.rename(f"{other}/own{worker}-{number}/f4", f"{other}/own{worker}-{number}/f3")
        ground.create(f"{other}/own{worker}-{number}/f4", text(worker, number))


def rewrites(ground: Ground, size: int) -> Iterator[None]:
    """Write every file anew, twenty times."""
    for number in range(size):
        ground.create(f"f{number}", text(number))
    yield
    for turn in range(20):
        for number in range(size):
            ground.write(f"f{number}", text(number, turn))


def churn(ground: Ground, size: int) -> Iterator[None]:
    """Make files in one directory, and delete each at once."""
    ground.mkdir("busy")
    yield
    for number in range(size):
        ground.create(f"busy/f{number}", text(number))
        ground.delete(f"busy/f{number}")


def one_name(ground: Ground, size: int) -> Iterator[None]:
    """Make and delete a file again and again under the same name; it is there in the end."""
    ground.mkdir("busy")
    yield
    for number in range(size):
        ground.create("busy/same", text(number))
        ground.delete("busy/same")
    ground.create("busy/same", text("last"))


def unpack(ground: Ground, size: int) -> Iterator[None]:
    """Unpack an archive of a source tree, then remove half of it, file by file."""
    source = Path(sysconfig.get_paths()["purelib"])
    members = ground.outside / "source.tar"
    with tarfile.open(members, "w") as archive:
        for path in islice(_sources(source), size):
            archive.add(path, path.relative_to(source), recursive=False)
    ground.mkdir("tree")
    with tarfile.open(members) as archive:
        for member in archive:
            ground.extract(archive, member, "tree")
    yield
    tops = sorted(os.listdir(ground.root / "tree"))  # noqa: PTH208 - names
    for gone in (f"tree/{name}" for name in tops[: max(1, len(tops) // 2)]):
        (ground.delete_tree if (ground.root / gone).is_dir() else ground.delete)(gone)


def _sources(top: Path) -> Iterator[Path]:
    """Yield directories and small files, each directory before what it holds."""
    for directory, names, files in os.walk(top):
        names[:] = sorted(set(names) - {"__pycache__"})
        if Path(directory) != top:
            yield Path(directory)
        for path in (Path(directory) / name for name in sorted(files)):
            if path.stat().st_size < 256 * 1024:
                yield path


def attributes(ground: Ground, size: int) -> Iterator[None]:
    """Change modes, owners, times and extended attributes; make hard and symbolic links."""
    for number in range(size):
        ground.create(f"f{number}", text(number))
    yield
    for number in range(size):
        ground.chmod(f"f{number}", 0o600 + number % 64)
    for number in range(size):
        ground.utime(f"f{number}", 1_000_000_000 + number)
        if os.geteuid() == 0:
            ground.chown(f"f{number}", 1000 + number % 5, 1000)
    for number in range(size):
        ground.link(f"hard{number}", f"f{number}")
        ground.symlink(f"soft{number}", f"f{number}")
    for number in range(0, size, 2):
        ground.delete(f"f{number}")


FULL: dict[Storm, int] = {
    creates: 100_000,
    deep_trees: 20_000,
    renames: 5_000,
    races: 2_000,
    rewrites: 2_000,
    churn: 50_000,
    one_name: 20_000,
    unpack: 5_000,
    attributes: 2_000,
}
SMALL: dict[Storm, int] = {
    creates: 2_000,
    deep_trees: 1_200,
    renames: 300,
    races: 200,
    rewrites: 50,
    churn: 1_000,
    one_name: 500,
    unpack: 500,
    attributes: 200,
}
