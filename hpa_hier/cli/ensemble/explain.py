"""Command: explain the answer for one image."""

from __future__ import annotations

import argparse

from hpa_hier.cli.command import Parser, print_notes
from hpa_hier.cli.ensemble.arguments import add_image_arguments, add_run_argument, open_images, open_run

DESCRIPTION = "Print one image's way down the tree: members, calibration, reconciliation, thresholds."


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    one.add_argument("id", metavar="ID", help="the image's id")
    add_run_argument(one, "the run whose ensemble was fitted last")
    add_image_arguments(one)
    one.add_argument("--all", action="store_true", dest="every_node", help="every node's score by each member")


def run(options: argparse.Namespace) -> int:
    """Print how the image's labels came about."""
    from hpa_hier.predict.predictor import Predictor

    predictor = Predictor.load(
        open_run(options, fitted=True, simulated=not options.images), options.device, options.intensity
    )
    images = open_images(options, predictor, only=options.id) if options.images else None
    print(predictor.explain(options.id, images, options.every_node))
    print_notes((), (), images.describe_stacks() if images else ())
    return 0
