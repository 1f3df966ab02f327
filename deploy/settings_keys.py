"""What `fswire.toml` may hold: the tables, and the settings of each.

Named here, not asked of the stages: reading a file must not load them, and a machine that has only the agent
lacks what they need. A test compares the list with their settings.
"""

from __future__ import annotations

from collections.abc import Mapping

KEYS: Mapping[str, str] = {
    "kafka": (
        "bootstrap_servers sasl_mechanism sasl_password sasl_username security_protocol ssl_cafile "
        "ssl_certfile ssl_keyfile ssl_keypassword topic_prefix"
    ),
    "clickhouse": "cluster keep_days url",
    "agent": (
        "actors backend except exclude grace_s hash_bytes_per_second heartbeat_s host ignore_files include "
        "journal_max_bytes kinds listen max_hash_bytes only own_dirs poll_every_s rescan_every_s roots "
        "settle_ms state_dir stdout"
    ),
    "processors": (
        "agent_days backlog_bytes chunk_events data_dir event_ids event_id_days fetch_max_wait_ms group "
        "heartbeat_interval_ms log_level session_timeout_ms stop_grace_ms web_host web_port"
    ),
    "runner": "at_once commands group",
    "transfers": (
        "attempts at_once bytes_per_second connect_timeout_s first_retry_s free_bytes group log_level "
        "longest_retry_s longest_s max_bytes progress_s project read_timeout_s root"
    ),
    "sink": "flush_ms group held_bytes max_bytes max_rows",
    "api": (
        "body_timeout_s catch_up_timeout_ms data_dir decision_timeout_ms export_concurrency export_timeout_s "
        "head_timeout_s history_timeout_s host keep_alive_s live_queue_records max_body_bytes "
        "max_bulk_body_bytes max_held_body_bytes max_pending max_requests max_watchers pages_timeout_s port "
        "refusals_burst refusals_per_s requests_burst requests_per_s retry_after_s session_hours "
        "session_secret shutdown_grace_s sql_concurrency sql_max_execution_s sql_max_memory_bytes "
        "sql_max_query_chars sql_max_result_bytes sql_max_rows stalled_timeout_s tls_certfile tls_keyfile "
        "tls_port trusted_proxies"
    ),
    "store": "data_dir host max_concurrent_queries password port user",
    "client": "key url",
}
"""Names with blanks between them, by table."""
