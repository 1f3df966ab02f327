"""The file monitor over real processes: two apis that write at once, and a sequencer that is killed."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from aiokafka import AIOKafkaProducer

from processors import topics
from tests.integration.fetching import LIST, Site
from tests.integration.running import Stack

pytestmark = pytest.mark.stack
WRITERS = 8
EACH = 10


def ids_of(answers: list[httpx2.Response]) -> list[int]:
    """Return the ids that writes were answered with."""
    assert {answer.status_code for answer in answers} == {201}
    return [int(answer.headers["location"].split("/")[-2]) for answer in answers]


def rows_of(site: Site, api: int, tags: str) -> list[Any]:
    """Return the transfers of one test as an api process shows them."""
    return list(site.get(f"{LIST}?limit=0&tags={tags}", api)["objects"])


def test_two_apis_writing_at_once_give_ids_without_gaps(site: Site) -> None:
    """Every id once, none left out, and both processes show the same rows."""

    def write(writer: int) -> list[httpx2.Response]:
        body = {"status": "Mine", "tags": "dense"}
        return [site.send("POST", body=body, api=writer % 2) for _ in range(EACH)]

    with ThreadPoolExecutor(WRITERS) as pool:
        answers = [answer for answers in pool.map(write, range(WRITERS)) for answer in answers]

    ids = sorted(ids_of(answers))
    assert ids == list(range(ids[0], ids[0] + WRITERS * EACH))
    assert rows_of(site, 0, "dense") == rows_of(site, 1, "dense")
    assert len(rows_of(site, 0, "dense")) == WRITERS * EACH


def test_write_is_seen_at_once_everywhere(site: Site) -> None:
    """What one process answered the other one shows, without waiting."""
    uri = site.make(status="Mine", tags="seen")

    for number in range(20):
        site.send("PATCH", uri, {"progress": number}, api=number % 2)
        assert site.get(uri, api=1 - number % 2)["progress"] == str(number)


def test_lists_change_whole_also_against_each_other(site: Site) -> None:
    """Two processes replace one list at once, again and again: what stands is always one list, whole."""

    def replace(writer: int) -> None:
        objects = [{"status": f"Mine {writer}", "tags": "whole"}] * 5
        for _ in range(5):
            assert site.send("PUT", f"{LIST}?tags=whole", {"objects": objects}, api=writer).status_code == 204
            shown = rows_of(site, writer, "whole")
            assert (len(shown), len({each["status"] for each in shown})) == (5, 1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(replace, range(2)))

    assert len(rows_of(site, 0, "whole")) == 5


def test_sequencer_that_is_killed_loses_and_doubles_nothing(site: Site) -> None:
    """Writes that were answered stay, none is done twice, ids go on, whenever SIGKILL comes."""
    before = ids_of([site.send("POST", body={"status": "Mine", "tags": "killed"}) for _ in range(3)])
    with ThreadPoolExecutor(WRITERS) as pool:
        body = {"status": "Mine", "tags": "killed"}
        pending = [pool.submit(site.send, "POST", LIST, body, number % 2) for number in range(40)]
        site.processors.end(signal.SIGKILL)
        site.processors.start()
        answers = [each.result() for each in pending]
    site.until(lambda: site.send("POST", body=body).status_code == 201, "the sequencer is back")

    answered = [each for answer in answers if answer.status_code == 201 for each in ids_of([answer])]
    shown = sorted(each["id"] for each in rows_of(site, 0, "killed"))
    assert shown == list(range(before[0], before[0] + len(shown)))
    assert {*before, *answered} <= set(shown)
    assert rows_of(site, 0, "killed") == rows_of(site, 1, "killed")


def hang_up(site: Site, said: bytes, *, reset: bool) -> None:
    """Send the first api process something, and be gone."""
    address = site.clients[0].base_url
    with socket.create_connection((address.host, address.port), timeout=30) as connection:
        if reset:  # the kernel may throw away what was not read by then
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(said)


def test_clients_that_hang_up_are_no_errors(site: Site) -> None:
    """In their body, or before their answer: what was asked for whole is done, and no line says error."""
    before = site.log(0).stat().st_size
    credentials = f"Authorization: {site.clients[0].headers['authorization']}\r\nHost: t\r\n"
    body = b'{"status": "Mine", "tags": "gone"}'
    post = f"POST {LIST} HTTP/1.1\r\n{credentials}Content-Length: {len(body)}\r\n\r\n".encode()
    for reset in [True, False] * 5:
        hang_up(site, post + body[:9], reset=reset)
        hang_up(site, f"GET {LIST}?limit=0 HTTP/1.1\r\n{credentials}\r\n".encode(), reset=reset)
    hang_up(site, post + body, reset=False)
    site.until(lambda: bool(rows_of(site, 0, "gone")), "what was asked for is done")

    with site.log(0).open(errors="replace") as log:
        log.seek(before)
        said = log.read()
    assert "error" not in said.lower()
    assert "Traceback" not in said


def test_every_state_is_a_row_of_the_database(stack: Stack) -> None:
    """ClickHouse has a transfer's whole history, its end among it, through the system as it is started."""
    key = {"authorization": "ApiKey " + stack.admin_key.replace(".", ":", 1)}
    with httpx2.Client(base_url=stack.api, headers=key, timeout=60) as client:
        uri = client.post(LIST, json={"status": "Mine", "tags": "row", "size": 5}).headers["location"]
        client.patch(uri, json={"progress": 4, "md5sum": "abc"})
        client.delete(uri)
    identity = uri.split("/")[-2]
    where = f"FROM transfers WHERE transfer_id = {identity}"
    stack.await_rows(f"SELECT count() {where}", 3)

    shown = stack.query(f"SELECT status, progress, size, md5sum, deleted {where} ORDER BY kafka_offset")
    assert shown.splitlines() == ["Mine\t0\t5\t\tfalse", "Mine\t4\t5\tabc\tfalse", "\t0\t\\N\t\ttrue"]
    assert "" not in stack.query(f"SELECT key_id {where}").split("\n")[:-1]


def test_loopback_is_refused_unless_it_is_allowed(stack: Stack) -> None:
    """The system as it is started fetches nothing from the machine that it runs on."""
    key = {"authorization": "ApiKey " + stack.admin_key.replace(".", ":", 1)}
    with httpx2.Client(base_url=stack.api, headers=key, timeout=60) as client:
        uri = client.post(LIST, json={"url": stack.api, "tags": "refused"}).headers["location"]
        where = f"FROM transfers WHERE transfer_id = {uri.split('/')[-2]}"
        stack.await_rows(f"SELECT count() {where} AND phase = 'failed'", 1)

        assert client.get(uri).json()["status"] == "Error: address is not allowed"


def test_command_that_nobody_can_read_is_parked(stack: Stack) -> None:
    """It is shown with its bytes, and never tried again; commands after it are decided."""
    value = f'{{"do":"nothing","command":"{secrets.token_hex(8)}"}}'

    async def write() -> int:
        producer = AIOKafkaProducer(**stack.kafka.producer())
        await producer.start()
        try:
            topic = stack.kafka.topic(topics.TRANSFER_COMMANDS)
            return int((await producer.send_and_wait(topic, value.encode(), partition=0)).offset)
        finally:
            await producer.stop()

    offset = asyncio.run(write())
    key = {"authorization": "ApiKey " + stack.admin_key.replace(".", ":", 1)}
    made = httpx2.post(stack.api + LIST, json={"status": "Mine"}, headers=key, timeout=60)
    listed = stack.command("dead-letters", "list", "--reason", "wrong_shape").stdout.splitlines()[1:]
    (letter,) = (line.split("\t") for line in listed if f"transfer-commands/0:{offset}\t" in line)
    shown = stack.command("dead-letters", "show", letter[0])
    replayed = stack.command("dead-letters", "replay", letter[0])

    assert made.status_code == 201
    assert letter[2:5] == ["", f"fswire.transfer-commands/0:{offset}", "wrong_shape"]
    assert shown.stdout == value
    assert (replayed.returncode, replayed.stderr) == (1, "")
    assert replayed.stdout.startswith(f"{letter[0]}: not replayed: later commands were decided without it")
