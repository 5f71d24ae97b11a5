"""The site's front door: index.html at the top of the built folder leads to the first page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>hpa_hier</title>
<meta http-equiv="refresh" content="0; url={first}">
<p><a href="{first}">hpa_hier</a></p>
</html>
"""


def write_front(app: Sphinx, exception: Exception | None) -> None:
    """Write index.html, once the pages are there."""
    if exception is None and app.builder.name == "html":
        first = f"{app.config.root_doc}.html"
        (Path(app.outdir) / "index.html").write_text(_PAGE.format(first=first), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx what to call when."""
    app.connect("build-finished", write_front)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
