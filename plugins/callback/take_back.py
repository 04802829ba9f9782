# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a go-live that failed has left on a platform that serves goes back, without anybody having to ask for it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: take_back
type: notification
author: The arxos.platform maintainers (@arxos)
version_added: 0.1.0
short_description: Plays C(take_back.yml) where C(go_live.yml) fails
description:
  - Where C(playbooks/go_live.yml) fails after it took the lock of the platform, C(playbooks/take_back.yml) follows as a run of its own, in the same
    process and with the same inventory and passwords. It decides by itself what fits. Where nobody was served yet that is nothing, and the maintenance
    page stays.
  - It does not follow a run in check mode, one of chosen hosts or tags, or one that was killed; that is said.
  - An inventory with C(arxos_take_back) false does without.
  - The exit code stays that of the run that failed.
  - Ansible has no rescue for a whole playbook; a callback is the one place that hears of its end.
requirements:
  - Enabled by C(callbacks_enabled = arxos.platform.take_back), after C(arxos.platform.run_record), which gives the lock back first.
"""

import os
from pathlib import Path
from typing import Any

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible_collections.arxos.platform.plugins.module_utils import _run_record
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller, _playing

TAKE_BACK = Path(__file__).resolve().parents[2] / "playbooks/take_back.yml"
FAILED = "go_live.yml"


class CallbackModule(CallbackBase):
    """Notes whether a run has taken the platform, and what follows its failure."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "arxos.platform.take_back"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.playbook = ""
        self.locked = False
        self.last_play: Any = None
        self.passwords: dict[str, str | None] = {}

    def set_play_context(self, play_context: Any) -> None:
        """Keeps the passwords of the run for the one that follows."""
        self.passwords = {"conn_pass": play_context.password, "become_pass": play_context.become_pass}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Notes which playbook it is."""
        self.playbook, self.locked = os.path.basename(playbook._file_name), False

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Keeps the play, which knows inventory and variables."""
        self.last_play = play

    def v2_runner_on_ok(self, result: Any) -> None:
        """Notes that the run has the platform."""
        self.locked = self.locked or _controller.HELD in (result.result.get("ansible_facts") or {})

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Takes back what has failed."""
        if self.playbook != FAILED or not self.locked or not (stats.failures or stats.dark):
            return
        why = self._why_not()
        if why:
            self._display.display(
                f"\nNothing is taken back, since {why}: playbooks/take_back.yml does that where it is wanted.", color="bright blue"
            )
            return
        self._display.display("\nThe go-live failed. What fits it follows.", color="bright blue")
        try:
            code = _playing.follow(str(TAKE_BACK), self.last_play, self.passwords)
        except Exception as error:  # whatever it is, the run that failed has its own end
            code, said = 250, f" ({_run_record.first_line(error)})"
        else:
            said = ""
        if code:
            self._display.warning(
                f"What the go-live left was not taken back{said}: see above, and run playbooks/take_back.yml when that is mended."
            )

    def _why_not(self) -> str:
        given = context.CLIARGS
        if given.get("check"):
            return "this run was in check mode"
        if given.get("subset") or given.get("start_at_task") or list(given.get("tags") or ["all"]) != ["all"] or given.get("skip_tags"):
            return "this run was of chosen hosts or tags alone"
        if not self._wanted():
            return "the inventory says so (arxos_take_back)"
        return ""

    def _wanted(self) -> bool:
        manager = self.last_play.get_variable_manager()
        hosts = manager._inventory.get_groups_dict().get("all") or ["localhost"]
        variables = manager.get_vars(play=self.last_play, host=manager._inventory.get_host(hosts[0]))
        said = Templar(loader=self.last_play.get_loader(), variables=variables).template(variables.get("rollback_after_failure", True))
        return bool(boolean(said, strict=False))
