"""Command: simulate cells, pack images, split samples, balance classes, audit a pack."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from hpa_hier.cli.command import Parser, add_recipe_arguments, one_thread_a_process

_CHANNELS = ("red", "green", "blue", "yellow")
_EPILOG = """examples:
  python -m hpa_hier.data pack --images my_images --labels my_labels.csv --size 128 --out artifacts/my_pack
  python -m hpa_hier.data pack --vectors embeddings.csv --labels my_labels.csv --out artifacts/my_vectors
  python -m hpa_hier.data split --pack artifacts/my_pack --out artifacts/my_pack/split.csv
  python -m hpa_hier.data simulate --count 200 --size 128 --out artifacts/simulated"""


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments and run one of the five commands."""
    options = _parser().parse_args(arguments)
    one_thread_a_process()
    from hpa_hier.cli import data_commands as commands

    commands.COMMANDS[options.command](options)
    return 0


def _parser() -> Parser:
    parser = Parser("hpa_hier.data", "Images and labels on disk become a pack and a split.", epilog=_EPILOG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_pack(
        _command(commands, "pack", "bring images, or feature vectors, and a label table into one fast file set, once")
    )
    _add_split(_command(commands, "split", "deal samples to train, calibration and test, stratified, no group in two"))
    _add_balance(_command(commands, "balance", "plan how often images are repeated, so that no class stays rare"))
    _add_audit(_command(commands, "audit", "look through a pack: counts, missing channels, duplicates, dark images"))
    _add_simulate(_command(commands, "simulate", "simulate cells with known labels, as files or as a pack"))
    return parser


def _command(commands: argparse._SubParsersAction[Parser], name: str, help_text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
    add_recipe_arguments(parser)
    return parser


def _add_pack(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, metavar="DIR", help="folder of images")
    source.add_argument(
        "--vectors", type=Path, metavar="FILE", help="feature vectors: a CSV table (id, numbers), or .npy with --ids"
    )
    parser.add_argument("--ids", type=Path, metavar="FILE", help="ids of a .npy file's rows, one a line")
    parser.add_argument(
        "--fill",
        choices=("mean",),
        help="missing values of vectors count as the training part's mean (default: refused)",
    )
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV", help="label table")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the pack")
    parser.add_argument("--taxonomy", metavar="YAML", help="label tree (default: the recipe's)")
    parser.add_argument("--size", type=_size, metavar="PX", help="side of the packed image (default: the recipe's)")
    parser.add_argument(
        "--channels",
        metavar="TEXT",
        help="which channel is where: an order of planes (red,green,blue,-) or your names (red=tubulin,blue=dapi)",
    )
    parser.add_argument(
        "--may-be-missing",
        type=_channels,
        metavar="CHANNELS",
        help="channels that an image may lack, as in yellow; filled with zeros (default: the recipe's)",
    )
    parser.add_argument(
        "--intensity",
        choices=("depth", "percentile"),
        help="to 8 bits by bit depth, or by each channel's 0.1 and 99.9 percentiles (default: the recipe's)",
    )
    parser.add_argument(
        "--on-problem",
        choices=("stop", "skip"),
        default="stop",
        help="at unknown labels, duplicate ids, images without row, rows without image, missing channels: stop and "
        "list them, or leave those samples out and list them in rejected.csv (default: stop)",
    )
    parser.add_argument(
        "--threads", type=_positive, default=os.cpu_count() or 1, metavar="N", help="images decoded at the same time"
    )


def _add_split(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pack", type=Path, metavar="DIR", help="pack to split")
    source.add_argument("--labels", type=Path, metavar="CSV", help="label table to split")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="split.csv to write")
    parser.add_argument("--taxonomy", metavar="YAML", help="label tree for --labels (default: the recipe's)")
    parser.add_argument(
        "--fractions", metavar="A,B,C", help="shares of train, calibration and test (default: the recipe's)"
    )
    parser.add_argument(
        "--near-duplicates",
        metavar="BITS",
        help="keep images of a pack together that look the same: their fingerprints differ in at most so many bits, "
        "0 to 15; 11 is a good choice (default: the recipe's)",
    )
    parser.add_argument("--folds", metavar="K", help="folds inside train and calibration (default: the recipe's)")
    parser.add_argument("--seed", metavar="N", help="decides between equals (default: the recipe's)")
    parser.add_argument(
        "--on-problem", choices=("stop", "skip"), default="stop", help="at rows that cannot be used (default: stop)"
    )


def _add_balance(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--labels", type=Path, metavar="CSV", help="label table")
    source.add_argument("--pack", type=Path, metavar="DIR", help="pack")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the tables and the chart")
    parser.add_argument("--split", type=Path, metavar="FILE", help="split.csv: plan for its train part only")
    parser.add_argument("--taxonomy", metavar="YAML", help="label tree (default: the recipe's, or the pack's)")
    parser.add_argument(
        "--target", type=_positive, metavar="N", help="images of each class (default: the recipe's share of all)"
    )
    parser.add_argument(
        "--bound",
        action="append",
        default=[],
        metavar="CLASS=X",
        help="growth that a class may have at most, as in Nucleoplasm=0.15; may stand several times "
        "(default: the recipe's, for each class that has the target already)",
    )
    parser.add_argument("--most", metavar="N", help="no image is repeated more often (default: the recipe's)")
    parser.add_argument(
        "--on-problem", choices=("stop", "skip"), default="stop", help="at rows that cannot be used (default: stop)"
    )


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR", help="pack to look through")
    parser.add_argument("--split", type=Path, metavar="FILE", help="split.csv, to find equal images across its parts")
    parser.add_argument("--taxonomy", metavar="YAML", help="label tree (default: the one the pack was made with)")
    parser.add_argument(
        "--near-duplicates",
        type=_bits,
        metavar="BITS",
        help="bits that the fingerprints of images that look the same may differ in, 0 to 15 (default: 11)",
    )
    parser.add_argument(
        "--pairs", type=Path, metavar="FILE", help="CSV file for the pairs of images that look the same"
    )


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--count", metavar="N", help="images (default: the recipe's)")
    parser.add_argument("--size", metavar="PX", help="side of an image (default: the recipe's)")
    parser.add_argument("--seed", metavar="N", help="of the whole set (default: the recipe's)")
    parser.add_argument(
        "--imbalance", metavar="X", help="1: the real class counts, 0: all alike (default: the recipe's)"
    )
    parser.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--as", dest="form", choices=("files", "pack"), default="files", help="what to write")
    parser.add_argument("--depth", type=int, choices=(8, 16), default=8, help="bits a pixel, for files (default: 8)")
    parser.add_argument(
        "--masks", action="store_true", help="beside files: cells, nuclei and each label's place, in the folder masks/"
    )


def _size(text: str) -> int:
    if not text.isdecimal() or not 16 <= int(text) <= 2048:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of pixels from 16 to 2048")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1")
    return int(text)


def _bits(text: str) -> int:
    if not text.isdecimal() or int(text) > 15:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of bits from 0 to 15")
    return int(text)


def _channels(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        if name not in _CHANNELS:
            raise argparse.ArgumentTypeError(f"{name!r} is no channel; the channels are {', '.join(_CHANNELS)}")
    return names
