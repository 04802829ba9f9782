# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a new TCP connection gets through: new_connection.py ADDRESS PORT SECONDS. Ends with 0 when it does, else with 1 and the reason.

A refusal got through as well: it is the host's own answer that nobody listens there yet, where a firewall that drops would be silent.
"""

from __future__ import annotations

import socket
import sys
import time


def gets_through(address: str, port: int, seconds: float) -> str:
    """Nothing, or why no new connection got through within C(seconds)."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address, port), timeout=max(0.1, min(3.0, end - time.monotonic()))).close()
        except ConnectionRefusedError:
            return ""
        except OSError as error:
            if time.monotonic() >= end:
                return str(error)
            time.sleep(0.1)
        else:
            return ""


def main(arguments: list[str]) -> int:
    """The verdict as an exit code."""
    address, port, seconds = arguments
    reason = gets_through(address, int(port), float(seconds))
    if reason:
        print(f"no new connection to {address}:{port} within {seconds} s: {reason}", file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
