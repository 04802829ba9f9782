#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_cluster
short_description: Configure, switch over, restart, pause and mend a PostgreSQL cluster under Patroni
version_added: "0.1.0"
author: The arxos.platform maintainers (@arxos)
description:
  - Looks at the whole cluster over Patroni's REST API, brings it to what is asked, and waits until every member has it.
  - Run it once, on a member (Patroni takes changes from members only, unless C(restapi.allowlist) has more). It is finished by a second
    run when it was killed anywhere.
  - Never gives up acknowledged writes. A leader is relieved by switchovers to a replica that has everything; C(patronictl failover) remains the
    decision of a person.
  - Works with Patroni 3.0 and 4.0.
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Shows the configuration, who leads, and whether the cluster is paused.
    support: full
options:
  endpoints:
    description:
      - Base URLs of members, such as V(https://192.0.2.31:8008). They are tried in turn; the other members are found through the one that answers.
      - A member that is not among them and does not answer is taken for one that is leaving, and not waited for.
    type: list
    elements: str
    required: true
  ca_cert:
    description: File on the host with the CA certificate that members' certificates are verified by.
    type: path
    required: true
  username:
    description: User of C(restapi.authentication). Not needed for looking.
    type: str
  password:
    description: Password of O(username).
    type: str
  configuration:
    description:
      - What the cluster's dynamic configuration shall have, C(ttl) or C(postgresql.parameters) for example. Mappings are merged, a null removes,
        and only what differs is written. It is done before what O(state) says.
      - Values whose text is the same are the same, as for Patroni.
    type: dict
  purge:
    description: Whether to remove parameters of PostgreSQL that O(configuration) does not have.
    type: bool
    default: false
  settle:
    description: Whether to wait first until members have gone through their loop. Wanted after a reload of Patroni, which answers before it reloads.
    type: bool
    default: false
  state:
    description:
      - V(present) is for O(configuration), or just to look.
      - V(switched_over) makes O(candidate) lead. With O(leader) and no O(candidate) any fit replica takes over from it, if it leads; with neither, from
        whoever leads. A candidate that commits do not wait for is made synchronous first.
      - V(restarted) restarts PostgreSQL of O(members), or of all, one at a time. The leader comes last, and a replica takes over from it. With settings that
        replicas can only take over after the leader, such as a smaller C(max_connections), the leader is restarted in place.
      - V(paused) takes Patroni's hands off the cluster, V(resumed) gives it back.
      - V(reinitialized) has O(members) throw their data away and clone it anew, one after the other.
    type: str
    choices: [present, switched_over, restarted, paused, resumed, reinitialized]
    default: present
  leader:
    description: For O(state=switched_over), who shall not lead any more.
    type: str
  candidate:
    description: For O(state=switched_over), who shall lead.
    type: str
  members:
    description: For O(state=restarted) and O(state=reinitialized), names of members.
    type: list
    elements: str
    default: []
  only_pending:
    description: For O(state=restarted), whether to restart only where a setting waits for it.
    type: bool
    default: false
  timeout:
    description: Seconds that each wait may take, such as for a replica to stream again. Cloning takes as long as the data is large.
    type: float
    default: 120
"""

EXAMPLES = r"""
- name: Configure the cluster and restart what waits for it
  arxos.platform.patroni_cluster:
    endpoints: ["https://192.0.2.31:8008", "https://192.0.2.32:8008"]
    ca_cert: /etc/ssl/arxos/ca.crt
    username: patroni
    password: "{{ postgresql_restapi_password }}"
    configuration:
      ttl: 20
      postgresql: {parameters: {max_connections: 200}}
    state: restarted
    only_pending: true
  run_once: true

- name: Let another host lead before this one goes down
  arxos.platform.patroni_cluster:
    endpoints: ["https://192.0.2.31:8008", "https://192.0.2.32:8008"]
    ca_cert: /etc/ssl/arxos/ca.crt
    username: patroni
    password: "{{ postgresql_restapi_password }}"
    state: switched_over
    leader: database1
"""

RETURN = r"""
cluster:
  description: The cluster after it (in check mode, as it is). C(lag) is bytes behind the leader, null when unknown.
  returned: success
  type: dict
  sample:
    leader: database2
    paused: false
    configuration: {ttl: 20}
    members:
      - {name: database1, role: sync_standby, state: running, timeline: 3, lag: 0, streaming: true, pending_restart: false}
      - {name: database2, role: leader, state: running, timeline: 3, lag: null, streaming: false, pending_restart: false}
steps:
  description: What was done (in check mode, would be), in order.
  returned: always
  type: list
  elements: str
  sample: ["configuration: ttl", "database2 takes over from database1"]
seconds:
  description: How long it took, until the cluster was whole again.
  returned: success
  type: float
  sample: 3.2
"""

import base64
import functools
import http.client
import json
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.arxos.platform.plugins.module_utils import _patroni
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def request(
    method: str, url: str, body: dict[str, Any] | None, seconds: float, *, context: ssl.SSLContext, headers: dict[str, str]
) -> _patroni.Answer:
    """One request over verified TLS, without proxies or redirects. Raises Unreachable and Refused."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=seconds, context=context)
    try:
        connection.request(method, parts.path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    except ssl.SSLCertVerificationError as error:
        raise _patroni.Refused(f"{url} shows a certificate that does not hold: {error.verify_message}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _patroni.Unreachable(f"{url} does not answer: {error}") from error
    finally:
        connection.close()
    try:
        return _patroni.Answer(response.status, json.loads(text))
    except ValueError:
        return _patroni.Answer(response.status, text)


def main() -> None:
    module = StrictModule(
        argument_spec={
            "endpoints": {"type": "list", "elements": "str", "required": True},
            "ca_cert": {"type": "path", "required": True},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "configuration": {"type": "dict"},
            "purge": {"type": "bool", "default": False},
            "settle": {"type": "bool", "default": False},
            "state": {
                "type": "str",
                "choices": ["present", "switched_over", "restarted", "paused", "resumed", "reinitialized"],
                "default": "present",
            },
            "leader": {"type": "str"},
            "candidate": {"type": "str"},
            "members": {"type": "list", "elements": "str", "default": []},
            "only_pending": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 120},
        },
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    params = module.params
    module.refuse(_faults(params))
    try:
        context = ssl.create_default_context(cafile=params["ca_cert"])
    except (OSError, ssl.SSLError) as error:
        module.fail_json(msg=f"ca_cert {params['ca_cert']} cannot be read: {getattr(error, 'strerror', None) or error}")
    headers = {"Content-Type": "application/json", "User-Agent": "arxos-patroni-cluster"}
    if params["username"]:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{params['username']}:{params['password']}".encode()).decode()

    clock = _patroni.Time(time.monotonic, time.sleep)
    send = functools.partial(request, context=context, headers=headers)
    cluster = _patroni.Cluster(params["endpoints"], send, clock, params["timeout"], check=module.check_mode)
    start = time.monotonic()
    try:
        before = cluster.look()
        _act(cluster, params, module.check_mode)
        after = cluster.look() if not module.check_mode else before
    except _patroni.PatroniError as error:
        module.fail_json(msg=str(error), steps=cluster.steps, changed=bool(cluster.steps) and not module.check_mode)
    result: dict[str, Any] = {
        "changed": bool(cluster.steps),
        "steps": cluster.steps,
        "cluster": _patroni.summary(after),
        "seconds": round(time.monotonic() - start, 1),
    }
    if module._diff:
        result["diff"] = {"before": _patroni.state(before), "after": _patroni.state(after)}
        if module.check_mode:
            wanted = _patroni.wanted_configuration(before.configuration, params["configuration"] or {}, purge=params["purge"])
            result["diff"]["after"]["configuration"] = wanted
        if cluster.steps:
            result["diff"]["after"]["steps"] = cluster.steps
    module.exit_json(**result)


def _act(cluster: _patroni.Cluster, params: dict[str, Any], check: bool) -> None:
    if params["settle"] and not check:
        cluster.settle()
    if params["configuration"] is not None:
        cluster.configure(params["configuration"], purge=params["purge"])
    if params["state"] == "switched_over":
        cluster.switch_over(params["leader"], params["candidate"])
    elif params["state"] == "restarted":
        cluster.restart(params["members"], only_pending=params["only_pending"])
    elif params["state"] in ("paused", "resumed"):
        cluster.pause(params["state"] == "paused")
    elif params["state"] == "reinitialized":
        cluster.reinitialize(params["members"])


def _faults(params: dict[str, Any]) -> list[str]:
    faults = [f"endpoint {url} is not https://address:port" for url in params["endpoints"] if not _is_endpoint(url)]
    if not params["endpoints"]:
        faults.append("endpoints is empty, wanted the URL of a member at least")
    state = params["state"]
    if not params["password"] and (state != "present" or params["configuration"] is not None):
        faults.append("username and password are missing, wanted those of restapi.authentication for anything but looking")
    for name, states in {
        "leader": ["switched_over"],
        "candidate": ["switched_over"],
        "members": ["restarted", "reinitialized"],
        "only_pending": ["restarted"],
    }.items():
        if params[name] and state not in states:
            faults.append(f"{name} is of no use with state {state}, only with {' and '.join(states)}")
    if state == "reinitialized" and not params["members"]:
        faults.append("members is empty, wanted those whose data shall be thrown away and cloned")
    if state == "switched_over" and params["leader"] and params["leader"] == params["candidate"]:
        faults.append(f"leader and candidate are both {params['leader']}")
    if params["purge"] and params["configuration"] is None:
        faults.append("purge wants a configuration, else every parameter would go")
    if not 0 < params["timeout"] < float("inf"):
        faults.append(f"timeout is {params['timeout']:g}, wanted more than 0")
    return faults


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and (parts.port or 443) > 0
    except ValueError:
        return False


if __name__ == "__main__":
    main()
