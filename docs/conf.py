"""Sphinx's configuration: ``python -m sphinx -W -b html docs docs/_build``."""

from __future__ import annotations

import sys
from pathlib import Path

import mailer

sys.path.insert(0, str(Path(__file__).parent))
import relay_pages

relay_pages.write(Path(__file__).parent / "relays")

project = "mailer"
author = "the mailer contributors"
copyright = "the mailer contributors"  # noqa: A001 - Sphinx reads this name
version = release = mailer.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autoclass_content = "both"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = False
napoleon_custom_sections = [("Yields", "returns_style")]

html_theme = "furo"
html_title = f"mailer {release}"
exclude_patterns = ["_build"]
