"""Answers of an ensemble for samples: arrays and names, or a data frame, JSON, CSV tables, whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.ensemble import Ensemble, Prediction
from hpa_hier.ensemble.scores.scores import Scores, join_scores
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.predict.explanation.explained import Explained, Picture
from hpa_hier.predict.explanation.explainer import Evidence
from hpa_hier.predict.explanation.heat_maps import Absent, HeatMap, HeatMaps, Method, check_method
from hpa_hier.predict.explanation.neighbours import Neighbours
from hpa_hier.predict.explanation.numbers import explain_in_numbers
from hpa_hier.predict.explanation.reasons import Reasons, find_reasons
from hpa_hier.predict.explanation.words import explain_in_words
from hpa_hier.predict.formats.probabilities import check_format
from hpa_hier.predict.formats.rows import PLACES, Rows
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
        source: the run.
        place: where the samples are from.
        notes: what to bear in mind.
        available: (E, B) which member knows which sample; None: all know all.
        annotated: annotated nodes of samples by id, where they are known.
        evidence: what the answers can be traced back to: pictures, members, training samples; None: it is not there.
        doubts: for each sample, short texts on what is doubtful about it; (): nothing about any.
        unsafe: why there is no safe answer for any of these samples; "": there may be one.
        files: for each sample, the picture of the protein, or the one file that has it; (): from no files.
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
    evidence: Evidence | None = None
    doubts: tuple[tuple[str, ...], ...] = ()
    unsafe: str = ""
    files: tuple[str, ...] = ()
    place: str = ""

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
        """The deepest node whose precision target is met, for each sample; unsure where none is, "" where `unsafe`."""
        return tuple(one.safe for one in self._samples)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to bear in mind: the notes, and channels that samples lack."""
        lacking = Counter(channel for channels in self.filled for channel in channels)
        lack = (f"{n:,} of {len(self):,} samples have no {name}; zeros stand for it" for name, n in lacking.items())
        return (*self.notes, *filter(None, [self.unsafe]), *lack)

    @property
    def warning(self) -> tuple[str, ...]:
        """What to bear in mind about each sample: what is doubtful about it, then what is about all; joined by '; '."""
        shared = tuple(filter(None, (self.unsafe, *self.notes)))
        lacking = ([f"no {name} (zeros)" for name in channels] for channels in self.filled)
        doubts = self.doubts or ((),) * len(self)
        return tuple("; ".join((*own, *lack, *shared)) for own, lack in zip(doubts, lacking, strict=True))

    @cached_property
    def places(self) -> tuple[tuple[tuple[str, float], ...], ...]:
        """For each sample the most likely leaves, up to three, each with its probability; the most likely first."""
        leaves = self.taxonomy.leaves
        probs = self.prediction.probs[:, [self.taxonomy.column[leaf] for leaf in leaves]]
        order = np.argsort(-probs, axis=1, kind="stable")[:, :PLACES]
        return tuple(
            tuple((leaves[j], float(row[j])) for j in best) for row, best in zip(probs, order.tolist(), strict=True)
        )

    @cached_property
    def rows(self) -> Rows:
        """What the tables say."""
        columns: dict[str, list[str | float]] = {"id": list(self.ids)}
        for rank in range(PLACES):
            best = [places[rank] if rank < len(places) else ("", np.nan) for places in self.places]
            columns[f"place_{rank + 1}"] = [name for name, _ in best]
            columns[f"prob_{rank + 1}"] = [prob for _, prob in best]
        columns |= {
            "labels": ["|".join(one.labels) if one.labels or one.groups else UNSURE for one in self._samples],
            "groups": ["|".join(one.groups) for one in self._samples],
            "safe": list(self.safe),
            "warning": list(self.warning),
            "file": list(self.files or ("",) * len(self)),
        }
        join = self.taxonomy.label_separator.join
        return Rows(columns, tuple(join(one.submitted) for one in self._samples), self.probs)

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
        fallback = "" if answered else self._most_likely_leaf(row, groups)
        column = int(prediction.safe.column[row])
        safe = "" if self.unsafe else UNSURE if column < 0 else prediction.nodes[column]
        submitted = sorted((taxonomy.label(node) for node in answered or (fallback,)), key=_numeric_order)
        return SampleAnswer(labels, groups, fallback, safe, tuple(submitted))

    def _most_likely_leaf(self, row: int, groups: Sequence[str]) -> str:
        """Return the most likely of the leaves below the lowest of a sample's groups, else of all leaves."""
        taxonomy = self.taxonomy
        above = {name for group in groups for name in taxonomy.ancestors(group)}
        below = {leaf for group in groups if group not in above for leaf in taxonomy.leaves_below(group)}
        leaves = [leaf for leaf in taxonomy.leaves if not groups or leaf in below]
        probs = self.prediction.probs[row, [taxonomy.column[leaf] for leaf in leaves]]
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

    def take(self, ids: Sequence[str]) -> Answers:
        """Return the answers for these samples, in this order."""
        rows = [self.ids.index(sample) for sample in ids]
        return replace(
            self,
            prediction=self.prediction.take(ids),
            scores=tuple(one.take(ids) for one in self.scores),
            filled=tuple(self.filled[row] for row in rows),
            doubts=tuple(self.doubts[row] for row in rows if self.doubts),
            files=tuple(self.files[row] for row in rows if self.files),
            available=None if self.available is None else self.available[:, rows],
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the columns of predictions.csv as a data frame: id as index, names joined by '|'."""
        import pandas as pd

        return pd.DataFrame(dict(self.rows.columns)).set_index("id")

    def to_probabilities(self) -> pd.DataFrame:
        """Return `probs` as a data frame: id as index, one column a node."""
        import pandas as pd

        return pd.DataFrame(self.probs, index=pd.Index(self.ids, name="id"), columns=list(self.nodes))

    def to_csv(
        self, folder: Path | str, overwrite: bool = False, wanted: Sequence[str] | None = None, form: str = "csv"
    ) -> None:
        """Write predictions.csv, probabilities.csv, submission.csv and rejected.csv, as the command does.

        Args:
            folder: made where absent.
            overwrite: replace tables that are there.
            wanted: ids that submission.csv is to have, in this order; None: those of the samples.
            form: format of the probabilities: csv, parquet or h5ad.

        Raises:
            UserError: there are tables already, the folder cannot be written to, or the format needs an extra.
        """
        check_format(form)
        check_free(Path(folder), overwrite)
        with open_tables(Path(folder), self.taxonomy, wanted, form, overwrite=overwrite) as tables:
            tables.add(self.rows)
            tables.reject(self.rejected)

    def describe(self) -> str:
        """Describe the answer for each sample in words, a few lines each."""
        doubts = self.doubts or ((),) * len(self)
        texts = []
        for (sample, one), places, lacking, own in zip(self, self.places, self.filled, doubts, strict=True):
            lines = {"most likely": ", ".join(f"{name} {100 * prob:.0f} %" for name, prob in places)}
            lines["called"] = ", ".join(one.labels) or f"{UNSURE}: no place reaches its threshold"
            lines["in groups"] = ", ".join(one.groups)
            lines["safe answer"] = "none for this image" if one.safe == UNSURE else one.safe
            lines["doubtful"] = "; ".join((*own, *(f"no {name}, zeros stand for it" for name in lacking)))
            texts.append("\n".join([sample, *(f"  {name:<12} {text}" for name, text in lines.items() if text)]))
        return "\n".join(texts)

    def to_json(self) -> str:
        """Return the answers as JSON: samples with their probabilities by node, rejected samples and warnings."""
        samples: list[dict[str, Any]] = [
            {
                "id": sample,
                "places": [{"node": name, "prob": prob} for name, prob in places],
                "labels": one.labels,
                "groups": one.groups,
                "fallback": one.fallback or None,
                "safe": one.safe or None,
                "filled": filled,
                "warning": warning,
                "probs": dict(zip(self.nodes, map(float, probs), strict=True)),
            }
            for (sample, one), places, filled, warning, probs in zip(
                self, self.places, self.filled, self.warning, self.probs, strict=True
            )
        ]
        rejected = [one._asdict() for one in self.rejected]
        return json.dumps({"samples": samples, "rejected": rejected, "warnings": self.warnings}, ensure_ascii=False)

    def explain(self, sample: str, every_node: bool = False, *, numbers: bool = False) -> str:
        """Describe how the labels of one sample came about, with the training images nearest to it where members vote.

        Args:
            sample: its id.
            every_node: in numbers: show each member's scores of all nodes, not only of those present and the likeliest.
            numbers: in tables of scores and thresholds, for those who build ensembles; else in words.

        Raises:
            UserError: there is no answer for this id.
        """
        one = self._find_explained(sample)
        in_numbers = numbers or every_node
        text = explain_in_numbers(one, every_node) if in_numbers else explain_in_words(find_reasons(one))
        return text + (self.evidence.describe_votes(sample) if self.evidence else "")

    def reasons(self, sample: str) -> Reasons:
        """Return why a sample has its labels, as values and short sentences.

        Raises:
            UserError: there is no answer for this id.
        """
        return find_reasons(self._find_explained(sample))

    def picture(self, sample: str) -> Picture | None:
        """Return a sample's image as members take it; None: samples are no images, or their pixels are not kept."""
        self._find_row(sample)
        return self.evidence.picture(sample) if self.evidence else None

    def heat_maps(
        self, sample: str, node: str, method: Method = "grad_cam", members: Sequence[str] | None = None
    ) -> HeatMaps:
        """Draw where a sample's image raised the log-odds of a node, in each member and in all together.

        Args:
            sample: its id.
            node: of the tree; also its label, an alias, or another case.
            method: grad_cam (gradient-weighted activations) or integrated_gradients.
            members: names of those that are asked; None: all.

        Raises:
            UserError: there is no answer for this id, no such node, method or member, or captum is not there.
        """
        self._find_row(sample)
        if self.evidence is None:
            absent = tuple(Absent(one.name, "is known by its scores alone") for one in self.ensemble.members)
            return HeatMaps(self.taxonomy.node(node).name, check_method(method), (), None, absent)
        return self.evidence.heat_maps(sample, node, method, members)

    def heat_map(self, sample: str, node: str, method: Method = "grad_cam", member: str | None = None) -> HeatMap:
        """Draw one heat map, that of a member, or of all together; arguments and errors as for `heat_maps`.

        Raises:
            UserError: also where there is none; the message says why.
        """
        return self.heat_maps(sample, node, method, None if member is None else [member]).find(member)

    def neighbours(self, sample: str, count: int = 5) -> Neighbours:
        """Find the training samples most like a sample to a member, with their labels.

        Args:
            sample: its id.
            count: how many.

        Returns:
            The nearest first; or a sentence on why there are none.

        Raises:
            UserError: there is no answer for this id.
        """
        self._find_row(sample)
        if self.evidence is None:
            return Neighbours("", (), "The samples that these scores' models learned from are not known.")
        return self.evidence.neighbours(sample, count)

    def write_explanation(self, sample: str, folder: Path | str, heat: HeatMaps | None = None) -> Path:
        """Write a page `<sample>.html` with the explanation in words, and return its path.

        With it come the picture, channel by channel, the training samples most like it, and heat maps that are given.

        Raises:
            UserError: there is no answer for this id, or the folder cannot be written to.
        """
        from hpa_hier.predict.explanation.page import Shown, write_page  # imports an image library

        summary, nearest = self.reasons(sample).summary, self.neighbours(sample)
        return write_page(
            Path(folder), Shown(sample, summary, self.explain(sample), self.picture(sample), heat, nearest)
        )

    def _find_row(self, sample: str) -> int:
        if sample not in self.ids:
            reason = next((f": {one.file}: {one.reason}" for one in self.rejected if one.id == sample), "")
            raise UserError(f"'{sample}': no answer for it{reason}; the first ids are {', '.join(self.ids[:3])}")
        return self.ids.index(sample)

    def _find_explained(self, sample: str) -> Explained:
        row = self._find_row(sample)
        return Explained(
            self.ensemble,
            tuple(one.take([sample]) for one in self.scores),
            self.source,
            self.place,
            annotated=self.annotated.get(sample),
            filled=self.filled[row],
            available=None if self.available is None else self.available[:, [row]],
            doubts=self.doubts[row] if self.doubts else (),
            notes=tuple(filter(None, (self.unsafe, *self.notes))),
            fallback=self._samples[row].fallback,
            safe=self._samples[row].safe,
        )


def join_answers(parts: Sequence[Answers], rejected: Sequence[Rejected] = ()) -> Answers:
    """Put answers of one ensemble for different samples together, in order; those rejected have no answer."""
    return replace(
        parts[0],
        prediction=Prediction.join([part.prediction for part in parts]),
        scores=tuple(map(join_scores, zip(*(part.scores for part in parts), strict=True))),
        filled=tuple(filled for part in parts for filled in part.filled),
        doubts=tuple(own for part in parts for own in part.doubts or ((),) * len(part)),
        files=tuple(file for part in parts for file in part.files or ("",) * len(part)),
        rejected=tuple(sorted(rejected)),
        evidence=_join_evidence(parts),
    )


def _join_evidence(parts: Sequence[Answers]) -> Evidence | None:
    """Return what reads each sample by the part that it is of; None where some part has lost its own."""
    found = {sample: part.evidence for part in parts for sample in part.ids}
    kept = {sample: one for sample, one in found.items() if one is not None}
    first = parts[0].evidence
    return replace(first, read=lambda sample: kept[sample].read(sample)) if first and len(kept) == len(found) else None


def _numeric_order(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdecimal() else (1 << 62, label)
