"""Frame: what every page has around its sections: style, script, navigation, and a rule that forbids all requests."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from hpa_hier import __version__
from hpa_hier.data.images.channels import STAINS
from hpa_hier.evaluate import describe
from hpa_hier.evaluate.describe import number_in_words
from hpa_hier.evaluate.estimate import HANDFUL
from hpa_hier.evaluate.figures import palette
from hpa_hier.evaluate.figures.figure import ReportFigure, inline_svg, pdf_uri
from hpa_hier.evaluate.gallery.pictures import find_protein
from hpa_hier.evaluate.report.opening import of_hundred
from hpa_hier.evaluate.report.section import Page
from hpa_hier.files.faults.shown import show

_TEMPLATES = "templates"


def render_page(page: Page, figures: Mapping[ReportFigure, Figure] | None = None) -> str:
    """Write a page as HTML; all text from files is escaped.

    Args:
        page: its sections, in order.
        figures: drawn; each appears in the section that it names.
    """
    texts = _texts()
    style, script = ("".join(texts[name] for name in sorted(texts) if name.endswith(end)) for end in (".css", ".js"))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            figures=figures or {},
            style=Markup(style),  # ours, not from a file of the user's
            script=Markup(script),
            script_hash=script_hash(script),
        )
    )


def script_hash(script: str) -> str:
    """Return what a content security policy names a script by, so that no other one runs.

    >>> script_hash("")
    'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


@cache
def _texts() -> dict[str, str]:
    folder = resources.files("hpa_hier.evaluate.report") / _TEMPLATES
    return {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir() if one.is_file()}


def _show(value: object) -> object:
    """Return what a template prints without control characters."""
    if isinstance(value, Markup):
        return Markup(show(value))
    return show(value) if isinstance(value, str) else value


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.DictLoader(_texts()),
        autoescape=True,
        finalize=_show,
    )
    filters: dict[str, Callable[..., str]] = {
        "estimate": describe.format_estimate,
        "interval": describe.format_interval,
        "share": lambda row: describe.format_estimate(row.estimate),
        "of_hundred": of_hundred,
        "list_some": describe.list_some,
        "duration": describe.format_duration,
        "whole": describe.format_whole,
    }
    environment.filters |= filters
    environment.globals |= {
        "version": __version__,
        "stains": STAINS,
        "themes": {
            theme: colours | {f"ramp{step}": fill for step, fill in enumerate(palette.ramp(theme))}
            for theme, colours in (("light", palette.LIGHT), ("dark", palette.DARK))
        },
        "steps": range(palette.STEPS),
        "readable_ink": palette.readable_ink,
        "inline_svg": inline_svg,
        "handful": number_in_words(HANDFUL),
        "pdf_uri": pdf_uri,
        "protein_of": find_protein,
    }
    return environment
