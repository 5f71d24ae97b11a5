"""What every command shares: recipe flags, exit statuses, and errors without a traceback."""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from hpa_hier import __version__
from hpa_hier.errors import UserError

_PROGRAM = "python -m "
EXIT_USER = 2  # a user's mistake
EXIT_INTERRUPTED = 130  # Ctrl-C, after saving

# What the system may refuse for a reason that lies with the machine and not in this program, and what helps.
_CURES = {
    errno.EACCES: "ask for the right to it, or name another place",
    errno.EPERM: "ask for the right to it, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.EEXIST: "a file is in the way of a folder; move it, or name another place",
    errno.ENOTDIR: "a file is in the way of a folder; move it, or name another place",
    errno.EISDIR: "a folder is in the way of a file; move it, or name another place",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ENOSPC: "make room on the disk; what was finished is kept",
    errno.EDQUOT: "make room in your quota; what was finished is kept",
}


class Parser(argparse.ArgumentParser):
    """An argument parser with the version flag, errors of one line, and no abbreviated flags."""

    def __init__(self, prog: str, description: str, **settings: object) -> None:
        super().__init__(
            prog=prog if prog.startswith(_PROGRAM) else _PROGRAM + prog,  # a command's commands come with it
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,  # type: ignore[arg-type]
        )
        self.add_argument("--version", action="version", version=f"hpa_hier {__version__}")

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the flags in one line, and exit with the status of a user's mistake."""
        self.exit(EXIT_USER, f"error: {message}; {self.prog} --help lists what there is\n")


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --config and --set, which every command that reads a recipe takes."""
    group = parser.add_argument_group("recipe")
    group.add_argument("--config", metavar="FILE", help="recipe file (default: configs/default.yaml)")
    group.add_argument(
        "--set",
        metavar="KEY.PATH=VALUE",
        action="append",
        default=[],
        dest="sets",
        help="change one setting of the recipe, as in --set training.epochs=5; may be repeated",
    )


def run(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Run a command's `main` on the program's arguments and exit with its status.

    A UserError is printed on standard error in its one or two lines, with status 2, and so is what the system refuses
    (no room, no right, a file in the way); a bug keeps its traceback.
    """
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends quietly
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks one of our signs shows "?"
    try:
        status = main(sys.argv[1:]) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = EXIT_USER
    except OSError as error:
        if error.errno not in _CURES:
            raise
        print(
            f"error: {error.filename2 or error.filename or 'output'}: {error.strerror}; {_CURES[error.errno]}",
            file=sys.stderr,
        )
        status = EXIT_USER
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = EXIT_INTERRUPTED
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)


def one_thread_a_process() -> None:
    """Keep numeric libraries to one thread; call before they are imported.

    Threads that wait for each other on a busy machine cost up to 14 times the work; processes side by side do not.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
