"""The index of interests: who is concerned by what happens at a path, by component and without a scan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.live_index import Index, Interest
from processors import topics


def interest(path: str, *, recursive: bool = False) -> Interest:
    """Return an interest in a path of the project p."""
    return Interest(topics.NOTIFY, "p", path.encode(), recursive)


def index(*interests: Interest) -> Index[str]:
    """Return an index in which each interest is held under its own path."""
    made: Index[str] = Index()
    for each in interests:
        made.add(each, each.path.decode())
    return made


def test_plain_interest_sees_itself_and_its_children() -> None:
    """Without recursion a path and what is right below it concern an interest, and nothing else."""
    made = index(interest("/p/a"))

    seen = [path for path in ("/p", "/p/a", "/p/a/b", "/p/a/b/c", "/p/ab", "/p/b") if made.match([path])]

    assert seen == ["/p/a", "/p/a/b"]


def test_recursive_interest_sees_all_below() -> None:
    """With recursion everything below concerns it, by component: `/p/a` is not above `/p/ab`."""
    made = index(interest("/p/a", recursive=True))

    seen = [path for path in ("/p", "/p/a", "/p/a/b", "/p/a/b/c", "/p/ab", "/p/ab/c") if made.match([path])]

    assert seen == ["/p/a", "/p/a/b", "/p/a/b/c"]


def test_interest_in_the_root_sees_projects() -> None:
    """The root has the projects as its children."""
    plain, whole = index(interest("/")), index(interest("/", recursive=True))

    assert plain.match(["/p"])
    assert not plain.match(["/p/a"])
    assert whole.match(["/p/a/b"])


def test_what_happens_to_all_below_reaches_interests_there() -> None:
    """A renamed directory or a gap concerns whoever watches something below it."""
    made = index(interest("/p/a/b/c"), interest("/p/ab"), interest("/p/a/d", recursive=True))

    assert set(made.match(["/p/a"], below=True)) == {"/p/a/b/c", "/p/a/d"}
    assert not made.match(["/p/a"])


def test_one_holder_is_matched_once_with_all_its_interests() -> None:
    """Two paths of one record, or two interests in one, are one match."""
    made: Index[str] = Index()
    plain, recursive = interest("/p/a"), interest("/p", recursive=True)
    made.add(plain, "holder")
    made.add(recursive, "holder")

    assert made.match(["/p/a/x", "/p/a/y"]) == {"holder": [recursive, plain]}


def test_removed_interest_leaves_nothing_behind() -> None:
    """What only a removed interest needed is gone, what another needs stays."""
    made: Index[str] = Index()
    deep, shallow = interest("/p/a/b/c"), interest("/p/a")
    made.add(deep, "one")
    made.add(shallow, "two")

    made.remove(deep, "one")
    made.remove(deep, "one")

    assert made.match(["/p/a/b/c"]) == {}
    assert made.match(["/p/a"]) == {"two": [shallow]}
    assert list(made._root.children["p"].children["a"].children) == []


names = st.sampled_from(("a", "b", "ab"))
paths = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts))


def covers(each: Interest, path: str) -> bool:
    """Say what the index must say, the slow way."""
    top = each.path.decode().rstrip("/")
    parent = path.rpartition("/")[0]
    own = path.rstrip("/")
    below = own == top or own.startswith(top + "/")
    return below if each.recursive else own == top or (parent == top and path != "/")


@given(st.lists(st.tuples(paths, st.booleans()), max_size=12), paths)
def test_index_agrees_with_a_scan(held: list[tuple[str, bool]], path: str) -> None:
    """The index finds exactly those that a look at every single interest finds."""
    made: Index[int] = Index()
    interests = [interest(each, recursive=recursive) for each, recursive in held]
    for number, each in enumerate(interests):
        made.add(each, number)

    assert set(made.match([path])) == {number for number, each in enumerate(interests) if covers(each, path)}
