import pytest

from processors import topics
from processors.topics_apply import Found, TopicsRefused, differences, refuse_other_counts, wanted

RAW = next(topic for topic in topics.ALL if topic.name == topics.RAW)
REGISTRY = next(topic for topic in topics.ALL if topic.name == topics.REGISTRY)


def test_one_replica_waits_for_itself_and_three_for_two() -> None:
    """Acknowledged means held by two brokers wherever there are three replicas."""
    assert wanted(RAW, 1)["min.insync.replicas"] == "1"
    assert wanted(RAW, 3)["min.insync.replicas"] == "2"
    assert wanted(RAW, 3)["unclean.leader.election.enable"] == "false"


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_every_topic_takes_a_record_of_one_mebibyte(topic: topics.Topic) -> None:
    """A record of 1 MiB with its headers fits, and the producer's compression is kept."""
    assert int(wanted(topic, 1)["max.message.bytes"]) >= 1024 * 1024 + 4096
    assert wanted(topic, 1)["compression.type"] == "producer"


def test_differences_are_by_effective_value() -> None:
    """A default that is as wanted needs no setting; only what differs is altered."""
    effective = wanted(RAW, 1) | {"retention.ms": "1", "other": "x"}

    assert differences(RAW, Found(4, 1, effective, {})) == {"retention.ms": wanted(RAW, 1)["retention.ms"]}
    assert differences(RAW, Found(4, 1, wanted(RAW, 1), {})) == {}


def test_other_partition_count_is_refused_with_both_numbers() -> None:
    """A project's order hangs on the count: it is named, and what to do."""
    names = {"fswire.raw": RAW, "fswire.registry": REGISTRY}
    found = {"fswire.raw": Found(4, 1, {}, {}), "fswire.registry": Found(1, 1, {}, {})}

    refuse_other_counts(names, found, 4)
    with pytest.raises(TopicsRefused, match=r"fswire\.raw has 4, not 12"):
        refuse_other_counts(names, found, 12)
