# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collects what C(_preflight) judges: variables as templates render them for each host, facts, files of the controller."""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import platform
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as core_version
from ansible.utils.display import Display
from ansible_collections.arxos.platform.plugins.module_utils import _preflight
from ansible_collections.arxos.platform.plugins.plugin_utils import _announcement_delivery

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Where the role's tasks register what they saw of a host.
SEEN = "__preflight_facts"
CONNECTION = ("ansible_host", "ansible_connection", "ansible_port")
LIMITS = ("preflight_disks", "preflight_memory_mb")

display = Display()


class ActionModule(ActionBase):
    """Judges every host of the inventory at once, on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(
            argument_spec={
                "tiers": {"type": "dict", "required": True},
                "roles": {"type": "dict", "required": True},
                "formats": {"type": "dict", "default": {}},
                "secrets": {"type": "dict", "default": {}, "no_log": False},
                "supplied_secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
                "pairs": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "certificate": {"type": "str", "required": True},
                        "private_key": {"type": "str", "required": True, "no_log": False},
                        "authority": {"type": "bool", "default": False},
                        "days": {"type": "int", "default": 0},
                        "warn_days": {"type": "str"},
                        "covers": {"type": "list", "elements": "str", "default": []},
                        "group": {"type": "str", "default": "all"},
                        "when": {"type": "dict", "default": {}},
                    },
                },
                "artifacts": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "group": {"type": "str", "default": "all"},
                        "path": {"type": "str", "required": True},
                        "sha256": {"type": "str", "required": True},
                    },
                },
                "ceilings": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "required_one_of": [("most", "limit")],
                    "mutually_exclusive": [("most", "limit")],
                    "options": {
                        "group": {"type": "str", "default": "all"},
                        "variable": {"type": "str", "required": True},
                        "most": {"type": "str"},
                        "limit": {"type": "int"},
                        "remedy": {"type": "str", "required": True},
                    },
                },
                "needs": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "group": {"type": "str", "default": "all"},
                        "variable": {"type": "str", "required": True},
                        "matches": {"type": "str", "required": True},
                        "when": {"type": "dict", "required": True},
                        "remedy": {"type": "str", "required": True},
                    },
                },
                "systems": {"type": "dict", "required": True},
                "python": {"type": "str", "default": "0"},
                "core": {"type": "str", "default": "0"},
                "packages": {"type": "list", "elements": "str", "default": []},
            }
        )
        faults = self._controller(args)
        unusable = _preflight.argument_faults(args)
        faults += unusable
        warnings: list[str] = []
        if not unusable and not any(fault.variable == "ansible-core" for fault in faults):
            found, warnings = self._platform(args, task_vars or {})
            faults += found
        groups = (task_vars or {}).get("groups", {})
        faults = _preflight.merged(faults, groups)
        if warnings:
            result["warnings"] = warnings
        if faults:
            result.update(failed=True, msg=_preflight.message(faults))
        else:
            result.update(changed=False, msg=f"{len(groups.get('all', ()))} hosts can be worked on.")
        return result

    def _controller(self, args: Mapping[str, Any]) -> list[_preflight.Fault]:
        collections = {name: (wanted, _collection_version(name)) for name, wanted in self._dependencies().items()}
        missing = [name for name in args["packages"] if importlib.util.find_spec(name) is None]
        return _preflight.controller_faults(platform.python_version(), core_version, args["python"], args["core"], collections, missing)

    def _dependencies(self) -> Mapping[str, str]:
        """Collections that this one needs: in a checkout galaxy.yml says so, installed from a tarball MANIFEST.json."""
        manifest, galaxy = os.path.join(COLLECTION, "MANIFEST.json"), os.path.join(COLLECTION, "galaxy.yml")
        if os.path.exists(manifest):
            with open(manifest, encoding="utf-8") as stream:
                return json.load(stream)["collection_info"].get("dependencies") or {}
        if os.path.exists(galaxy):
            return self._loader.load_from_file(galaxy).get("dependencies") or {}
        return {}

    def _platform(self, args: Mapping[str, Any], task_vars: Mapping[str, Any]) -> tuple[list[_preflight.Fault], list[str]]:
        groups = task_vars["groups"]
        roles_of = {name: _roles_of(name, groups, args["roles"]) for name in groups["all"]}
        specs, defaults, faults = self._specs({role for roles in roles_of.values() for role in roles})
        hosts, names = self._hosts(args, task_vars, roles_of, specs, defaults)
        secrets = [option for spec in specs.values() for option, about in spec.items() if about.get("no_log")]
        found, warnings = _preflight.tier_faults(hosts, args["tiers"])
        faults += _preflight.reach_faults(hosts)
        faults += found
        faults += _preflight.system_faults(hosts, args["systems"])
        faults += _preflight.resource_faults(hosts)
        faults += _preflight.address_faults(hosts)
        faults += _preflight.format_faults(hosts, args["formats"])
        faults += _preflight.secret_faults(hosts, args["secrets"], args["supplied_secrets"], secrets)
        told = {*args["formats"], *args["secrets"], *args["supplied_secrets"]}
        faults += _preflight.input_faults(hosts, roles_of, specs, _secret_values(hosts, secrets), told)
        found, expiring = _pairs(hosts, args["pairs"])
        faults += found
        warnings += expiring
        faults += self._artifacts(hosts, args["artifacts"])
        faults += _preflight.ceiling_faults(hosts, args["ceilings"])
        faults += _preflight.vpn_faults(hosts)
        takes = _announcement_delivery.apprise_takes if importlib.util.find_spec("apprise") else None
        faults += _preflight.announcement_faults(hosts, takes)
        faults += _preflight.need_faults(hosts, args["needs"])
        warnings += _preflight.misspelled(names, specs, ())
        return faults, warnings

    def _specs(self, roles: Iterable[str]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], list[_preflight.Fault]]:
        """Options and templated defaults of each role that this collection has."""
        specs: dict[str, dict[str, Any]] = {}
        defaults: dict[str, dict[str, Any]] = {}
        faults = []
        for role in sorted(roles):
            for part, path in (("specs", "meta/argument_specs.yml"), ("defaults", "defaults/main.yml")):
                where = os.path.join(COLLECTION, "roles", role, path)
                if not os.path.exists(where):
                    continue
                try:
                    content = self._loader.load_from_file(where) or {}
                    if part == "specs":
                        specs[role] = dict(content["argument_specs"]["main"].get("options") or {})
                    else:
                        defaults[role] = dict(content)
                except (AnsibleError, KeyError, TypeError, ValueError, AttributeError) as error:
                    faults.append(
                        _preflight.Fault(f"role {role}", path, f"cannot be read: {_preflight.first_line(str(error))}", "correct the file")
                    )
        return specs, defaults, faults

    def _hosts(
        self,
        args: Mapping[str, Any],
        task_vars: Mapping[str, Any],
        roles_of: Mapping[str, list[str]],
        specs: Mapping[str, Mapping[str, Any]],
        defaults: Mapping[str, Mapping[str, Any]],
    ) -> tuple[dict[str, _preflight.Host], set[str]]:
        """What is known of every host, and the names of all variables that the inventory defines."""
        hostvars = task_vars["hostvars"]
        playing = set(task_vars.get("ansible_play_hosts_all") or task_vars["groups"]["all"])
        common = {*CONNECTION, *LIMITS, "arxos_announcements", *args["formats"], *args["secrets"], *args["supplied_secrets"]}
        for each in [*args["pairs"], *args["artifacts"]]:
            common |= {each.get(key) for key in ("certificate", "private_key", "warn_days", "path", "sha256")} - {None}
            common |= {*each.get("covers", ()), *each.get("when", ())}
        common |= {each[key] for each in args["ceilings"] for key in ("variable", "most")} - {None}
        for each in args["needs"]:
            common |= {each["variable"], *each["when"]}
        rendered_for_others = {name: hostvars[name] for name in task_vars["groups"]["all"]}
        hosts = {}
        names: set[str] = set()
        for name in task_vars["groups"]["all"]:
            raw = dict(hostvars.raw_get(name))
            names |= set(raw)
            seen = raw.get(SEEN) or {}
            facts = raw.get("ansible_facts") or {}
            wanted = common | {variable for variable in raw if variable.startswith("vault_")}
            available: dict[str, Any] = {}
            for role in roles_of[name]:
                # A default that is no template was judged when the role was written.
                templated = {option for option, value in defaults.get(role, {}).items() if self._templar.is_template(value)}
                wanted |= set(specs.get(role, {})) & (set(raw) | templated)
                available.update(defaults.get(role, {}))
            available.update(raw)
            available["hostvars"] = rendered_for_others
            hosts[name] = _preflight.Host(
                groups=[group for group, members in task_vars["groups"].items() if name in members],
                variables=self._rendered(wanted, available, set(raw)),
                facts=facts if facts.get("distribution") else None,
                unreachable=_why_unseen(seen, facts) if name in playing else "",
                judged=name in playing,
                filesystems={mount: (sizes[0], sizes[1]) for mount, sizes in seen.get("filesystems", {}).items()},
                memory=seen.get("memory"),
            )
        return hosts, names

    def _rendered(self, wanted: Iterable[str], available: dict[str, Any], given: set[str]) -> dict[str, Any]:
        templar = self._templar.copy_with_new_env(available_variables=available)
        variables: dict[str, Any] = {}
        for variable in sorted(wanted):
            if variable not in available:
                continue
            try:
                value = templar.template(available[variable])
                if type(value).__name__ == "EncryptedString":  # a single value under !vault is no str
                    value = str(value)
            except Exception as error:  # whatever a template of an operator does wrong has to be told, not thrown
                unresolved = _unresolved(error)
                # A default may use what the role loads only on the host, which is no matter of the operator's.
                internal = variable not in given and (unresolved.undefined.startswith("__") or "__" in unresolved.reason)
                if unresolved.reason != "omitted" and not internal:
                    variables[variable] = unresolved
            else:
                variables[variable] = value
        return variables

    def _artifacts(self, hosts: Mapping[str, _preflight.Host], artifacts: Iterable[Mapping[str, Any]]) -> list[_preflight.Fault]:
        faults = []
        sums: dict[str, str | None] = {}
        for artifact in artifacts:
            for name, host in hosts.items():
                path = host.variables.get(artifact["path"])
                if artifact["group"] not in host.groups or not isinstance(path, str):
                    continue
                if path not in sums:
                    sums[path] = _preflight.sha256_of_file(self._loader.path_dwim(os.path.expanduser(path)))
                checksum = host.variables.get(artifact["sha256"])
                faults += _preflight.artifact_faults(name, artifact["path"], artifact["sha256"], path, checksum, sums[path])
        return faults


def _roles_of(host: str, groups: Mapping[str, Iterable[str]], roles: Mapping[str, Iterable[str]]) -> list[str]:
    return sorted({role.rpartition(".")[2] for group, names in roles.items() if host in groups.get(group, ()) for role in names})


def _why_unseen(seen: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    if facts.get("distribution"):
        return ""
    return str(seen.get("reason") or seen.get("msg") or "no reason was given")


def _unresolved(error: BaseException) -> _preflight.Unresolved:
    """Name and reason from the chain of errors that the template engine raises."""
    reasons: list[str] = []
    undefined = ""
    each: BaseException | None = error
    while each is not None:
        text = str(getattr(each, "_original_message", None) or each).strip()
        if type(each).__name__ == "AnsibleValueOmittedError":
            return _preflight.Unresolved("", "omitted")
        if text and text not in reasons and text not in ("Error rendering template.", "Syntax error in template."):
            reasons.append(text)
        found = _preflight.undefined_name(text)
        undefined = found or undefined
        each = each.__cause__
    return _preflight.Unresolved(undefined, " ".join(reasons) or type(error).__name__)


def _collection_version(name: str) -> str | None:
    try:
        spec = importlib.util.find_spec("ansible_collections." + name)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        try:
            with open(os.path.join(folder, "MANIFEST.json"), encoding="utf-8") as stream:
                return str(json.load(stream)["collection_info"]["version"])
        except (OSError, ValueError, KeyError):
            return "0"
    return None


def _secret_values(hosts: Mapping[str, _preflight.Host], options: Iterable[str]) -> set[str]:
    values = set()
    options = set(options)
    for host in hosts.values():
        for name, value in host.variables.items():
            if isinstance(value, str) and (name.startswith("vault_") or name in options):
                values |= {value.strip(), *(line for line in value.splitlines() if not line.startswith("-----"))}
    return values


def _pairs(hosts: Mapping[str, _preflight.Host], pairs: Iterable[Mapping[str, Any]]) -> tuple[list[_preflight.Fault], list[str]]:
    faults = []
    warnings: dict[str, str] = {}
    now = datetime.datetime.now(datetime.timezone.utc)
    for each in pairs:
        pair = _preflight.Pair(each["certificate"], each["private_key"], each["authority"], each["days"], tuple(each["covers"]))
        known: dict[tuple[str, ...], list[_preflight.Fault]] = {}
        for name, host in hosts.items():
            if each["group"] not in host.groups or any(host.variables.get(key) != wanted for key, wanted in each["when"].items()):
                continue
            if each["authority"] and pair.certificate not in host.variables and pair.private_key not in host.variables:
                continue  # secret_faults says so
            key = tuple(str(host.variables.get(variable)) for variable in (pair.certificate, pair.private_key, *pair.covers))
            if key not in known:
                known[key] = _preflight.pair_faults(name, pair, host.variables, now)
                days = host.variables.get(each["warn_days"]) if each["warn_days"] else 0
                for text in _preflight.pair_warnings(name, pair, host.variables, days if isinstance(days, int) else 30, now):
                    warnings.setdefault(text.partition(": ")[2], text)
            faults += [_preflight.Fault(name, fault.variable, fault.problem, fault.remedy) for fault in known[key]]
    return faults, list(warnings.values())
