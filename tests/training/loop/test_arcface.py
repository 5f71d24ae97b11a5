"""Metric learning: the loss by hand, the vote by hand, and a member whose evidence can be named."""

from __future__ import annotations

import math
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_run import CHANNELS, SIZE, TAXONOMY, write_tiny

from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.errors import UserError
from hpa_hier.members.neighbours import find_neighbours
from hpa_hier.members.nodes import find_member
from hpa_hier.members.score import Member
from hpa_hier.members.scores_file import load_scores
from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.heads.arcface import NeighbourVote, arcface
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.manifest import BANK
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import MemberSettings
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.training import ArcfaceSettings
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training.loop.arcface import Bank
from hpa_hier.training.plan import Plan, plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

QUIET = TrainOptions(device="cpu", lines=False)


def write_antibodies(folder: Path, count: int = 160, each: int = 4) -> None:
    """Write a pack in which four images of one antibody show the same pattern, each antibody its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.yaml").write_text(TAXONOMY)
    taxonomy = Taxonomy.load(folder / "toy.yaml")
    generator = np.random.default_rng(0)
    down, across = np.mgrid[:SIZE, :SIZE]
    images, nodes, groups = [], [], []
    for antibody in range(count // each):
        leaf = antibody % 4
        wave = 2 + 3 * leaf + generator.random()
        for _ in range(each):
            phase = generator.uniform(0, 6, 2)
            picture = np.sin(across * wave / 5 + phase[0]) * np.sin(down * wave / 5 + phase[1])
            image = generator.normal(60, 8, (4, SIZE, SIZE))
            image[1] += 60 * picture
            images.append(np.clip(image, 0, 255).astype(np.uint8))
            nodes.append((taxonomy.leaves[leaf],))
            groups.append(f"a{antibody}")
    ids = [f"d{i:03d}" for i in range(count)]
    write_simulated_pack(folder / "pack", iter(images), ids, nodes, groups, CHANNELS, taxonomy, "waves")


def planned(folder: Path, **training: object) -> Plan:
    metric = {"embedding": 16, "neighbours": 7, "scale": 10.0, "margin": 0.1}
    still = {"rotate": 0, "scale": 0, "shift": 0, "gain": 0}
    changes = {"head": "arcface", "epochs": 24, "stop_on": "none", "dropout": 0.0, "arcface": metric, "augment": still}
    changes |= training
    config = write_tiny(folder, training=changes, ensemble={"members": ["leaf"], "bootstrap": 0})
    recipe = load_recipe(str(config))
    return plan_training(start_run(recipe), find_member(recipe, "leaf"))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("metric")
    write_antibodies(folder)
    plan = planned(folder)
    train_member(plan, QUIET)
    return plan


def test_the_loss_is_that_of_the_angle_with_the_margin_added() -> None:
    angles = torch.tensor([[0.4, 1.1, 2.0], [1.5, 0.2, 0.9]])
    own = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
    by_hand = []
    for row, place in ((0, 0), (1, 2)):
        logits = [10 * math.cos(float(angles[row, k]) + (0.5 if k == place else 0)) for k in range(3)]
        by_hand.append(math.log(sum(map(math.exp, logits))) - logits[place])
    found = arcface(torch.cos(angles), own, scale=10, margin=0.5)
    assert float(found) == pytest.approx(sum(by_hand) / 2, rel=1e-5)


def test_the_loss_falls_all_the_way_as_a_sample_comes_nearer_to_its_own_centre() -> None:
    cosines = torch.linspace(-1, 1, 201)
    losses = [float(arcface(torch.tensor([[c, 0.1]]), torch.tensor([[1.0, 0]]), 20, 0.5)) for c in cosines.tolist()]
    assert (np.diff(losses) < 0).all()


def head(samples: int = 3, neighbours: int = 2) -> NeighbourVote:
    settings = ArcfaceSettings(embedding=2, neighbours=neighbours, temperature=0.1)
    vote = NeighbourVote(2, np.array([0.5, 0.1]), 0.0, settings, antibodies=2, samples=samples).eval()
    vote.embed = torch.nn.Sequential()  # features are embeddings
    return vote


def test_the_vote_is_that_of_the_nearest_samples_weighted_by_likeness() -> None:
    vote = head()
    bank = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    present = torch.tensor([[True, False], [False, True], [True, True]])
    vote.remember(bank, present, torch.ones(3, 2, dtype=torch.bool))
    angle = 0.7
    logits = vote(3 * torch.tensor([[math.cos(angle), math.sin(angle)]]))
    weights = np.exp(np.array([math.cos(angle), math.sin(angle)]) / 0.1)
    weights /= weights.sum()
    shares = (weights @ np.array([[1, 0], [0, 1]]) + 0.05 * np.array([0.5, 0.1])) / 1.05
    np.testing.assert_allclose(torch.sigmoid(logits)[0].numpy(), shares, rtol=1e-4)


def test_cosines_are_in_whole_precision_where_the_network_is_in_half() -> None:
    vote = head(samples=1).train()
    with torch.autocast("cpu", torch.bfloat16):
        assert vote.training_logits(torch.randn(4, 2)).dtype == torch.float32
        assert vote.neighbours(torch.randn(4, 2).bfloat16())[0].dtype == torch.float32


def test_a_sample_of_which_a_node_is_not_told_does_not_vote_on_it() -> None:
    vote = head(samples=1, neighbours=5)
    vote.remember(torch.tensor([[1.0, 0]]), torch.tensor([[True, True]]), torch.tensor([[True, False]]))
    shares = torch.sigmoid(vote(torch.tensor([[1.0, 0]])))[0]
    assert float(shares[0]) == pytest.approx((1 + 0.05 * 0.5) / 1.05, rel=1e-4)
    assert float(shares[1]) == pytest.approx(0.1, rel=1e-4)


def test_a_head_takes_the_size_of_the_bank_that_it_is_given() -> None:
    full = head(samples=5)
    empty = head(samples=0)
    empty.load_state_dict(full.state_dict())
    assert empty.bank.shape == (5, 2)
    assert empty.centres.shape == (2, 2)


def test_a_loaded_member_gives_the_scores_that_training_kept_whatever_the_batch(plan: Plan) -> None:
    member = Member.load(plan.folder, "cpu")
    kept = np.load(plan.folder / "scores.npz", allow_pickle=False)
    images = plan.run.pack.images(plan.run.pack.find_rows(kept["ids"].tolist()))
    np.testing.assert_array_equal(member.logits(images), kept["logits"])
    np.testing.assert_array_equal(member.logits(images[::-1])[::-1], kept["logits"])


def test_antibodies_alone_teach_where_the_protein_is(plan: Plan) -> None:
    right = []
    for part in ("calibration", "test"):
        scores = load_scores(plan.folder / "scores.npz", "leaf", part)
        truth = plan.run.part(part, plan.nodes)
        order = [scores.ids.index(sample) for sample in plan.run.split.part_ids(part)]
        right.extend(scores.logits[order].argmax(axis=1) == truth.present.argmax(axis=1))
    assert np.mean(right) > 0.7  # by chance 0.25


def test_the_nearest_images_are_of_the_train_part_and_are_named(plan: Plan) -> None:
    member = Member.load(plan.folder, "cpu")
    train = plan.run.split.part_ids("train")
    images = plan.run.pack.images(plan.run.pack.find_rows(train[:40]))
    found = find_neighbours(plan.folder, member, images)
    assert [near[0].id for near in found] == list(train[:40])
    assert all(near[0].similarity == pytest.approx(1, abs=1e-4) for near in found)
    assert all(len(near) == 7 and {one.id for one in near} <= set(train) for near in found)
    row = plan.run.pack.find_rows([found[3][2].id])[0]
    assert found[3][2].annotated == plan.run.pack.nodes[row]


def test_a_member_of_its_own_images_names_those_that_it_remembers(tmp_path: Path) -> None:
    write_antibodies(tmp_path)
    run = planned(tmp_path).run
    member = MemberSettings(name="inside", group="Inside", images="own", training={"epochs": 1})
    plan = plan_training(run, member)
    train_member(plan, QUIET)
    rows = run.part("train", plan.nodes, plan.nodes).rows
    assert 0 < len(rows) < len(run.split.part_ids("train"))
    found = find_neighbours(plan.folder, Member.load(plan.folder, "cpu"), run.pack.images(rows[:20]))
    assert [near[0].id for near in found] == [run.pack.ids[row] for row in rows[:20]]
    assert {node for near in found for one in near for node in one.annotated} <= set(plan.nodes)


def test_the_evidence_stands_beside_the_answer(plan: Plan) -> None:
    fit_run(plan.run)
    predictor, sample = Predictor.load(plan.run), plan.run.split.part_ids("test")[0]
    explained = predictor.explain(sample)
    evidence = explained[explained.index("nearest    training") :]
    assert evidence.startswith("nearest    training images, as 'leaf' sees them")
    assert len(evidence.splitlines()) == 6
    pack = plan.run.pack
    images = pack.images(pack.find_rows([plan.run.split.part_ids("test")[1], sample]))
    answers = predictor.predict(images, ids=["other", sample])
    assert answers.explain(sample).endswith(evidence)
    (part,) = predictor.stream(predictor.open_array(images, ["other", sample]))
    assert part.explain(sample).endswith(evidence)


def test_a_bank_that_was_changed_is_no_evidence(plan: Plan, tmp_path: Path) -> None:
    for file in plan.folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / BANK).write_text("id,annotated\n")
    with pytest.raises(UserError, match=r"bank\.csv: does not match the checksum in member\.json"):
        find_neighbours(tmp_path, Member.load(tmp_path, "cpu"), np.zeros((1, 4, SIZE, SIZE), np.uint8))


def test_a_training_that_broke_off_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("whole", "broken"):
        write_antibodies(tmp_path / name)
    whole, broken = (planned(tmp_path / name, epochs=3) for name in ("whole", "broken"))
    train_member(whole, QUIET)
    filled: list[int] = []
    fill = Bank.on_validation_epoch_start

    def break_off(bank: Bank, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        filled.append(1)
        if len(filled) == 3:
            raise RuntimeError("the power is cut")
        fill(bank, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(Bank, "on_validation_epoch_start", break_off)
        with pytest.raises(RuntimeError, match="the power is cut"):
            train_member(broken, QUIET)
    assert broken.checkpoint.exists()
    train_member(broken, QUIET)
    weights = [(plan.folder / "model.safetensors").read_bytes() for plan in (whole, broken)]
    assert weights[0] == weights[1]


def test_images_that_share_no_antibody_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="arcface learns from several images of one antibody, and here every image has"):
        train_member(planned(tmp_path), QUIET)


def test_other_losses_and_mixing_are_refused() -> None:
    with pytest.raises(UserError, match="head 'arcface' has a loss of its own; leave loss out, got 'focal'"):
        load_recipe(None, ["training.head=arcface", "training.loss=focal"])
    with pytest.raises(UserError, match="tells antibodies apart, which mixing 'mixup' blurs"):
        load_recipe(None, ["training.head=arcface", "training.augment.mixing=mixup"])


def test_a_chain_takes_no_other_constraint() -> None:
    with pytest.raises(UserError, match="loss 'max_constraint' and head 'chain' are two ways to one end"):
        load_recipe(None, ["training.head=chain", "training.loss=max_constraint"])


def test_a_frozen_backbone_can_stand_before_the_vote(tmp_path: Path) -> None:
    write_antibodies(tmp_path)
    torch.manual_seed(0)
    save_file(SmallCnn(4, 8).state_dict(), tmp_path / "start.safetensors")
    plan = planned(tmp_path, frozen=True, epochs=1, weights=str(tmp_path / "start.safetensors"))
    train_member(plan, QUIET)
    member = Member.load(plan.folder, "cpu")
    kept = np.load(plan.folder / "scores.npz", allow_pickle=False)
    images = plan.run.pack.images(plan.run.pack.find_rows(kept["ids"].tolist()))
    np.testing.assert_allclose(member.logits(images), kept["logits"], rtol=1e-4, atol=1e-4)
    train = plan.run.split.part_ids("train")[:5]
    found = find_neighbours(plan.folder, member, plan.run.pack.images(plan.run.pack.find_rows(train)))
    assert [near[0].id for near in found] == list(train)


def test_a_member_that_does_not_vote_has_no_nearest_images(tmp_path: Path) -> None:
    write_antibodies(tmp_path)
    plan = planned(tmp_path, head="flat", epochs=1)
    train_member(plan, QUIET)
    with pytest.raises(UserError, match="member 'leaf' has head flat; only arcface has nearest images"):
        find_neighbours(plan.folder, Member.load(plan.folder, "cpu"), np.zeros((1, 4, SIZE, SIZE), np.uint8))
