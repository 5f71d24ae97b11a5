"""What a machine refuses: one line each, and a bug is none."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from hpa_hier.files.faults.machine import describe_refusal

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["EIO", "EFBIG", "ELOOP", "EMFILE", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "ENOMEM"])
def test_each_refusal_names_the_file_and_what_helps(name: str) -> None:
    number = getattr(errno, name)
    line = describe_refusal(OSError(number, os.strerror(number), "pack/images-00000.npy"))
    assert line is not None
    assert line.startswith(f"pack/images-00000.npy: {os.strerror(number)}; ")
    assert "\n" not in line


def test_what_torch_makes_of_a_full_disk_is_the_disk_s() -> None:
    error = RuntimeError("[enforce fail at inline_container.cc:747]")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert describe_refusal(error) == (
        "output: No space left on device; make room on the disk; what was finished is kept"
    )


@pytest.mark.parametrize(
    "bug", [ValueError("x"), RuntimeError("x"), OSError(errno.EBADF, "x"), FileNotFoundError(2, "x"), KeyError("x")]
)
def test_a_bug_is_none(bug: Exception) -> None:
    assert describe_refusal(bug) is None


def test_too_little_memory_is_told() -> None:
    assert describe_refusal(MemoryError("Unable to allocate 8. TiB")) == (
        "memory: Unable to allocate 8. TiB; close other programs, or take fewer things at once"
    )


class Full:
    """A file on a full disk, as torch writes to it."""

    def write(self, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None: ...


CODE = """
def save(file):
    torch.save({"weights": torch.zeros(3)}, file)

def handle(error, bug):
    try:
        raise error
    except OSError:
        raise bug

def hide(error, bug):
    try:
        raise error
    except OSError:
        raise bug from None

def tell(error, bug):
    try:
        raise error
    except OSError as caught:
        raise bug from caught
"""


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        ("save", (Full(),), True),
        ("tell", (FULL, RuntimeError("it is full")), True),
        ("handle", (FULL, RuntimeError("a bug")), False),
        ("hide", (FULL, RuntimeError("a bug")), False),
        ("tell", (FULL, NotImplementedError("a bug")), False),
    ],
)
def test_a_bug_while_a_refusal_is_handled_is_no_refusal(
    function: str, arguments: tuple[object, ...], told: bool
) -> None:
    import torch

    place: dict[str, Any] = {"__name__": "hpa_hier.somewhere", "torch": torch}
    exec(CODE, place)
    with pytest.raises((RuntimeError, OSError)) as caught:
        place[function](*arguments)
    assert (describe_refusal(caught.value) is not None) is told
