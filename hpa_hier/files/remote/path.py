"""Remote files: buckets and web servers, read by fsspec; what they are called is a path like any other.

`to_path` makes a path of what a user typed: `s3://bucket/folder` is remote, and everything that is no such address is a
path of this machine, also `a:b`. A remote path can be listed and read, not written. Credentials are the environment's
(`AWS_ACCESS_KEY_ID` and so on), never part of an address, so no message and no file can hold them.
"""

from __future__ import annotations

import errno
import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import IO, Any, NoReturn, TypeVar

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_PACKAGES = {  # scheme → the package that fsspec reads it by, and what installs it; "": comes with this program
    "s3": ("s3fs", "'hpa-hier[s3]'"),
    "http": ("aiohttp", "'fsspec[http]'"),
    "https": ("aiohttp", "'fsspec[http]'"),
    "gs": ("gcsfs", "gcsfs"),
    "az": ("adlfs", "adlfs"),
    "memory": ("", ""),
}
_LOCAL = "file"
_ATTEMPTS, _PAUSE = 3, 0.5  # tries of what a network lost, and seconds before the second one; twice as many after that
_PIECE = 1 << 20  # bytes that are read at a time
_SECRET = re.compile(  # a name and what it is set to, in an address, a header or JSON; a header's value; a login
    r"(?i)\b([\w-]*(?:secret|token|signature|passw(?:or)?d|credential|key|authorization)[\w-]*|sig|pwd)[\"']?\s*[=:]"
    r"\s*(?:\"[^\"]*\"?|'[^']*'?|(?:bearer|basic)\s+[^\s,;\"']+|[^\s&,;]+)"
    r"|\b(bearer|basic)\s+[\w.~+/=-]+"
    r"|//[^/\s]*@"
)
_HERE = {  # errors that are never a server's
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
_Answer = TypeVar("_Answer")


class _DiskError(Exception):
    """A disk of this machine refuses what was fetched; its cause says why."""


class RemotePath(type(Path())):  # type: ignore[misc]  # what Path() is depends on the system
    """A file or folder of a bucket or web server."""

    _found: dict[str, Any] | None = None  # what its folder's listing says of it

    def __str__(self) -> str:
        """Return its address."""
        scheme, *rest = self.parts
        return f"{scheme}//{'/'.join(rest)}"

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __fspath__(self) -> str:
        return str(self)

    def absolute(self) -> RemotePath:
        """Return it, for an address is absolute."""
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        """Return it, for an address has no links."""
        return self

    def is_symlink(self) -> bool:
        """Return False."""
        return False

    def exists(self, **_: Any) -> bool:  # noqa: ANN401 - as Path has it
        """Tell whether there is a file or folder of this name."""
        return self._find() is not None

    def is_dir(self, **_: Any) -> bool:  # noqa: ANN401
        """Tell whether it is a folder."""
        found = self._find()
        return found is not None and found["type"] == "directory"

    def is_file(self, **_: Any) -> bool:  # noqa: ANN401
        """Tell whether it is a file."""
        found = self._find()
        return found is not None and found["type"] == "file"

    def stat(self, **_: Any) -> Any:  # noqa: ANN401
        """Return its size, and when it was changed as far as the server says.

        Raises:
            FileNotFoundError: it is not there.
        """
        found = self._find()
        if found is None:
            raise FileNotFoundError(2, "No such file or directory", str(self))
        changed = next((found[key] for key in ("LastModified", "mtime", "created", "updated") if found.get(key)), None)
        seconds = changed.timestamp() if isinstance(changed, datetime) else 0.0
        return SimpleNamespace(st_size=int(found.get("size") or 0), st_mtime_ns=round(seconds * 1e9), st_mtime=seconds)

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield what the folder holds, by name.

        Raises:
            UserError: it cannot be listed.
        """
        system, inside = _open(self)
        listed = _ask(self, lambda: system.ls(inside, detail=True))
        for found in sorted(listed, key=lambda one: str(one["name"])):
            name = str(found["name"]).rstrip("/").rpartition("/")[2]
            if name and str(found["name"]).strip("/") != inside.strip("/"):  # some list the folder itself
                child = self / name
                child._found = found
                yield child

    def glob(self, pattern: str, **_: Any) -> Iterator[RemotePath]:  # noqa: ANN401
        """Yield the files below that a pattern fits, by name."""
        system, inside = _open(self)
        for name in sorted(_ask(self, lambda: system.glob(f"{inside.rstrip('/')}/{pattern}"))):
            yield to_remote(system.unstrip_protocol(name))

    def open(self, mode: str = "r", buffering: int = -1, encoding: str | None = None, *args: Any, **_: Any) -> IO[Any]:  # noqa: ANN401
        """Open its content, fetched into memory, for reading.

        Raises:
            FileNotFoundError: it is not there.
            UserError: it cannot be fetched.
        """
        if set(mode) - {"r", "b", "t"}:
            raise UserError(f"{self}: is not written to; name a folder of this machine")
        content = io.BytesIO(self.read_bytes())
        return content if "b" in mode else io.TextIOWrapper(content, encoding=encoding)

    def read_bytes(self) -> bytes:
        """Return its content."""
        return self.read_start(None)

    def read_start(self, length: int | None) -> bytes:
        """Return its first bytes; None: all.

        Raises:
            FileNotFoundError: it is not there.
            UserError: it cannot be fetched.
        """
        system, inside = _open(self)
        return bytes(_ask(self, lambda: system.cat_file(inside, start=0 if length else None, end=length)))

    def _find(self) -> dict[str, Any] | None:
        """Return what the server says of it; None where it has no such file or folder."""
        if self._found is None:
            system, inside = _open(self)
            try:
                self._found = _ask(self, lambda: system.info(inside))
            except FileNotFoundError:
                return None
            if str(self).startswith("http") and not self.suffix:  # a page that lists files is one itself
                self._found = {**self._found, "type": "directory"}
        return self._found


def to_path(text: Path | str) -> Path:
    """Return a path of this machine, or a remote one.

    Raises:
        UserError: an address of a kind that is not read, or one with a password or a signature in it.

    >>> to_path("images"), str(to_path("s3://bucket/folder/")), to_path("a:b"), to_path("file:///tmp/images")
    (PosixPath('images'), 's3://bucket/folder', PosixPath('a:b'), PosixPath('/tmp/images'))
    """
    if isinstance(text, Path) or not (found := _ADDRESS.fullmatch(text)) or Path(text).exists():
        return Path(text) if isinstance(text, str) else text
    if found["scheme"].lower() == _LOCAL:
        from urllib.request import url2pathname

        return Path(url2pathname(found["rest"].removeprefix("localhost")))
    return to_remote(text)


def to_remote(text: str) -> RemotePath:
    """Return the path of an address.

    Raises:
        UserError: it is of a kind that is not read, or has a password or a signature in it.
    """
    found = _ADDRESS.fullmatch(text)
    scheme, rest = (found["scheme"].lower(), found["rest"]) if found else ("", text)
    if scheme not in _PACKAGES:
        known = ", ".join(f"{one}://" for one in (*_PACKAGES, _LOCAL))
        raise UserError(
            f"{scheme}://…: no kind of address that is read; there are {known}{did_you_mean(scheme, _PACKAGES)}"
        )
    if "@" in rest.partition("/")[0] or "?" in rest or "#" in rest:
        place = re.sub(r"^[^/]*@", "", re.split(r"[?#]", rest)[0])
        raise UserError(
            f"{scheme}://{place}: was given with a password, a signature or a question behind it, which would stand in "
            "files; give the plain address, and credentials by the environment (docs/howto/remote.md)"
        )
    if any(part in ("", ".", "..") for part in rest.strip("/").split("/")):
        raise UserError(f"{scheme}://{rest}: an address with an empty name, . or ..; write it out")
    return RemotePath(f"{scheme}:", *rest.strip("/").split("/"))


def names_folder(text: str) -> bool:
    """Tell whether a text names a folder that is there; of an address that is not asked."""
    path = to_path(text)
    return isinstance(path, RemotePath) or path.is_dir()


def is_remote(path: Path | str) -> bool:
    """Tell whether a path is one of a bucket or web server."""
    return isinstance(path, RemotePath)


@contextmanager
def local_copy(path: Path, most: int) -> Iterator[Path]:
    """Give a file of this machine with a remote one's content and name, until the block ends; a local one is itself.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        UserError: it is larger, or cannot be fetched.
        FileNotFoundError: it is not there.
    """
    if not isinstance(path, RemotePath):
        yield path
        return
    with TemporaryDirectory(prefix="hpa-hier-") as folder:
        copy = Path(folder) / path.name
        fetch(path, copy, most)
        yield copy


def fetch(path: RemotePath, out: Path, most: int) -> None:
    """Write a remote file's content to a file of this machine.

    Raises:
        UserError: it has more than `most` bytes, or cannot be fetched.
        FileNotFoundError: it is not there.
        OSError: the file of this machine cannot be written.
    """
    system, inside = _open(path)

    def get() -> None:
        left = most
        with _writing(out):
            copy.seek(0)
            copy.truncate()
        with system.open(inside, "rb", cache_type="none" if most > _PIECE else "all") as source:
            while piece := source.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise UserError(f"{path}: has more than {most >> 20} MB, the most that such a file may have")
                with _writing(out):
                    copy.write(piece)

    with out.open("wb") as copy:
        try:
            _ask(path, get)
        except _DiskError as error:
            raise error.__cause__ or error from None


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(out)
        raise _DiskError from error


def _open(path: RemotePath) -> tuple[Any, str]:
    """Return fsspec's file system of a path, and what it calls the path."""
    scheme = path.parts[0].rstrip(":")
    package, install = _PACKAGES[scheme]
    if package and find_spec(package) is None:
        raise UserError(f"{path}: needs {package}; `pip install {install}` adds it")
    import fsspec

    system, inside = fsspec.core.url_to_fs(str(path))
    return system, str(inside)


def _ask(path: RemotePath, ask: Callable[[], _Answer]) -> _Answer:
    """Ask a server, again where the network lost it.

    Raises:
        FileNotFoundError: it has no such file.
        UserError: it cannot be reached, or gives no access.
        OSError: this machine has no room, memory or handles left.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return ask()
        except (UserError, FileNotFoundError, NotADirectoryError, MemoryError, _DiskError):
            raise
        except PermissionError as error:
            _refuse(path, f"no rights to read it ({_one_line(error)})")
        except Exception as error:  # every service has errors of its own
            if isinstance(error, OSError) and error.errno in _HERE:
                raise
            kinds = {kind.__name__ for kind in type(error).__mro__}
            if "NoCredentialsError" in kinds:
                _refuse(path, "no credentials were found")
            if attempt == _ATTEMPTS or isinstance(error, (ValueError, TypeError, NotImplementedError)):
                tried = f", tried {attempt} times" if attempt > 1 else ""
                raise UserError(
                    f"{path}: cannot be read from there ({type(error).__name__}: {_one_line(error)}{tried}); check the "
                    "network and the address, then give the same command again"
                ) from None
            time.sleep(_PAUSE * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


def _refuse(path: RemotePath, why: str) -> NoReturn:
    raise UserError(
        f"{path}: {why}; credentials are given by the environment (docs/howto/remote.md says how)"
    ) from None


def _hide(found: re.Match[str]) -> str:
    return f"{found[1]}=…" if found[1] else f"{found[2]} …" if found[2] else "//…@"


def _one_line(error: BaseException) -> str:
    """Return the first line of an error, without what may be secret."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _SECRET.sub(_hide, lines[0])[:200] if lines else "no reason given"
