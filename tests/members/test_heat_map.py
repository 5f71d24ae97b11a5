"""Heat maps of networks: where it is known what decides, the map is there; of another network it is another one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("captum", reason="heat maps need the extra `explain`")

from hpa_hier.members.heat_map import any_logit, find_stage, integrate_gradients, weigh_activations
from hpa_hier.members.score import Member, prepare_for_scoring
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.backbones.pooling import POOLINGS, Maximum
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.arcface import NeighbourVote
from hpa_hier.models.heads.build import HeadData, build_head
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.network import Averaged, Network, Normalise, Standardise
from hpa_hier.runs.manifest import Manifest
from hpa_hier.settings.training import ArcfaceSettings, TrainingSettings

SIDE, NODES = 48, ("Inside", "Green", "Red")
GREEN, RED = (12, 33), (35, 9)  # down and across, of the two blobs
DRAW: dict[str, Callable[..., np.ndarray | None]] = {"cam": weigh_activations, "integrated": integrate_gradients}


class Spots(nn.Module):
    """Two features: the brightest place of either of two channels, of what is brighter than the rest."""

    def __init__(self, pooling: str = "max") -> None:
        super().__init__()
        self.look = nn.Conv2d(2, 2, 5, padding=2, bias=True)
        with torch.no_grad():
            self.look.weight.zero_()
            for channel in range(2):
                self.look.weight[channel, channel] = 1 / 25
            self.look.bias.fill_(-90)
        self.maps = nn.Sequential(nn.ReLU(), nn.MaxPool2d(4))
        self.pooling = POOLINGS[pooling](2)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.pooling(self.maps(self.look(images)))
        return features


def build(head: str = "flat", backbone: nn.Module | None = None, features: int = 2, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    data = HeadData(Ancestry(((), (0,), (0,))), np.full(3, 0.5))
    made = build_head(TrainingSettings(head=head), features, data)
    return Network(backbone or Spots(), made, Normalise(np.zeros(2), np.ones(2)))


def member(network: nn.Module) -> Member:
    manifest = Manifest.model_construct(name="drawn", nodes=NODES)
    return Member(manifest, prepare_for_scoring(network, torch.device("cpu")), torch.device("cpu"))


def decided(network: Network) -> Network:
    """Let the node Green follow from the green blob alone, and Red from the red one."""
    with torch.no_grad():
        network.head.linear.weight.copy_(torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]]))
    return network


def two_blobs() -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 60, (2, SIDE, SIDE)).astype(np.uint8)
    for channel, (down, across) in enumerate((GREEN, RED)):
        image[channel, down - 3 : down + 4, across - 3 : across + 4] = 250
    return image


def share(values: np.ndarray, *spots: tuple[int, int]) -> float:
    """Return the share of a map's absolute mass within 8 pixels of some spots."""
    size = SIDE // len(values)
    down, across = (np.mgrid[: len(values), : len(values)] + 0.5) * size
    near = np.any([np.maximum(abs(down - y), abs(across - x)) <= 8 for y, x in spots], axis=0)
    return float(np.abs(values)[near].sum() / np.abs(values).sum())


@pytest.mark.parametrize("how", DRAW)
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize(("node", "spot", "other"), [("Green", GREEN, RED), ("Red", RED, GREEN)])
def test_the_map_lies_where_the_blob_is_that_alone_decides(
    how: str, pooling: str, node: str, spot: tuple[int, int], other: tuple[int, int]
) -> None:
    one = member(decided(build(backbone=Spots(pooling))))
    values = DRAW[how](one, two_blobs(), [node])
    assert values is not None
    assert values.shape == (SIDE, SIDE)
    assert share(values, spot) > 0.95
    assert share(values, other) < 0.02
    assert values.sum() > 0


def above_frozen_features() -> Network:
    """A frozen backbone with hidden layers and a head of their own, as `training.frozen` makes them."""
    build()  # seeds
    above = Network(
        nn.Sequential(nn.Linear(2, 8), nn.ReLU()), Flat(8, np.full(3, 0.5), 0.0), Standardise(*np.ones((2, 2)))
    )
    return Network(Spots(), above, Normalise(np.zeros(2), np.ones(2)))


def voting() -> Network:
    """A head that lets the nearest of four remembered samples vote."""
    settings = ArcfaceSettings(embedding=3, neighbours=4, temperature=0.5)
    torch.manual_seed(0)
    head = NeighbourVote(2, np.full(3, 0.5), 0.0, settings, antibodies=2, samples=4)
    bank = nn.functional.normalize(torch.randn(4, 3), dim=1)
    present = torch.tensor([[1, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 0]], dtype=torch.bool)
    head.remember(bank, present, torch.ones_like(present))
    return Network(Spots(), head, Normalise(np.zeros(2), np.ones(2)))


HEADS = {"chain": lambda: build("chain"), "levels": lambda: build("levels")}
HEADS |= {"frozen": above_frozen_features, "arcface": voting}


@pytest.mark.parametrize("how", DRAW)
@pytest.mark.parametrize("head", HEADS)
def test_of_any_head_the_map_lies_on_what_its_network_can_see(head: str, how: str) -> None:
    one = member(HEADS[head]())
    for node in NODES:
        values = DRAW[how](one, two_blobs(), [node])
        assert values is not None
        assert values.any()
        assert share(values, GREEN, RED) > 0.95


@pytest.mark.parametrize("head", ["flat", "chain", "levels"])
def test_integrated_gradients_sum_to_what_the_picture_changed(head: str) -> None:
    backbone = build_backbone(TrainingSettings(width=4), ("green", "red"), SIDE)
    one = member(build(head, backbone.module, backbone.features))
    image = two_blobs()
    here, black = one.network(torch.from_numpy(np.stack([image, np.zeros_like(image)]))).detach().numpy()
    for column, node in enumerate(NODES):
        changed = float(here[column] - black[column])
        assert abs(changed) > 0.01
        assert integrate_gradients(one, image, [node]).sum() == pytest.approx(changed, rel=0.05, abs=0.01)


@pytest.mark.parametrize("how", DRAW)
def test_of_networks_that_are_averaged_the_maps_are_too(how: str) -> None:
    networks = [decided(build()), build(seed=1)]
    maps = [DRAW[how](member(network), two_blobs(), ["Green"]) for network in networks]
    both = DRAW[how](member(Averaged(networks)), two_blobs(), ["Green"])
    np.testing.assert_allclose(both, np.mean(maps, axis=0), atol=1e-4)


def test_several_nodes_are_explained_as_the_chance_of_any() -> None:
    logits = torch.tensor([[-2.0, 1.0], [3.0, -30.0], [-90.0, -90.0]])
    probs = 1 - torch.prod(1 - torch.sigmoid(logits.double()), dim=1)
    assert any_logit(logits[:2]).tolist() == pytest.approx(torch.logit(probs[:2]).tolist(), abs=1e-5)
    assert float(any_logit(logits)[2]) == pytest.approx(-90 + np.log(2), abs=1e-4)
    values = weigh_activations(member(decided(build())), two_blobs(), ["Green", "Red"])
    assert share(values, GREEN) > 0.2
    assert share(values, RED) > 0.2


@pytest.mark.parametrize(
    ("name", "pooling", "side", "grid"),
    [
        ("small_cnn", "own", 192, 24),
        ("small_cnn", "attention", 32, 16),
        ("four_conv_cnn", "own", 80, 37),
        ("two_conv_cnn", "spp", 64, 29),
        ("resnet10t", "own", 96, 24),
        ("tf_efficientnet_lite0", "gem", 96, 24),
        ("tf_efficientnet_lite0", "own", 192, 24),
        ("vit_tiny_patch16_224", "own", 64, 4),
        ("convnext_atto", "own", 64, 16),
        ("swinv2_cr_tiny_224", "own", 96, 24),
    ],
)
def test_the_maps_are_the_last_that_are_fine_enough(name: str, pooling: str, side: int, grid: int) -> None:
    settings = TrainingSettings(backbone=name, pooling=pooling, width=4)
    backbone = build_backbone(settings, ("green", "red"), side, start=False)
    one = member(build(backbone=backbone.module, features=backbone.features))
    image = np.random.default_rng(0).integers(0, 256, (2, side, side), dtype=np.uint8)
    values = weigh_activations(one, image, ["Green"])
    assert values is not None
    assert values.shape == (grid, grid)
    assert np.abs(values).sum() > 0


def test_maps_before_a_pooling_that_is_no_part_are_found_too() -> None:
    class Mean(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).amax(dim=(2, 3))

    spots = Spots()
    one = member(decided(build(backbone=Mean(spots.look, nn.ReLU()))))
    values = weigh_activations(one, two_blobs(), ["Green"])
    assert values is not None
    assert values.shape == (SIDE, SIDE)
    assert share(values, GREEN) > 0.95


def test_a_network_without_maps_before_its_pooling_has_no_map() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(2 * SIDE * SIDE, 2))
    assert find_stage(flat, torch.zeros(1, 2, SIDE, SIDE)) is None
    assert weigh_activations(member(build(backbone=flat)), two_blobs(), ["Green"]) is None


class Bars(nn.Module):
    """A convolution of the size of a bar, and the brightest place of each of six maps."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(2, 6, 7, padding=3), nn.ReLU())
        self.pooling = Maximum(6)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.pooling(self.maps(images))
        return features


def draw_bars(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures, each with a lying bar and half of them with a standing one; if so, and where that is."""
    side = 32
    images = rng.normal(60, 15, (count, 2, side, side))
    there, corners = rng.random(count) < 0.5, rng.integers(0, side - 10, (count, 2))
    for image, one, (down, across) in zip(images, there, corners, strict=True):
        y, x = (corner // 2 + (side // 2 if corner < side // 3 else 0) for corner in (down, across))
        image[0, y : y + 2, x : x + 9] = 220
        if one:
            image[0, down : down + 9, across : across + 2] = 220
    return images.clip(0, 255).astype(np.uint8), there, corners


def test_of_a_network_that_learned_the_map_lies_on_what_it_learned_and_of_a_random_one_elsewhere() -> None:
    """Sanity checks for saliency maps, Adebayo et al., NeurIPS 2018: a map must depend on the weights."""
    rng = np.random.default_rng(0)
    images, there, _ = draw_bars(rng, 256)
    scale = Normalise(np.full(2, 60.0), np.full(2, 30.0))
    learned, random = (Network(Bars(), build(features=6, seed=seed).head, scale) for seed in (0, 1))
    optimizer, target = torch.optim.Adam(learned.parameters(), lr=0.03), torch.from_numpy(there).float()
    for _ in range(6):
        for rows in torch.arange(256).split(32):
            logits = learned(torch.from_numpy(images)[rows])[:, 1]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    images, there, corners = draw_bars(rng, 24)
    on_bar: dict[str, list[float]] = {"learned": [], "random": []}
    alike = []
    for image, (down, across) in zip(images[there], corners[there], strict=True):
        maps = {}
        for name, one in (("learned", learned), ("random", random)):
            maps[name] = np.maximum(integrate_gradients(member(one), image, ["Green"]), 0)
            near = maps[name][max(0, down - 1) : down + 10, max(0, across - 1) : across + 3]
            on_bar[name].append(near.sum() / maps[name].sum())
        alike.append(np.corrcoef(maps["learned"].ravel(), maps["random"].ravel())[0, 1])
    assert np.mean(on_bar["learned"]) > 0.5  # of 4 % of the pixels
    assert np.mean(on_bar["random"]) < 0.5 * np.mean(on_bar["learned"])
    assert np.mean(alike) < 0.5
