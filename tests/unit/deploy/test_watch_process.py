import subprocess
import sys

HEAVY = (
    "aiokafka",
    "faust",
    "fastapi",
    "pydantic",
    "clickhouse_connect",
    "rich",
    "typer",
    "prometheus_client.twisted",
)


def test_watch_imports_nothing_that_it_can_do_without() -> None:
    """An editor waits for its start: no broker's client, no settings library, no command line library."""
    script = (
        "import sys\n"
        "sys.argv[1:] = ['watch']\n"
        "from deploy import main\n"
        "try:\n"
        "    main.main()\n"
        "finally:\n"
        "    print(*(name for name in sys.modules if sys.modules[name]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input="", capture_output=True, text=True, timeout=60, check=True
    )

    assert [name for name in HEAVY if name in done.stdout.split()] == []


def test_watch_is_among_the_commands() -> None:
    """With any other arguments it is a command like others."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.main", "watch", "--dialect", "klingon"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "klingon" in done.stderr
