# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with an inventory and its hosts: rules from plain data to faults.

Nothing here reads a file or a host, but for C(sha256_of_file). Every rule takes hosts as a mapping of inventory name to C(Host) and returns
faults; C(merged) says a fault of several hosts once, C(message) writes them all. A value of a secret is never part of a fault.
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.arxos.platform.plugins.module_utils import _announcements, _secrets, _vpn

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
except ImportError:  # controller_faults reports it
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

HIDDEN = "(hidden)"
GENERATE = "run playbooks/generate_secrets.yml, or write {what} into vault.yml of this inventory"


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong.

    subject: host, group or "controller". variable: what to correct, or what was looked at. problem: follows the variable in a
    sentence. remedy: what to write or do instead.
    """

    subject: str
    variable: str
    problem: str
    remedy: str


@dataclass(frozen=True)
class Unresolved:
    """Stands in C(Host.variables) for a value whose template cannot be rendered.

    undefined: the name that is missing, or "" when something else is wrong. reason: what the template engine says.
    """

    undefined: str
    reason: str


@dataclass
class Host:
    """What is known of one host.

    groups: its inventory groups. variables: rendered, only those that are defined. facts: of ansible.builtin.setup, or None.
    unreachable: why no facts came, or "". judged: False for a host that --limit leaves out, of which facts say nothing.
    filesystems: mount point to (size, free) in MiB. memory: MiB or None.
    """

    groups: list[str]
    variables: dict[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] | None = None
    unreachable: str = ""
    judged: bool = True
    filesystems: dict[str, tuple[int, int]] = field(default_factory=dict)
    memory: int | None = None


Hosts = Mapping[str, Host]


# -- the controller ----------------------------------------------------------------------------------------------------


def version(text: str) -> tuple[int, ...]:
    """Leading numbers of a version, so that they compare: C(2.19.14rc1) is (2, 19, 14)."""
    found = re.match(r"\d+(?:\.\d+)*", text.strip())
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def controller_faults(
    python: str,
    core: str,
    minimum_python: str,
    minimum_core: str,
    collections: Mapping[str, tuple[str, str | None]],
    missing_packages: Iterable[str],
) -> list[Fault]:
    """Versions of the controller.

    collections: name to (requirement such as C(>=2.1.0), installed version or None). missing_packages: Python packages that
    cannot be imported.
    """
    faults = []
    if version(python) < version(minimum_python):
        faults.append(Fault("controller", "python", f"is {python}", f"run Ansible with Python {minimum_python} or newer"))
    if version(core) < version(minimum_core):
        faults.append(Fault("controller", "ansible-core", f"is {core}", f"install ansible-core {minimum_core} or newer (requirements.txt)"))
    for name, (requirement, installed) in sorted(collections.items()):
        minimum = requirement.lstrip(">=~ ")
        if installed is None:
            faults.append(
                Fault(
                    "controller",
                    f"collection {name}",
                    "is not installed",
                    "run make setup, or ansible-galaxy collection install -r requirements.yml",
                )
            )
        elif version(minimum) and version(installed) < version(minimum):
            faults.append(Fault("controller", f"collection {name}", f"is {installed}", f"install {minimum} or newer (requirements.yml)"))
    faults += [
        Fault("controller", f"Python package {name}", "cannot be imported", "run make setup, or pip install -r requirements.txt")
        for name in sorted(missing_packages)
    ]
    return faults


def argument_faults(args: Mapping[str, Any]) -> list[Fault]:
    """Shapes of the judgement's own inputs below their first level, without which nothing can be judged."""

    def whole_numbers(rule: object) -> bool:
        numbers = ("minimum", "maximum", "zones")
        return isinstance(rule, Mapping) and all(rule.get(key) is None or _whole(rule[key]) is not None for key in numbers)

    def texts(value: object) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)

    shapes: list[tuple[str, Callable[[object], bool], str]] = [
        ("tiers", whole_numbers, "a mapping such as {minimum: 3, maximum: 10, zones: 3, one_release: true} for each group"),
        ("roles", texts, "a list of roles for each group"),
        ("systems", lambda value: isinstance(value, (list, tuple)), "a list of major versions for each distribution"),
        ("formats", lambda value: isinstance(value, str), f"one of {', '.join(FORMATS)} for each variable"),
        ("secrets", lambda value: value in (*_secrets.KINDS, "pem"), f"one of {', '.join([*_secrets.KINDS, 'pem'])} for each variable"),
    ]
    return [
        Fault("all hosts", f"preflight_{name}", f"has {show(value)} for {key}", f"write {wanted}")
        for name, fits, wanted in shapes
        for key, value in (args.get(name) or {}).items()
        if not fits(value)
    ]


# -- hosts and tiers ---------------------------------------------------------------------------------------------------


def reach_faults(hosts: Hosts) -> list[Fault]:
    """Hosts that gave no facts. One whose connection variables cannot be rendered is said by C(input_faults)."""
    return [
        Fault(
            name,
            "ansible_host",
            f"leads to no host that can be worked on: {first_line(host.unreachable)}",
            "start the host, or correct its address, user, key or sudo rule",
        )
        for name, host in hosts.items()
        if host.judged
        and host.unreachable
        and not any(isinstance(value, Unresolved) for variable, value in host.variables.items() if variable.startswith("ansible_"))
    ]


def tier_faults(hosts: Hosts, tiers: Mapping[str, Mapping[str, Any]]) -> tuple[list[Fault], list[str]]:
    """Number of hosts of each tier, their zones, and releases that must not be mixed. Returns faults and warnings.

    tiers: group to C(minimum), C(maximum), C(majority) (the tier decides by majority, so that 2 are worse than 1 and an even number is
    of no use), C(zones) (distinct C(arxos_zone) at least), C(one_release).
    """
    faults = []
    warnings = []
    for group, rule in tiers.items():
        members = {name: host for name, host in hosts.items() if group in host.groups}
        count = len(members)
        minimum, maximum = int(rule.get("minimum", 0)), rule.get("maximum")
        if count < minimum:
            why = ", which lose their majority with the first host that fails" if rule.get("majority") and count == 2 else ""
            faults.append(Fault(group, "number of hosts", f"is {count}{why}", f"put {minimum} or more hosts into group {group}"))
        elif maximum is not None and count > int(maximum):
            faults.append(Fault(group, "number of hosts", f"is {count}", f"put at most {int(maximum)} hosts into group {group}"))
        elif rule.get("majority") and count and count % 2 == 0:
            warnings.append(f"{group} has {count} hosts: it decides by majority, so that it survives no more losses than with {count - 1}.")
        zones = {str(host.variables["arxos_zone"]) for host in members.values() if _rendered(host, "arxos_zone")}
        wanted = min(int(rule.get("zones", 0)), max(count, minimum))
        if members and len(zones) < wanted:
            stands = f"names {len(zones)} zone{'' if len(zones) == 1 else 's'} ({', '.join(sorted(zones)) or 'none'})"
            faults.append(Fault(group, "arxos_zone", stands, f"spread the hosts of {group} over {wanted} zones"))
        if rule.get("one_release"):
            faults += _mixed(group, members)
    return faults, warnings


def _mixed(group: str, members: Hosts) -> list[Fault]:
    releases: dict[str, list[str]] = {}
    for name, host in members.items():
        if host.facts:
            releases.setdefault(_system(host.facts), []).append(name)
    if len(releases) < 2:
        return []
    stands = ", ".join(f"{release} ({', '.join(names)})" for release, names in sorted(releases.items()))
    return [
        Fault(
            group,
            "operating system",
            f"is of mixed releases: {stands}",
            f"install one Debian release on every host of {group}: they cannot replicate otherwise",
        )
    ]


def _system(facts: Mapping[str, Any]) -> str:
    return f"{facts.get('distribution', 'an unknown system')} {facts.get('distribution_major_version', '')}".strip()


def system_faults(hosts: Hosts, supported: Mapping[str, Iterable[Any]]) -> list[Fault]:
    """Operating systems. supported: distribution to major versions."""
    known = [f"{name} {release}" for name, releases in supported.items() for release in releases]
    return [
        Fault(name, "operating system", f"is {_system(host.facts)}", f"install {' or '.join(known)}")
        for name, host in hosts.items()
        if host.facts and _system(host.facts) not in known
    ]


def resource_faults(hosts: Hosts) -> list[Fault]:
    """Disks and memory against C(preflight_disks) and C(preflight_memory_mb) of each host."""
    faults = []
    for name, host in hosts.items():
        disks = host.variables.get("preflight_disks") if _rendered(host, "preflight_disks") else []
        if not isinstance(disks, list) or not host.filesystems:
            disks = []
        for wanted in disks:
            if not isinstance(wanted, Mapping) or not isinstance(wanted.get("path"), str):
                continue
            mount = mount_of(wanted["path"], host.filesystems)
            size, free = host.filesystems.get(mount, (0, 0))
            where = f"{wanted['path']} (on {mount or 'no known file system'})"
            for what, has, least in (("size", size, wanted.get("size_mb")), ("free space", free, wanted.get("free_mb"))):
                if least is not None and _whole(least) is not None and has < int(least):
                    remedy = "enlarge the file system, or lower preflight_disks where the host is meant to be that small"
                    faults.append(Fault(name, "preflight_disks", f"wants {least} MiB as {what} of {where}, which has {has}", remedy))
        least = host.variables.get("preflight_memory_mb") if _rendered(host, "preflight_memory_mb") else None
        if host.memory is not None and _whole(least) is not None and host.memory < int(least or 0):
            remedy = "give the host more memory, or lower preflight_memory_mb where it is meant to be that small"
            faults.append(Fault(name, "preflight_memory_mb", f"wants {least} MiB of memory, and the host has {host.memory}", remedy))
    return faults


def mount_of(path: str, filesystems: Iterable[str]) -> str:
    """The mount point that C(path) is on, or would be when it is made; "" when none holds it."""
    holding = [mount for mount in filesystems if (path.rstrip("/") + "/").startswith(mount.rstrip("/") + "/")]
    return max(holding, key=len, default="")


def parse_resources(text: str) -> tuple[dict[str, tuple[int, int]], int | None]:
    """Read what C(df -Pm) and the C(MemTotal) line of /proc/meminfo say: file systems as in C(Host), memory in MiB or None."""
    filesystems = {}
    memory = None
    for line in text.splitlines():
        found = re.match(r"\S.*?\s(\d+)\s+\d+\s+(-?\d+)\s+\d+%\s+(/.*)$", line.rstrip())
        if found:
            filesystems[found.group(3)] = (int(found.group(1)), max(0, int(found.group(2))))
        found = re.match(r"MemTotal:\s+(\d+) kB", line)
        if found:
            memory = int(found.group(1)) // 1024
    return filesystems, memory


# -- addresses ---------------------------------------------------------------------------------------------------------


def address_faults(hosts: Hosts, address: str = "arxos_address", virtual: str = "arxos_virtual_address") -> list[Fault]:
    """Addresses of hosts: of this host, of no other, not the virtual one. One machine under two names."""
    faults = []
    owners: dict[str, list[str]] = {}
    ways_in: dict[tuple[str, str, str], list[str]] = {}
    shared = {str(host.variables[virtual]) for host in hosts.values() if _rendered(host, virtual)}
    for name, host in hosts.items():
        way_in = host.variables.get("ansible_host")
        if isinstance(way_in, str) and way_in:
            connection, port = (str(host.variables.get(key, "")) for key in ("ansible_connection", "ansible_port"))
            ways_in.setdefault((way_in, connection, port), []).append(name)
        if not _rendered(host, address):
            continue  # format_faults says so
        value = str(host.variables[address])
        if not is_address(value):
            continue
        owners.setdefault(value, []).append(name)
        if value in shared:
            remedy = f"give {virtual} an address of its own: it moves between the edge hosts"
            faults.append(Fault(name, address, f"is {value}, which is also {virtual}", remedy))
        own = list((host.facts or {}).get("all_ipv4_addresses") or [])
        if own and value not in own:
            faults.append(Fault(name, address, f"is {value}, but the host has {', '.join(own)}", "write the address that the host has"))
    for value, names in owners.items():
        if len(names) > 1:
            faults.append(Fault(", ".join(names), address, f"is {value} on each of them", "give every host an address of its own"))
    for (way_in, _connection, _port), names in ways_in.items():
        if len(names) > 1:
            remedy = "give every inventory name a host of its own, or remove one"
            faults.append(Fault(", ".join(names), "ansible_host", f"is {way_in} for each of them", remedy))
    return faults


def is_address(value: object) -> bool:
    """Whether C(value) is an IPv4 address of one host."""
    try:
        found = ipaddress.IPv4Address(str(value))
    except ValueError:
        return False
    return not (found.is_multicast or found.is_unspecified or found.is_loopback or str(found) == "255.255.255.255")


def _is_networks(value: object) -> bool:
    if not isinstance(value, list) or not value:
        return False
    try:
        return all(isinstance(each, str) and ipaddress.ip_network(each) is not None for each in value)
    except ValueError:
        return False


def is_name(value: object, dots: int = 0) -> bool:
    """Whether C(value) is a host name of lower-case labels with at least C(dots) dots."""
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    text = value if isinstance(value, str) else ""
    return len(text) <= 253 and text.count(".") >= dots and re.fullmatch(rf"{label}(\.{label})*", text) is not None and not is_address(text)


def _is_url(value: object) -> bool:
    found = re.fullmatch(r"https://([a-z0-9.-]+)(:\d{1,5})?/?", value if isinstance(value, str) else "")
    return found is not None and (is_name(found.group(1)) or is_address(found.group(1)))


def _is_siem(value: object) -> bool:
    """Whether C(value) is a target of events, or none."""
    if not isinstance(value, Mapping) or not set(value) <= {"host", "port", "format", "tls", "peer", "ca_file"}:
        return value in ("", None)
    port = _whole(value.get("port", 6514))
    good = is_name(value.get("host")) or is_address(value.get("host"))
    peer = value.get("peer")
    return not value or (
        good and port in range(1, 65536) and value.get("format", "json") in ("json", "cef") and (peer is None or is_name(peer))
    )


@dataclass(frozen=True)
class Format:
    """A form of values: fits judges one, wanted says what to write."""

    fits: Callable[[object], bool]
    wanted: str


FORMATS = {
    "address": Format(is_address, "an IPv4 address, for example 10.20.1.11"),
    "networks": Format(_is_networks, "a list of one or more networks, for example [10.20.0.0/24]"),
    "domain": Format(lambda value: is_name(value, dots=1), "a domain name in lower case, for example api.example.org"),
    "https_url_or_empty": Format(
        lambda value: value == "" or _is_url(value), "an address such as https://s3.example.org, or nothing for Amazon's own"
    ),
    "name": Format(is_name, "a word of lower-case letters, digits and hyphens"),
    "https_url": Format(_is_url, "an address such as https://s3.example.org or https://10.20.5.11:8334"),
    "siem": Format(_is_siem, "nothing, or a mapping such as {host: siem.example.org, port: 6514, format: cef}"),
    "text": Format(lambda value: isinstance(value, str) and bool(value.strip()), "text"),
}


def format_faults(hosts: Hosts, formats: Mapping[str, str]) -> list[Fault]:
    """Facts of the platform that no role owns. formats: variable to a key of C(FORMATS); each is required of every host."""
    faults = []
    for variable, form in formats.items():
        if form not in FORMATS:
            faults.append(Fault("all hosts", "preflight_formats", f"names the unknown format {form}", f"write one of {', '.join(FORMATS)}"))
            continue
        for name, host in hosts.items():
            if variable not in host.variables:
                faults.append(Fault(name, variable, "is not defined", f"write {FORMATS[form].wanted}"))
            elif _rendered(host, variable) and not FORMATS[form].fits(host.variables[variable]):
                faults.append(Fault(name, variable, f"is {show(host.variables[variable])}", f"write {FORMATS[form].wanted}"))
    return faults


def vpn_faults(hosts: Hosts) -> list[Fault]:
    """Keys, addresses and the network of a VPN, of hosts that have one."""
    return [
        Fault(name, *fault)
        for name, host in hosts.items()
        if all(_rendered(host, variable) for variable in ("vpn_network", "vpn_peers", "vpn_other_networks"))
        for fault in _vpn.faults(*(host.variables[variable] for variable in ("vpn_network", "vpn_peers", "vpn_other_networks")))
    ]


def announcement_faults(hosts: Hosts, takes: Callable[[str], bool] | None = None) -> list[Fault]:
    """Channels and audiences of announcements. takes: whether an address is one that apprise can use, where it is installed."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    faults = []
    for name, host in hosts.items():
        if not _rendered(host, "arxos_announcements"):
            continue  # input_faults says so
        data = host.variables["arxos_announcements"]
        key = repr(data)
        if key not in found:
            found[key] = _announcements.faults(data, takes)
        faults += [Fault(name, *fault) for fault in found[key]]
    return faults


# -- inputs of roles ---------------------------------------------------------------------------------------------------


def plain_text(description: object) -> str:
    """A description of an option as plain text on one line: without the markup of Ansible's documentation."""
    text = " ".join(str(part) for part in description) if isinstance(description, list) else str(description or "")
    text = re.sub(r"\b[A-Z]\(([^()]*)\)", lambda found: found.group(1).split(",")[0].strip(), text)
    return re.sub(r"\s+", " ", text).strip().rstrip(".")


TYPES = {
    "str": "text",
    "list": "a list",
    "dict": "a mapping",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "path": "a path",
}


def input_faults(
    hosts: Hosts,
    roles_of: Mapping[str, Iterable[str]],
    specs: Mapping[str, Mapping[str, Any]],
    secret_values: Iterable[str] = (),
    told: Iterable[str] = (),
) -> list[Fault]:
    """Inputs of roles against their argument specs.

    roles_of: host to the roles that it gets. specs: role to the options of its main entry point. secret_values: texts not to be shown.
    told: names whose absence other rules tell.
    A name that is undefined inside other values is one fault, which names those values.
    """
    faults = []
    hidden = [value for value in secret_values if value]
    told = set(told)
    undefined: dict[str, dict[str, list[str]]] = {}
    broken: dict[str, dict[str, list[str]]] = {}
    known: dict[str, Mapping[str, Any]] = {}
    for name, host in hosts.items():
        options = {option: (role, spec) for role in roles_of.get(name, ()) for option, spec in specs.get(role, {}).items()}
        for option, (role, spec) in options.items():
            known[option] = spec
            if option not in host.variables:
                if spec.get("required"):
                    faults.append(Fault(name, option, f"is not defined, and role {role} needs it", _write(option, spec)))
            elif not isinstance(host.variables[option], Unresolved):
                problem = input_problem(option, spec, host.variables[option], hidden)
                if problem:
                    faults.append(Fault(name, option, problem, _write(option, spec)))
        for variable, value in host.variables.items():
            if not isinstance(value, Unresolved):
                continue
            missing = value.undefined
            if not missing or missing == variable:
                reason = scrubbed(first_line(value.reason), hidden)
                broken.setdefault(reason, {}).setdefault(variable, []).append(name)
            elif missing not in told and not (missing in options and missing not in host.variables and options[missing][1].get("required")):
                undefined.setdefault(missing, {}).setdefault(variable, []).append(name)
    # One cause is told once, with everything that it spoils.
    for missing, users in undefined.items():
        names = sorted(users)
        problem = f"is not defined, and {_some(names)} need{'s' if len(names) == 1 else ''} it"
        faults += [Fault(name, missing, problem, _write(missing, known.get(missing))) for name in _each(users)]
    for reason, users in broken.items():
        names = sorted(users)
        remedy = _write(names[0], known.get(names[0])) if len(names) == 1 and names[0] in known else "correct the template, or what it uses"
        faults += [Fault(name, _some(names), f"cannot be rendered: {reason}", remedy) for name in _each(users)]
    return faults


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _each(users: Mapping[str, list[str]]) -> list[str]:
    return list(dict.fromkeys(name for names in users.values() for name in names))


def _write(variable: str, spec: Mapping[str, Any] | None) -> str:
    if variable.startswith("vault_"):
        return GENERATE.format(what="it")
    if spec is None:
        return "define it in group_vars or host_vars of this inventory, or correct the name where it is used"
    kind = TYPES.get(str(spec.get("type", "str")), str(spec.get("type")))
    choices = spec.get("choices")
    what = "one of " + ", ".join(str(choice) for choice in choices) if choices else kind
    meaning = plain_text(spec.get("description"))
    return f"write {what}" + (f" ({meaning})" if meaning else "")


def input_problem(option: str, spec: Mapping[str, Any], value: object, hidden: Iterable[str] = ()) -> str:
    """What is wrong with the value of one option, as the end of a sentence that begins with its name; "" when nothing is."""
    kind = str(spec.get("type", "str"))
    secret = bool(spec.get("no_log"))
    shown = HIDDEN if secret else show(value, hidden)
    if value is None:
        return "is null" if spec.get("required") else ""
    # The validator takes what it can turn into the wanted type; a role gets the value as it stands, so text is no list to it.
    wrong = (
        (kind == "list" and not isinstance(value, (list, tuple)))
        or (kind == "dict" and not isinstance(value, Mapping))
        or (kind in ("str", "path") and isinstance(value, (list, tuple, Mapping)))
    )
    if wrong:
        return f"is {shown}, which is not {TYPES[kind]}"
    result = ArgumentSpecValidator({option: {**spec, "required": False}}).validate({option: value})
    own_secrets = [str(each) for each in getattr(result, "_no_log_values", ()) if each]
    problems = []
    for problem in result.error_messages:
        nested = "found in" in problem
        if not nested and "unable to convert" in problem:
            problems.append(f"is {shown}, which is not {TYPES.get(kind, kind)}")
        elif not nested and problem.startswith("value of"):
            problems.append(f"is {shown}, which is none of its choices")
        elif secret:
            problems.append("has not the form that its role wants")
        else:
            problems.append("is malformed: " + scrubbed(re.sub(r"<class '([a-zA-Z_.]+)'>", r"\1", problem), [*hidden, *own_secrets]))
    if not problems and re.search(r"_ports?$", option) and kind in ("int", "list"):
        for port in value if isinstance(value, (list, tuple)) else [value]:
            number = _whole(port)
            if number is not None and not 1 <= number <= 65535:
                problems.append(f"is {shown}, which is no port from 1 to 65535")
                break
    if not problems and spec.get("required") and isinstance(value, str) and not value.strip():
        problems.append("is empty")
    return "; ".join(dict.fromkeys(problems))


def misspelled(variables: Iterable[str], specs: Mapping[str, Mapping[str, Any]], known: Iterable[str]) -> list[str]:
    """Warnings about variables that begin like the inputs of a role, are none, and are nearly one. known: names that others read."""
    options = sorted({option for spec in specs.values() for option in spec})
    prefixes = tuple(f"{role}_" for role in specs)
    taken = {*options, *known}
    warnings = []
    for variable in sorted(set(variables)):
        if variable in taken or not variable.startswith(prefixes):
            continue
        near = difflib.get_close_matches(variable, options, n=1, cutoff=0.85)
        if near:
            warnings.append(f"{variable} is read by no role; is {near[0]} meant?")
    return warnings


# -- secrets, certificates, artifacts ----------------------------------------------------------------------------------


def secret_faults(hosts: Hosts, kinds: Mapping[str, str], supplied: Iterable[str] = (), inputs: Iterable[str] = ()) -> list[Fault]:
    """Secrets that are missing, weak or repeated.

    kinds: every secret of the platform to a key of C(_secrets.KINDS), or to C(pem) for those that C(pair_faults) judges. supplied: those
    of kinds that somebody else issues, so that they cannot be generated. inputs: inputs of roles that are secrets, judged where an
    inventory gives them a value of its own.
    """
    faults = []
    supplied = list(supplied)
    wanted = {variable: _secrets.kind_of(variable, dict(kinds)) for variable in dict.fromkeys([*kinds, *supplied])}
    values: dict[str, dict[str, list[str]]] = {}
    for name, host in hosts.items():
        others = {each: _secrets.kind_of(each) for each in host.variables if each.startswith("vault_") and each not in wanted}
        for variable, kind in {**wanted, **others}.items():
            value = host.variables.get(variable)
            if isinstance(value, Unresolved):
                continue  # input_faults says so
            good = _secrets.KINDS[kind].wanted if kind in _secrets.KINDS else "it in PEM form" if kind == "pem" else "it"
            if value is None:
                as_issued = f"write {good}, as its issuer gave it, into vault.yml of this inventory"
                faults.append(Fault(name, variable, "is not defined", as_issued if variable in supplied else GENERATE.format(what=good)))
                continue
            if isinstance(value, str) and value.strip():
                values.setdefault(value.strip(), {}).setdefault(variable, []).append(name)
            weakness = None if kind == "pem" or (variable in others and not isinstance(value, str)) else _secrets.weakness(value, kind)
            if weakness:
                faults.append(Fault(name, variable, weakness, f"write {good}"))
    for names in values.values():
        if len(names) > 1:
            first, *same = sorted(names)
            subjects = next(iter(names.values()))
            for variable in same:
                faults += [Fault(name, variable, f"is the same as {first}", "give every secret a value of its own") for name in subjects]
    vaulted = set(values)
    for name, host in hosts.items():
        for variable in inputs:
            value = host.variables.get(variable)
            if not isinstance(value, str) or not value.strip() or value.strip() in vaulted or "-----BEGIN" in value:
                continue
            # What a role derives from a secret has a form of its own: only length and placeholders are judged.
            weakness = _secrets.weakness(value, "password")
            if weakness:
                faults.append(Fault(name, variable, weakness, f"write {_secrets.KINDS['password'].wanted}, from vault.yml"))
    return faults


@dataclass(frozen=True)
class Pair:
    """Names of the variables that hold a certificate and its key, and what they must fulfil.

    authority: it signs others. days: that it must still be valid. covers: variables with names that the certificate must cover.
    """

    certificate: str
    private_key: str
    authority: bool = False
    days: int = 0
    covers: tuple[str, ...] = ()


def pair_faults(subject: str, pair: Pair, variables: Mapping[str, Any], now: datetime.datetime) -> list[Fault]:
    """A certificate and its private key, both PEM. variables: where the names of C(pair) are found. now: aware time."""
    certificate, key = variables.get(pair.certificate), variables.get(pair.private_key)
    if not HAS_CRYPTOGRAPHY or isinstance(certificate, Unresolved) or isinstance(key, Unresolved):
        return []  # controller_faults and input_faults say so

    def fault(variable: str, problem: str, remedy: str) -> Fault:
        return Fault(subject, variable, problem, remedy)

    renew = (
        GENERATE.format(what="a new pair")
        if pair.authority
        else "write the certificate that its issuer renewed, PEM, leaf first and then its chain"
    )
    faults = []
    chain: list[Any] = []
    try:
        chain = x509.load_pem_x509_certificates(_pem(certificate))
        leaf = chain[0]
    except (ValueError, IndexError):
        faults.append(
            fault(
                pair.certificate,
                "is no certificate in PEM form",
                "write the lines from BEGIN CERTIFICATE to END CERTIFICATE, as a block scalar (|)",
            )
        )
    try:
        private = serialization.load_pem_private_key(_pem(key), password=None)
    except TypeError:
        private = None
        faults.append(fault(pair.private_key, "is protected by a passphrase", "write the key without one: vault.yml protects it"))
    except Exception:  # cryptography raises several of its own for keys that it cannot read or does not support
        private = None
        faults.append(
            fault(
                pair.private_key,
                "is no private key in PEM form",
                "write the lines from BEGIN PRIVATE KEY to END PRIVATE KEY, as a block scalar (|)",
            )
        )
    if not chain:
        return faults
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private is not None and private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        faults.append(
            fault(pair.private_key, f"does not belong to {pair.certificate}", "write the key that the certificate was requested with")
        )
    starts, ends = _validity(leaf)
    if ends <= now:
        faults.append(fault(pair.certificate, f"expired on {ends:%Y-%m-%d}", renew))
    elif ends - now < datetime.timedelta(days=pair.days):
        faults.append(fault(pair.certificate, f"expires on {ends:%Y-%m-%d}, in less than {pair.days} days", renew))
    if starts > now:
        faults.append(
            fault(
                pair.certificate,
                f"is not valid before {starts:%Y-%m-%d %H:%M} UTC",
                "write one that is valid now, or correct the controller's clock",
            )
        )
    if pair.authority and not _is_authority(leaf):
        faults.append(fault(pair.certificate, "is of no certificate authority", renew))
    uncovered = [str(variables[name]) for name in pair.covers if isinstance(variables.get(name), str) and not covers(leaf, variables[name])]
    if uncovered:
        faults.append(
            fault(
                pair.certificate,
                f"does not cover {', '.join(uncovered)}",
                "write a certificate whose subject alternative names hold it, or correct the domain",
            )
        )
    for issued, issuer in zip(chain, chain[1:]):
        try:
            issued.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            faults.append(
                fault(
                    pair.certificate, "is not followed by the certificate of its issuer", "write the leaf first, then each issuer in order"
                )
            )
            break
    return faults


def pair_warnings(subject: str, pair: Pair, variables: Mapping[str, Any], days: int, now: datetime.datetime) -> list[str]:
    """What is no fault yet: a certificate that serves, and ends within C(days)."""
    try:
        ends = _validity(x509.load_pem_x509_certificates(_pem(variables.get(pair.certificate)))[0])[1] if HAS_CRYPTOGRAPHY else now
    except (ValueError, IndexError):
        return []  # pair_faults says so
    left = ends - now
    if datetime.timedelta(days=pair.days) <= left < datetime.timedelta(days=days) and left > datetime.timedelta():
        return [f"{subject}: {pair.certificate} expires on {ends:%Y-%m-%d}, in {left.days} days: have its issuer renew it now."]
    return []


def _pem(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else b""


def _validity(certificate: Any) -> tuple[datetime.datetime, datetime.datetime]:
    # The aware ones came with cryptography 42; older ones are naive UTC.
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    utc = datetime.timezone.utc
    return certificate.not_valid_before.replace(tzinfo=utc), certificate.not_valid_after.replace(tzinfo=utc)


def _is_authority(certificate: Any) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def covers(certificate: Any, name: str) -> bool:
    """Whether a certificate's alternative names hold C(name); a wildcard stands for one label."""
    try:
        carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    for each in carried:
        text = str(each.value).lower()
        if text == name.lower() or (text.startswith("*.") and name.lower().partition(".")[2] == text[2:]):
            return True
    return False


def artifact_faults(subject: str, path_variable: str, sum_variable: str, path: object, checksum: object, actual: str | None) -> list[Fault]:
    """A release artifact on the controller. actual: its sha256, or None when there is no such file."""
    if not isinstance(path, str) or not path:
        return []  # input_faults says so
    if actual is None:
        return [
            Fault(
                subject,
                path_variable,
                f"is {path}, where the controller has no readable file",
                "build the release (make release), or write the path of the one to install",
            )
        ]
    if checksum is None or isinstance(checksum, Unresolved):
        return []
    if not isinstance(checksum, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", checksum):
        return [
            Fault(
                subject,
                sum_variable,
                f"is {show(checksum)}, which is no sha256",
                "write the 64 hexadecimal digits of the .sha256 file beside the artifact",
            )
        ]
    if checksum.lower() != actual:
        problem = f"is {checksum.lower()[:12]}..., but {path} has {actual[:12]}..."
        return [Fault(subject, sum_variable, problem, "fetch the artifact again, or write the checksum that its builder published")]
    return []


def ceiling_faults(hosts: Hosts, ceilings: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Numbers that one part takes against what another has to give.

    ceilings: C(variable) with the number, C(most) with its limit, both names of variables; C(group) whose hosts have them; C(remedy). With
    C(limit), a number, in place of C(most), a variable that the inventory does not set is left to its default.
    What is no number or cannot be rendered is left to C(input_faults) of the role that reads it, unless it is one of these two.
    """
    faults = []
    for ceiling in ceilings:
        for name, host in hosts.items():
            if ceiling["group"] not in host.groups:
                continue
            limit = ceiling.get("limit")
            if limit is not None:
                value = _whole(host.variables.get(ceiling["variable"]))
                if value is not None and value > limit:
                    faults.append(Fault(name, ceiling["variable"], f"is {value}, more than {limit}", ceiling["remedy"]))
                continue
            numbers = []
            for variable in (ceiling["variable"], ceiling["most"]):
                value = host.variables.get(variable)
                if isinstance(value, Unresolved):
                    problem = f"needs {value.undefined}, which is not defined" if value.undefined else f"cannot be rendered: {value.reason}"
                    faults.append(Fault(name, variable, problem, ceiling["remedy"]))
                elif _whole(value) is None:
                    faults.append(Fault(name, variable, f"is {show(value)}", "write a whole number"))
                else:
                    numbers.append(int(str(value)))
            if len(numbers) == 2 and numbers[0] > numbers[1]:
                faults.append(
                    Fault(name, ceiling["variable"], f"is {numbers[0]}, more than {ceiling['most']}, {numbers[1]}", ceiling["remedy"])
                )
    return faults


def need_faults(hosts: Hosts, needs: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Inputs that a choice makes necessary.

    needs: C(variable), C(matches), a regular expression that its value, or one of a list, has to match; C(group) whose
    hosts need it, C(when) with the variables and values that are the choice, and C(remedy).
    """
    faults = []
    for need in needs:
        for name, host in hosts.items():
            if need["group"] not in host.groups or any(host.variables.get(key) != wanted for key, wanted in need["when"].items()):
                continue
            value = host.variables.get(need["variable"], "")
            if isinstance(value, Unresolved):
                continue  # input_faults says so
            if not any(re.search(need["matches"], str(each)) for each in (value if isinstance(value, (list, tuple)) else [value])):
                choice = " and ".join(f"{key} is {wanted}" for key, wanted in need["when"].items())
                faults.append(Fault(name, need["variable"], f"is {show(value)}, and {choice}", need["remedy"]))
    return faults


def sha256_of_file(path: str) -> str | None:
    """The sha256 of a file, or None when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


# -- saying it ---------------------------------------------------------------------------------------------------------


def _rendered(host: Host, variable: str) -> bool:
    return host.variables.get(variable) is not None and not isinstance(host.variables[variable], Unresolved)


def _whole(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def undefined_name(text: str) -> str:
    """The variable that a message of the template engine calls undefined, or ""."""
    found = re.search(r"'([A-Za-z_]\w*)' is undefined|'HostVarsVars' has no attribute '(\w+)'", text)
    return (found.group(1) or found.group(2)) if found else ""


def first_line(text: str) -> str:
    """The first line that says something, at most 200 characters."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return (lines[0] if lines else "no reason was given")[:200].rstrip(".")


def scrubbed(text: str, hidden: Iterable[str]) -> str:
    """C(text) without any of the texts in C(hidden)."""
    for value in sorted(set(hidden), key=len, reverse=True):
        for form in (value, value.strip()):
            if len(form) >= 4:
                text = text.replace(form, HIDDEN)
    return text


def show(value: object, hidden: Iterable[str] = ()) -> str:
    """A value for a message: short, on one line, and without what C(hidden) holds."""
    text = scrubbed("empty" if value in ("", None) else repr(_plain(value)), hidden)
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return str(value)
    return value


def merged(faults: Iterable[Fault], groups: Mapping[str, Iterable[str]]) -> list[Fault]:
    """Faults without repeats; one that several hosts have in common is said once, of their group where it is the whole of it."""
    subjects: dict[tuple[str, str, str], list[str]] = {}
    for fault in faults:
        found = subjects.setdefault((fault.variable, fault.problem, fault.remedy), [])
        if fault.subject not in found:
            found.append(fault.subject)
    return [Fault(named(names, groups), *rest) for rest, names in subjects.items()]


def named(names: list[str], groups: Mapping[str, Iterable[str]]) -> str:
    """Hosts as an operator would call them: C(all hosts), names of groups, and hosts."""
    left = set(names)
    if len(left) == 1:
        return names[0]
    everyone = set(groups.get("all", ()))
    if everyone and everyone <= left:
        return "all hosts"
    said = []
    for group, members in sorted(groups.items(), key=lambda item: (-len(set(item[1])), item[0])):
        if group not in ("all", "ungrouped") and len(set(members)) > 1 and set(members) <= left:
            said.append(group)
            left -= set(members)
    return ", ".join([*said, *(name for name in names if name in left)])


def message(faults: list[Fault]) -> str:
    """All faults in one text, a line each."""
    count = "1 fault was" if len(faults) == 1 else f"{len(faults)} faults were"
    them = "it" if len(faults) == 1 else "all of them"
    lines = [f"{count} found and no host was touched. Correct {them}, then run the same command again."]
    lines += [f"{number:>3}. {fault.subject}: {fault.variable} {fault.problem}; {fault.remedy}." for number, fault in enumerate(faults, 1)]
    return "\n".join(lines)
