"""Command: explain the answer for one image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import Parser, path, print_notes
from hpa_hier.cli.ensemble.arguments import (
    add_image_arguments,
    add_prior_argument,
    add_run_argument,
    add_scales_argument,
    are_simulated,
    open_images,
    open_run,
)
from hpa_hier.cli.flags.backend import add_backend_argument, read_backend
from hpa_hier.errors import UserError

if TYPE_CHECKING:
    from hpa_hier.predict.inputs import Samples
    from hpa_hier.predict.predictor import Predictor

METHODS = ("grad_cam", "integrated_gradients")  # as predict.explanation.heat_maps.METHODS, which takes long to import
DESCRIPTION = "Tell where the protein is in one image, why, and what is doubtful about it."


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    text = "the image's id, or its file; not needed where --images is a single image"
    one.add_argument("id", metavar="ID", nargs="?", help=text)
    add_run_argument(one, "the run whose ensemble was fitted last")
    add_image_arguments(one)
    add_scales_argument(one)
    add_prior_argument(one)
    add_backend_argument(one, engines=True)
    text = "also write a page <id>.html with the picture and the training images most like it into this folder"
    one.add_argument("--out", metavar="DIR", type=path, help=text)
    text = """also draw on the page where the picture speaks for a node, in each member and in all together (default:
    for the likeliest place); without --out the page is written here"""
    one.add_argument("--heat-map", metavar="NODE", nargs="?", const="", help=text)
    text = """how heat maps are made: grad_cam, coarse and quick, or integrated_gradients, fine and slower (default:
    grad_cam)"""
    one.add_argument("--method", choices=METHODS, help=text)
    text = "tables instead of words: members, calibration, reconciliation, thresholds"
    one.add_argument("--numbers", action="store_true", help=text)
    text = "with tables of every node, not only of those in the answer and the likeliest"
    one.add_argument("--all", action="store_true", dest="every_node", help=text)


def run(options: argparse.Namespace) -> int:
    """Print how the image's labels came about."""
    from hpa_hier.members.process import prepare_process
    from hpa_hier.predict.magnify import WHOLE
    from hpa_hier.predict.predictor import Predictor

    if not options.id and options.heat_map and Path(options.heat_map).is_file():
        options.id, options.heat_map = options.heat_map, ""  # an image behind the flag is no node
    if options.method and options.heat_map is None:
        raise UserError("--method: goes with --heat-map; add it, or leave this out")
    if options.images is None and options.id and Path(options.id).is_file():
        options.images = Path(options.id)  # the file of an image, in the place of its id
    if options.images is None and not options.id:
        raise UserError("explain needs the id of an image, or its file, as in: hpa-hier explain my_images/a.png")
    simulated = options.images is None or are_simulated([options.images])
    opened = open_run(options, fitted=True, simulated=simulated)
    prepare_process()
    engine = read_backend(options.backend, engines=True).engine or "torch"
    predictor = Predictor.load(
        opened, options.device, options.intensity, options.prior, options.scales or WHOLE, engine
    )
    images = _open_image(options, predictor) if options.images else None
    answers = predictor.answer_one(options.id, images)
    heat = None
    if options.heat_map is not None:
        node = options.heat_map or answers.places[0][0][0]
        heat = answers.heat_maps(answers.ids[0], node, *filter(None, [options.method]))
    print(answers.explain(answers.ids[0], options.every_node, numbers=options.numbers))
    print_notes((), (), images.describe_stacks() if images else ())
    if heat:
        print("", *heat.describe(), sep="\n")
    if options.out or heat:
        print(f"\nwrote {answers.write_explanation(answers.ids[0], options.out or Path(), heat)}")
    return 0


def _open_image(options: argparse.Namespace, predictor: Predictor) -> Samples:
    images = open_images(options, predictor, only=options.id)
    if images.total > 1:
        raise UserError(f"{options.images}: holds {images.total:,} images; name one, by its id or its file")
    return images
