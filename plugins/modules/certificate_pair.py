#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_pair
short_description: Replace a certificate and its private key together
version_added: "0.1.0"
description:
  - Puts C(<name>.crt) and C(<name>.key) into a directory, as links that go through one other link, whose rename replaces both at once.
    No daemon ever finds a new key beside an old certificate, wherever a run is killed.
  - The new pair is written in a folder of its own and judged there. The certificate has to belong to the key, and to the CA where one is given.
  - Plain files of these names are taken over as they are before anything is replaced.
  - The old key is removed.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
notes:
  - A daemon that reads the certificate before the rename and the key after it gets two that do not belong together. It has to notice that itself,
    as all that the platform runs do.
requirements:
  - cryptography on the host
options:
  name:
    description: Name of the files, without their endings.
    type: str
    required: true
  directory:
    description: Directory of the files. It has to exist.
    type: path
    default: /etc/ssl/arxos
  certificate:
    description: The certificate and its chain, PEM, leaf first.
    type: str
    required: true
  private_key:
    description: The private key, PEM. Either this or O(private_key_path).
    type: str
  private_key_path:
    description: File on the host that has the private key. It is removed when the pair is in place.
    type: path
  ca_cert:
    description: File with the CA that the certificate has to come from.
    type: path
  group:
    description: Group of the key's file.
    type: str
    default: root
  mode:
    description: Mode of the key's file.
    type: str
    default: "0600"
"""

EXAMPLES = r"""
- name: Install a certificate for a key that was made on the host
  arxos.platform.certificate_pair:
    name: host
    certificate: "{{ signed.certificate }}"
    private_key_path: /etc/ssl/arxos/host.key.next
    ca_cert: /etc/ssl/arxos/ca.crt
    group: ssl-cert
    mode: "0640"
"""

RETURN = r"""
certificate:
  description: Path of the certificate.
  returned: success
  type: str
  sample: /etc/ssl/arxos/host.crt
"""

import contextlib
import os
import re

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.arxos.platform.plugins.module_utils import _certificate_pair
from ansible_collections.arxos.platform.plugins.module_utils._certificate_pair import Access, Pair, PairError
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    module = StrictModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directory": {"type": "path", "default": _certificate_pair.DIRECTORY},
            "certificate": {"type": "str", "required": True},
            "private_key": {"type": "str", "no_log": True},
            "private_key_path": {"type": "path", "no_log": False},
            "ca_cert": {"type": "path"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0600"},
        },
        mutually_exclusive=[("private_key", "private_key_path")],
        required_one_of=[("private_key", "private_key_path")],
        supports_check_mode=True,
    )
    given = module.params
    faults = []
    if not re.fullmatch(r"[a-z][a-z0-9_]*", given["name"]):
        faults.append(f"name is {given['name']!r}: write lower-case letters, digits and underscores")
    if not re.fullmatch(r"0?[0-7]{3}", given["mode"]) or int(given["mode"], 8) & 0o137:
        faults.append(f"mode is {given['mode']!r}: a key is for its owner, and for its group to read, such as '0600' or '0640'")
    module.refuse(faults)
    if not _certificate_pair.HAS_CRYPTOGRAPHY and not module.check_mode:
        module.fail_json(msg=missing_required_lib("cryptography"))
    pair = Pair(given["name"], given["directory"])
    access = Access(given["group"], int(given["mode"], 8))
    staged = given["private_key_path"]
    try:
        if staged:
            with open(staged, "rb") as stream:
                key = stream.read()
        else:
            key = _lines(given["private_key"])
        certificate = _lines(given["certificate"])
        if module.check_mode:
            changed = pair.differs(certificate, key, access)
        else:
            changed = pair.install(certificate, key, access, given["ca_cert"] or "")
            if staged:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(staged)
    except PairError as error:
        module.fail_json(msg=f"{pair.certificate} and its key were left as they are: {error}")
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}")
    module.exit_json(changed=changed, certificate=str(pair.certificate))


def _lines(text: str) -> bytes:
    """PEM as files have it, with an end of its last line."""
    return f"{text.rstrip()}\n".encode()


if __name__ == "__main__":
    main()
