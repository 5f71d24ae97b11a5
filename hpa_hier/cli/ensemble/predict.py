"""Command: predict images, feature vectors, or samples that other models have scored."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from hpa_hier.cli.command import Parser, path, print_notes, whole_number
from hpa_hier.cli.ensemble.arguments import (
    add_image_arguments,
    add_run_argument,
    add_score_argument,
    are_simulated,
    list_tables,
    open_images,
    open_run,
)
from hpa_hier.data.labels.problems import Doubts
from hpa_hier.errors import UserError

_MOST_DOUBTS = 8  # lines
_LEFT_OUT = 1  # exit status: finished, but some images could not be read

DESCRIPTION = """Predict a folder of images, a table of feature vectors, or samples that other models have scored.

Writes into --out: predictions.csv (labels by name, the probability of every node), submission.csv (Id,Predicted; empty
for images that could not be read) and rejected.csv (these, with reasons). Exit status 1 where there are such images,
0 where none."""


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    add_run_argument(one, "the run whose ensemble was fitted last")
    add_score_argument(one)
    add_image_arguments(one)
    add, threads = one.add_argument, min(8, os.cpu_count() or 1)
    add("--vectors", metavar="FILE", type=path, help="feature vectors, as `data pack --vectors` takes them")
    add("--ids", metavar="FILE", type=path, help="ids of the rows of a .npy file, one per line")
    add("--out", metavar="DIR", type=path, required=True, help="folder for the tables, made if absent")
    text = "a competition's sample_submission.csv: submission.csv gets its rows, in its order"
    add("--sample-submission", metavar="CSV", type=path, help=text)
    formats = "format of the probabilities: csv, parquet or h5ad (AnnData); default: csv"
    add("--format", choices=("csv", "parquet", "h5ad"), default="csv", help=formats)
    add("--overwrite", action="store_true", help="replace tables that are in --out already")
    add("--batch-size", metavar="N", type=whole_number(1), default=64, help="images at a time (default: 64)")
    text = "images decoded at a time (default: %(default)s)"
    add("--threads", metavar="N", type=whole_number(1), default=threads, help=text)
    text = "an image that cannot be read: skip it (default), or stop and write nothing"
    add("--on-problem", choices=("skip", "stop"), default="skip", help=text)


def run(options: argparse.Namespace) -> int:
    """Predict, and write the tables."""
    from tqdm import tqdm

    from hpa_hier.data.pack.vector_table import read_vectors
    from hpa_hier.ensemble.novelty.words import NO_DISTANCES
    from hpa_hier.predict.formats.probabilities import check_format
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.predict.tables import check_free, open_tables, read_wanted

    if sum(map(bool, (options.scores, options.images, options.vectors))) != 1:
        raise UserError("predict needs --images DIR, --vectors FILE or --scores NAME=FILE.csv …; give one of them")
    if options.ids and not options.vectors:
        raise UserError("--ids goes with --vectors FILE.npy; leave it out")
    given = [name for name in ("channels", "may_be_missing", "intensity", "follow_links") if getattr(options, name)]
    if options.vectors and given:
        flag = given[0].replace("_", "-")
        raise UserError(f"--{flag}: goes with --images; vectors have no channels, leave it out")
    opened = open_run(options, fitted=True, simulated=bool(options.images) and are_simulated(options.images))
    began = time.monotonic()
    check_free(options.out, options.overwrite)
    check_format(options.format)
    wanted = read_wanted(options.sample_submission) if options.sample_submission else None
    predictor = Predictor.load(opened, options.device, options.intensity)
    if options.scores:
        answers = predictor.predict(list_tables(options))
        answers.to_csv(options.out, options.overwrite, wanted, options.format)
        for line in answers.warnings:
            print(f"  {line}")
        return _say_written(options.out, len(answers), "samples", len(answers.rejected))
    if options.vectors:
        samples = predictor.open_vectors(read_vectors(options.vectors, options.ids), options.batch_size)
    else:
        samples = open_images(options, predictor)
    doubts, done, kind = Doubts(), 0, "vectors" if options.vectors else "images"
    with (
        open_tables(options.out, opened.ensemble.taxonomy, wanted, options.format) as tables,
        tqdm(total=samples.total, unit=kind[:-1], desc="predict", disable=None) as progress,
    ):
        for answers in predictor.stream(samples, stop=options.on_problem == "stop"):
            tables.add(answers.rows)
            doubts.add(answers.ids, answers.doubts or ((),) * len(answers))
            if not done and len(answers) < samples.total:
                for line in _describe_doubts(doubts, "so far "):
                    progress.write(line, file=sys.stderr)
            done += len(answers)
            progress.update(len(answers))
        tables.reject(sorted(samples.rejected))
    if samples.bits and predictor.check_kind("images", "").intensity == "percentile":
        bits = ", ".join(f"{bits} in {n:,} images" for bits, n in samples.bits.most_common())
        print(f"bits used: {bits}; each channel is read by the range that it has", file=sys.stderr)
    for line in _describe_doubts(doubts):
        print(line, file=sys.stderr)
    print_notes((), (), samples.describe_stacks())
    if opened.ensemble.novelty is None:
        print(f"no {kind[:-1]} is compared with those learned from: {NO_DISTANCES}", file=sys.stderr)
    took = f" in {time.monotonic() - began:.1f} s"
    return _say_written(options.out, done, kind + took, len(samples.rejected))


def _describe_doubts(doubts: Doubts, when: str = "") -> list[str]:
    """Return lines on what looks wrong with images; the table has a word on each of them."""
    lines = [f"look again: {when}{line}" for line in doubts.lines()]
    if any("bits used" in doubt for doubt in doubts.counts):
        lines.insert(0, "dark images: --intensity percentile reads them by the range that each channel has")
    more = len(lines) - _MOST_DOUBTS
    return lines if more <= 0 else [*lines[:_MOST_DOUBTS], f"… and {more} more kinds; predictions.csv names all"]


def _say_written(out: Path, done: int, what: str, left_out: int) -> int:
    """Say what predict has written, and return the exit status."""
    ending = f", {left_out} left out (see rejected.csv)" if left_out else ""
    print(f"wrote {out / 'predictions.csv'} and submission.csv: {done:,} {what}{ending}")
    return _LEFT_OUT if left_out else 0
