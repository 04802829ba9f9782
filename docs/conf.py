# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sphinx's settings for the site that `make docs` builds: the guide of docs/, and the reference that antsibull-docs writes."""

from __future__ import annotations

project = "arxos.platform"
author = "The arxos.platform maintainers"
html_title = "arxos.platform"
html_theme = "furo"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# The reference links to modules of other collections, whose pages are not part of this site.
suppress_warnings = ["ref.ref", "intersphinx.external"]
exclude_patterns = ["reference/README.md"]
html_copy_source = False
html_show_sourcelink = False
