"""Flags that several of the ensemble's sub-commands take, and what they open."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import Parser, channels, path
from hpa_hier.errors import UserError

if TYPE_CHECKING:
    from hpa_hier.predict.inputs import Samples
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.runs.run import Run

_MEMBER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MISSING = "channels that an image may lack; they are filled with zeros (default: those that training images lacked)"


def add_run_argument(one: Parser, default: str) -> None:
    """Add --run; `default` says which run is taken where none is named."""
    one.add_argument("--run", metavar="NAME|DIR", help=f"run under artifacts/, or its folder (default: {default})")


def named_file(text: str) -> tuple[str, Path]:
    """Read a flag's table with the name that its model is given, as NAME=FILE."""
    name, equals, path = text.partition("=")
    if not equals or not path or not _MEMBER_NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"must be NAME=FILE, as in resnet=resnet.csv, got {text!r}")
    return name, Path(path)


def add_score_argument(one: Parser) -> Callable[..., argparse.Action]:
    """Add --scores, and return what adds further flags beside it."""
    add = one.add_argument_group("other models' scores, instead of a run's own members").add_argument
    text = "score tables: the first column the id, the others node names"
    add("--scores", metavar="NAME=CSV", nargs="+", type=named_file, action="extend", help=text)
    return add


def add_image_arguments(one: Parser) -> None:
    """Add the flags of images that an ensemble is to answer for."""
    add = one.add_argument
    add("--images", metavar="DIR", type=path, help="folder of images")
    add("--channels", metavar="TEXT", help="which channel is where, as red,green,blue,yellow, if names do not say")
    add("--may-be-missing", type=channels, metavar="CHANNELS", default=(), help=_MISSING)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def open_run(options: argparse.Namespace, fitted: bool) -> Run:
    """Open the run: the one named, else where an ensemble is needed the one fitted last, else the recipe's."""
    from hpa_hier.runs.find import find_fitted, find_newest
    from hpa_hier.runs.run import Run
    from hpa_hier.settings.recipe_file import load_recipe

    late = next((change for change in options.sets if fitted and change.startswith("ensemble.")), None)
    if late:
        raise UserError(f"--set {late}: an ensemble answers as it was fitted; fit it again with this")
    name = options.run
    if fitted and not name:
        artifacts = Path(load_recipe(options.config, options.sets).artifacts)
        name = find_fitted(artifacts)
        bundled = f"using {name}, which learned from simulated cells only; do not rely on its answers"
        own = f"using the ensemble fitted last: {name}"
        print(own if find_newest(artifacts) else f"no run is finished: {bundled}")
    return Run.open(name or "", options.config, options.sets)


def open_images(options: argparse.Namespace, predictor: Predictor, only: str | None = None) -> Samples:
    """Open the images of --images; only the one of this id where it is given."""
    speed = {"batch_size": options.batch_size, "threads": options.threads} if only is None else {}
    return predictor.open_images(options.images, options.channels, options.may_be_missing, only=only, **speed)


def list_tables(options: argparse.Namespace) -> dict[str, Path]:
    """Return the score tables by the names that their models were given."""
    tables: dict[str, Path] = {}
    for name, file in options.scores:
        if tables.setdefault(name, file) is not file:
            raise UserError(f"--scores {name}=…: two tables are called '{name}'; names must differ")
    return tables
