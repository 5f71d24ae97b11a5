"""Nearest samples: for a member that votes, the training images that decided, as evidence beside an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hpa_hier.errors import UserError
from hpa_hier.files.tables import read_table, write_table
from hpa_hier.members.score import Member, score
from hpa_hier.models.heads.arcface import find_vote
from hpa_hier.runs.manifest import BANK, check_files


@dataclass(frozen=True)
class Neighbour:
    """A training image that is like the one asked about."""

    id: str
    annotated: tuple[str, ...]  # nodes by name
    similarity: float  # cosine of the embeddings, -1 to 1


def write_bank(path: Path, ids: Sequence[str], nodes: Sequence[Sequence[str]]) -> None:
    """Write which samples a member remembers, in the order of its bank, and their annotated nodes."""
    write_table(path, pd.DataFrame({"id": ids, "annotated": ["|".join(names) for names in nodes]}))


def find_neighbours(folder: Path, member: Member, images: np.ndarray) -> list[list[Neighbour]]:
    """Find the training images that decide a member's answers for (B, C, S, S) uint8 images, nearest first.

    Raises:
        UserError: the member does not vote, or its bank was changed.
    """
    if not member.manifest.votes:
        raise UserError(f"member '{member.name}' has head {member.manifest.head}; only arcface has nearest images")
    check_files(folder, member.manifest, (BANK,))
    table = read_table(folder / BANK, ("id", "annotated"))
    bank = [(sample, tuple(filter(None, names.split("|")))) for sample, names in table.itertuples(index=False)]
    network, head = member.network, find_vote(member.network)
    width = head.bank.shape[1]
    embedded = score(lambda batch: head.embedding(network.final_features(batch)), images, width, member.device)
    with torch.inference_mode():
        similarity, rows = head.neighbours(torch.from_numpy(embedded).to(member.device))
    return [
        [Neighbour(bank[row][0], bank[row][1], cosine) for cosine, row in zip(cosines, nearest, strict=True)]
        for cosines, nearest in zip(similarity.tolist(), rows.tolist(), strict=True)
    ]
