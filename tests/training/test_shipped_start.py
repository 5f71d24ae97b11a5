"""The start from the bundled ensemble: whose backbone, which rows of the head, and what is refused beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from tiny_run import write_tiny

from hpa_hier.cli.train import main
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.heads.head import Flat
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training.shipped_start import start_from_shipped, start_head

pytestmark = pytest.mark.skipif(pretrained_folder() is None, reason="made by benchmarks/pretrained.py, and absent here")


def test_a_backbone_starts_from_the_member_with_most_of_the_nodes() -> None:
    taxonomy = Taxonomy.load("hpa28")
    for nodes, name in ((taxonomy.leaves, "leaf-s1"), (taxonomy.level("coarse"), "coarse"), ((), "leaf-s1")):
        settings = start_from_shipped(TrainingSettings(), {node: taxonomy.meaning(node) for node in nodes})
        member = Path(str(settings.weights)).parent
        assert member.name == name
        assert (settings.backbone, settings.width) == (read_manifest(member).backbone, read_manifest(member).width)
        backbone = build_backbone(settings, ("red", "green", "blue", "yellow"), 64).module
        kept = load_file(str(settings.weights))
        assert all((kept[f"backbone.{key}"] == weights).all() for key, weights in backbone.state_dict().items())


def test_a_head_starts_from_the_rows_of_nodes_that_mean_the_same() -> None:
    taxonomy = Taxonomy.load("hpa28")
    meanings = {"ours": "not theirs", **{node: taxonomy.meaning(node) for node in ("Cytosol", "Nucleoli")}}
    weights = Path(str(start_from_shipped(TrainingSettings(), meanings).weights))
    kept, theirs = load_file(weights), read_manifest(weights.parent).nodes
    head = Flat(kept["head.linear.weight"].shape[1], np.array([0.5, 0.5, 0.5]), 0.0)
    before = head.linear.weight[0].clone()
    assert start_head(head, meanings, weights) == 2
    assert (head.linear.weight[0] == before).all()
    for row, node in ((1, "Cytosol"), (2, "Nucleoli")):
        assert (head.linear.weight[row] == kept["head.linear.weight"][theirs.index(node)]).all()
        assert head.linear.bias[row] == kept["head.linear.bias"][theirs.index(node)]


def test_another_start_or_network_beside_it_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"training\.init: pretrained and training\.weights both initialise the backbone"
    ):
        start_from_shipped(TrainingSettings(weights="x.safetensors"), {})
    theirs = start_from_shipped(TrainingSettings(), {}).backbone
    with pytest.raises(
        UserError, match=rf"training\.init: pretrained has backbone {theirs}, and training\.backbone is r"
    ):
        start_from_shipped(TrainingSettings(backbone="resnet18"), {})


def test_a_flag_wins_over_the_recipe(tmp_path: Path) -> None:
    changes = {"init": "pretrained", "width": 16, "max_steps": 1}
    config = write_tiny(tmp_path, count=60, training=changes)
    flags = ["--member", "leaf", "--config", str(config), "--device", "cpu", "--no-progress", "--restart"]
    shipped = sha256(Path(str(start_from_shipped(TrainingSettings(), {}).weights)))
    member = tmp_path / "artifacts" / "tiny" / "members" / "leaf"
    main(flags)
    assert read_manifest(member).weights_sha256 == shipped
    main([*flags, "--init", "none"])
    assert read_manifest(member).weights_sha256 is None
    with pytest.raises(UserError, match=r"--weights gone\.safetensors: no such file"):
        main([*flags, "--weights", "gone.safetensors"])
    with pytest.raises(
        UserError, match=r"training\.init: pretrained sets what --set training\.width=8 does; leave that"
    ):
        main([*flags, "--set", "training.width=8"])
    main([*flags, "--set", "training.width=8", "--init", "none"])
    assert read_manifest(member).width == 8
