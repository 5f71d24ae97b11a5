"""Measure whether heat maps of nuclear places lie in the nuclei, and those of other places outside, on real fields.

    python benchmarks/heat_maps.py --images DIR [--labels CSV] [--run NAME|DIR]

Without --run it is the bundled ensemble. DIR holds whole fields with a blue channel (nuclei); their labels are in CSV,
else in DIR/labels.csv. Of every field that carries a node, the ensemble's combined map of that node is drawn, by both
methods. The mask are the nuclei: the blue channel as members take it, smoothed and thresholded by Otsu. A row says, as
means over fields with 95 % intervals (bootstrap over fields), which share lies in the mask of

- the field's area, and the protein's light: what a map would have that followed neither, or the stain alone;
- the map of Grad-CAM as it is published: gradients' means, on the last maps, the members' mean;
- each method's map;
- the maps of other fields, laid over this one: what a map has whatever the picture;
- the maps of the same networks with weights drawn anew, once (Adebayo et al., NeurIPS 2018).

About five minutes of one idle core for 48 fields.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from captum.attr import LayerGradCam

from hpa_hier.cli.command import run
from hpa_hier.members.features import find_member
from hpa_hier.members.score import Member
from hpa_hier.metrics.bootstrap import interval, resamples
from hpa_hier.models.network import Network
from hpa_hier.predict.answers import Answers
from hpa_hier.predict.explanation.explained import Picture
from hpa_hier.predict.explanation.explainer import Explainer
from hpa_hier.predict.explanation.heat_maps import METHOD_NAMES, METHODS, HeatMap, Method
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.find import PRETRAINED

NODES = ("Nucleus", "Nucleoplasm", "Nucleoli", "Cytoplasm", "Cytosol")
FEWEST = 5  # fields, fewer than which are no row
RESAMPLES = 2000
NUCLEI, PROTEIN = "blue", "green"


@dataclass(frozen=True)
class Field:
    """A field with what is known of it."""

    id: str
    picture: Picture
    nuclei: np.ndarray  # (S, S) bool
    nodes: frozenset[str]  # annotated, with those above

    def plane(self, channel: str) -> np.ndarray:
        """Return one channel, (S, S) uint8."""
        return self.picture.image[self.picture.channels.index(channel)]


def find_nuclei(plane: np.ndarray) -> np.ndarray:
    """Return where the stain of nuclei, (S, S) uint8, is brighter than Otsu's threshold."""
    smooth = cv2.GaussianBlur(plane, (0, 0), plane.shape[0] / 128)
    return np.asarray(cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1] > 0)


def share_inside(values: np.ndarray, mask: np.ndarray) -> float:
    """Return which share of the mass of values, (S, S) and not below 0, is in a mask; NaN where there is none."""
    total = float(values.sum())
    return float(values[mask].sum()) / total if total else np.nan


def read_fields(answers: Answers, labels: Path) -> list[Field]:
    """Return the fields that have labels."""
    taxonomy, fields = answers.taxonomy, []
    table = pd.read_csv(labels, dtype=str).set_index("Id")["Target"]
    for sample in answers.ids:
        picture = answers.picture(sample)
        if sample not in table.index or picture is None:
            continue
        leaves = [str(taxonomy.find_node(label)) for label in table[sample].split()]
        nodes = frozenset(node for leaf in leaves for node in (leaf, *taxonomy.ancestors(leaf)))
        nuclei = find_nuclei(picture.image[picture.channels.index(NUCLEI)])
        fields.append(Field(sample, picture, nuclei, nodes))
    return fields


def draw(explainer: Explainer, fields: Sequence[Field], node: str, method: Method) -> list[np.ndarray]:
    """Return the combined map of each field, zeros where it has none."""
    maps = []
    for field in fields:
        combined = explainer.heat_maps(field.picture.image, node, method).combined
        maps.append(np.zeros(field.nuclei.shape, np.float32) if combined is None else combined.values)
    return maps


def draw_published(predictor: Predictor, fields: Sequence[Field], node: str) -> list[np.ndarray]:
    """Return the mean of the members' maps of each field, by Grad-CAM on the last maps of their networks."""
    maps = [np.zeros(field.nuclei.shape, np.float32) for field in fields]
    for scorer in predictor.scorers.values():
        member = find_member(scorer)
        if not isinstance(member, Member) or node not in member.nodes:
            continue
        network = member.network
        assert isinstance(network, Network)
        weighed = LayerGradCam(network, _find_last(network, fields[0].picture.image))
        for field, total in zip(fields, maps, strict=True):
            pixels = torch.from_numpy(field.picture.image[None]).float()
            raw = weighed.attribute(pixels, target=member.nodes.index(node))[0, 0].detach().numpy()
            total += HeatMap.from_raw(raw, node, member.name, "grad_cam", field.nuclei.shape).values
    return maps


def _find_last(network: Network, image: np.ndarray) -> torch.nn.Module:
    """Return the part of a network that ends last of those that give maps."""
    found: list[torch.nn.Module] = []

    def note(part: torch.nn.Module, _: object, made: torch.Tensor) -> None:
        if made.ndim == 4 and made.shape[-1] > 1:
            found.append(part)

    hooks = [part.register_forward_hook(note) for part in network.backbone.modules() if part is not network.backbone]
    with torch.no_grad():
        network.backbone(network.normalise(torch.from_numpy(image[None])))
    for hook in hooks:
        hook.remove()
    return found[-1]


def randomise(predictor: Predictor, seed: int) -> Explainer:
    """Return the ensemble with members whose convolutions and matrices have weights drawn anew."""
    torch.manual_seed(seed)
    scorers = {}
    for name, scorer in predictor.scorers.items():
        member = copy.deepcopy(find_member(scorer))
        assert member is not None
        for part in member.network.modules():  # type: ignore[union-attr]
            if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear)):
                part.reset_parameters()
        scorers[name] = member
    return Explainer(predictor.run, predictor.ensemble, lambda: scorers)  # type: ignore[arg-type,return-value]


def describe(values: Sequence[float]) -> str:
    """Return a mean with its interval over fields."""
    known = np.array([value for value in values if np.isfinite(value)])
    weights = np.concatenate(list(resamples(np.arange(len(known)), RESAMPLES, np.random.default_rng(0))))
    low, high = interval(weights @ known / weights.sum(axis=1), known.mean(), 0.95)
    return f"{known.mean():.2f} [{float(low):.2f}, {float(high):.2f}]"


def measure_row(
    node: str, fields: Sequence[Field], predictor: Predictor, explainer: Explainer, random: Explainer
) -> str:
    """Return a row of the table: which share of each kind of map of a node lies in the nuclei."""
    masks = [field.nuclei for field in fields]
    cells = [node, str(len(fields)), describe([float(mask.mean()) for mask in masks])]
    cells.append(describe([share_inside(field.plane(PROTEIN).astype(float), field.nuclei) for field in fields]))
    published = draw_published(predictor, fields, node)
    cells.append(describe([share_inside(one, mask) for one, mask in zip(published, masks, strict=True)]))
    for method in METHODS:
        maps = draw(explainer, fields, node, method)
        empty = sum(not one.any() for one in maps)
        others = [
            np.nanmean([share_inside(one, mask) for j, one in enumerate(maps) if j != i])
            for i, mask in enumerate(masks)
        ]
        drawn = draw(random, fields, node, method)
        anew = [share_inside(one, mask) for one, mask in zip(drawn, masks, strict=True)]
        found = describe([share_inside(one, mask) for one, mask in zip(maps, masks, strict=True)])
        cells += [found + (f" ({empty} empty)" if empty else ""), describe(others), describe(anew)]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--labels", type=Path, metavar="CSV")
    parser.add_argument("--run", default=PRETRAINED, metavar="NAME|DIR")
    options = parser.parse_args(arguments)
    predictor = Predictor.load(options.run)
    answers = predictor.predict(options.images)
    fields = read_fields(answers, options.labels or options.images / "labels.csv")
    explainer = Explainer(predictor.run, predictor.ensemble, lambda: predictor.scorers)
    random = randomise(predictor, seed=0)
    columns = ["node", "fields", "area", "protein's light", "Grad-CAM"]
    for method in METHODS:
        columns += [METHOD_NAMES[method], "of other fields", "random weights"]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for node in NODES:
        own = [field for field in fields if node in field.nodes]
        if len(own) >= FEWEST:
            print(measure_row(node, own, predictor, explainer, random), flush=True)
    return 0


if __name__ == "__main__":
    run(main)
