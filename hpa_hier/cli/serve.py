"""Command: answer for images in the browser and over HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hpa_hier.cli.command import Parser, one_thread_a_process, path, whole_number
from hpa_hier.cli.flags.backend import add_backend_argument, read_backend
from hpa_hier.errors import UserError

_DESCRIPTION = """Answer for images on a page in the browser, and over HTTP.

  %(prog)s
      prints http://127.0.0.1:8000/, which a browser of this machine alone can open
  %(prog)s --run mine --root /data/plates
      images below /data/plates may be named by their paths
  %(prog)s --host 0.0.0.0 --token-file token
      for others, who need the token
  curl -F files=@a_red.png -F files=@a_green.png -F files=@a_blue.png 'http://127.0.0.1:8000/predict?wait=60'
      the same over HTTP

Files that are sent are kept in a folder of their own until their job ends, and removed when the server stops.
/openapi.json describes what can be asked; /metrics is for Prometheus."""


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("serve", _DESCRIPTION, prog="")
    add = whole.add_argument
    add("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine)")
    add("--port", metavar="N", type=whole_number(0, 65535), default=8000, help="0: a free one (default: 8000)")
    text = "ensembles to offer, the first is the default (default: all under artifacts/ and the bundled one)"
    add("--run", metavar="NAME|DIR", nargs="+", action="extend", default=[], help=text)
    add("--artifacts", metavar="DIR", type=path, default=None, help="where runs are (default: artifacts)")
    text = "folder whose images may be named by their paths; may be given several times (default: none)"
    add("--root", metavar="DIR", type=path, action="append", default=[], dest="roots", help=text)
    text = "folder for corrected labels and their images (default: corrections)"
    add("--corrections", metavar="DIR", type=path, default=None, help=text)
    add("--token", metavar="TEXT", help="that requests must carry; in a file fewer see it")
    add("--token-file", metavar="FILE", type=path, help="file with the token in its first line")
    text = "further name that the server is called by, as behind a proxy; may be given several times"
    add("--allow-host", metavar="NAME", action="append", default=[], help=text)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    add_backend_argument(whole, engines=True)
    add("--decoders", metavar="N", type=whole_number(1, 64), default=1, help="processes that decode (default: 1)")
    text = "change a limit, as in --limit files=200 or file_bytes=1g; may be given several times; --limits lists them"
    add("--limit", metavar="NAME=N", action="append", default=[], dest="limit", help=text)
    add("--limits", action="store_true", help="list the limits with their defaults, and stop")
    return whole


def main(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C."""
    options = parser().parse_args(arguments)
    from hpa_hier.serve.safety.limits import Limits

    if options.limits:
        print(Limits.describe())
        return 0
    limits = Limits.parse(options.limit)
    backend = read_backend(options.backend, engines=True).engine or "torch"
    one_thread_a_process()
    _check_extra()
    from pathlib import Path

    from hpa_hier.serve.server import Address, read_token, serve
    from hpa_hier.serve.service import Plan

    token = read_token(options.token, options.token_file)
    plan = Plan(
        runs=tuple(options.run),
        artifacts=options.artifacts or Path("artifacts"),
        roots=Plan.check_roots(options.roots),
        corrections=options.corrections or Path("corrections"),
        device=options.device,
        backend=backend,
        decoders=options.decoders,
        limits=limits,
    )
    address = Address(options.host, options.port, token, tuple(options.allow_host))
    if not serve(plan, address, lambda line: print(line, flush=True)):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # Python would end under the feet of a thread that is importing, and abort
    return 0


def _check_extra() -> None:
    """Refuse to start where a library of the extra is missing."""
    from importlib.util import find_spec

    for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "openpyxl"):
        if find_spec(module) is None:
            raise UserError(f"serve: needs {module}; `pip install 'hpa-hier[serve]'` adds it")
