"""A long history made by ClickHouse itself: any number of rows in `events`, of several projects and months.

Paths follow a power law (a few files are saved all day), contents change with every version, and what a save
replaces is what the save before it left. `RARE` is in the name of one file that is hardly ever touched.
"""

from __future__ import annotations

from collections.abc import Callable

from clickhouse_connect.driver.client import Client

PROJECTS = ("big", *(f"small-{number}" for number in range(6)))
BIG = PROJECTS[0]
"""Eight of twenty events are its own, two of twenty those of each other."""
DAYS = 60
FILES = 200_000
"""Of each project."""
ROWS_OF_AN_INSERT = 1_000_000
RARE = "zebra_crossing"

_COLUMNS = """
    project_id, occurred, event_id, event, path, renamed_to, size, filetype, digests, hash_status, uid, pid,
    exe, owner_uid, owner_gid, mode, mtime_ns, moved, changed, file_id, host, agent, epoch, seq, source,
    duplicate, key_id, details, sent, received, kafka_topic, kafka_partition, kafka_offset, raw_offset,
    raw_index
"""
_SELECT = """
WITH
    if(number % 20 < 8, 0, intDiv(number % 20 - 8, 2) + 1) AS nth_project,
    [{projects}][nth_project + 1] AS project,
    toUInt64({files} * pow(cityHash64(number, 'file') / pow(2, 64), 3)) AS file,
    cityHash64(nth_project, file) AS of_file,
    cityHash64(number, 'event') AS of_event,
    [{words}] AS words,
    ['py', 'py', 'py', 'c', 'md', 'json', 'ts', 'toml'] AS endings,
    of_file % 8 + 1 AS ending,
    concat(
        if(of_file % 3 = 0, 'src/', if(of_file % 3 = 1, 'lib/', 'tests/')), words[of_file % 31 + 1], '/',
        words[intDiv(of_file, 31) % 31 + 1], '/', words[intDiv(of_file, 961) % 31 + 1], '_'
    ) AS stem,
    if(file = {files} - 1, '{rare}', hex(toUInt32(file))) AS tail,
    concat(stem, tail, '.', endings[ending]) AS name,
    of_event % 100 AS dice,
    multiIf(
        dice < 60, 'modified', dice < 70, 'created', dice < 78, 'deleted', dice < 84, 'attributes',
        dice < 88, 'renamed', dice < 94, 'closed', 'written'
    ) AS kind,
    kind IN ('modified', 'created', 'written') AS has_content,
    intDiv(number, 400000) AS version,
    {begin_us} + number * {step_us} + cityHash64(number, 'when') % {step_us} AS happened_us,
    of_event % 50 = 7 AS by_client
SELECT
    project,
    fromUnixTimestamp64Micro(toInt64(happened_us), 'UTC'),
    concat('evt_', lower(hex(substring(SHA256(project), 1, 10))), leftPad(lower(hex(number)), 12, '0')),
    kind,
    name,
    if(kind = 'renamed', concat(stem, tail, '_old.', endings[ending]), ''),
    if(kind = 'deleted', 0, 100 + toUInt64(exp(of_file % 1000 / 100)) + version % 1000),
    ['text/x-python', 'text/x-python', 'text/x-python', 'text/x-csrc', 'text/markdown', 'application/json',
     'text/vnd.trolltech.linguist', 'application/toml'][ending],
    if(has_content, concat(
        toFixedString(SHA256(concat(project, toString(file), '.', toString(version))), 32),
        toFixedString(SHA256(concat(project, toString(file), '.', toString(version + 1))), 32)
    ), toFixedString('', 64)),
    if(has_content, 'ok', ''),
    if(by_client, 1000, NULL), if(by_client, 2000 + of_event % 30000, NULL),
    if(by_client, '/usr/bin/python3', ''),
    1000, 1000, 420, happened_us * 1000 + of_event % 1000,
    if(kind = 'renamed', 'within', ''),
    multiIf(has_content, ['data', 'size', 'mtime'], kind = 'attributes', ['mode'], []),
    of_file,
    concat('host-', toString(nth_project)), concat('agt_', lower(hex(cityHash64(project)))), 'made-up',
    intDiv(number, 20), if(by_client, 'http', 'kernel'),
    kind = 'modified' AND of_event % 37 = 0,
    if(by_client, 'key_1', ''),
    if(kind = 'attributes', '{{"previous":{{"mode":384}}}}', ''),
    fromUnixTimestamp64Micro(toInt64(happened_us) + 20000 + toInt64(of_event % 100000), 'UTC'),
    fromUnixTimestamp64Micro(toInt64(happened_us) + 150000 + toInt64(of_event % 100000), 'UTC'),
    'made.up', toUInt32(nth_project % 4), number, intDiv(number, 200), number % 200
FROM numbers({first}, {rows})
"""
_WORDS = (
    "app api auth base cache client common config core data db deploy docs engine errors events files "
    "handlers index journal layout main models parser readers server session sinks sources tables views"
)
_SETTINGS = {"async_insert": 0, "max_insert_threads": 1, "max_memory_usage": 4_000_000_000}


def fill(client: Client, rows: int, begin_us: int, done: Callable[[int], None]) -> None:
    """Insert so many events that end DAYS after `begin_us`; `done` is told how many there are."""
    step_us = DAYS * 86_400_000_000 // rows
    for first in range(0, rows, ROWS_OF_AN_INSERT):
        some = min(ROWS_OF_AN_INSERT, rows - first)
        select = _SELECT.format(
            projects=", ".join(f"'{name}'" for name in PROJECTS),
            words=", ".join(f"'{word}'" for word in _WORDS.split()),
            files=FILES,
            rare=RARE,
            begin_us=begin_us,
            step_us=step_us,
            first=first,
            rows=some,
        )
        client.command(f"INSERT INTO events ({_COLUMNS}) {select}", settings=_SETTINGS)
        done(first + some)
