# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that make arguments of awx.awx's modules of compact data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.module_utils import _awx

Entries = Sequence[Mapping[str, Any]]


def awx_objects(
    data: Mapping[str, Any], prefix: str, organization: str, common: Mapping[str, Any], supplied: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything that an AWX is to have of the data: see M(awx_objects)."""
    try:
        templates, workflows = list(data["job_templates"]), list(data["workflows"])
        schedules, teams = list(data["schedules"]), [team["name"] for team in data["teams"]]
        told = _awx.told(data["notifications"], prefix)
        common = {**common, "notification_templates_error": told["error"]}
        return {
            "told": told,
            "faults": _awx.faults(templates, workflows, schedules, teams),
            "job_templates": [_awx.job_template(entry, common, prefix) for entry in templates],
            "nodes": [node for flow in workflows for node in _awx.nodes(flow, prefix, organization)],
            "routes": [route for flow in workflows for route in _awx.routes(flow, prefix, organization)],
            "grants": _awx.executors(templates, workflows, teams, prefix),
            "supplied_type": _awx.supplied_type(supplied),
            "surveys": {flow["name"]: _awx.survey(flow.get("survey") or []) for flow in workflows},
            "titles": {entry["playbook"]: prefix + _awx.title(entry["playbook"]) for entry in templates},
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"awx_objects: the data is not as roles/awx/meta/argument_specs.yml has it: {error!r}") from error


class FilterModule:
    """Filters about AWX."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"awx_objects": awx_objects}
