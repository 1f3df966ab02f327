-- Roles of a fleet: no migration, since every fleet's users are its own. Read it, change names and passwords,
-- and run it as an administrator, on a cluster with ON CLUSTER after each name. The embedded store has no users.

-- On a cluster grant the same on each NAME_local, and name those in the policies too.

-- Analysts read every table of fswire and nothing else: no grant, so no file(), url(), s3(), remote(), merge(), no
-- dictionary, no other table. States are the newest without a word in the query. With readonly = 2 they may set what
-- their tools want to, within the bounds; row policies hold before any condition of theirs is tried.
CREATE SETTINGS PROFILE IF NOT EXISTS fswire_analyst SETTINGS
    readonly = 2,
    final = 1 CONST,
    asterisk_include_alias_columns = 1,
    max_execution_time = 60 MAX 600,
    max_memory_usage = 8000000000 MAX 8000000000,
    max_result_rows = 1000000 MAX 10000000,
    max_concurrent_queries_for_user = 8 CONST;
CREATE ROLE IF NOT EXISTS fswire_analyst SETTINGS PROFILE 'fswire_analyst';
GRANT SELECT ON default.activity TO fswire_analyst;
GRANT SELECT ON default.agents TO fswire_analyst;
GRANT SELECT ON default.dead_letters TO fswire_analyst;
GRANT SELECT ON default.events TO fswire_analyst;
GRANT SELECT ON default.files TO fswire_analyst;
GRANT SELECT ON default.gaps TO fswire_analyst;
GRANT SELECT ON default.latency TO fswire_analyst;
GRANT SELECT ON default.runs TO fswire_analyst;
GRANT SELECT ON default.run_states TO fswire_analyst;
GRANT SELECT ON default.sessions TO fswire_analyst;
GRANT SELECT ON default.transfers TO fswire_analyst;

-- Auditors of the auditors: who read what over the api, and who was refused.
CREATE ROLE IF NOT EXISTS fswire_auditor SETTINGS PROFILE 'fswire_analyst';
GRANT SELECT ON default.audit TO fswire_auditor;
CREATE ROW POLICY IF NOT EXISTS fswire_audit ON default.audit USING 1 TO fswire_auditor;

-- One who may read every project.
CREATE ROW POLICY IF NOT EXISTS fswire_all ON default.* USING 1 TO fswire_analyst;
CREATE USER IF NOT EXISTS ann IDENTIFIED WITH sha256_password BY 'change-me' DEFAULT ROLE fswire_analyst;
GRANT fswire_analyst TO ann;

-- One who may read the projects of some hosts only. With a policy on a table, who has none sees no row of it.
CREATE ROLE IF NOT EXISTS fswire_analyst_web SETTINGS PROFILE 'fswire_analyst';
GRANT SELECT ON default.events TO fswire_analyst_web;
GRANT SELECT ON default.files TO fswire_analyst_web;
CREATE ROW POLICY IF NOT EXISTS fswire_web ON default.events, default.files
    USING startsWith(project_id, 'web-') TO fswire_analyst_web;
CREATE USER IF NOT EXISTS ben IDENTIFIED WITH sha256_password BY 'change-me' DEFAULT ROLE fswire_analyst_web;
GRANT fswire_analyst_web TO ben;

-- The api reads every project: which key may read what it decides itself.
CREATE USER IF NOT EXISTS fswire_api IDENTIFIED WITH sha256_password BY 'change-me';
GRANT SELECT ON default.* TO fswire_api;
CREATE ROW POLICY IF NOT EXISTS fswire_api ON default.* USING 1 TO fswire_api;

-- The sink: a row that it has written is seen by it at once, whichever replica it asks.
CREATE SETTINGS PROFILE IF NOT EXISTS fswire_sink SETTINGS
    insert_quorum = 'auto',
    insert_quorum_parallel = 0,
    select_sequential_consistency = 1;
CREATE USER IF NOT EXISTS fswire_sink IDENTIFIED WITH sha256_password BY 'change-me'
    SETTINGS PROFILE 'fswire_sink';
GRANT SELECT, INSERT ON default.* TO fswire_sink;
CREATE ROW POLICY IF NOT EXISTS fswire_sink ON default.* USING 1 TO fswire_sink;
