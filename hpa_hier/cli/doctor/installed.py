"""What is installed: this machine, and the packages that this one needs or can use, by their metadata alone."""

from __future__ import annotations

import locale
import os
import platform
import re
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from hpa_hier import __version__
from hpa_hier.cli.doctor.finding import Finding
from hpa_hier.places.processor import count_cores, name_processor

# beside what this package's own metadata name: those of a checkout are not there, or as old as its installation
_KNOWN = (
    "numpy scipy pandas scikit-learn torch torchvision lightning timm opencv-python-headless tifffile safetensors "
    "pydantic joblib filelock matplotlib onnxruntime openvino distributed ray submitit fastapi numba captum"
)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_FOR_DEVELOPERS = re.compile(r"extra\s*==\s*['\"](dev|docs)['\"]")


def describe_machine() -> list[Finding]:
    """Return what this machine and its Python are."""
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    rows = {
        "hpa_hier": f"{__version__}, in {Path(__file__).resolve().parents[2]}",
        "Python": f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processor": f"{name_processor()}; {count_cores()} of {os.cpu_count()} cores may be used",
        "memory": _describe_memory(),
        "text": f"{sys.getfilesystemencoding()} file names, {locale.getpreferredencoding(do_setlocale=False)} text",
        "environment": ", ".join(f"{name}={value}" for name, value in threads.items()) or "nothing set that matters",
    }
    return [Finding(what, text) for what, text in rows.items()]


def list_packages() -> list[Finding]:
    """Return the version of each package that this one needs or can use; those that are not there come last."""
    try:
        required = [text for text in metadata.requires("hpa-hier") or [] if not _FOR_DEVELOPERS.search(text)]
    except metadata.PackageNotFoundError:
        required = []
    named = (_NAME.match(text) for text in (*required, *_KNOWN.split()))
    names = dict.fromkeys(found[0].lower() for found in named if found)
    names.pop("hpa-hier", None)
    there, missing = [], []
    for name in sorted(names):
        try:
            there.append(Finding(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            missing.append(name)
    return [*there, Finding("not installed", ", ".join(missing) or "nothing")]


def _describe_memory() -> str:
    with suppress(OSError, ValueError, AttributeError):
        page = os.sysconf("SC_PAGE_SIZE") / 2**30
        return f"{page * os.sysconf('SC_PHYS_PAGES'):.1f} GB, {page * os.sysconf('SC_AVPHYS_PAGES'):.1f} GB of it free"
    return "unknown"
