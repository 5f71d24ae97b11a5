"""Command: simulate cells, pack images, split samples, balance classes, audit a pack."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from hpa_hier.cli.command import (
    Parser,
    add_follow_links,
    add_images_of_labels,
    add_on_problem,
    add_recipe_arguments,
    add_stacks,
    add_vector_flags,
    may_be_missing,
    one_thread_a_process,
    path,
    place,
    whole_number,
)
from hpa_hier.cli.flags.backend import add_backend_argument

_EPILOG = """examples:
  %(prog)s pack --images my_images --labels my_labels.csv --size 128 --out artifacts/my_pack
  %(prog)s pack --vectors embeddings.h5ad --labels my_labels.csv --out artifacts/my_vectors
  %(prog)s split --pack artifacts/my_pack --out artifacts/my_pack/split.csv
  %(prog)s simulate --count 200 --size 128 --out artifacts/simulated"""
_CHANNELS = "which channel is where: the order of planes (red,green,blue,-) or your names (red=tubulin,blue=dapi)"
_MISSING = "channels that an image may lack, such as yellow; they are filled with zeros (default: the recipe's)"
_INTENSITY = """convert to 8 bits by bit depth, or by each channel's 0.1 and 99.9 percentiles; auto: by depth, unless
many images use little of their range, as 12 bits in 16-bit files do (default: the recipe's)"""
_PACK_PROBLEM = """unknown labels, duplicate ids, images without a row, rows without an image, missing channels,
channels that are one picture: stop and list them, or skip those samples and list them in rejected.csv (default:
stop)"""
_ALIKE = """keep images of a pack together that look the same: their fingerprints differ in at most this many bits,
0 to 15; 11 is a good choice (default: the recipe's)"""
_BOUND = """largest growth of a class, as in Nucleoplasm=0.15; may be given several times (default: the recipe's, for
each class that has reached the target)"""
_BITS = "largest difference between fingerprints of images that look the same, 0 to 15 bits (default: 11)"


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments and run one of the five commands."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
    from hpa_hier.cli.data import work as commands

    commands.COMMANDS[options.command](options)
    return 0


def parser() -> Parser:
    """Build the parser of all five sub-commands."""
    whole = Parser("data", "Turn images and labels on disk into a pack and a split.", epilog=_EPILOG)
    for name, description, add_flags in (
        ("pack", "Convert images (or feature vectors) and labels into a memory-mapped dataset.", _add_pack),
        ("split", "Split samples into train, calibration and test sets, stratified; groups stay together.", _add_split),
        ("balance", "Plan how often images are repeated so that no class stays rare.", _add_balance),
        (
            "audit",
            "Check a pack: class counts, duplicates, missing, empty, saturated and copied channels, dark images.",
            _add_audit,
        ),
        ("simulate", "Simulate cells with known labels, as files or as a pack.", _add_simulate),
    ):
        command = whole.add_command(name, description)
        add_flags(command)
        add_recipe_arguments(command)
    return whole


def _add_pack(parser: Parser) -> None:
    add_source_flags(parser)
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder of the pack")
    add_backend_argument(parser, places=True)
    text = "with --backend: shards filled at a time, of 1,024 images each (default: one per worker)"
    parser.add_argument("--workers", type=whole_number(1), metavar="N", help=text)


def add_source_flags(parser: Parser) -> None:
    """Add the flags of what is packed, and how; `run` takes them too."""
    add, source = parser.add_argument, parser.add_mutually_exclusive_group(required=True).add_argument
    source("--images", type=place, metavar="DIR", help="folder of images, or a CSV table of paths")
    text = "feature vectors: .csv, .parquet, .h5ad, .npz, .npy with --ids, or a folder with a .npy file for each"
    source("--vectors", type=path, metavar="FILE", help=text)
    add_vector_flags(parser)
    fill = "replace missing values of vectors by the training mean (default: refuse)"
    add("--fill", choices=("mean",), help=fill)
    table = "label table (.csv, .parquet, obs of .h5ad); or the word folders: images lie in folders of their class"
    add("--labels", type=place, required=True, metavar="CSV", help=table)
    add("--taxonomy", metavar="YAML", help="label tree (default: the recipe's)")
    add("--size", type=whole_number(16, 2048), metavar="PX", help="side of the packed image (default: the recipe's)")
    add("--channels", metavar="TEXT", help=_CHANNELS)
    add_follow_links(parser)
    add("--may-be-missing", type=may_be_missing, metavar="CHANNELS", help=_MISSING)
    add_stacks(parser, projection=True)
    add("--intensity", choices=("auto", "depth", "percentile"), help=_INTENSITY)
    add_on_problem(parser, _PACK_PROBLEM)
    _add_workers(parser, "--threads", "images decoded at a time")


def _add_split(parser: Parser) -> None:
    add, source = parser.add_argument, parser.add_mutually_exclusive_group(required=True).add_argument
    source("--pack", type=place, metavar="DIR", help="pack to split")
    source("--labels", type=path, metavar="CSV", help="label table to split; folders: class folders, with --images")
    add_images_of_labels(parser)
    add("--out", type=path, required=True, metavar="FILE", help="split.csv to write")
    add("--taxonomy", metavar="YAML", help="label tree for --labels (default: the recipe's)")
    add("--fractions", metavar="A,B,C", help="fractions of train, calibration and test (default: the recipe's)")
    add("--near-duplicates", metavar="BITS", help=_ALIKE)
    add("--folds", metavar="K", help="folds within train and calibration (default: the recipe's)")
    add("--seed", metavar="N", help="breaks ties (default: the recipe's)")
    add_on_problem(parser)


def _add_balance(parser: Parser) -> None:
    add, source = parser.add_argument, parser.add_mutually_exclusive_group(required=True).add_argument
    source("--labels", type=path, metavar="CSV", help="label table; folders: class folders, with --images")
    add_images_of_labels(parser)
    source("--pack", type=place, metavar="DIR", help="pack")
    add("--out", type=path, required=True, metavar="DIR", help="folder for the tables and the chart")
    add("--split", type=path, metavar="FILE", help="split.csv: plan for its train part only")
    add("--taxonomy", metavar="YAML", help="label tree (default: the recipe's, or the pack's)")
    add("--target", type=whole_number(1), metavar="N", help="images per class (default: the recipe's share of all)")
    add("--bound", action="append", default=[], metavar="CLASS=X", help=_BOUND)
    add("--most", metavar="N", help="largest number of repeats of an image (default: the recipe's)")
    add_on_problem(parser)


def _add_audit(parser: Parser) -> None:
    add = parser.add_argument
    add("--pack", type=path, required=True, metavar="DIR", help="pack to check")
    add("--split", type=path, metavar="FILE", help="split.csv, to find equal images across its parts")
    add("--taxonomy", metavar="YAML", help="label tree (default: the pack's)")
    add("--near-duplicates", type=whole_number(0, 15), metavar="BITS", help=_BITS)
    add("--pairs", type=path, metavar="FILE", help="CSV file for the pairs of images that look alike")


def _add_simulate(parser: Parser) -> None:
    add = parser.add_argument
    add("--out", type=path, required=True, metavar="DIR", help="folder to write")
    add("--count", metavar="N", help="images (default: the recipe's)")
    add("--size", metavar="PX", help="side of an image (default: the recipe's)")
    add("--seed", metavar="N", help="of the whole set (default: the recipe's)")
    add("--imbalance", metavar="X", help="1: the real class counts, 0: all classes alike (default: the recipe's)")
    add("--as", dest="form", choices=("files", "pack"), default="files", help="what to write")
    add("--depth", type=int, choices=(8, 16), default=8, help="bits per pixel of files (default: 8)")
    add("--masks", action="store_true", help="also write cells, nuclei and each label's place to the folder masks/")
    add_backend_argument(parser, places=True)
    text = f"processes, or workers of --backend (default: {os.cpu_count() or 1}, or as many as that has)"
    add("--workers", type=whole_number(1), metavar="N", help=text)


def _add_workers(parser: argparse.ArgumentParser, flag: str, text: str) -> None:
    default = os.cpu_count() or 1
    parser.add_argument(flag, type=whole_number(1), default=default, metavar="N", help=f"{text} (default: {default})")
