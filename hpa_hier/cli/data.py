"""Command: simulate cells, pack images, split samples, balance classes, audit a pack."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from hpa_hier.cli.command import Parser, add_recipe_arguments, channels, one_thread_a_process, path, whole_number

_EPILOG = """examples:
  %(prog)s pack --images my_images --labels my_labels.csv --size 128 --out artifacts/my_pack
  %(prog)s pack --vectors embeddings.csv --labels my_labels.csv --out artifacts/my_vectors
  %(prog)s split --pack artifacts/my_pack --out artifacts/my_pack/split.csv
  %(prog)s simulate --count 200 --size 128 --out artifacts/simulated"""


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments and run one of the five commands."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
    from hpa_hier.cli import data_commands as commands

    commands.COMMANDS[options.command](options)
    return 0


def parser() -> Parser:
    """Build the parser of all five sub-commands."""
    whole = Parser("data", "Turn images and labels on disk into a pack and a split.", epilog=_EPILOG)
    for name, description, add_flags in (
        ("pack", "Convert images (or feature vectors) and labels into a memory-mapped dataset.", _add_pack),
        ("split", "Split samples into train, calibration and test sets, stratified; groups stay together.", _add_split),
        ("balance", "Plan how often images are repeated so that no class stays rare.", _add_balance),
        ("audit", "Check a pack: class counts, missing channels, duplicates, dark images.", _add_audit),
        ("simulate", "Simulate cells with known labels, as files or as a pack.", _add_simulate),
    ):
        command = whole.add_command(name, description)
        add_flags(command)
        add_recipe_arguments(command)
    return whole


def _add_pack(parser: Parser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=path, metavar="DIR", help="folder of images")
    source.add_argument(
        "--vectors", type=path, metavar="FILE", help="feature vectors: a CSV table (id, numbers), or .npy with --ids"
    )
    parser.add_argument("--ids", type=path, metavar="FILE", help="ids of the rows of a .npy file, one per line")
    parser.add_argument(
        "--fill", choices=("mean",), help="replace missing values of vectors by the training mean (default: refuse)"
    )
    parser.add_argument("--labels", type=path, required=True, metavar="CSV", help="label table")
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder of the pack")
    parser.add_argument("--taxonomy", metavar="YAML", help="label tree (default: the recipe's)")
    parser.add_argument(
        "--size", type=whole_number(16, 2048), metavar="PX", help="side of the packed image (default: the recipe's)"
    )
    parser.add_argument(
        "--channels",
        metavar="TEXT",
        help="which channel is where: the order of planes (red,green,blue,-) or your names (red=tubulin,blue=dapi)",
    )
    parser.add_argument(
        "--may-be-missing",
        type=channels,
        metavar="CHANNELS",
        help="channels that an image may lack, such as yellow; they are filled with zeros (default: the recipe's)",
    )
    parser.add_argument(
        "--intensity",
        choices=("depth", "percentile"),
        help="convert to 8 bits by bit depth, or by each channel's 0.1 and 99.9 percentiles (default: the recipe's)",
    )
    _add_on_problem(
        parser,
        "unknown labels, duplicate ids, images without a row, rows without an image, missing channels: stop and list "
        "them, or skip those samples and list them in rejected.csv (default: stop)",
    )
    _add_workers(parser, "--threads", "images decoded at a time")


def _add_split(parser: Parser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pack", type=path, metavar="DIR", help="pack to split")
    source.add_argument("--labels", type=path, metavar="CSV", help="label table to split")
    parser.add_argument("--out", type=path, required=True, metavar="FILE", help="split.csv to write")
    parser.add_argument("--taxonomy", metavar="YAML", help="label tree for --labels (default: the recipe's)")
    parser.add_argument(
        "--fractions", metavar="A,B,C", help="fractions of train, calibration and test (default: the recipe's)"
    )
    parser.add_argument(
        "--near-duplicates",
        metavar="BITS",
        help="keep images of a pack together that look the same: their fingerprints differ in at most this many bits, "
        "0 to 15; 11 is a good choice (default: the recipe's)",
    )
    parser.add_argument("--folds", metavar="K", help="folds within train and calibration (default: the recipe's)")
    parser.add_argument("--seed", metavar="N", help="breaks ties (default: the recipe's)")
    _add_on_problem(parser)


def _add_balance(parser: Parser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--labels", type=path, metavar="CSV", help="label table")
    source.add_argument("--pack", type=path, metavar="DIR", help="pack")
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the tables and the chart")
    parser.add_argument("--split", type=path, metavar="FILE", help="split.csv: plan for its train part only")
    parser.add_argument("--taxonomy", metavar="YAML", help="label tree (default: the recipe's, or the pack's)")
    parser.add_argument(
        "--target", type=whole_number(1), metavar="N", help="images per class (default: the recipe's share of all)"
    )
    parser.add_argument(
        "--bound",
        action="append",
        default=[],
        metavar="CLASS=X",
        help="largest growth of a class, as in Nucleoplasm=0.15; may be given several times (default: the recipe's, "
        "for each class that has reached the target)",
    )
    parser.add_argument("--most", metavar="N", help="largest number of repeats of an image (default: the recipe's)")
    _add_on_problem(parser)


def _add_audit(parser: Parser) -> None:
    parser.add_argument("--pack", type=path, required=True, metavar="DIR", help="pack to check")
    parser.add_argument("--split", type=path, metavar="FILE", help="split.csv, to find equal images across its parts")
    parser.add_argument("--taxonomy", metavar="YAML", help="label tree (default: the pack's)")
    parser.add_argument(
        "--near-duplicates",
        type=whole_number(0, 15),
        metavar="BITS",
        help="largest difference between fingerprints of images that look the same, 0 to 15 bits (default: 11)",
    )
    parser.add_argument("--pairs", type=path, metavar="FILE", help="CSV file for the pairs of images that look alike")


def _add_simulate(parser: Parser) -> None:
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--count", metavar="N", help="images (default: the recipe's)")
    parser.add_argument("--size", metavar="PX", help="side of an image (default: the recipe's)")
    parser.add_argument("--seed", metavar="N", help="of the whole set (default: the recipe's)")
    parser.add_argument(
        "--imbalance", metavar="X", help="1: the real class counts, 0: all classes alike (default: the recipe's)"
    )
    parser.add_argument("--as", dest="form", choices=("files", "pack"), default="files", help="what to write")
    parser.add_argument("--depth", type=int, choices=(8, 16), default=8, help="bits per pixel of files (default: 8)")
    parser.add_argument(
        "--masks", action="store_true", help="also write cells, nuclei and each label's place to the folder masks/"
    )
    _add_workers(parser, "--workers", "processes")


def _add_on_problem(parser: argparse.ArgumentParser, text: str = "rows that cannot be used (default: stop)") -> None:
    parser.add_argument("--on-problem", choices=("stop", "skip"), default="stop", help=text)


def _add_workers(parser: argparse.ArgumentParser, flag: str, text: str) -> None:
    default = os.cpu_count() or 1
    parser.add_argument(flag, type=whole_number(1), default=default, metavar="N", help=f"{text} (default: {default})")
