"""Each built-in plug-in has a page, and its table of settings is that of the code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import mailer
from mailer.plugins import BUILT_IN

PAGES = Path(mailer.__file__).parent.parent / "docs/plugins"


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_settings_of_a_built_in_plug_in_are_documented(name: str) -> None:
    model = getattr(importlib.import_module(f"mailer.plugins.{name}"), BUILT_IN[name]).settings_model
    rows = []
    for field, info in model.model_fields.items():
        assert info.description, f"{name}.{field}"
        is_plain = not info.is_required() and info.default and isinstance(info.default, (str, int, float))
        rows.append(f"| `{info.alias or field}` | {f'`{info.default}`' if is_plain else '-'} | {info.description} |")
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `.*", page.partition("\n## Settings\n")[2].partition("\n## ")[0], re.M) == rows
