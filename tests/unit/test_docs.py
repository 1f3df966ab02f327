"""Whatever a user can name is named in the documents: commands, options, routes, settings, topics, tables."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
import typer
from prometheus_client import REGISTRY
from pydantic_settings import BaseSettings

import agent
import api
import deploy
import processors
from api import metrics as api_metrics
from api import openapi
from deploy import command
from deploy.settings_keys import KEYS
from processors import topics, workflow

ROOT = Path(__file__).parents[2]
DOCUMENTS = "\n".join((ROOT / name).read_text() for name in ("README.md", "deploy/REFERENCE.md"))
OWN = {"--help", "--install-completion", "--show-completion"}
"""Options that the command line library adds."""


def commands(group: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below a group with its full name, the group included."""
    yield name, group
    for each in getattr(group, "commands", {}).values():
        yield from commands(each, f"{name} {each.name}")


COMMANDS = dict(commands(typer.main.get_command(command.app), "fswire"))


def settings() -> Iterator[str]:
    """Yield the environment variable of every setting of every stage."""
    for package in (agent, processors, api, deploy):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, BaseSettings) and value is not BaseSettings:
                    prefix = value.model_config["env_prefix"]
                    fields = value.model_fields.items()
                    yield from (f"{prefix}{field.alias or name}".upper() for name, field in fields)


def metrics() -> Iterator[str]:
    """Yield the metrics of the api, and of the processes that share one registry."""
    for registry in (api_metrics.REGISTRY, REGISTRY):
        for family in registry.collect():
            if family.name.startswith("fswire_"):
                yield f"{family.name}_total" if family.type == "counter" else family.name


def tables() -> Iterator[str]:
    """Yield the tables that the migrations make."""
    for path in (ROOT / "deploy" / "clickhouse").glob("*.sql"):
        yield from re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", path.read_text())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_command_is_documented(name: str) -> None:
    """Every command stands in the documents under its full name."""
    assert name in DOCUMENTS


@pytest.mark.parametrize(
    ("name", "option"),
    sorted(
        (name, option)
        for name, each in COMMANDS.items()
        for parameter in each.params
        for option in parameter.opts
        if option.startswith("--") and option not in OWN
    ),
)
def test_option_is_documented(name: str, option: str) -> None:
    """Every option of every command is explained."""
    assert f"`{option}" in DOCUMENTS, f"{option} of {name}"


@pytest.mark.parametrize("path", sorted(openapi.document()["paths"]))
def test_route_is_documented(path: str) -> None:
    """Every route of the api is in the reference."""
    for method in openapi.document()["paths"][path]:
        assert f"`{method.upper()} {path}`" in DOCUMENTS


@pytest.mark.parametrize("name", sorted(set(settings())))
def test_setting_is_documented(name: str) -> None:
    """Every setting is in the reference by its environment variable."""
    assert f"`{name}`" in DOCUMENTS


def test_settings_file_may_hold_every_setting() -> None:
    """Each setting of a stage is one of its table; the one of no stage comes by the environment alone."""
    known = {f"FSWIRE_{table}_{name}".upper() for table, names in KEYS.items() for name in names.split()}

    assert known == set(settings()) - {"FSWIRE_ALLOW_PRIVATE_TARGETS"}


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_topic_is_documented(topic: topics.Topic) -> None:
    """Every topic is in the reference."""
    assert f"`fswire.{topic.name}`" in DOCUMENTS


@pytest.mark.parametrize("metric", sorted(metrics()))
def test_metric_is_documented(metric: str) -> None:
    """Every metric of every part is in the reference under the name that Prometheus shows."""
    assert f"`{metric}`" in DOCUMENTS


@pytest.mark.parametrize("table", sorted(tables()))
def test_table_is_documented(table: str) -> None:
    """Every table is in the reference."""
    assert f"`{table}`" in DOCUMENTS


@pytest.mark.parametrize("struct", [workflow.Workflow, workflow.Webhook, workflow.ToTopic, workflow.Command])
def test_key_of_a_workflow_is_documented(struct: type) -> None:
    """Every key of a workflow's file is in the reference, but the one that the file does not hold."""
    for name in {each.name for each in msgspec.structs.fields(struct)} - {"created_ns"}:
        assert f"`{name}`" in DOCUMENTS
