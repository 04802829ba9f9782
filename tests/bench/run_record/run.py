# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the record of a run costs on the controller: the events of a go-live on bare hosts, 600 tasks on 13 hosts, with every line written to disk."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / ".ansible/collections"))

from ansible_collections.arxos.platform.plugins.module_utils import _run_record  # noqa: E402
from ansible_collections.arxos.platform.plugins.module_utils._run_progress import Run  # noqa: E402
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller  # noqa: E402

TASKS, HOSTS, AIM = 600, [f"host{number}" for number in range(13)], 1.0


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_controller.RUNS] = folder
        began = time.process_time()
        kept = _controller.Folder.of_this_run()
        run = Run(kept.append, every=1e9)
        for number in range(TASKS):
            if number % (TASKS // 8) == 0:
                run.play(f"({number // (TASKS // 8) + 1}/8) Stage | Play")
            run.task(str(number), f"Task {number}")
            for host in HOSTS:
                run.asked(host)
            for host in HOSTS:
                run.result(str(number), f"Task {number}", host, changed=number % 2 == 0)
                run.progress()
        run.end(0, {})
        written = time.process_time() - began
        text = (kept.path / _controller.RECORD).read_text()
        began = time.process_time()
        record = _run_record.parse(text)
        read = time.process_time() - began
    assert len(record.stages) == 8
    print(f"{TASKS} tasks on {len(HOSTS)} hosts: {written:.2f} s of CPU to write {len(text) // 1024} KiB, {read:.3f} s to read them")
    print(f"aim: <= {AIM} s: {'met' if written + read <= AIM else 'NOT MET'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
