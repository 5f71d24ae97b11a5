"""Flags of labelled samples, which evaluate and adapt take, and what they say of them."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from hpa_hier.cli.command import (
    Parser,
    add_vector_flags,
    column_names,
    path,
    print_notes,
    read_vector_source,
    whole_number,
)
from hpa_hier.cli.ensemble.arguments import add_image_arguments
from hpa_hier.errors import UserError

if TYPE_CHECKING:
    from hpa_hier.data.pack.build import PackReport
    from hpa_hier.predict.labelled.samples import LabelledRequest

_SHOWN = 5  # samples that were left out


def add_labelled_arguments(one: Parser) -> None:
    """Add the flags of labelled samples: images or vectors, and their label table."""
    add_image_arguments(one)
    add, threads = one.add_argument, min(8, os.cpu_count() or 1)
    add("--vectors", metavar="FILE", type=path, help="feature vectors, as `data pack --vectors` takes them")
    add_vector_flags(one)
    add("--labels", metavar="CSV", type=path, help="label table of the samples")
    text = "samples or rows of --labels that cannot be used (default: stop)"
    add("--on-problem", choices=("stop", "skip"), help=text)
    ignore = "columns of --labels that are no labels, separated by commas"
    add("--ignore-columns", type=column_names, default=(), metavar="COLUMNS", help=ignore)
    text = f"images decoded at a time (default: {threads})"
    add("--threads", metavar="N", type=whole_number(1), default=threads, help=text)


def open_request(options: argparse.Namespace) -> LabelledRequest:
    """Return where the labelled samples of the flags are.

    Raises:
        UserError: both images and vectors are given or none, there are no labels, or a flag goes with the others.
    """
    from hpa_hier.predict.labelled.samples import LabelledRequest

    if bool(options.images) == bool(options.vectors):
        raise UserError("labelled samples are --images DIR or --vectors FILE, with --labels CSV; give one of the two")
    check_labels(options)
    vectors = read_vector_source(options)
    for name in ("channels", "may_be_missing", "follow_links", "frame", "intensity") if vectors else ():
        if getattr(options, name):
            raise UserError(f"--{name.replace('_', '-')}: goes with --images; vectors have no channels, leave it out")
    return LabelledRequest(
        labels=options.labels,
        images=options.images,
        vectors=vectors,
        channels=options.channels,
        may_be_missing=options.may_be_missing,
        on_problem=options.on_problem or "stop",
        ignore_columns=options.ignore_columns,
        threads=options.threads,
        follow_links=bool(options.follow_links),
        frame=options.frame,
    )


def check_labels(options: argparse.Namespace) -> None:
    """Refuse samples without a label table."""
    if not options.labels:
        raise UserError("--labels CSV is missing: the label table of the samples; ensemble predict does without")


def print_pack(report: PackReport) -> None:
    """Print what was left out of labelled samples, and what was taken for what, on standard error."""
    for reject in report.rejects[:_SHOWN]:
        print(f"left out {reject.id} {reject.file}: {reject.reason}".replace(" :", ":"), file=sys.stderr)
    if len(report.rejects) > _SHOWN:
        print(f"… and {len(report.rejects) - _SHOWN:,} more", file=sys.stderr)
    print_notes((), report.notes, report.sample_notes, report.pack.kind)
    for channel, count in report.pack.filled.items():
        missing = f"channel {channel} is missing in {count:,} of {len(report.pack):,} images"
        print(f"{missing} and filled with zeros there", file=sys.stderr)
