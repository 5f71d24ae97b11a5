"""Flags that several of the ensemble's sub-commands take, and what they open."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import (
    Parser,
    add_follow_links,
    add_stacks,
    may_be_missing,
    place,
    print_notes,
    stop_after_print,
)
from hpa_hier.errors import UserError
from hpa_hier.files.shell import command

if TYPE_CHECKING:
    from hpa_hier.predict.inputs import Samples
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.predict.shards.shards import Shards
    from hpa_hier.runs.run import Run

_MEMBER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INTENSITY = """convert to 8 bits by bit depth, or by each channel's 0.1 and 99.9 percentiles (default: as the training
images were)"""
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


def add_prior_argument(one: Parser) -> None:
    """Add --prior, for commands that answer for samples."""
    text = """how often classes occur among your samples, so that probabilities follow: a label table, a table
    class,share, or hpa28: the 31,072 images of the atlas's competition (default: as where it was fitted)"""
    one.add_argument("--prior", metavar="CSV|hpa28", help=text)


def add_scales_argument(one: Parser) -> None:
    """Add --scales, for commands that answer for images."""
    text = """magnifications at which images are scored, as 1,2: 1 is the whole image, 2 its tiles of half the side
    (default: 1)"""
    one.add_argument("--scales", metavar="NUMBERS", type=numbers, help=text)


def numbers(text: str) -> tuple[float, ...]:
    """Read a flag's numbers, separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers, as 1,2, got {text!r}") from None


def print_prior(predictor: Predictor) -> None:
    """Say which prior holds, where one was given."""
    if predictor.ensemble.prior is not None:
        print(predictor.ensemble.prior.describe())


def add_score_argument(one: Parser) -> Callable[..., argparse.Action]:
    """Add --scores, and return what adds further flags beside it."""
    add = one.add_argument_group("other models' scores, instead of a run's own members").add_argument
    text = "score tables: the first column the id, the others node names"
    add("--scores", metavar="NAME=CSV", nargs="+", type=named_file, action="extend", help=text)
    return add


def add_image_arguments(one: Parser) -> None:
    """Add the flags of images that an ensemble is to answer for."""
    add = one.add_argument
    add("--images", metavar="DIR", type=place, help="folder of images")
    add("--channels", metavar="TEXT", help="which channel is where, as red,green,blue,yellow, if names do not say")
    add("--may-be-missing", type=may_be_missing, metavar="CHANNELS", default=(), help=_MISSING)
    add_follow_links(one)
    add("--intensity", choices=("depth", "percentile"), help=_INTENSITY)
    add_stacks(one, projection=False)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def are_simulated(images: Sequence[Path]) -> bool:
    """Tell whether folders, or the folders of files, hold simulated cells."""
    from hpa_hier.data.images.walk import SIMULATED

    return bool(images) and all(((one if one.is_dir() else one.parent) / SIMULATED).is_file() for one in images)


def open_run(
    options: argparse.Namespace, fitted: bool, simulated: bool = False, changes: Mapping[str, str] | None = None
) -> Run:
    """Open the run that is named, else the recipe's, or where an ensemble is needed the one fitted last.

    Args:
        options: of the command.
        fitted: an ensemble is needed; it is said which one is taken, and whether it learned from simulated cells.
        simulated: it is to answer for simulated cells, so one that was fitted on these will do.
        changes: of the recipe that flags make, each with the flag as typed.
    """
    from hpa_hier.runs.find import find_fitted
    from hpa_hier.runs.run import Run
    from hpa_hier.settings.recipe_file import load_recipe

    name = options.run
    if fitted and not name:
        choice = find_fitted(Path(load_recipe(options.config, options.sets).artifacts), simulated)
        print(choice.describe())
        name = choice.folder
    opened = Run.open(name or "", options.config, options.sets, changes)
    if fitted:
        _refuse_late(opened, options.sets)
    stop_after_print(options, opened.recipe)
    if fitted and opened.origin.warning:
        print(f"caution: {opened.origin.warning}")
    if getattr(options, "verify", False):
        opened.pack.verify()
    return opened


def _refuse_late(run: Run, sets: Sequence[str]) -> None:
    """Refuse changes that a fitted ensemble cannot follow; where it lies and which pack it reads may be told."""
    for change in sets:
        if not change.strip().startswith(("artifacts", "run", "data.pack", "report.")):
            fit = command("ensemble", "fit", run=run.folder, set=change)
            raise UserError(f"--set {change}: an ensemble answers as it was fitted; fit it again with this: {fit}")


def open_images(
    options: argparse.Namespace,
    predictor: Predictor,
    only: str | None = None,
    images: Path | Sequence[Path] | None = None,
    kept: Shards | None = None,
    chosen: Collection[str] | None = None,
) -> Samples:
    """Open images, those of --images where none are given.

    Args:
        options: of the command.
        predictor: that is to answer for them.
        only: id of the one that is wanted; None: all.
        images: a folder, or files.
        kept: says which are read: those that no other process is at and that have no answer yet.
        chosen: ids of the only ones that are wanted, of which nothing is printed again; None: all.
    """
    rest = {name: getattr(options, name) for name in ("batch_size", "threads") if name in options}
    rest |= {"only": only, "follow_links": bool(options.follow_links), "frame": options.frame, "kept": kept}
    rest |= {"chosen": chosen}
    samples = predictor.open_images(images or options.images, options.channels, options.may_be_missing, **rest)
    if chosen is None:
        print_notes((), (), samples.notes)
    return samples


def list_tables(options: argparse.Namespace) -> dict[str, Path]:
    """Return the score tables by the names that their models were given."""
    tables: dict[str, Path] = {}
    for name, file in options.scores:
        if tables.setdefault(name, file) is not file:
            raise UserError(f"--scores {name}=…: two tables are called '{name}'; names must differ")
    return tables
