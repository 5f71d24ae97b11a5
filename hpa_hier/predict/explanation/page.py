"""Page: the explanation of one sample with its picture, all channels together and each alone, in one HTML file."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import numpy as np

from hpa_hier.data.images.channels import STAINS
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import refuse_foreign, write_text
from hpa_hier.predict.explanation.draw import colour_channels, composite, encode_png
from hpa_hier.predict.explanation.explained import Picture

_SIDE = 256  # pixels, of a picture on the page
_BEGIN = "<!doctype html>\n<!-- hpa_hier explain -->\n"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "figure{display:inline-block;margin:0 .5rem 1rem 0}figcaption{font-size:.85rem;color:#555}"
    f"img{{width:{_SIDE}px;height:{_SIDE}px;background:#000}}"
    "pre{font:14px/1.5 ui-monospace,monospace;white-space:pre-wrap}"
)


def write_page(folder: Path, sample: str, text: str, picture: Picture | None) -> Path:
    """Write a page `<sample>.html`, whole or not at all, and return its path; an older one of ours is replaced.

    Args:
        folder: made where absent.
        sample: the sample's id.
        text: its explanation.
        picture: its image; None: it is none.

    Raises:
        UserError: there is a file of this name that is no such page, or the folder cannot be written to.
    """
    path, name = folder / f"{sample}.html", html.escape(sample)
    shown = "".join(_figure(title, pixels) for title, pixels in _views(picture)) if picture else ""
    content = (
        f'{_BEGIN}<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{name}</title><style>{_STYLE}</style><h1>{name}</h1>\n{shown}\n<pre>{html.escape(text)}</pre></html>\n"
    )
    try:
        refuse_foreign(path, _BEGIN)
        write_text(path, content)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); name another folder with --out") from None
    return path


def _views(picture: Picture) -> list[tuple[str, np.ndarray]]:
    """Return the channels together, and each alone, as (S, S, 3) uint8 with their titles."""
    views = [("all channels, as the members see them", composite(picture))]
    for channel, layer in colour_channels(picture):
        views.append((f"{channel}: {STAINS.get(channel, channel)}", layer.astype(np.uint8)))
    return views


def _figure(title: str, pixels: np.ndarray) -> str:
    data, said = base64.b64encode(encode_png(pixels)).decode("ascii"), html.escape(title)
    return f'<figure><img src="data:image/png;base64,{data}" alt="{said}"><figcaption>{said}</figcaption></figure>'
