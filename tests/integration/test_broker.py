"""The broker of the local stack, on its own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from deploy import broker, kafka_jars

pytestmark = pytest.mark.stack


@pytest.mark.usefixtures("kafka")  # where no broker can be had, there are no jars either
def test_cluster_id_may_begin_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One random id in 64 does, and must not be taken for an option."""
    dashed = uuid.UUID(bytes=b"\xf8" + bytes(15))
    monkeypatch.setattr("deploy.broker.uuid.uuid4", lambda: dashed)

    broker.Broker(tmp_path / "kafka", 9092, 9093).prepare(kafka_jars.class_path())

    properties = (tmp_path / "kafka" / "log" / "meta.properties").read_text()
    assert "cluster.id=-A" in properties
