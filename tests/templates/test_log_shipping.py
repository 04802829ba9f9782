# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]
ROLE = Path(__file__).resolve().parents[2] / "roles/log_shipping"
COLLECTOR: dict[str, Any] = {
    "log_shipping_collect": True,
    "log_shipping_address": "10.20.6.61",
    "log_shipping_clients": {"app1": "10.20.2.21", "edge1": "10.20.1.11"},
    "log_shipping_archived": [{"facility": "authpriv"}, {"program": "arxos-app", "contains": '"logger": "arxos.audit"'}],
}


def conf(render: Render, **given: Any) -> str:
    return render("log_shipping", "rsyslog.conf.j2", **given)


def test_a_host_hands_every_line_to_each_collector_over_tls_that_is_mutual(render: Render) -> None:
    text = conf(
        render, log_shipping_collectors={"m1": "10.20.6.61", "m2": "10.20.6.62"}, log_shipping_files=[{"name": "x", "path": "/x.log"}]
    )
    actions = re.findall(r'action\(type="omrelp".*?\)\n', text, re.S)
    assert len(actions) == 2
    for name, address, action in (("m1", "10.20.6.61", actions[0]), ("m2", "10.20.6.62", actions[1])):
        assert f'target="{address}"' in action and f'tls.permittedPeer=["{name}"]' in action and f'queue.fileName="to-{name}"' in action
        assert 'tls="on" tls.authMode="name"' in action and 'tls.myCert="/etc/ssl/arxos/host.crt"' in action
        assert 'queue.type="Disk"' in action and 'action.resumeRetryCount="-1"' in action, "it would drop what cannot be handed over"
    assert 'input(type="imfile" file="/x.log" tag="x:"' in text
    assert 'main_queue(queue.type="Direct")' in text, "a queue in memory grows with the journal, and is lost"
    assert "imrelp" not in text and "omfile" not in text


def test_a_collector_lets_in_whom_it_knows_and_files_by_the_connection(render: Render) -> None:
    text = conf(render, **COLLECTOR)
    assert 'tls.permittedPeer=["app1", "edge1"]' in text and 'tls.authMode="name"' in text
    assert 'else if $fromhost-ip == "10.20.2.21" then set $.host = "app1";' in text
    assert "$hostname" not in text and '"hostname"' not in text, "a line may say that it is from anybody"
    assert text.count('securePath="replace"') == 2
    assert text.rstrip().endswith("call collect"), "what it logs itself is collected as well"


def test_what_belongs_into_the_archive_goes_to_the_spool(render: Render) -> None:
    text = conf(render, **COLLECTOR)
    condition = re.search(r"if (\(\$syslogfacility.*?) then", text, re.S)
    assert condition
    assert " ".join(condition[1].split()) == (
        '($syslogfacility-text == "authpriv") or ($programname == "arxos-app" and $msg contains "\\"logger\\": \\"arxos.audit\\"")'
    )
    assert 'dynaFile="spool"' not in conf(render, **{**COLLECTOR, "log_shipping_archived": []})


@pytest.mark.parametrize(("form", "wanted"), [("cef", "CEF:0|Arxos|"), ("json", "$.json")])
def test_a_siem_gets_every_line_in_its_form(render: Render, form: str, wanted: str) -> None:
    text = conf(render, **COLLECTOR, log_shipping_siem={"host": "siem.example.org", "format": form})
    action = text[text.index('name="siem"') :]
    assert wanted in text and 'target="siem.example.org" port="6514"' in action
    assert 'streamDriverAuthMode="x509/name"' in action and 'streamDriverPermittedPeers="siem.example.org"' in action
    assert 'queue.fileName="siem"' in action
    assert 'queue.timeoutEnqueue="0"' in action, "a SIEM that is away would stop what is collected"


def test_a_siem_without_tls_is_only_had_by_saying_so(render: Render) -> None:
    text = conf(render, **COLLECTOR, log_shipping_siem={"host": "10.0.0.9", "tls": False})
    assert "streamDriver" not in text and "gtls" not in text
    assert "siem" not in conf(render, **COLLECTOR)
    assert "siem" not in conf(render, log_shipping_siem={"host": "10.0.0.9"}, log_shipping_collectors={"m1": "10.0.0.1"})


def test_rights_are_those_that_the_part_needs(render: Render) -> None:
    client, collector = (render("log_shipping", "rsyslog.service.j2", **given) for given in ({}, COLLECTOR))
    assert "CapabilityBoundingSet=CAP_DAC_READ_SEARCH\n" in client and "ReadWritePaths=/var/spool/rsyslog\n" in client
    assert "/var/spool/arxos-audit" in collector and "ExecStartPre" in collector and "ExecStartPre" not in client
    assert "d /var/spool/arxos-audit 2770 root arxos-audit -" in render("log_shipping", "tmpfiles.conf.j2")


def test_every_template_is_sent() -> None:
    assert set(re.findall(r"[\w.-]+\.j2", (ROLE / "vars/main.yml").read_text())) == {path.name for path in (ROLE / "templates").iterdir()}
