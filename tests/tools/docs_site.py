# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds the documentation as a site, in .lab/docs/html: the guide of docs/, the table of playbooks of the README with the inputs that their surveys in
AWX ask for, and the reference of every role, module and plugin that antsibull-docs reads from their own documentation. A dead link or a page that no
list names is an error."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / ".lab/docs"
SOURCE = SITE / "source"
HTML = SITE / "html"


def playbooks(readme: str) -> str:
    """The page of playbooks: the README's part of that name, with its links as seen from docs/. Raises ValueError where there is none."""
    part = re.search(r"^## Playbooks\n(.*?)(?=^## )", readme, re.MULTILINE | re.DOTALL)
    if not part:
        raise ValueError("README.md has no part '## Playbooks' with another part behind it.")
    return "# Playbooks\n" + part.group(1).replace("](docs/", "](")


def inputs(templates: Iterable[Mapping[str, Any]]) -> str:
    """What each playbook takes with -e, as the questions of its job template say it, which tests hold to be the playbook's inputs."""
    lines = ["## Inputs", "", "Each is given with `-e`; what has a default may be left out. AWX asks for the same.", ""]
    for template in templates:
        questions = template.get("survey", [])
        if questions:
            lines += [
                f"### {template['playbook']}.yml",
                "",
                f"{template['description']}.",
                "",
                "| input | what | takes | default |",
                "|---|---|---|---|",
            ]
        for question in questions:
            what = ". ".join(str(question[key]) for key in ("question_name", "question_description") if key in question)
            default = f"`{question['default']}`" if "default" in question else "required" if question.get("required") else ""
            lines.append(f"| `{question['variable']}` | {what} | {_takes(question)} | {default} |")
        lines += [""] if questions else []
    return "\n".join(lines)


def _takes(question: Mapping[str, Any]) -> str:
    if "choices" in question:
        return ", ".join(f"`{choice}`" for choice in question["choices"])
    least, most = question.get("min"), question.get("max")
    if question.get("type") == "integer":
        return f"{least} to {most}"
    return f"text of at most {most}" if most else "text"


def page(text: str) -> str:
    """A page of the guide, with links to the README of a role turned to the role's page of the reference, and diagrams left as their text: what draws them
    would come from elsewhere."""
    text = text.replace("```mermaid\n", "```text\n")
    return re.sub(r"\]\(\.\./roles/(\w+)/README\.md(#[\w-]+)?\)", r"](reference/\1_role.rst)", text)


def main() -> int:
    """Write the sources and have Sphinx build them; every warning is an error."""
    shutil.rmtree(SITE, ignore_errors=True)
    (SOURCE / "reference").mkdir(parents=True, mode=0o755)
    for path in (ROOT / "docs").iterdir():
        if path.suffix == ".md":
            (SOURCE / path.name).write_text(page(path.read_text()))
        elif path.suffix in (".svg", ".png", ".py"):
            shutil.copy(path, SOURCE / path.name)
    templates = yaml.safe_load((ROOT / "playbooks/vars/awx/job_templates.yml").read_text())["awx_job_templates"]
    (SOURCE / "playbooks.md").write_text(playbooks((ROOT / "README.md").read_text()) + "\n" + inputs(templates))
    reference = [
        "antsibull-docs",
        "collection",
        "--use-current",
        "--squash-hierarchy",
        "--fail-on-error",
        "--dest-dir",
        str(SOURCE / "reference"),
    ]
    for command in ([*reference, "arxos.platform"], ["sphinx-build", "-q", "-W", "--keep-going", "-b", "html", str(SOURCE), str(HTML)]):
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            return 1
    print(f"{HTML / 'index.html'}: {len(list(HTML.rglob('*.html')))} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
