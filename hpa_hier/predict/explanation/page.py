"""Page: the explanation of one sample with its pictures, heat maps and nearest training images, in one HTML file."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.data.images.channels import STAINS
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import refuse_foreign, write_text
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.predict.explanation.draw import colour_channels, composite, draw_heat_map, encode_png
from hpa_hier.predict.explanation.explained import Picture
from hpa_hier.predict.explanation.heat_maps import ENSEMBLE, HEAT_MAP_NOTE, METHOD_NAMES, HeatMap, HeatMaps
from hpa_hier.predict.explanation.neighbours import Neighbour, Neighbours

_BEGIN = "<!doctype html>\n<!-- hpa_hier explain -->\n"
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    ".row{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(13rem,45%),1fr));gap:.5rem}"
    "figure{margin:0 0 .5rem}"
    "figcaption{font-size:.875rem;overflow-wrap:anywhere}"
    "img{width:100%;aspect-ratio:1;background:#000}"
    "pre{font:14px/1.5 ui-monospace,monospace;white-space:pre-wrap}"
)


@dataclass(frozen=True)
class Shown:
    """What a page shows of a sample."""

    sample: str  # its id
    summary: str  # the answer in a line
    text: str  # the explanation
    picture: Picture | None = None  # None: it is no image
    heat: HeatMaps | None = None  # None: none was asked for
    neighbours: Neighbours | None = None  # likewise


def write_page(folder: Path, shown: Shown) -> Path:
    """Write a page `<sample>.html`, whole or not at all, and return its path; an older one of ours is replaced.

    Raises:
        UserError: there is a file of this name that is no such page, or the folder cannot be written to.
    """
    path, name = folder / f"{shown.sample}.html", html.escape(shown.sample)
    sections = "\n".join((*_show_picture(shown), *_show_heat(shown), *_show_neighbours(shown)))
    content = (
        f'{_BEGIN}<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{name}</title><style>{_STYLE}</style><main><h1>{name}</h1>\n"
        f"<p>{html.escape(shown.summary)}</p>\n{sections}\n"
        f"<pre>{html.escape(shown.text)}</pre></main></html>\n"
    )
    try:
        refuse_foreign(path, _BEGIN)
        sweep(folder, path.stem)  # of a killed process that wrote the same
        write_text(path, content)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); name another folder with --out") from None
    return path


def _show_picture(shown: Shown) -> Iterator[str]:
    """Yield the channels together, and each alone."""
    if shown.picture is None:
        return
    figures = [_figure(encode_png(composite(shown.picture)), "all channels, as the members see them")]
    for channel, layer in colour_channels(shown.picture):
        figures.append(_figure(encode_png(layer.astype(np.uint8)), f"{channel}: {STAINS.get(channel, channel)}"))
    yield _row(figures)


def _show_heat(shown: Shown) -> Iterator[str]:
    heat = shown.heat
    if heat is None:
        return
    yield f"<h2>What speaks for {html.escape(heat.node)}</h2>"
    if shown.picture is not None and heat.combined is not None:
        yield f"<p>By {METHOD_NAMES[heat.method]}. {HEAT_MAP_NOTE}</p>"
        maps = heat.maps if len(heat.maps) == 1 else (heat.combined, *heat.maps)
        yield _row([_figure(draw_heat_map(shown.picture, one), _say_heat(one)) for one in maps])
    if heat.absent:
        yield f"<p>No map: {html.escape('; '.join(heat.describe_absent()))}.</p>"


def _say_heat(heat: HeatMap) -> str:
    name = "all members together" if heat.member == ENSEMBLE else f"member ‘{heat.member}’"
    return f"{name}: {heat.describe()}"


def _show_neighbours(shown: Shown) -> Iterator[str]:
    nearest = shown.neighbours
    if nearest is None:
        return
    yield "<h2>The most similar training samples</h2>"
    if nearest.absent:
        yield f"<p>{html.escape(nearest.absent)}</p>"
        return
    yield f"<p>By the features of member ‘{html.escape(nearest.member)}’; the number is the cosine, at most 1.</p>"
    figures, listed = [], []
    for one in nearest.found:
        if one.pixels is None or shown.picture is None:
            listed.append(f"<li>{html.escape(_say_neighbour(one))}</li>")
        else:
            picture = Picture(one.pixels, shown.picture.channels, ())
            figures.append(_figure(encode_png(composite(picture)), _say_neighbour(one)))
    yield _row(figures)
    yield f"<ul>{''.join(listed)}</ul>" if listed else ""


def _say_neighbour(one: Neighbour) -> str:
    return f"{one.id} ({one.similarity:.2f}): {', '.join(one.labels) or 'no label'}"


def _row(figures: Sequence[str]) -> str:
    return f'<div class="row">{"".join(figures)}</div>' if figures else ""


def _figure(png: bytes, title: str) -> str:
    data, said = base64.b64encode(png).decode("ascii"), html.escape(title)
    return f'<figure><img src="data:image/png;base64,{data}" alt="{said}"><figcaption>{said}</figcaption></figure>'
