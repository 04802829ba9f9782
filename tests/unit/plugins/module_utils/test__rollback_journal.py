# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What rollbacks note on a host."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._rollback_journal import KEPT, JournalError, Notes


def test_a_journal_is_noted_and_finished(tmp_path: Path) -> None:
    notes = Notes("full", str(tmp_path / "arxos"))
    assert notes.journal() == {} and notes.rates() == {} and not notes.finish() and not notes.drop()
    journal = {"began": "2026-11-26T03:15:00Z", "plan": {"to": "1"}, "done": {}}
    assert notes.note(journal) and not notes.note(journal)
    assert notes.journal() == journal and Path(notes.path).stat().st_mode & 0o777 == 0o600
    assert notes.learn({"stop_seconds": 3.0}) and notes.rates() == {"stop_seconds": 3.0}
    assert notes.finish() and notes.journal() == {}
    assert (tmp_path / "arxos/full_rollback.2026-11-26T03:15:00Z.json").exists()
    assert notes.finished() == journal and Notes("application", notes.directory).finished() == {}
    notes.note(journal)
    assert notes.drop() and notes.journal() == {}


def test_only_the_last_are_kept(tmp_path: Path) -> None:
    notes = Notes("full", str(tmp_path))
    Notes("application", str(tmp_path)).note({"began": "2026"})
    for number in range(KEPT + 3):
        notes.note({"began": f"2026-11-26T03:15:{number:02}Z"})
        notes.finish()
    finished = sorted(path.name for path in tmp_path.glob("full_rollback.*"))
    assert notes.finished() == {"began": f"2026-11-26T03:15:{KEPT + 2:02}Z"}
    (tmp_path / finished[-1]).write_text("{")
    assert notes.finished() == {}
    assert len(finished) == KEPT and finished[-1] == f"full_rollback.2026-11-26T03:15:{KEPT + 2:02}Z.json"
    assert Notes("application", str(tmp_path)).journal() == {"began": "2026"}


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    notes = Notes("full", str(tmp_path))
    Path(notes.path).write_text("{")
    with pytest.raises(JournalError, match="is damaged .*: move it away"):
        notes.journal()
