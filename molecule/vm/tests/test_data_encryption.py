# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An encrypted data volume: what the disk shows, what a change of its key that is killed leaves, what a reboot brings back, and what is refused."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONFIG = str(ROOT / ".lab/vm/ssh_config")
INVENTORY = ROOT / "molecule/vm/inventory"
KEY = "/var/lib/arxos/data_encryption/data.key"
UNIT = "arxos-volume-test.service"

testinfra_hosts = [f"ssh://vm1?ssh_config={CONFIG}&sudo=true&timeout=60"]


def playbook(*words: str) -> subprocess.Popen[str]:
    """A playbook against the VM, in a group of processes of its own."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(INVENTORY), *words],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def rotate(kill_at: str = "") -> str:
    """rotate_disk_keys.yml, killed with all its processes as soon as a task of that name begins; returns what it said."""
    process = playbook("playbooks/rotate_disk_keys.yml")
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if kill_at and line.startswith("TASK ") and f": {kill_at}]" in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    code = process.wait()
    text = "".join(said)
    assert code == (-signal.SIGKILL if kill_at else 0), text[-4000:]
    return text


def keyslots(host: Any) -> set[str]:
    return set(json.loads(host.check_output("cryptsetup luksDump --dump-json-metadata /dev/vdb"))["keyslots"])


def opens(host: Any, key: str = KEY) -> bool:
    return bool(host.run(f"cryptsetup open --test-passphrase --key-file {key} /dev/vdb").rc == 0)


@pytest.fixture(scope="module")
def content(host: Any) -> Iterator[str]:
    """The checksum of 4 MiB that somebody keeps on the volume."""
    yield host.check_output("head -c 4M /dev/urandom >/srv/data/kept && sync && sha256sum </srv/data/kept")
    host.check_output("rm /srv/data/kept")


def test_the_disk_shows_luks2_and_nothing_of_what_is_on_it(host: Any) -> None:
    dump = host.check_output("cryptsetup luksDump /dev/vdb")
    assert "Version:       \t2" in dump and "Label:         \tarxos-data" in dump and "cipher: aes-xts-plain64" in dump
    mark = secrets.token_hex(16)
    host.check_output(f"echo {mark} >/srv/data/mark && sync && grep -q {mark} /srv/data/mark")
    assert host.run(f"grep -q {mark} /dev/vdb").rc == 1
    assert host.run(f"grep -q {mark} /dev/mapper/data").rc == 0
    host.check_output("rm /srv/data/mark")


def test_the_key_is_for_root_alone_and_not_in_the_history_of_etc(host: Any) -> None:
    assert host.file(KEY).mode == 0o600 and host.file(KEY).user == "root" and host.file(KEY).size == 64
    assert host.file(str(Path(KEY).parent)).mode == 0o700
    assert keyslots(host) == {"0", "31"}, "the key, and the recovery passphrase"


def test_a_rotation_that_is_killed_anywhere_loses_nothing_and_the_next_run_finishes_it(host: Any, content: str) -> None:
    before = host.check_output(f"sha256sum <{KEY}")
    host.check_output(f"cp {KEY} /root/stolen.key")
    for task in (
        "Make the next key",
        "Let it open the volume beside the old one",
        "Prove that it does",
        "Have boot read it",
        "Prove that what boot reads opens the volume",
        "Have the volume refuse the old one",
        "Remove the old one",
    ):
        rotate(kill_at=task)
        assert opens(host), f"killed at '{task}', boot has no key that opens the volume"
    rotate()
    try:
        assert host.check_output(f"sha256sum <{KEY}") != before and opens(host)
        assert not opens(host, "/root/stolen.key"), "the old key still opens it"
        assert len(keyslots(host)) == 2 and "31" in keyslots(host)
        assert host.file(str(Path(KEY).parent)).listdir() == ["data.key"]
    finally:
        host.check_output("rm /root/stolen.key")
    assert host.check_output("sha256sum </srv/data/kept") == content


def test_a_schedule_leaves_a_young_key_alone(host: Any) -> None:
    before = host.check_output(f"sha256sum <{KEY}")
    process = playbook("playbooks/rotate_disk_keys.yml", "-e", "rotate=due")
    said = process.communicate()[0]
    assert process.returncode == 0 and "data: keep" in said and "changed=0" in said, said[-4000:]
    assert host.check_output(f"sha256sum <{KEY}") == before


def test_what_is_not_ours_is_refused_before_a_byte_is_written(host: Any) -> None:
    """By a loop device with a file system on it, asked of the same module that the role asks."""
    host.check_output("truncate -s 64M /root/foreign.img && mkfs.ext4 -q -L theirs /root/foreign.img")
    device = host.check_output("losetup --find --show /root/foreign.img")
    try:
        before = host.check_output("sha256sum </root/foreign.img")
        volumes = json.dumps({"data_encryption_volumes": [{"name": "other", "device": device, "mount": "/srv/other"}]})
        process = playbook("playbooks/hosts.yml", "--tags", "data_encryption", "-e", volumes)
        said = process.communicate()[0]
        assert process.returncode != 0 and f"{device} holds ext4 with label theirs" in said, said[-4000:]
        assert host.check_output("sha256sum </root/foreign.img") == before
        assert not host.file("/var/lib/arxos/data_encryption/other.key").exists
    finally:
        host.check_output(f"losetup --detach {device} && rm /root/foreign.img")


def test_a_reboot_opens_it_before_what_needs_it(host: Any, content: str) -> None:
    host.check_output(
        f'printf \'[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/sh -c "sha256sum </srv/data/kept >/run/volume-test"\\n'
        f"[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/{UNIT} && systemctl daemon-reload && systemctl enable -q {UNIT}"
    )
    before = host.check_output("cat /proc/sys/kernel/random/boot_id")
    host.run("systemctl reboot")
    ssh = ["ssh", "-F", CONFIG, "-o", "ConnectTimeout=10", "vm1", "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait"]
    end = time.monotonic() + 900
    while True:
        there = subprocess.run(ssh, capture_output=True, text=True, check=False, timeout=900).stdout.split()
        if there and there[0] != before and len(there) > 1:
            break
        assert time.monotonic() < end, "the host did not come back"
    try:
        assert host.check_output("cat /run/volume-test") == content, "what needs the volume was started before it was there"
        assert host.check_output("findmnt -n -o SOURCE /srv/data") == "/dev/mapper/data"
        assert host.check_output("systemctl --failed --no-legend --plain") == ""
    finally:
        host.check_output(f"systemctl disable -q {UNIT}; rm -f /etc/systemd/system/{UNIT}; systemctl daemon-reload")
