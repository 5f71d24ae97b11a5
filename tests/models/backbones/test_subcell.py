"""SubCell: the published names and shapes, the published formula, and what is said of wrong files and channels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from hpa_hier.errors import UserError
from hpa_hier.models.backbones import create
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.backbones.subcell import PUBLISHED, Shape, SubCell, rename, where_to_get
from hpa_hier.settings.training import TrainingSettings

SMALL = Shape(width=24, depth=2, heads=3, gate=16)
RGBY, RYBG = ("red", "green", "blue", "yellow"), ("red", "yellow", "blue", "green")


def published(shape: Shape = SMALL, channels: int = 4, device: str = "cpu") -> dict[str, Tensor]:
    """Draw weights of the published names and shapes."""
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}

    def add(name: str, *size: int) -> None:
        drawn = torch.empty(size, device="meta") if device == "meta" else torch.randn(*size, generator=generator) / 4
        weights[name] = drawn

    def add_layer(name: str, wide: int, narrow: int) -> None:
        add(f"{name}.weight", wide, narrow)
        add(f"{name}.bias", wide)

    width = shape.width
    add("encoder.embeddings.cls_token", 1, 1, width)
    add("encoder.embeddings.position_embeddings", 1, 28 * 28 + 1, width)
    add("encoder.embeddings.patch_embeddings.projection.weight", width, channels, 16, 16)
    add("encoder.embeddings.patch_embeddings.projection.bias", width)
    for number in range(shape.depth):
        layer = f"encoder.encoder.layer.{number}"
        for part in ("query", "key", "value"):
            add_layer(f"{layer}.attention.attention.{part}", width, width)
        add_layer(f"{layer}.attention.output.dense", width, width)
        add_layer(f"{layer}.intermediate.dense", 4 * width, width)
        add_layer(f"{layer}.output.dense", width, 4 * width)
        for name in ("layernorm_before", "layernorm_after"):
            add(f"{layer}.{name}.weight", width)
            add(f"{layer}.{name}.bias", width)
    add("encoder.layernorm.weight", width)
    add("encoder.layernorm.bias", width)
    add_layer("pool_model.attention_v.1", shape.gate, width)
    add_layer("pool_model.attention_u.1", shape.gate, width)
    add_layer("pool_model.attention", shape.pooled, shape.gate)
    return weights


def forward(weights: dict[str, Tensor], images: Tensor, shape: Shape = SMALL) -> Tensor:
    """Compute the embedding of images in the published order of channels, by the published names alone."""

    def dense(values: Tensor, name: str) -> Tensor:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(values: Tensor, name: str) -> Tensor:
        centred = values - values.mean(-1, keepdim=True)
        deviation = torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-12)
        return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    flat = images.flatten(1)
    low, high = (bound[:, None, None, None] for bound in (flat.min(1).values, flat.max(1).values))
    patches = functional.unfold((images - low) / (high - low + 1e-6), 16, stride=16)
    name = "encoder.embeddings.patch_embeddings.projection"
    tokens = (weights[f"{name}.weight"].flatten(1) @ patches).transpose(1, 2) + weights[f"{name}.bias"]
    first = weights["encoder.embeddings.cls_token"].expand(len(images), -1, -1)
    tokens = torch.cat([first, tokens], dim=1) + weights["encoder.embeddings.position_embeddings"]
    for number in range(shape.depth):
        layer = f"encoder.encoder.layer.{number}"
        seen = norm(tokens, f"{layer}.layernorm_before")
        query, key, value = (
            dense(seen, f"{layer}.attention.attention.{part}").unflatten(-1, (shape.heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        attention = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]), dim=-1)
        tokens = tokens + dense((attention @ value).transpose(1, 2).flatten(2), f"{layer}.attention.output.dense")
        hidden = dense(norm(tokens, f"{layer}.layernorm_after"), f"{layer}.intermediate.dense")
        tokens = tokens + dense(hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2, f"{layer}.output.dense")
    tokens = norm(tokens, "encoder.layernorm")
    gate = dense(tokens, "pool_model.attention_u.1")
    gate = gate * (1 + torch.erf(gate / math.sqrt(2))) / 2
    scores = dense(torch.tanh(dense(tokens, "pool_model.attention_v.1")) * gate, "pool_model.attention")
    return torch.einsum("btk,btw->bkw", scores.softmax(1), tokens).flatten(1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the network small."""
    monkeypatch.setattr(create, "SubCell", lambda channels, size: SubCell(channels, size, SMALL))


def build(path: Path | None, channels: tuple[str, ...] = RGBY, size: int = 448, **settings: Any) -> Any:
    weights = None if path is None else str(path)
    return build_backbone(TrainingSettings(backbone="subcell", weights=weights, **settings), channels, size)


def test_the_full_size_has_the_published_names_shapes_and_number_of_weights() -> None:
    with torch.device("meta"):
        model = SubCell(RYBG, 448)
    found = {name: tuple(tensor.shape) for name, tensor in rename(published(PUBLISHED, device="meta")).items()}
    assert found == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert model.num_features == 1536
    assert sum(math.prod(shape) for shape in found.values()) == 87_235_330  # 349 MB, as the published files have


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_features_are_those_of_the_published_formula_in_whatever_order_the_channels_are(
    tmp_path: Path, kind: str
) -> None:
    weights, path = published(), tmp_path / f"w.{kind}"
    save_file(weights, path) if kind == "safetensors" else torch.save(weights, path)
    images = torch.randint(0, 256, (2, 4, 448, 448), generator=torch.Generator().manual_seed(1)).float()
    expected = forward(weights, images)
    for channels in (RYBG, RGBY):
        backbone = build(path, channels)
        assert backbone.normalises
        assert backbone.features == 2 * SMALL.width
        with torch.no_grad():
            found = backbone.module.eval()(images[:, [RYBG.index(name) for name in channels]])
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("small")
def test_an_image_answers_the_same_at_any_exposure_but_not_with_one_channel_brighter(tmp_path: Path) -> None:
    torch.save(published(), tmp_path / "w.pth")
    model = build(tmp_path / "w.pth").module.eval()
    image = torch.randint(0, 100, (1, 4, 448, 448), generator=torch.Generator().manual_seed(1)).float()
    brighter = image.clone()
    brighter[:, 1] *= 2
    with torch.no_grad():
        features = [model(one) for one in (image, 2 * image + 3, brighter)]
    torch.testing.assert_close(features[0], features[1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(features[0], features[2], atol=0.01)
    assert torch.isfinite(model(torch.zeros(1, 4, 448, 448))).all()


@pytest.mark.usefixtures("small")
def test_other_sizes_have_their_positions_interpolated(tmp_path: Path) -> None:
    torch.save(published(), tmp_path / "w.pth")
    assert build(tmp_path / "w.pth", size=64).module(torch.rand(2, 4, 64, 64)).shape == (2, 48)
    with pytest.raises(UserError, match=r"side is a multiple of 16, got 100; pack them with data\.image_size: 448"):
        build(tmp_path / "w.pth", size=100)


@pytest.mark.usefixtures("small")
def test_what_the_file_has_beside_the_encoder_is_left_out(tmp_path: Path) -> None:
    torch.save({**published(), "decoder.mask_token": torch.ones(1), "ssl.0.weight": torch.ones(2)}, tmp_path / "w.pth")
    assert build(tmp_path / "w.pth").features == 48


@pytest.mark.usefixtures("small")
def test_wrong_files_are_refused_with_what_to_fetch(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with pytest.raises(
        UserError, match=r"subcell starts from its published weights; fetch https://.*/all_channels_ViT"
    ):
        build(None)
    torch.save({"conv.weight": torch.ones(1)}, path)
    with pytest.raises(UserError, match=r"w\.pth: holds no SubCell encoder; fetch https://.*--weights FILE"):
        build(path)
    torch.save(published(channels=3), path)
    with pytest.raises(UserError, match=r"was trained on 3 channels, and the images have 4; fetch .*all_channels_ViT"):
        build(path)
    torch.save({name: one for name, one in published().items() if "layer.1.output" not in name}, path)
    with pytest.raises(
        UserError, match=r"w\.pth: no weights 'vit\.blocks\.1\.mlp\.fc2\.weight'; the file holds another"
    ):
        build(path)
    torch.save({"epoch": 3, "state_dict": published()}, path)
    with pytest.raises(UserError, match="holds more than named tensors; save the model's state_dict alone"):
        build(path)
    torch.save(published(Shape(width=48, depth=2, heads=3, gate=16)), path)
    with pytest.raises(UserError, match=r"has shape \(1, 1, 48\), the model needs \(1, 1, 24\)"):
        build(path)


@pytest.mark.usefixtures("small")
def test_a_file_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"encoder.embeddings.cls_token": Touch()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: cannot be read as tensors alone"):
        build(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()
    for content in (b"<html>not found</html>", b"run: tiny\nartifacts: here\n", b"", b"PK\x03\x04"):
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(UserError, match=r"w\.pth: cannot be read as tensors alone \(.+\)"):
            build(tmp_path / "w.pth")


def test_channels_without_a_published_model_are_refused_and_those_with_one_named() -> None:
    with pytest.raises(
        UserError, match=r"no subcell for the channels red, green; set data\.channels to one of: red, yell"
    ):
        build(Path("w.pth"), ("red", "green"))
    assert "MT-DNA-Protein_ViT-ProtS-Pool.pth" in where_to_get(("green", "red", "blue"))
    with pytest.raises(UserError, match="subcell pools its tokens itself, got 'gem'; leave it out"):
        build(Path("w.pth"), pooling="gem")
