"""Forecast: the time that `run` says a training will take, beside the time that it took.

    python benchmarks/forecast.py artifacts/demo artifacts/mine

Of each member: seconds forecast here and now, seconds taken when it was trained, and their ratio. On the machine that
trained, otherwise idle, else the ratio tells of the machines. A minute for the demo.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpa_hier.cli.command import one_thread_a_process, run


def main(arguments: Sequence[str]) -> int:
    """Print a line for each member."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    options = parser.parse_args(arguments)
    one_thread_a_process()
    import torch

    from hpa_hier.runs.manifest import training_settings
    from hpa_hier.runs.run import Run
    from hpa_hier.training.forecast import Samples, forecast_training

    print("| run | member | folds | forecast, s | took, s | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for folder in options.runs:
        opened = Run.open(folder)
        for record in opened.members:
            made = record.manifest
            own = {"backbone": made.backbone, "width": made.width}
            settings = training_settings(made).model_copy(update=own)
            parts = ("train", "calibration") if made.folds else ("train",)
            count = sum(len(opened.split.part_ids(part)) for part in parts)
            samples = Samples(count, made.channels, made.image_size)
            said = forecast_training([settings], samples, torch.device("cpu"), 1)
            cells = (f"{said:.1f}", f"{made.seconds:.1f}", f"{made.seconds / said:.2f}")
            print(f"| {opened.folder.name} | {record.name} | {made.folds} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
