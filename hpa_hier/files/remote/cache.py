"""Cache: the folder of this user for what can be fetched or made again, such as packs of a bucket."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = "HPA_HIER_CACHE"


def cache_folder() -> Path:
    """Return the folder: `HPA_HIER_CACHE` where it is set, else the one that the system has for such files.

    Removing it loses nothing but time.
    """
    if own := os.environ.get(FOLDER):
        return Path(own).expanduser().absolute()
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "hpa-hier"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "hpa-hier" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "hpa-hier"
