# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the inputs table of each role's README from its argument_specs and defaults; --check only compares.

The table goes between `<!-- inputs -->` and `<!-- /inputs -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PLACE = re.compile(r"(<!-- inputs -->\n).*?(<!-- /inputs -->)", re.DOTALL)


def text(value: Any) -> str:
    """A description of argument_specs in one line of a table."""
    joined = " ".join(value) if isinstance(value, list) else str(value or "")
    joined = re.sub(r"[CVOEBI]\(([^)]*)\)", r"`\1`", joined)
    return " ".join(joined.split()).replace("|", r"\|")


def shown(value: Any) -> str:
    """A default as it would stand in YAML, shortened where it is long."""
    flat = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).removesuffix("...\n").strip()
    if len(flat) > 60:
        flat = "see defaults/main.yml"
        return f"_{flat}_"
    return f"`{flat}`".replace("|", r"\|")


def rows(options: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> list[str]:
    """Table rows of options; those of dictionaries and lists of them follow, indented by their path."""
    lines = []
    for name, option in options.items():
        kind = option.get("type", "str")
        if option.get("elements"):
            kind = f"{kind} of {option['elements']}"
        if option.get("required"):
            default = "**required**"
        elif name in defaults:
            default = shown(defaults[name])
        else:
            default = shown(option["default"]) if "default" in option else ""
        description = text(option.get("description"))
        if option.get("choices"):
            description += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
        lines.append(f"| `{prefix}{name}` | {kind} | {default} | {description} |")
        if option.get("options"):
            lines += rows(option["options"], {}, f"{prefix}{name}{'[]' if option.get('elements') else ''}.")
    return lines


def table(role: Path) -> str:
    """The inputs table of a role."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    defaults_file = role / "defaults/main.yml"
    defaults = (yaml.safe_load(defaults_file.read_text()) or {}) if defaults_file.is_file() else {}
    parts = []
    for entry, spec in specs.items():
        if entry != "main":
            parts.append(f"Entry point `{entry}`: {text(spec.get('short_description'))}")
        lines = rows(spec.get("options") or {}, defaults)
        head = ["| input | type | default | what it is |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *lines]) if lines else "No inputs.")
    return "\n\n".join(parts)


def main() -> int:
    """Write, or with --check compare, every role's README."""
    check = "--check" in sys.argv[1:]
    faults = []
    for role in sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir()):
        readme = role / "README.md"
        if not readme.is_file() or not PLACE.search(readme.read_text()):
            faults.append(f"roles/{role.name}/README.md has no <!-- inputs --> place")
            continue
        old = readme.read_text()
        body = table(role)
        new = PLACE.sub(lambda match, body=body: f"{match[1]}\n{body}\n\n{match[2]}", old)
        if new == old:
            continue
        if check:
            faults.append(f"roles/{role.name}/README.md is not what its argument_specs say: make docs")
        else:
            readme.write_text(new)
            print(f"wrote roles/{role.name}/README.md")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
