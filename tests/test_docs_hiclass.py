"""The page for those who come from HiClass is true: its blocks run in order, and its table names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from hpa_hier.cli.settings import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "hiclass.md"


def test_every_block_of_the_page_runs() -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    assert len(blocks) > 3
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


def test_the_settings_that_it_calls_defaults_are_the_defaults(capsys) -> None:
    main([])
    printed = capsys.readouterr().out
    named = re.findall(r'settings=\{"ensemble\.(\w+)": "(\w+)"\}` is the default', PAGE.read_text(encoding="utf-8"))
    assert len(named) == 2
    for name, value in named:
        assert re.search(rf"^  {name}: {value}\b", printed, flags=re.M)


def test_no_line_of_the_page_is_too_long() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 120] == []
