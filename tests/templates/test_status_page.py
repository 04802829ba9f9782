# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status page: what it says in each state, what a strict policy lets through, and whether it can be read."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

Render = Callable[..., str]

STATES = ["operational", "planned", "in_progress", "incident", "done"]
VOID = {"meta", "link", "img", "circle", "path"}
INPUTS: dict[str, Any] = {
    "status_page_name": "api.example.org",
    "status_page_support": "help@example.org",
    "status_page_at": "2026-12-01 20:00 UTC",
    "status_page_downtime": "10 minutes",
    "status_page_news": ["Exports to <glTF>"],
    "status_page_stage": {"number": 7, "total": 10, "title": "Edge"},
    "status_page_began": "2026-12-01 20:02 UTC",
    "status_page_until": "2026-12-01 20:40 UTC",
    "status_page_figures": {"Duration": "31:04", "Uptime": "99.95 %"},
    "__status_page_written": "2026-12-01 20:14 UTC",
}


class Page(HTMLParser):
    """Elements and text of a page; what is opened has to be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def page(render: Render, state: str, **more: Any) -> Page:
    return Page(render("status_page", "index.html.j2", **{**INPUTS, "status_page_state": state, **more}))


@pytest.mark.parametrize("state", STATES)
def test_a_strict_policy_lets_all_of_it_through(render: Render, state: str) -> None:
    shown = page(render, state)
    tags = {tag for tag, _attributes in shown.elements}
    assert not tags & {"script", "style", "iframe", "form", "object"}
    for _tag, attributes in shown.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        assert all(re.fullmatch(r"icon\.svg|status\.css", str(attributes[name])) for name in ("src", "href") if name in attributes)


@pytest.mark.parametrize("state", STATES)
def test_it_is_a_page_for_everybody(render: Render, state: str) -> None:
    shown = page(render, state)
    tags = [tag for tag, _attributes in shown.elements]
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    assert ("html", {"lang": "en"}) in shown.elements
    assert all("alt" in attributes for tag, attributes in shown.elements if tag == "img")
    assert all(attributes.get("aria-hidden") == "true" for tag, attributes in shown.elements if tag in ("svg", "ol"))
    assert "help@example.org" in shown.said


@pytest.mark.parametrize(
    ("state", "says", "not_yet"),
    [
        ("operational", ["All systems operational"], ["20:00", "Stage", "31:04", "glTF"]),
        ("planned", ["Maintenance is planned", "2026-12-01 20:00 UTC", "10 minutes", "Exports to <glTF>"], ["Stage", "31:04", "20:02"]),
        ("in_progress", ["Maintenance in progress", "Stage 7 of 10: Edge", "20:02 UTC", "20:40 UTC", "every minute"], ["31:04", "20:00"]),
        ("incident", ["We are working on an incident", "20:02 UTC"], ["Stage", "31:04", "glTF"]),
        ("done", ["Maintenance is completed", "31:04", "99.95 %"], ["Stage", "20:00", "every minute"]),
    ],
)
def test_what_each_state_says(render: Render, state: str, says: list[str], not_yet: list[str]) -> None:
    said = page(render, state).said
    assert [each for each in says if each not in said] == []
    assert [each for each in not_yet if each in said] == []


def test_stages_are_shown_as_they_were_passed(render: Render) -> None:
    steps = [attributes["class"] for tag, attributes in page(render, "in_progress").elements if tag == "li" and "class" in attributes]
    assert steps == ["past"] * 6 + ["present"] + ["future"] * 3


def test_it_reloads_only_while_something_goes_on(render: Render) -> None:
    def reloads(state: str) -> bool:
        return any(attributes.get("http-equiv") == "refresh" for _tag, attributes in page(render, state).elements)

    assert [state for state in STATES if reloads(state)] == ["planned", "in_progress", "incident"]


def test_a_message_takes_the_place_of_the_usual_text_and_is_text(render: Render) -> None:
    shown = page(render, "incident", status_page_message="Exports are <b>slow</b>")
    assert "Exports are <b>slow</b>" in shown.said and "We are on it" not in shown.said
    assert "b" not in [tag for tag, _attributes in shown.elements]


def test_without_facts_there_is_no_empty_part(render: Render) -> None:
    shown = Page(render("status_page", "index.html.j2", status_page_name="api.example.org"))
    assert "dl" not in [tag for tag, _attributes in shown.elements] and "As of" not in shown.said


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(render: Render, scheme: str) -> None:
    css = render("status_page", "status.css.j2")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[0 if scheme == "light" else 1]))
    pairs = [("text", "card"), ("quiet", "card"), ("text", "page"), ("quiet", "page")]
    for tone in ("good", "plan", "work", "bad"):
        pairs += [(tone, f"{tone}-soft"), ("text", f"{tone}-soft"), (tone, "card")]
    for front, back in pairs:
        light, dark = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)
    assert "url(" not in css and "@import" not in css
