#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_cluster
short_description: Form, grow, shrink and mend a Redis Cluster
version_added: "0.1.0"
author: The arxos.platform maintainers (@arxos)
description:
  - Makes the instances in O(nodes) one Redis Cluster, and no others. Instances join, follow masters on other hosts, slots are spread
    evenly over the masters with their keys, and instances that are no longer listed hand their slots over, are emptied and forgotten.
  - Run it once, from any host that reaches all instances. It is finished by a second run when it was killed anywhere.
  - A topology that is safe is left as it is. So a failover is undone only when the loss of one more host would stop the cluster, which
    is when a host carries so many masters that the others are no majority. Then planned failovers spread them, without an error to clients.
  - An instance that stands alone and holds keys or slots is refused, and so is a cluster that half or more of is not listed. No data
    is ever dropped to reach the topology.
notes:
  - Everything is TLS. The host certificates must name the addresses in O(nodes).
  - C(cluster-allow-replica-migration no) should be set on the instances, else they move replicas themselves.
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Shows the topology that is and the one that shall be.
    support: full
requirements:
  - python3-redis (Python package C(redis)) 4.3 or later.
options:
  nodes:
    description: All instances of the cluster. With V(1) replica, three hosts with two instances each are the least.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: Address that clients and the other instances reach it at.
        type: str
        required: true
      port:
        description: TLS port. The cluster bus listens 10000 above.
        type: int
        default: 6379
      host:
        description: Name of the host, the fault domain. A master and its replica are never on one host.
        type: str
        required: true
      zone:
        description: Name of the zone. A replica is put in another zone than its master where there is one.
        type: str
        default: ""
  replicas:
    description: Replicas of each master.
    type: int
    default: 1
  user:
    description: ACL user that may do everything. The instances know it by the same password.
    type: str
    default: default
  password:
    description: Password of O(user).
    type: str
    required: true
  ca_cert:
    description: File on the host with the CA certificate of the instances.
    type: path
    required: true
  state:
    description:
      - V(present) makes the cluster what O(nodes) says.
      - V(balanced) does that, and spreads the masters over hosts and zones as evenly as planned failovers can, however safe
        the cluster is without. Do it after a rolling restart.
      - V(drained) makes every instance of O(host) a replica by planned failovers, and changes nothing else. Before that it waits until
        the cluster is healthy. Do it before the host is restarted.
    type: str
    choices: [present, balanced, drained]
    default: present
  host:
    description: The host to drain, as in O(nodes[].host).
    type: str
  timeout:
    description: Seconds that each wait may take, such as for all instances to answer, or for a replica to be in sync.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Make the cluster
  arxos.platform.redis_cluster:
    nodes:
      - {address: 192.0.2.41, port: 6379, host: cache1, zone: a}
      - {address: 192.0.2.41, port: 6380, host: cache1, zone: a}
      - {address: 192.0.2.42, port: 6379, host: cache2, zone: b}
      - {address: 192.0.2.42, port: 6380, host: cache2, zone: b}
      - {address: 192.0.2.43, port: 6379, host: cache3, zone: c}
      - {address: 192.0.2.43, port: 6380, host: cache3, zone: c}
    user: admin
    password: "{{ redis_admin_password }}"
    ca_cert: /etc/ssl/arxos/ca.crt
  run_once: true

- name: Let the other hosts take over before this one restarts
  arxos.platform.redis_cluster:
    nodes: "{{ instances }}"
    user: admin
    password: "{{ redis_admin_password }}"
    ca_cert: /etc/ssl/arxos/ca.crt
    state: drained
    host: cache1
"""

RETURN = r"""
steps:
  description: What was done (in check mode, would be), in order.
  returned: success
  type: list
  elements: str
  sample: ["192.0.2.44:6379 joins", "1365 slots from 192.0.2.41:6379 to 192.0.2.44:6379"]
topology:
  description: The shards (in check mode, as they would be).
  returned: success
  type: list
  elements: dict
  sample: [{slots: 0-5460, count: 5461, master: "192.0.2.41:6379", replicas: ["192.0.2.42:6380"], joined: true}]
"""

import functools
import time
import traceback
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.arxos.platform.plugins.module_utils import _redis_cluster, _redis_cluster_apply
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

try:
    import redis
except ImportError:
    HAS_REDIS = False
    REDIS_ERROR = traceback.format_exc()
else:
    HAS_REDIS = True
    REDIS_ERROR = ""

CONNECT_SECONDS = 3
ANSWER_SECONDS = 15


class RedisLink:
    """A connection that speaks the bare protocol: what the library makes of answers differs from release to release."""

    def __init__(self, address: str, port: int, *, user: str, password: str, ca_cert: str) -> None:
        self._name = f"{address}:{port}"
        self._connection = redis.SSLConnection(
            host=address,
            port=port,
            username=user,
            password=password,
            ssl_cert_reqs="required",
            ssl_ca_certs=ca_cert,
            ssl_check_hostname=True,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
        )
        self._guard(self._connection.connect)

    def call(self, *words: str | int) -> Any:
        return self.pipeline([words])[0]

    def pipeline(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        answers = self._guard(functools.partial(self._send, commands))
        for command, answer in zip(commands, answers):
            if isinstance(answer, redis.exceptions.ResponseError):
                # Keys and passwords come after the second word.
                raise _redis_cluster_apply.Refused(f"{self._name} refuses {' '.join(map(str, command[:2]))}: {answer}")
        return answers

    def close(self) -> None:
        self._connection.disconnect()

    def _send(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        answers: list[Any] = []
        for _command in commands:
            try:
                answers.append(self._connection.read_response())
            except redis.exceptions.BusyLoadingError:
                raise
            except redis.exceptions.ResponseError as error:
                answers.append(error)
        return answers

    def _guard(self, action: Any) -> Any:
        """One kind of error for everything that can go wrong on the way."""
        try:
            return action()
        except redis.exceptions.AuthenticationError as error:
            raise _redis_cluster_apply.Refused(f"{self._name} refuses user and password: {error}") from error
        except redis.exceptions.BusyLoadingError as error:
            self._connection.disconnect()
            raise _redis_cluster_apply.Unreachable(f"{self._name} is loading its data") from error
        except redis.exceptions.ResponseError as error:
            what = "refuses user and password" if str(error).startswith(("WRONGPASS", "NOAUTH")) else "refuses"
            raise _redis_cluster_apply.Refused(f"{self._name} {what}: {error}") from error
        except (redis.exceptions.RedisError, OSError, ValueError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise _redis_cluster_apply.Refused(f"{self._name} shows a certificate that does not hold: {error}") from error
            raise _redis_cluster_apply.Unreachable(f"{self._name} does not answer: {error}") from error


def main() -> None:
    module = StrictModule(
        argument_spec={
            "nodes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "address": {"type": "str", "required": True},
                    "port": {"type": "int", "default": 6379},
                    "host": {"type": "str", "required": True},
                    "zone": {"type": "str", "default": ""},
                },
            },
            "replicas": {"type": "int", "default": 1},
            "user": {"type": "str", "default": "default"},
            "password": {"type": "str", "required": True, "no_log": True},
            "ca_cert": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "balanced", "drained"], "default": "present"},
            "host": {"type": "str"},
            "timeout": {"type": "float", "default": 60},
        },
        required_if=[("state", "drained", ["host"])],
        supports_check_mode=True,
    )
    params = module.params
    places = [_redis_cluster.Place(item["address"], item["port"], item["host"], item["zone"]) for item in params["nodes"]]
    module.refuse(_faults(params, places))
    if not HAS_REDIS:
        module.fail_json(msg=missing_required_lib("redis", reason="(Debian package python3-redis)"), exception=REDIS_ERROR)

    if params["state"] == "drained":
        make_plan = functools.partial(_redis_cluster.drain, places=places, replicas=params["replicas"], host=params["host"])
    else:
        even = params["state"] == "balanced"
        make_plan = functools.partial(_redis_cluster.plan, places=places, replicas=params["replicas"], even=even)
    credentials = {"user": params["user"], "password": params["password"]}
    connect = functools.partial(RedisLink, **credentials, ca_cert=params["ca_cert"])
    clock = _redis_cluster_apply.Time(time.monotonic, time.sleep)
    cluster = _redis_cluster_apply.Cluster(places, connect, **credentials, timeout=params["timeout"], time=clock)
    try:
        outcome = cluster.converge(make_plan, check=module.check_mode, healthy=params["state"] == "drained")
    except _redis_cluster.RedisClusterError as error:
        module.fail_json(msg=str(error))
    finally:
        cluster.close()
    result: dict[str, Any] = {
        "changed": bool(outcome.steps),
        "steps": outcome.steps,
        "topology": _redis_cluster.topology(outcome.after),
    }
    if module._diff:
        before, after = _redis_cluster.render(outcome.before), _redis_cluster.render(outcome.after)
        result["diff"] = {"before": before, "after": after, "before_header": "actual topology", "after_header": "desired topology"}
    module.exit_json(**result)


def _faults(params: dict[str, Any], places: list[_redis_cluster.Place]) -> list[str]:
    faults = _redis_cluster.input_faults(places, params["replicas"])
    if params["state"] == "drained" and params["host"] not in {place.host for place in places}:
        faults.append(f"host {params['host']} is none of those in nodes")
    faults += [f"{name} is empty" for name in ("user", "password") if not params[name]]
    if not 0 <= params["timeout"] < float("inf"):
        faults.append(f"timeout is {params['timeout']:g}, wanted 0 or more")
    try:
        with open(params["ca_cert"], "rb"):
            pass
    except OSError as error:
        faults.append(f"ca_cert {params['ca_cert']} cannot be read: {error.strerror}")
    return faults


if __name__ == "__main__":
    main()
