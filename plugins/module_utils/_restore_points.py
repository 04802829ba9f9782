# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How restore points are recorded: one table in the database C(postgres), which goes back in time with everything else."""

from __future__ import annotations

TABLE = "arxos_platform.restore_points"
UTC = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
COLUMNS = f"name, label, timeline, lsn::text AS lsn, {UTC.format('created_at')} AS created_at, xid, rows, counted_on"

# What statistics have counted since PostgreSQL was started here: another leader counts anew, and so does one that crashed.
COUNTED_ON = "pg_postmaster_start_time()::text"
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND datname NOT IN ('postgres', 'template1') ORDER BY 1"
# Rows inserted, updated and deleted in each table of one database.
ROWS = """
SELECT coalesce(jsonb_object_agg(schemaname || '.' || relname, jsonb_build_array(n_tup_ins, n_tup_upd, n_tup_del)), '{}') AS rows
FROM pg_stat_user_tables
"""
