"""The wheel, built and installed into a fresh environment: it needs nothing of the checkout."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"agent", "processors", "api", "deploy"}
PIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9][^\s;/]*")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    directory = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(directory),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(directory.glob("*.whl"))


@pytest.fixture(scope="session")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment with the wheel and its base dependencies alone."""
    directory = tmp_path_factory.mktemp("venv")
    venv.create(directory, with_pip=True)
    command = [
        directory / "bin" / "python",
        "-m",
        "pip",
        "install",
        "-q",
        "-c",
        ROOT / "constraints.txt",
        wheel,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "bin"


def environment() -> dict[str, str]:
    """What a shell elsewhere would have: no setting of ours, no path to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("FSWIRE_", "PYTHON"))}


def run(base: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [base / command[0], *command[1:]],
        cwd=base.parent,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_wheel_holds_the_four_packages_and_their_data(wheel: Path) -> None:
    """Nothing but the packages is at the top level, and what they read comes along."""
    names = zipfile.ZipFile(wheel).namelist()

    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert "deploy/kafka-4.3.1.lock" in names
    assert "deploy/clickhouse/0001_events.sql" in names
    assert {"api/pages/templates/base.html", "api/pages/static/style.css"} <= set(names)


def test_base_installation_shows_help_from_its_own_files(base: Path) -> None:
    """`fswire --help` runs, and every package comes from the installation."""
    shown = run(base, "fswire", "--help")
    origins = run(
        base, "python", "-c", f"print(*(__import__(n).__file__ for n in {sorted(PACKAGES)}), sep='\\n')"
    )

    assert shown.returncode == 0, shown.stderr
    assert "processors" in shown.stdout
    assert len(origins.stdout.split()) == len(PACKAGES), origins.stderr
    assert all(Path(origin).is_relative_to(base.parent) for origin in origins.stdout.split())


def test_base_installation_tells_its_version(base: Path) -> None:
    """`fswire --version` is the version of the project."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert run(base, "fswire", "--version").stdout == f"{version}\n"


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["up"], "local"),
        (["store"], "local"),
        (["processors"], "server"),
        (["sink"], "server"),
        (["api"], "server"),
        (["sql", "SELECT 1"], "server"),
        (["schema", "apply"], "server"),
    ],
)
def test_base_installation_names_the_missing_extra(base: Path, command: list[str], extra: str) -> None:
    """A command that needs more says in one line how to get it."""
    done = run(base, "fswire", *command)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"pip install 'fswire[{extra}]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_base_installation_runs_the_agent(base: Path, tmp_path: Path) -> None:
    """The base alone prints what happens below a directory."""
    command = [base / "fswire", "agent", str(tmp_path), "--project", "p", "--stdout"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=base.parent, env=environment(), text=True, **pipes) as agent:  # type: ignore[call-overload]
        assert any('"started"' in line for line in agent.stderr)
        (tmp_path / "new.txt").write_text("hello")

        seen = next(event for event in map(json.loads, agent.stdout) if event.get("path") == "new.txt")
        agent.send_signal(signal.SIGINT)
        agent.communicate(timeout=30)

    assert seen["kind"] == "create"
    assert agent.returncode == 0


def test_no_dependency_ships_a_package_of_our_names() -> None:
    """The names of our packages are plain: nobody else's may shadow them."""
    clashes = {
        f"{distribution.name}: {file}"
        for distribution in importlib.metadata.distributions()
        if distribution.name != "fswire"
        for file in distribution.files or ()
        if file.parts[0].removesuffix(".py") in PACKAGES
    }

    assert clashes == set()


def test_constraints_pin_every_dependency_and_name_no_host() -> None:
    """Each line is a name and a version; each dependency that the project names has one."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + [
        name for extra in project["optional-dependencies"].values() for name in extra
    ]

    names = {re.split(r"[\[><=!~; ]", name)[0].lower().replace(".", "-") for name in named} - {"fswire"}
    assert all(PIN.fullmatch(pin) for pin in pins), [pin for pin in pins if not PIN.fullmatch(pin)]
    assert names <= {pin.partition("==")[0] for pin in pins}
