# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How restore points are recorded: one table in the database C(postgres), which goes back in time with everything else."""

from __future__ import annotations

TABLE = "arxos_platform.restore_points"
UTC = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
COLUMNS = f"name, label, timeline, lsn::text AS lsn, {UTC.format('created_at')} AS created_at, xid, rows, counted_on"

# What the cumulative statistics have counted since PostgreSQL was started here: another leader counts anew, and so does one that crashed.
COUNTERS = """
SELECT coalesce(jsonb_object_agg(datname, jsonb_build_object('inserted', tup_inserted, 'updated', tup_updated, 'deleted', tup_deleted)), '{}') AS rows,
       pg_postmaster_start_time()::text AS counted_on
FROM pg_stat_database WHERE datname NOT IN ('postgres', 'template0', 'template1')
"""
