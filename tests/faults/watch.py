# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside a member of the database and says ten times a second whether it takes writes: lines of JSON, [state, began, ended].

It asks over the local socket as the superuser, so that it goes on where the member is cut off the network. `writes` means that a row was inserted (and taken
back), `recovers` that it is a replica, `silent` that it does not answer. It ends when its input is closed.
"""

import json
import os
import sys
import threading
import time

import psycopg2

PAUSE = 0.1


def look(connection):
    """What the member is, by trying."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        if cursor.fetchone()[0]:
            return "recovers"
        cursor.execute("BEGIN; INSERT INTO arxos_prod.buildings (name) VALUES ('watch')")
        cursor.execute("ROLLBACK")
    return "writes"


def main():
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    connection = None
    while True:
        began = time.monotonic()
        try:
            if connection is None:
                connection = psycopg2.connect("dbname=arxos_production application_name=watch connect_timeout=2")
                connection.autocommit = True
            state = look(connection)
        except psycopg2.Error:
            state = "silent"
            if connection is not None:
                connection.close()
            connection = None
        os.write(1, (json.dumps([state, round(began, 4), round(time.monotonic(), 4)]) + "\n").encode())
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
