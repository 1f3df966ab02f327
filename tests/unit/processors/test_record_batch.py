from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from processors.origin import HEADERS, Origin, placed
from processors.record_batch import MAX_BYTES, Batches, RecordBatch, field, length, varint
from tests.unit.processors.raw import RECEIVED_MS, batch, headers_of

RECORDS = st.lists(
    st.tuples(st.integers(0, 2**42), st.binary(max_size=200), st.binary(max_size=20_000)),
    min_size=1,
    max_size=20,
)


def read(built: bytes) -> list[tuple[int, int, bytes, bytes, list[tuple[str, bytes]]]]:
    """Read a batch as a consumer does, its checksum too."""
    reading = MemoryRecords(built).next_batch()
    assert reading is not None
    assert reading.validate_crc()
    return [(record.offset, record.timestamp, record.key, record.value, record.headers) for record in reading]


def build(made: RecordBatch) -> bytes:
    made.compress()
    made._set_producer_state(7, 1, 42)
    return made._build()


@given(RECORDS)
def test_batch_is_read_as_it_was_written(records: list[tuple[int, bytes, bytes]]) -> None:
    """A consumer finds every record, in order, with its time, key, value and headers."""
    shared = Origin(batch(), RECEIVED_MS).headers("evt_1", 5, 123)
    headers = placed(shared, (1, 2, 3))
    [made] = Batches([(time_ms, field(key), value, headers) for time_ms, key, value in records])

    found = read(build(made))

    assert [each[:4] for each in found] == [
        (offset, time_ms, key, value) for offset, (time_ms, key, value) in enumerate(records)
    ]
    assert {tuple(each[4]) for each in found} == {
        tuple((name, value.encode()) for name, value in headers_of(headers).items())
    }
    assert made.record_count() == len(records)


def test_headers_are_those_of_the_contract() -> None:
    """Names, order and values, also where they are longer than one byte's length says."""
    of = batch(agent="a" * 128, epoch="e" * 128)
    shared = Origin(of, RECEIVED_MS).headers("i" * 128, 2**62, -(10**18))
    headers = headers_of(placed(shared, (2**62, 1, 2)))

    assert tuple(headers) == HEADERS
    assert list(headers.values()) == [
        "i" * 128,
        f"{2**62}.1.2",
        "a" * 128,
        "e" * 128,
        str(2**62),
        str(-(10**18)),
        "1",
    ]


def test_batch_carries_its_producer() -> None:
    """Producer id, epoch and first sequence are where the broker looks for them."""
    built = build(*Batches([(1, field(b"k"), b"v", length(0))]))

    assert int.from_bytes(built[43:51]) == 7
    assert int.from_bytes(built[51:53]) == 1
    assert int.from_bytes(built[53:57]) == 42


def test_batches_stay_below_their_limit() -> None:
    """Many records are several batches, none above the limit; one large record is a batch of its own."""
    records = [(1, field(b"k"), bytes(90_000), length(0))] * 30 + [(1, field(b"k"), bytes(2**20), length(0))]

    made = list(Batches(records))

    assert [each.record_count() for each in made] == [11, 11, 8, 1]
    assert all(each.size() <= MAX_BYTES for each in made[:-1])
    assert [value for each in made for *_, value, _ in read(build(each))] == [
        value for _, _, value, _ in records
    ]


@given(st.integers(-(2**63), 2**63 - 1))
def test_varint_is_zigzag(number: int) -> None:
    """Small numbers of either sign are short."""
    encoded = varint(number)
    decoded = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(encoded))

    assert decoded >> 1 ^ -(decoded & 1) == number
    assert number < 0 or length(number) == encoded


def test_batch_tells_the_times_of_its_own_records() -> None:
    """One that did not fit, and has a later time, is not among them; nor is what is appended after a look."""
    large = bytes(600_000)
    batches = Batches([(5, field(b"k"), large, length(0)), (9, field(b"k"), large, length(0))])

    first, second = batches
    batches.append(7, field(b"k"), b"v", length(0))
    *_, third = batches

    spans = [(made[27:35], made[35:43]) for made in map(build, (first, second, third))]
    assert [tuple(map(int.from_bytes, span)) for span in spans] == [(5, 5), (9, 9), (7, 7)]


def test_a_buffer_is_written_again_only_when_its_batch_is_compressed() -> None:
    """Batches that are open at one time do not write over each other, whatever was compressed before."""
    for _ in range(3):
        one, other = Batches(), Batches()
        for number in range(100):
            one.append(1, field(b"k"), b"one %d" % number, length(0))
            other.append(1, field(b"k"), b"other %d" % number, length(0))
        found = [[value for *_, value, _ in read(build(*batches))] for batches in (one, other)]

        assert found == [[b"%b %d" % (name, number) for number in range(100)] for name in (b"one", b"other")]


def test_tombstones_and_long_values_stand_among_short_ones() -> None:
    """In one batch, in order."""
    written = [b"a", None, bytes(20_000), b"", bytes((1 << 14) - 1), None, b"z"]

    (made,) = Batches([(1, field(b"k"), value, length(0)) for value in written])

    assert [value for *_, value, _ in read(build(made))] == written
