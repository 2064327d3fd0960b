"""The fields of INFO that something reads: whatever else a server sends is never kept.

tests/test_info.py looks for every field that the package reads, so that none is missing here.
"""

from collections.abc import Iterable
from itertools import groupby

# Digits are copied to the metrics page as they are, and Prometheus refuses a whole page for one value it
# cannot read: "7.0.15" must not pass, nor a number too long for a float64. (No possessive group: in Python
# 3.11.2, Debian 12's, it matches "1." with an empty rest.)
NUMBER = rb"[0-9]{1,20}(?:\.[0-9]{1,20})?"
TEXT = rb"[!-~]{1,64}"

# Numbers, with those that metrics/ copies to the page.
NUMBERS = frozenset(
    b"""
    acl_access_denied_auth acl_access_denied_channel acl_access_denied_cmd acl_access_denied_db
    acl_access_denied_key acl_access_denied_tls_cert blocked_clients client_output_buffer_limit_disconnections
    client_query_buffer_limit_disconnections client_recent_max_input_buffer client_recent_max_output_buffer
    clients_in_timeout_table cluster_connections cluster_enabled connected_clients connected_priority_clients
    connected_slaves eventloop_cycles eventloop_duration_cmd_sum eventloop_duration_sum evicted_clients
    io_threaded_accept_processed io_threads_active loading master_last_io_seconds_ago master_repl_offset
    max_clients maxclients mem_clients_normal mem_clients_slaves mem_cluster_links
    mem_total_replication_buffers migrate_cached_sockets paused_timeout_milliseconds pubsub_clients
    rejected_connections rejected_priority_connections server_time_usec slave_repl_offset
    total_blocking_keys total_blocking_keys_on_nokey total_commands_processed total_connections_received
    total_net_input_bytes total_net_output_bytes total_watched_keys tracking_clients uptime_in_seconds
    used_active_time_main_thread used_cpu_sys used_cpu_sys_main_thread used_cpu_user
    used_cpu_user_main_thread watching_clients
    """.split()
)
# Texts that are shown, or that tell what kind of server answers.
TEXTS = frozenset(
    b"""
    master_link_status redict_mode redict_version redis_mode redis_version role run_id server_mode
    valkey_version
    """.split()
)


def one_of(words: Iterable[bytes]) -> bytes:
    """An expression for one of these words (letters, digits, underscores).

    It looks once at letters with which several of them begin, and so takes a third of the time of one word
    after the other.
    """
    in_order = sorted(words)
    branches = [
        letter + one_of(word[1:] for word in alike)
        for letter, alike in groupby(filter(None, in_order), key=lambda word: word[:1])
    ]
    may_end = not in_order[0]
    if len(branches) > 1 or (branches and may_end):
        return b"(?:" + b"|".join(branches) + (b")?" if may_end else b")")
    return b"".join(branches)
