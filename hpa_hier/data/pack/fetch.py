"""Fetch: a pack of a bucket or web server becomes one in the user's cache, since packs are memory maps.

Each file is fetched once, and checked against the pack's own checksums before it gets its name.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hpa_hier.data.pack.pack_file import PACK, REJECTED, TAXONOMY, pack_digest, read_pack_file
from hpa_hier.data.pack.samples import SAMPLES
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import replacing, sha256, text_digest, write_bytes
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.files.lock import lock_folder
from hpa_hier.files.remote.cache import cache_folder
from hpa_hier.files.remote.path import RemotePath, fetch

_SMALL, _LARGE = 1 << 30, 1 << 40  # bytes that a table, and a shard, may have
_WAIT = 24 * 3600.0  # seconds for which another process may be fetching the same pack
_SPARE = 1 << 28  # bytes of the disk that are left free


def fetch_pack(place: RemotePath) -> Path:
    """Return a folder of this machine with the pack; what is there already is not fetched again.

    A pack that was made again at the same address has other checksums, and is fetched again.

    Raises:
        UserError: there is no pack, a file is not what the pack says, or the disk has no room for it.
    """
    parent = cache_folder() / "packs"
    name = text_digest(str(place))
    with lock_folder(parent / name, "fetching a pack into", wait=_WAIT, flag=""):
        newest = parent / name / "newest"
        newest.mkdir(exist_ok=True)
        for part in filter(Path.is_dir, (parent / name).iterdir()):  # the lock's holder sweeps right beside it only
            sweep(part)
        _get(place, PACK, newest)
        known = read_pack_file(newest)
        folder = parent / name / known.digest
        folder.mkdir(exist_ok=True)
        for file in (SAMPLES, TAXONOMY, REJECTED):
            if not (folder / file).is_file() and (file != REJECTED or (place / file).exists()):
                _get(place, file, folder)
        missing = [shard for shard in known.shards if not (folder / shard.file).is_file()]
        if missing:
            _check_room(place, [place / shard.file for shard in missing], folder)
        from tqdm import tqdm  # takes a while, and most packs are here

        for shard in tqdm(missing, desc=f"fetching {place.name}", unit="file", disable=None):
            with replacing(folder / shard.file) as temporary:
                _fetch(place / shard.file, temporary, _LARGE)
                if sha256(temporary) != shard.sha256:
                    raise UserError(
                        f"{place / shard.file}: is not what its pack was finished with; copy the pack there again"
                    )
        if known.digest != pack_digest(folder, known.facts, known.shards):
            (folder / SAMPLES).unlink()
            raise UserError(f"{place / SAMPLES}: was edited after packing; edit the label table and pack again")
        content = (newest / PACK).read_bytes()
        if not (folder / PACK).is_file() or (folder / PACK).read_bytes() != content:
            write_bytes(folder / PACK, content)
    return folder


def _get(place: RemotePath, file: str, folder: Path) -> None:
    with replacing(folder / file) as temporary:
        _fetch(place / file, temporary, _SMALL)


def _fetch(file: RemotePath, out: Path, most: int) -> None:
    try:
        fetch(file, out, most)
    except (FileNotFoundError, NotADirectoryError):
        what = "no finished pack" if file.name == PACK else "the pack lacks a file of its own"
        raise UserError(f"{file}: is not there; {what}, check the address") from None


def _check_room(place: RemotePath, files: Sequence[RemotePath], folder: Path) -> None:
    wanted = sum(file.stat().st_size for file in files if file.exists())
    free = shutil.disk_usage(folder).free
    if wanted + _SPARE > free:
        raise UserError(
            f"{place}: {wanted >> 20:,} MB are to be fetched, and {folder.parent} has {free >> 20:,} MB free; name "
            "a larger disk by HPA_HIER_CACHE"
        )
