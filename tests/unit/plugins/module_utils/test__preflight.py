"""Every rule of the preflight, from plain data to the faults that an operator reads."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _preflight, _secrets
from ansible_collections.arxos.platform.plugins.module_utils._preflight import Fault, Host, Pair, Unresolved
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.timezone.utc)
BOOKWORM = {"distribution": "Debian", "distribution_major_version": "12"}
TRIXIE = {"distribution": "Debian", "distribution_major_version": "13"}


def host(*groups: str, **variables: Any) -> Host:
    return Host(groups=["all", *groups], variables=variables)


def tier(group: str, count: int, **rest: Any) -> dict[str, Host]:
    return {f"{group}{number}": dataclasses.replace(host(group, arxos_zone="abc"[number % 3]), **rest) for number in range(1, count + 1)}


def said(faults: list[Fault]) -> list[str]:
    return [f"{fault.subject}: {fault.variable} {fault.problem}" for fault in faults]


# -- the controller


@pytest.mark.parametrize(("text", "numbers"), [("2.19.14", (2, 19, 14)), ("2.21.0rc1", (2, 21, 0)), ("3", (3,)), ("dev", ())])
def test_versions_compare_by_number(text, numbers):
    assert _preflight.version(text) == numbers


def test_a_controller_that_has_everything():
    collections = {"community.crypto": (">=3.0.0", "3.0.5"), "ansible.posix": ("*", "1.0")}
    assert _preflight.controller_faults("3.11.7", "2.19.14", "3.11", "2.19", collections, []) == []


def test_a_controller_that_lacks_everything():
    collections = {"community.crypto": (">=3.0.0", "2.26.1"), "amazon.aws": (">=10.1.0", None)}
    faults = _preflight.controller_faults("3.9.2", "2.9.27", "3.11", "2.19", collections, ["cryptography"])
    assert said(faults) == [
        "controller: python is 3.9.2",
        "controller: ansible-core is 2.9.27",
        "controller: collection amazon.aws is not installed",
        "controller: collection community.crypto is 2.26.1",
        "controller: Python package cryptography cannot be imported",
    ]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("tiers", 5),
        ("tiers", {"minimum": "many"}),
        ("roles", "base"),
        ("roles", [5]),
        ("systems", 12),
        ("formats", ["name"]),
        ("secrets", "passwort"),
        ("secrets", {}),
    ],
)
def test_the_judgements_own_inputs(argument, value):
    [fault] = _preflight.argument_faults({argument: {"x": value}})
    assert (fault.subject, fault.variable) == ("all hosts", f"preflight_{argument}")


def test_good_inputs_of_the_judgement():
    args = {"tiers": {"x": {"minimum": "3", "maximum": None}}, "roles": {"x": ["a"]}, "systems": {"Debian": [12]}, "secrets": {"x": "pem"}}
    assert _preflight.argument_faults(args) == []


# -- hosts and tiers


@pytest.mark.parametrize(
    ("count", "rule", "problem"),
    [
        (0, {"minimum": 1}, "is 0"),
        (2, {"minimum": 3}, "is 2"),
        (2, {"minimum": 3, "majority": True}, "is 2, which lose their majority with the first host that fails"),
        (11, {"minimum": 3, "maximum": 10}, "is 11"),
        (3, {"minimum": "3", "maximum": "10"}, None),
        (10, {"minimum": 3, "maximum": 10}, None),
        (1, {}, None),
        (5, {"minimum": 3, "majority": True}, None),
    ],
)
def test_numbers_of_hosts(count, rule, problem):
    faults, warnings = _preflight.tier_faults(tier("database", count), {"database": rule})
    assert [fault.problem for fault in faults] == ([problem] if problem else [])
    assert warnings == []


def test_an_even_number_that_decides_by_majority_is_a_warning():
    faults, warnings = _preflight.tier_faults(tier("database", 4), {"database": {"minimum": 3, "majority": True}})
    assert faults == []
    assert "no more losses than with 3" in warnings[0]


def test_zones_are_spread():
    crowded = {name: host("database", arxos_zone="a") for name in ("one", "two", "three")}
    faults, _warnings = _preflight.tier_faults(crowded, {"database": {"minimum": 3, "zones": 3}})
    assert said(faults) == ["database: arxos_zone names 1 zone (a)"]
    assert _preflight.tier_faults(tier("database", 3), {"database": {"minimum": 3, "zones": 3}}) == ([], [])


def test_zones_nobody_named():
    nowhere = {name: host("edge") for name in ("one", "two")}
    faults, _warnings = _preflight.tier_faults(nowhere, {"edge": {"zones": 2}})
    assert said(faults) == ["edge: arxos_zone names 0 zones (none)"]


def test_releases_are_not_mixed_where_it_matters():
    hosts = tier("cache", 2, facts=BOOKWORM) | {"cache3": dataclasses.replace(host("cache"), facts=TRIXIE)} | tier("app", 1, facts=TRIXIE)
    rules = {"cache": {"one_release": True}, "app": {"one_release": False}}
    faults, _warnings = _preflight.tier_faults(hosts, rules)
    assert said(faults) == ["cache: operating system is of mixed releases: Debian 12 (cache1, cache2), Debian 13 (cache3)"]


def test_a_host_that_does_not_answer():
    hosts = {
        "down": Host(["all"], unreachable="ssh: connect to host 192.0.2.1 port 22: Connection timed out\nmore"),
        "limited": Host(["all"], unreachable="no", judged=False),
        "nameless": Host(["all"], {"ansible_host": Unresolved("prefix", "'prefix' is undefined")}, unreachable="'prefix' is undefined"),
        "up": Host(["all"]),
    }
    assert said(_preflight.reach_faults(hosts)) == [
        "down: ansible_host leads to no host that can be worked on: ssh: connect to host 192.0.2.1 port 22: Connection timed out"
    ]


def test_operating_systems():
    hosts = {
        "old": Host(["all"], facts={"distribution": "Debian", "distribution_major_version": "11"}),
        "other": Host(["all"], facts={"distribution": "Ubuntu", "distribution_major_version": "24"}),
        "good": Host(["all"], facts=TRIXIE),
        "unknown": Host(["all"]),
    }
    faults = _preflight.system_faults(hosts, {"Debian": [12, 13]})
    assert said(faults) == ["old: operating system is Debian 11", "other: operating system is Ubuntu 24"]
    assert faults[0].remedy == "install Debian 12 or Debian 13"


DF = """Filesystem     1048576-blocks  Used Available Capacity Mounted on
overlay                258020 25959     77940      25% /
/dev/mapper/my vg        1000   100       900      10% /var/lib/postgresql
tmpfs                      64     0        64       0% /dev
none                        0     0         0        - /proc
MemTotal:       24684084 kB
"""


def test_sizes_are_read():
    filesystems, memory = _preflight.parse_resources(DF)
    assert filesystems == {"/": (258020, 77940), "/var/lib/postgresql": (1000, 900), "/dev": (64, 64)}
    assert memory == 24105
    assert _preflight.parse_resources("") == ({}, None)


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/", "/"),
        ("/var/lib/postgresql/15/main", "/var/lib/postgresql"),
        ("/var/lib/postgresql-old", "/"),
        ("/var/lib/postgresql/", "/var/lib/postgresql"),
    ],
)
def test_the_file_system_of_a_path(path, mount):
    assert _preflight.mount_of(path, ["/", "/var/lib/postgresql"]) == mount
    assert _preflight.mount_of(path, []) == ""


def test_disks_and_memory():
    small = Host(
        ["all"],
        {
            "preflight_disks": [{"path": "/", "size_mb": 300000}, {"path": "/var/lib/postgresql", "size_mb": 1000, "free_mb": "901"}],
            "preflight_memory_mb": "32000",
        },
        filesystems=_preflight.parse_resources(DF)[0],
        memory=24105,
    )
    assert said(_preflight.resource_faults({"small": small})) == [
        "small: preflight_disks wants 300000 MiB as size of / (on /), which has 258020",
        "small: preflight_disks wants 901 MiB as free space of /var/lib/postgresql (on /var/lib/postgresql), which has 900",
        "small: preflight_memory_mb wants 32000 MiB of memory, and the host has 24105",
    ]


@pytest.mark.parametrize(
    "disks", ["/", [{"size_mb": 1}], [{"path": 1}], [None], None, [{"path": "/", "size_mb": "much"}], Unresolved("a", "b")]
)
def test_malformed_limits_are_left_to_the_rule_on_inputs(disks):
    odd = Host(["all"], {"preflight_disks": disks, "preflight_memory_mb": "much"}, filesystems={"/": (1, 1)}, memory=1)
    assert _preflight.resource_faults({"odd": odd}) == []


# -- addresses


def test_addresses_are_of_one_host_each():
    hosts = {
        "one": host(arxos_address="192.0.2.1", arxos_virtual_address="192.0.2.3", ansible_host="h1"),
        "two": host(arxos_address="192.0.2.1", ansible_host="h2"),
        "three": host(arxos_address="192.0.2.3", ansible_host="h1"),
        "four": host(),
        "five": dataclasses.replace(host(arxos_address="192.0.2.5"), facts={"all_ipv4_addresses": ["198.51.100.5"]}),
        "six": host(arxos_address="nonsense"),
        "seven": host(arxos_address=Unresolved("x", "'x' is undefined")),
    }
    assert said(_preflight.address_faults(hosts)) == [
        "three: arxos_address is 192.0.2.3, which is also arxos_virtual_address",
        "five: arxos_address is 192.0.2.5, but the host has 198.51.100.5",
        "one, two: arxos_address is 192.0.2.1 on each of them",
        "one, three: ansible_host is h1 for each of them",
    ]


def test_one_way_in_with_two_ports_is_two_hosts():
    hosts = {
        "one": host(arxos_address="192.0.2.1", ansible_host="h", ansible_port=22),
        "two": host(arxos_address="192.0.2.2", ansible_host="h", ansible_port=23),
    }
    assert _preflight.address_faults(hosts) == []


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (
            "address",
            ["192.0.2.1"],
            ["192.0.2.300", "192.0.2.0/24", "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "host", "", 5, ["192.0.2.1"]],
        ),
        ("networks", [["10.0.0.0/8"], ["192.0.2.1/32", "198.51.100.0/24"]], ["10.0.0.0/8", [], ["10.0.0.1/8"], ["any"], [10], None]),
        (
            "domain",
            ["api.example.org"],
            ["api", "API.example.org", "https://api.example.org", "-a.example.org", "a..b", "192.0.2.1", "", None, "a" * 254],
        ),
        ("name", ["a", "us-east-1"], ["", "a b", "A", None, 1, "192.0.2.1"]),
        (
            "https_url",
            ["https://s3.example.org", "https://192.0.2.1:8334/"],
            ["", "http://s3.example.org", "s3.example.org", "https://", None],
        ),
        ("https_url_or_empty", ["", "https://s3.example.org"], ["http://s3.example.org", None]),
        ("text", ["x"], ["", "  ", None, 1]),
    ],
)
def test_forms(form, good, bad):
    fits = _preflight.FORMATS[form].fits
    assert [value for value in good if not fits(value)] == []
    assert [value for value in bad if fits(value)] == []


def test_facts_of_the_platform():
    hosts = {"one": host(arxos_domain="API", arxos_zone="a"), "two": host(arxos_domain=Unresolved("company", "'company' is undefined"))}
    faults = _preflight.format_faults(hosts, {"arxos_domain": "domain", "arxos_zone": "name", "other": "colour"})
    assert said(faults) == [
        "one: arxos_domain is 'API'",
        "two: arxos_zone is not defined",
        "all hosts: preflight_formats names the unknown format colour",
    ]


# -- inputs of roles

SPECS = {
    "nginx": {
        "nginx_name": {"type": "str", "required": True, "description": "Name that clients use, for example C(api.example.org)."},
        "nginx_port": {"type": "int", "description": ["Port to listen on."]},
        "nginx_mode": {"type": "str", "choices": ["detect", "block"], "description": "What the WAF does."},
        "nginx_servers": {
            "type": "list",
            "elements": "dict",
            "options": {"name": {"type": "str", "required": True}, "weight": {"type": "int"}},
        },
        "nginx_headers": {"type": "dict", "description": "Headers."},
        "nginx_on": {"type": "bool", "description": "Whether it runs."},
        "nginx_password": {"type": "str", "no_log": True, "description": "Password."},
        "nginx_users": {"type": "list", "elements": "dict", "options": {"token": {"type": "str", "no_log": True, "choices": ["x"]}}},
    }
}


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("nginx_name", "api.example.org", ""),
        ("nginx_name", "", "is empty"),
        ("nginx_name", None, "is null"),
        ("nginx_name", ["a"], "is ['a'], which is not text"),
        ("nginx_name", {"a": 1}, "is {'a': 1}, which is not text"),
        ("nginx_port", "443", ""),
        ("nginx_port", 443, ""),
        ("nginx_port", None, ""),
        ("nginx_port", "https", "is 'https', which is not a whole number"),
        ("nginx_port", 70000, "is 70000, which is no port from 1 to 65535"),
        ("nginx_mode", "block", ""),
        ("nginx_mode", "blok", "is 'blok', which is none of its choices"),
        ("nginx_servers", [{"name": "a", "weight": 2}], ""),
        ("nginx_servers", "a,b", "is 'a,b', which is not a list"),
        ("nginx_servers", [{"weight": 2}], "is malformed: missing required arguments: name found in nginx_servers"),
        ("nginx_servers", [{"name": "a", "wieght": 2}], "is malformed: nginx_servers.wieght. Supported parameters include: name, weight."),
        ("nginx_headers", {"a": "b"}, ""),
        ("nginx_headers", "a=b", "is 'a=b', which is not a mapping"),
        ("nginx_on", True, ""),
        ("nginx_on", "perhaps", "is 'perhaps', which is not true or false"),
        ("nginx_password", ["geheim42"], "is (hidden), which is not text"),
    ],
)
def test_an_input_of_a_role(option, value, problem):
    assert _preflight.input_problem(option, SPECS["nginx"][option], value) == problem


def test_secrets_within_a_malformed_input_are_hidden():
    said_of = _preflight.input_problem("nginx_users", SPECS["nginx"]["nginx_users"], [{"token": "geheim42"}])
    assert "malformed" in said_of
    assert "geheim42" not in said_of
    assert "geheim42" not in _preflight.input_problem("nginx_mode", SPECS["nginx"]["nginx_mode"], "geheim42", ["geheim42"])


def test_inputs_of_each_host():
    hosts = {
        "edge1": host(
            "edge", nginx_mode=Unresolved("arxos_mode", "'arxos_mode' is undefined"), nginx_on=Unresolved("arxos_mode", ""), nginx_name="a"
        ),
        "edge2": host("edge", nginx_headers=Unresolved("", "Syntax error in template.\nmore")),
        "app1": host("app"),
    }
    faults = _preflight.input_faults(hosts, {"edge1": ["nginx"], "edge2": ["nginx"], "app1": ["unwritten"]}, SPECS)
    assert said(faults) == [
        "edge2: nginx_name is not defined, and role nginx needs it",
        "edge1: arxos_mode is not defined, and nginx_mode, nginx_on need it",
        "edge2: nginx_headers cannot be rendered: Syntax error in template",
    ]
    assert faults[0].remedy == "write text (Name that clients use, for example api.example.org)"


def test_an_undefined_name_is_said_once_however_many_need_it():
    needing = {f"x{number}": Unresolved("vault_redis_password", "") for number in range(5)}
    [fault] = _preflight.input_faults({"one": host(**needing)}, {}, {})
    assert said([fault]) == ["one: vault_redis_password is not defined, and x0, x1, x2 and 2 more need it"]
    assert "generate_secrets.yml" in fault.remedy


def test_names_that_other_rules_tell_are_not_said_twice():
    hosts = {"one": host("edge", nginx_name=Unresolved("arxos_domain", ""))}
    assert _preflight.input_faults(hosts, {"one": ["nginx"]}, SPECS, (), ["arxos_domain"]) == []


def test_one_cause_is_told_once_with_all_that_it_spoils():
    reason = "No filter named 'nofilter'."
    hosts = {"one": host(a=Unresolved("", reason), b=Unresolved("", reason)), "two": host(a=Unresolved("", reason))}
    merged = _preflight.merged(_preflight.input_faults(hosts, {}, {}), {"all": ["one", "two"]})
    assert said(merged) == ["all hosts: a, b cannot be rendered: No filter named 'nofilter'"]


def test_a_variable_outside_roles_that_cannot_be_rendered():
    [fault] = _preflight.input_faults({"one": host(arxos_domain=Unresolved("", "No filter named 'nofilter'."))}, {}, {})
    assert said([fault]) == ["one: arxos_domain cannot be rendered: No filter named 'nofilter'"]


def test_descriptions_become_plain_text():
    text = ["With O(nginx_mode=block), see M(x.y.z)", "and V(\nmore)."]
    assert _preflight.plain_text(text) == "With nginx_mode=block, see x.y.z and more"
    assert _preflight.plain_text(None) == ""


def test_misspelled_inputs_are_warned_about():
    warnings = _preflight.misspelled(["nginx_nmae", "nginx_port", "nginx_other_thing", "redis_nmae"], SPECS, [])
    assert warnings == ["nginx_nmae is read by no role; is nginx_name meant?"]
    assert _preflight.misspelled(["nginx_nmae"], SPECS, ["nginx_nmae"]) == []


# -- secrets

KINDS = {"vault_a_password": "password", "vault_b_password": "password", "vault_ca": "pem"}


def test_good_secrets():
    values = {"vault_a_password": _secrets.make("password"), "vault_b_password": _secrets.make("password"), "vault_ca": "pem"}
    hosts = {"one": host(**values, redis_password=values["vault_a_password"]), "two": host(**values)}
    assert _preflight.secret_faults(hosts, KINDS, (), ["redis_password"]) == []


def test_bad_secrets_are_told_without_their_values():
    same = _secrets.make("password")
    hosts = {
        "one": host(
            vault_a_password=same,
            vault_b_password=same,
            vault_other_password="kurz",
            vault_user="jane",
            vault_users=[{}],
            redis_password="geheim42",
            pem_key="-----BEGIN X",
        )
    }
    faults = _preflight.secret_faults(hosts, KINDS, (), ["redis_password", "pem_key", "absent"])
    assert said(faults) == [
        "one: vault_ca is not defined",
        "one: vault_other_password has 4 characters, fewer than 16",
        "one: vault_b_password is the same as vault_a_password",
        "one: redis_password has 8 characters, fewer than 16",
    ]
    for text in (same, "kurz", "geheim42"):
        assert not any(text in part for fault in faults for part in dataclasses.astuple(fault))


def test_secrets_of_somebody_else_are_not_to_be_generated():
    made, given = _preflight.secret_faults({"one": host(vault_ca="x")}, KINDS, ["vault_b_password"])
    assert "generate_secrets.yml" in made.remedy
    assert "generate" not in given.remedy and "as its issuer gave it" in given.remedy


def test_secrets_that_cannot_be_rendered_are_left_to_the_rule_on_inputs():
    assert _preflight.secret_faults({"one": host(vault_x=Unresolved("y", ""), vault_y=None)}, {}) == [
        Fault(
            "one",
            "vault_y",
            "is not defined",
            "run playbooks/generate_secrets.yml, or write it into vault.yml of this inventory",
        )
    ]


# -- certificates


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(private: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> str:
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode()


def certificate(
    private, issuer=None, names=("api.example.org",), days=90, starts=-1, authority=False, subject="leaf", issued_by="CA"
) -> str:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issued_by))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=starts))
        .not_valid_after(NOW + datetime.timedelta(days=days))
    )
    if names:
        alternatives = [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.sign(issuer or private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


FRONT = Pair("crt", "key", days=1, covers=("domain",))
AUTHORITY = Pair("crt", "key", authority=True, days=30)


def judged(pair: Pair, **variables: Any) -> list[str]:
    return said(_preflight.pair_faults("edge", pair, variables, NOW))


@pytest.mark.parametrize("names", [("api.example.org",), ("www.example.org", "*.example.org"), ("API.example.org",)])
def test_a_pair_that_serves(names):
    mine = key()
    assert judged(FRONT, crt=certificate(mine, names=[name.lower() for name in names]), key=pem(mine), domain="api.example.org") == []


def test_a_pair_with_its_chain():
    mine, issuer = key(), key()
    leaf = certificate(mine, issuer)
    root = certificate(issuer, authority=True, subject="CA")
    assert judged(FRONT, crt=leaf + root, key=pem(mine), domain="api.example.org") == []
    assert judged(FRONT, crt=leaf + certificate(key(), authority=True, subject="CA"), key=pem(mine), domain="api.example.org") == [
        "edge: crt is not followed by the certificate of its issuer"
    ]


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ({"days": -0.5}, "crt expired on 2026-11-22"),
        ({"days": 0.5}, "crt expires on 2026-11-23, in less than 1 days"),
        ({"starts": 2}, "crt is not valid before 2026-11-25 00:00 UTC"),
        ({"names": ["www.example.org"]}, "crt does not cover api.example.org"),
        ({"names": ["*.api.example.org"]}, "crt does not cover api.example.org"),
        ({"names": []}, "crt does not cover api.example.org"),
    ],
)
def test_a_certificate_that_does_not_serve(made, problem):
    mine = key()
    assert judged(FRONT, crt=certificate(mine, **made), key=pem(mine), domain="api.example.org") == [f"edge: {problem}"]


@pytest.mark.parametrize(("days", "warnings"), [(31, 0), (29.5, 1), (1.5, 1), (0.5, 0), (-1, 0)])
def test_a_certificate_that_ends_soon_is_a_warning_where_it_is_no_fault_yet(days, warnings):
    mine = key()
    told = _preflight.pair_warnings("edge", FRONT, {"crt": certificate(mine, days=days), "key": pem(mine)}, 30, NOW)
    assert len(told) == warnings and all("edge: crt expires on 2026-1" in text for text in told)
    assert _preflight.pair_warnings("edge", FRONT, {"crt": "nonsense"}, 30, NOW) == []


def test_all_faults_of_a_pair_at_once():
    crt = certificate(key(), days=-0.5, names=["www.example.org"])
    assert judged(FRONT, crt=crt, key=pem(key()), domain="api.example.org") == [
        "edge: key does not belong to crt",
        "edge: crt expired on 2026-11-22",
        "edge: crt does not cover api.example.org",
    ]


@pytest.mark.parametrize("text", ["", None, "certificate", 5, "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----"])
def test_what_is_no_pem(text):
    assert judged(FRONT, crt=text, key=text) == ["edge: crt is no certificate in PEM form", "edge: key is no private key in PEM form"]


def test_a_key_with_a_passphrase():
    mine = key()
    assert judged(FRONT, crt=certificate(mine), key=pem(mine, b"geheim"), domain="api.example.org") == [
        "edge: key is protected by a passphrase"
    ]


def test_the_platforms_own_authority():
    mine = key()
    assert judged(AUTHORITY, crt=certificate(mine, authority=True, names=()), key=pem(mine)) == []
    assert judged(AUTHORITY, crt=certificate(mine, authority=True, names=(), days=20), key=pem(mine)) == [
        "edge: crt expires on 2026-12-13, in less than 30 days"
    ]
    assert judged(AUTHORITY, crt=certificate(mine), key=pem(mine)) == ["edge: crt is of no certificate authority"]


def test_a_pair_that_cannot_be_rendered_is_left_to_the_rule_on_inputs():
    assert judged(FRONT, crt=Unresolved("x", ""), key="y") == []


# -- artifacts


@pytest.mark.parametrize(
    ("checksum", "actual", "problem"),
    [
        ("a" * 64, "a" * 64, None),
        ("A" * 64, "a" * 64, None),
        ("a" * 64, None, "path is dist/x.tar.gz, where the controller has no readable file"),
        ("b" * 64, "a" * 64, "sum is bbbbbbbbbbbb..., but dist/x.tar.gz has aaaaaaaaaaaa..."),
        ("abc", "a" * 64, "sum is 'abc', which is no sha256"),
        (None, "a" * 64, None),
    ],
)
def test_the_release_artifact(checksum, actual, problem):
    faults = _preflight.artifact_faults("app", "path", "sum", "dist/x.tar.gz", checksum, actual)
    assert said(faults) == ([f"app: {problem}"] if problem else [])
    assert _preflight.artifact_faults("app", "path", "sum", None, checksum, actual) == []


def test_the_checksum_of_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert _preflight.sha256_of_file(str(tmp_path / "x")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert _preflight.sha256_of_file(str(tmp_path / "absent")) is None
    assert _preflight.sha256_of_file(str(tmp_path)) is None


# -- ceilings

CEILING = {"group": "app", "variable": "wanted", "most": "limit", "remedy": "lower it"}


@pytest.mark.parametrize(
    ("wanted", "limit", "problems"),
    [
        (100, 100, []),
        ("99", "100", []),
        (101, 100, ["a: wanted is 101, more than limit, 100"]),
        ("many", 100, ["a: wanted is 'many'"]),
        (1, None, ["a: limit is empty"]),
        (1, Unresolved("max", "'max' is undefined"), ["a: limit needs max, which is not defined"]),
        (Unresolved("", "division by zero"), 1, ["a: wanted cannot be rendered: division by zero"]),
    ],
)
def test_what_one_part_takes_must_be_there(wanted, limit, problems):
    hosts = {"a": host("app", wanted=wanted, limit=limit), "d": host("database", wanted=9, limit=1)}
    assert said(_preflight.ceiling_faults(hosts, [CEILING])) == problems


@pytest.mark.parametrize(
    ("wanted", "problems"),
    [(365, []), (None, []), (366, ["a: wanted is 366, more than 365"]), ("366", ["a: wanted is 366, more than 365"])],
)
def test_a_limit_that_is_a_number(wanted, problems):
    hosts = {"a": Host(["app"], {} if wanted is None else {"wanted": wanted})}
    ceiling = {"group": "app", "variable": "wanted", "limit": 365, "most": None, "remedy": "lower it"}
    assert said(_preflight.ceiling_faults(hosts, [ceiling])) == problems


@pytest.mark.parametrize(
    ("variables", "problems"),
    [
        ({"source": "own"}, []),
        ({"source": "acme", "mail": "a@b.example"}, []),
        ({"source": "acme", "mail": ["x", "a@b.example"]}, []),
        ({"source": "acme"}, ["a: mail is empty, and source is acme"]),
        ({"source": "acme", "mail": "nobody"}, ["a: mail is 'nobody', and source is acme"]),
        ({"source": "acme", "mail": Unresolved("x", "")}, []),
    ],
)
def test_what_a_choice_makes_necessary(variables, problems):
    need = {"group": "app", "variable": "mail", "matches": ".@.", "when": {"source": "acme"}, "remedy": "write it"}
    hosts = {"a": Host(["app"], variables), "b": Host(["edge"], {"source": "acme"})}
    assert said(_preflight.need_faults(hosts, [need])) == problems


# -- saying it

GROUPS = {"all": ["a1", "a2", "b1"], "ungrouped": [], "a": ["a1", "a2"], "b": ["b1"]}


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a1"], "a1"),
        (["b1"], "b1"),
        (["a1", "a2"], "a"),
        (["a1", "a2", "b1"], "all hosts"),
        (["b1", "a2"], "b1, a2"),
        (["controller"], "controller"),
    ],
)
def test_hosts_are_called_as_an_operator_calls_them(names, text):
    assert _preflight.named(names, GROUPS) == text


def test_a_fault_of_many_hosts_is_said_once():
    faults = [Fault(name, "x", "is 1", "write 2") for name in ("a1", "a2", "a1")] + [Fault("b1", "x", "is 3", "write 2")]
    assert said(_preflight.merged(faults, GROUPS)) == ["a: x is 1", "b1: x is 3"]


def test_the_message_has_a_line_each():
    text = _preflight.message([Fault("a1", "x", "is 1", "write 2"), Fault("a2", "y", "is 3", "write 4")])
    assert text.splitlines() == [
        "2 faults were found and no host was touched. Correct all of them, then run the same command again.",
        "  1. a1: x is 1; write 2.",
        "  2. a2: y is 3; write 4.",
    ]
    assert _preflight.message([Fault("a1", "x", "is 1", "write 2")]).startswith("1 fault was found and no host was touched. Correct it,")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("'nope' is undefined", "nope"),
        ("Error while resolving value: 'a_b' is undefined", "a_b"),
        ("object of type 'dict' has no attribute 'x'", ""),
        ("object of type 'HostVarsVars' has no attribute 'arxos_address'", "arxos_address"),
        ("hostvars['zz'] is undefined", ""),
    ],
)
def test_the_undefined_name(text, name):
    assert _preflight.undefined_name(text) == name


def test_values_are_shown_short_and_without_secrets():
    assert _preflight.show("") == "empty"
    assert len(_preflight.show("x" * 500)) == 80
    assert _preflight.show({"a": ["geheim42"]}, ["geheim42"]) == "{'a': ['(hidden)']}"
    assert _preflight.scrubbed("of a b", ["a"]) == "of a b"
    assert _preflight.first_line("\n  one.\ntwo") == "one"
    assert _preflight.first_line("") == "no reason was given"


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ({}, True),
        ("", True),
        ({"host": "siem.example.org"}, True),
        ({"host": "10.0.0.9", "port": 514, "format": "cef", "tls": False}, True),
        ({"host": "siem", "peer": "collector.example.org", "ca_file": "/etc/ssl/siem.crt"}, True),
        ({"port": 514}, False),
        ({"host": "Siem.example.org"}, False),
        ({"host": "siem.example.org", "port": 70000}, False),
        ({"host": "siem.example.org", "port": "x"}, False),
        ({"host": "siem.example.org", "format": "leef"}, False),
        ({"host": "siem.example.org", "fromat": "cef"}, False),
        ({"host": "siem.example.org", "peer": "*"}, False),
        ("siem.example.org:6514", False),
        (["siem.example.org"], False),
    ],
)
def test_a_siem_is_a_host_that_can_be_sent_to_or_none(value: object, fits: bool) -> None:
    assert _preflight.FORMATS["siem"].fits(value) is fits
