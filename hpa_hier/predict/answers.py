"""Answers of an ensemble for samples: arrays and names, or a data frame, CSV tables, JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpa_hier.ensemble.decide.safe import SafeAnswers
from hpa_hier.ensemble.ensemble import Ensemble, Prediction
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.predict.explain import Known, explain
from hpa_hier.predict.tables import Rejected, SampleAnswer, check_free, open_tables
from hpa_hier.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Answers:
    """An ensemble's answers for B samples.

    Attributes:
        ensemble: that answered.
        prediction: its arrays, columns as the ensemble's taxonomy.
        scores: of its members, on which the answers rest.
        filled: for each sample, the channels that it lacks and zeros stand for.
        rejected: samples that could not be answered for, and why.
        source: where the samples are from.
        notes: what to bear in mind.
        available: (E, B) which member knows which sample; None: all know all.
        annotated: annotated nodes of samples by id, where they are known.
    """

    ensemble: Ensemble
    prediction: Prediction
    scores: tuple[Scores, ...]
    filled: tuple[tuple[str, ...], ...]
    rejected: tuple[Rejected, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()
    available: Bools | None = None
    annotated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> tuple[str, ...]:
        """The B samples."""
        return self.prediction.ids

    @property
    def taxonomy(self) -> Taxonomy:
        """The label tree."""
        return self.ensemble.taxonomy

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The N nodes that can be an answer: all but virtual ones."""
        return self.taxonomy.without_virtual.nodes

    @cached_property
    def probs(self) -> Floats:
        """Calibrated, coherent probabilities, (B, N) in [0, 1], columns as `nodes`."""
        return self.prediction.probs[:, self._columns]

    @cached_property
    def present(self) -> Bools:
        """Decisions, (B, N), closed: a node is present where any node below it is."""
        return self.prediction.present[:, self._columns]

    @property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """Leaves that are present, for each sample."""
        return tuple(one.labels for one in self._samples)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Present nodes that are no leaves, for each sample."""
        return tuple(one.groups for one in self._samples)

    @property
    def fallback(self) -> tuple[str, ...]:
        """The most likely leaf for each sample without any label, "" for the others."""
        return tuple(one.fallback for one in self._samples)

    @property
    def safe(self) -> tuple[str, ...]:
        """The deepest node whose precision target is met, for each sample; "" where none is."""
        return tuple(one.safe for one in self._samples)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to bear in mind: the notes, and channels that samples lack."""
        lacking = Counter(channel for channels in self.filled for channel in channels)
        return (
            *self.notes,
            *(
                f"{count:,} of {len(self):,} samples have no {channel}; zeros stand for it"
                for channel, count in lacking.items()
            ),
        )

    def __iter__(self) -> Iterator[tuple[str, SampleAnswer]]:
        return iter(zip(self.ids, self._samples, strict=True))

    @cached_property
    def _columns(self) -> list[int]:
        return [self.taxonomy.column[node] for node in self.nodes]

    @cached_property
    def _samples(self) -> tuple[SampleAnswer, ...]:
        return tuple(self._answer(row) for row in range(len(self)))

    def _answer(self, row: int) -> SampleAnswer:
        taxonomy, prediction = self.taxonomy, self.prediction
        there = [node for node, present in zip(self.nodes, self.present[row], strict=True) if present]
        labels = tuple(node for node in there if taxonomy.is_leaf(node))
        groups = tuple(node for node in there if not taxonomy.is_leaf(node))
        answered = (*labels, *self._open_ends(row))
        fallback = "" if answered else self._most_likely(row, self._candidates(groups))
        column = int(prediction.safe.column[row])
        submitted = [taxonomy.label(node) for node in answered or (fallback,)]
        return SampleAnswer(
            labels,
            groups,
            fallback,
            "" if column < 0 else prediction.nodes[column],
            tuple(sorted(submitted, key=_numeric_order)),
        )

    def _candidates(self, groups: Sequence[str]) -> list[str]:
        """Leaves that a sample without any leaf may fall back to: those below the lowest of its groups, else all."""
        above = {name for group in groups for name in self.taxonomy.ancestors(group)}
        below = {leaf for group in groups if group not in above for leaf in self.taxonomy.leaves_below(group)}
        return [leaf for leaf in self.taxonomy.leaves if not groups or leaf in below]

    def _most_likely(self, row: int, leaves: Sequence[str]) -> str:
        probs = self.prediction.probs[row, [self.taxonomy.column[leaf] for leaf in leaves]]
        return leaves[int(np.argmax(probs))]

    def _open_ends(self, row: int) -> tuple[str, ...]:
        """Groups with a label of their own that are present without any node below them."""
        taxonomy, present = self.taxonomy, self.prediction.present[row]
        return tuple(
            taxonomy.nodes[group]
            for group, children in taxonomy.bottom_up
            if present[group]
            and not present[list(children)].any()
            and taxonomy.node(taxonomy.nodes[group]).label is not None
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the answers as a data frame: id as index; names joined by '|'; one column of probabilities a node."""
        import pandas as pd

        words = [("|".join(one.labels), "|".join(one.groups), one.fallback) for one in self._samples]
        frame = pd.DataFrame(words, columns=["labels", "groups", "fallback"], index=pd.Index(self.ids, name="id"))
        frame["filled"] = ["|".join(channels) for channels in self.filled]
        frame["safe"] = list(self.safe)
        return frame.join(pd.DataFrame(self.probs, index=frame.index, columns=list(self.nodes)))

    def to_csv(self, folder: Path | str, overwrite: bool = False) -> None:
        """Write predictions.csv, submission.csv and rejected.csv, as the command does.

        Args:
            folder: made where absent.
            overwrite: replace tables that are there.

        Raises:
            UserError: there are tables already, or the folder cannot be written to.
        """
        check_free(Path(folder), overwrite)
        with open_tables(Path(folder), self.taxonomy) as tables:
            tables.add(self, self.filled, self.probs)
            tables.reject(self.rejected)

    def to_json(self) -> str:
        """Return the answers as JSON: samples with their probabilities by node, rejected samples and warnings."""
        samples: list[dict[str, Any]] = [
            {
                "id": sample,
                "labels": one.labels,
                "groups": one.groups,
                "fallback": one.fallback or None,
                "safe": one.safe or None,
                "filled": filled,
                "probs": dict(zip(self.nodes, map(float, probs), strict=True)),
            }
            for (sample, one), filled, probs in zip(self, self.filled, self.probs, strict=True)
        ]
        rejected = [one._asdict() for one in self.rejected]
        return json.dumps({"samples": samples, "rejected": rejected, "warnings": self.warnings}, ensure_ascii=False)

    def explain(self, sample: str, every_node: bool = False) -> str:
        """Describe how the labels of one sample came about.

        Args:
            sample: its id.
            every_node: show each member's scores of all nodes, not only of those present and the most likely leaves.

        Raises:
            UserError: there is no answer for this id.
        """
        if sample not in self.ids:
            reason = next((f": {one.file}: {one.reason}" for one in self.rejected if one.id == sample), "")
            raise UserError(f"'{sample}': no answer for it{reason}; the first ids are {', '.join(self.ids[:3])}")
        row = self.ids.index(sample)
        known = Known(self.source, self.annotated.get(sample), self.filled[row])
        available = None if self.available is None else self.available[:, [row]]
        return explain(self.ensemble, [one.take([sample]) for one in self.scores], known, every_node, available)


def join_answers(parts: Sequence[Answers], rejected: Sequence[Rejected] = ()) -> Answers:
    """Put answers of one ensemble for different samples together, in order.

    Args:
        parts: the answers.
        rejected: samples without an answer.

    Raises:
        UserError: there are none.
    """
    if not parts:
        raise UserError("no answers to put together; give at least one image")
    first = parts[0]
    ids = tuple(sample for part in parts for sample in part.ids)
    predictions = [part.prediction for part in parts]
    prediction = replace(
        first.prediction,
        ids=ids,
        raw=np.concatenate([one.raw for one in predictions]),
        probs=np.concatenate([one.probs for one in predictions]),
        present=np.concatenate([one.present for one in predictions]),
        safe=SafeAnswers(
            np.concatenate([one.safe.column for one in predictions]),
            np.concatenate([one.safe.confidence for one in predictions]),
        ),
    )
    scores = tuple(
        replace(one, ids=ids, logits=np.concatenate([part.scores[e].logits for part in parts]))
        for e, one in enumerate(first.scores)
    )
    return replace(
        first,
        prediction=prediction,
        scores=scores,
        filled=tuple(filled for part in parts for filled in part.filled),
        rejected=tuple(sorted(rejected)),
    )


def _numeric_order(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdecimal() else (1 << 62, label)
