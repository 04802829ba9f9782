# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the edge of the lab refuses and carries a second, beside other ways to build it: python tests/bench/edge/run.py [seconds of each run]

All of it on edge1, where wrk shares the cores with what it asks: NGINX with the live configuration but for its ports, a stock one, and an application that
answers at once. So only the ratios of one run mean something, and each pair is measured turn by turn, often, for a single turn is off by a third either
way. What two workers refuse when nobody shares their cores is told from the processor time that they had.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import yaml

ROOT = Path(__file__).resolve().parents[3]
HOST = f"{os.environ.get('LAB_NAME', 'arxos-lab')}-edge1"
DOMAIN = yaml.safe_load((ROOT / "inventories/lab/group_vars/all/platform.yml").read_text())["arxos_domain"]
HOME = "/tmp/edge-bench"
TURNS = 21
COLD = 65  # seconds

APPLICATION = """
user www-data; worker_processes 1; pid /tmp/edge-bench/application.pid; error_log /dev/null crit;
events { worker_connections 4096; }
http { access_log off; server { listen 127.0.0.1:19443 ssl; ssl_certificate /etc/ssl/arxos/host.crt; ssl_certificate_key /etc/ssl/arxos/host.key;
  keepalive_requests 1000000; location / { default_type application/json; return 200 '{"status":"alive"}'; } } }
"""
# As Debian's nginx.conf and the first page of a tutorial have it.
STOCK = f"""
user www-data; worker_processes auto; pid /tmp/edge-bench/stock.pid; error_log /tmp/edge-bench/stock.log;
events {{ worker_connections 4096; }}
http {{ sendfile on; tcp_nopush on; access_log /tmp/edge-bench/stock.access;
  upstream application {{ server 127.0.0.1:19443; keepalive 32; }}
  server {{ listen 127.0.0.1:11443 ssl http2; server_name {DOMAIN}; ssl_certificate /etc/ssl/arxos/front.crt; ssl_certificate_key /etc/ssl/arxos/front.key;
    location / {{ proxy_pass https://application; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }} }} }}
"""


def run(command: str, content: str = "") -> str:
    """What a command on edge1 prints; its error ends this."""
    words = ["docker", "exec", "-i", HOST, "sh", "-euc", command]
    done = subprocess.run(words, input=content, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout


def copy(name: str, port: int) -> str:
    """The live configuration under another name and port, in front of the application of this bench."""
    folder = f"{HOME}/{name}"
    run(f"cp -r /etc/nginx {folder} && mkdir {folder}/log")
    run(f"sed -i 's|/var/log/nginx|{folder}/log|; s|/var/lib/nginx/cache|{folder}/cache|' {folder}/nginx.conf {folder}/arxos/*.conf")
    run(f"sed -Ei 's/listen 80/listen 127.0.0.1:{port - 443 + 80}/; s/listen 443/listen 127.0.0.1:{port}/' {folder}/arxos/front.conf")
    run(f"sed -Ei 's/server [0-9.]+:[0-9]+ .*/server 127.0.0.1:19443 max_fails=0;/' {folder}/arxos/upstream.conf")
    run(f"sed -Ei 's/(proxy_ssl_name) .*/\\1 edge1;/' {folder}/arxos/application.conf")
    return folder


def ask(port: int, seconds: int) -> tuple[float, float]:
    """Good and refused answers a second."""
    # wrk takes the name of the TLS handshake from the URL.
    hosts = f"mount --bind {HOME}/hosts /etc/hosts; exec wrk -t2 -c64 -d{seconds}s https://{DOMAIN}:{port}/health/live"
    text = run(f"unshare --mount sh -euc '{hosts}'")
    found = re.search(r"(\d+) requests in ([\d.]+)s", text)
    assert found, text
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    bad = int(refused[1]) if refused else 0
    return (int(found[1]) - bad) / float(found[2]), bad / float(found[2])


def worked(name: str) -> float:
    """Seconds of processor that an NGINX's workers have had."""
    text = run(f"for number in $(pgrep -P $(cat {HOME}/{name}.pid)); do cut -d' ' -f14,15 /proc/$number/stat; done; getconf CLK_TCK")
    *ticks, each = (int(word) for word in text.split())
    return sum(ticks) / each


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    pids = [f"{HOME}/{name}.pid" for name in ("application", "stock", "two", "one", "open", "judged")]
    stop = " ".join(pids)
    clean = f"for file in {stop}; do if [ -s $file ]; then kill $(cat $file); fi; done; rm -rf {HOME}"
    run(clean)
    run("command -v wrk >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends wrk >/dev/null 2>&1")
    run(f"mkdir -p {HOME}; echo '127.0.0.1 {DOMAIN}' >{HOME}/hosts")
    try:
        for name, text in (("application", APPLICATION), ("stock", STOCK)):
            run(f"cat >{HOME}/{name}.conf", text)
            run(f"nginx -c {HOME}/{name}.conf")
        copy("two", 12443)
        one = copy("one", 13443)
        # The same rules in the server that has the limits.
        run(
            f"awk '/^ *modsecurity_rules/,/;$/' /etc/nginx/waf.conf >{one}/rules && sed -i 's|waf.conf|application.conf|' {one}/arxos/proxy.conf"
        )
        run(f"sed -i '/set .edge_next @application/i modsecurity on; include {one}/rules;' {one}/arxos/front.conf")
        for folder in (copy("open", 14443), copy("judged", 15443)):
            run(f"sed -i 's/^geo $counted {{/&\\n    127.0.0.0\\/8 0;/' {folder}/arxos/limits.conf")
        run(f"sed -i 's|waf.conf|application.conf|' {HOME}/open/arxos/proxy.conf")
        run(f"sed -i 's/limit_conn connections .*/limit_conn connections 1000;/' {HOME}/*/arxos/limited.conf")
        for name in ("two", "one", "open", "judged"):
            run(f"nginx -c {HOME}/{name}/nginx.conf -g 'pid {HOME}/{name}.pid;'")
        # Until NGINX has looked through what its cache has on disk, a minute after it began, it looks there for every request.
        time.sleep(COLD)
        ports = {"stock": 11443, "two": 12443, "one": 13443, "open": 14443, "judged": 15443}
        pairs = [(ask(ports["stock"], seconds)[0], ask(ports["open"], seconds)[0]) for _turn in range(TURNS)]
        stock, ours = (median(pair[side] for pair in pairs) for side in (0, 1))
        before = worked("two")
        floods = [ask(ports["two"], seconds)[1] for _turn in range(5)]
        alone = 2 * sum(floods) * seconds / (worked("two") - before)
        two, one = median(floods), median(ask(ports["one"], seconds)[1] for _turn in range(2))
        print(f"flood refused, two tiers            {two:8.0f}/s beside wrk")
        print(f"    by two workers with a core each {alone:8.0f}/s, from the processor time that each had (aim 50000)")
        print(f"flood refused, WAF in one server    {one:8.0f}/s; two tiers refuse {two / max(one, 1):.0f} times as many")
        print(f"carried, stock configuration        {stock:8.0f}/s")
        ratios = [100 * after / before for before, after in pairs]
        print(f"carried, the front without its WAF  {ours:8.0f}/s, turn by turn {median(ratios):.0f} % of stock (aim 95)")
        print(f"                                    of {', '.join(f'{ratio:.0f}' for ratio in sorted(ratios))} %")
        print(f"carried, every request judged       {ask(ports['judged'], seconds)[0]:8.0f}/s")
    finally:
        run(clean)


if __name__ == "__main__":
    main()
