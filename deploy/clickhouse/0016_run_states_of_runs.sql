CREATE MATERIALIZED VIEW IF NOT EXISTS run_states_of_runs TO run_states
AS SELECT project_id, run_id, workflow, state, attempts, again, error, superseded_by, updated,
    kafka_partition, kafka_offset
FROM runs
WHERE state != ''
COMMENT 'Fills run_states';
