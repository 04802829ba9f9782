# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes `ansible_collections.arxos.platform` importable from the checkout, beside the collections of the package `ansible`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".ansible/collections"))

# What tests start (ansible-playbook, say) reads the checkout's settings wherever pytest was called.
os.environ.setdefault("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))
