"""Sphinx: how the site is built from the repository's Markdown; `make docs` runs it.

The source is the whole repository, not docs/ alone, so that links between README, docs, benchmarks and the bundled
ensemble's card are links of one site, and each of them is checked while it is built.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "site")]

from hpa_hier import __version__  # noqa: E402 - of this checkout, whatever is installed

project = "hpa_hier"
author = "the authors of hpa_hier"
copyright = author
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated", "front"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "docs/**.md",
    "docs/**.ipynb",
    "benchmarks/*.md",
    "artifacts/pretrained/README.md",
]
exclude_patterns = [".*", "build", "dist", "hpa_hier", "tests", "configs", "hierarchy", "**/.ipynb_checkpoints"]

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 4
smartquotes = False  # two hyphens are a flag's, not a dash
nb_execution_mode = "off"  # tests/docs/test_notebooks.py runs them; the site shows what is committed
nb_render_markdown_format = "myst"
suppress_warnings = ["misc.highlighting_failure"]  # blocks that show a file's layout in no language

napoleon_use_ivar = True  # attributes as one list
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# Types in signatures, of this package's inner rooms and of other libraries, whose pages are not at hand without a
# network; links that a person wrote are all checked.
nitpick_ignore_regex = [("py:(class|obj|exc|data|attr)", r".*")]

html_theme = "furo"
html_title = f"hpa_hier {release}"
html_baseurl = ""
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": False}
html_static_path = ["site/static"]
html_css_files = ["site.css"]
