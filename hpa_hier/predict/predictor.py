"""Predictor: a fitted ensemble with its members, which answers for images, vectors and other models' scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier.data.images.kernels.switch import SWITCH
from hpa_hier.data.labels.ids import find_id
from hpa_hier.data.vectors.source import VectorSource
from hpa_hier.ensemble.calibrate.prior import Prior
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.scores.score_table import describe_coverage, join_tables, read_scores
from hpa_hier.ensemble.scores.scores import Scores, align, join_scores
from hpa_hier.errors import UserError
from hpa_hier.members.engines.choose import choose_engine
from hpa_hier.members.scorer import Scorer
from hpa_hier.members.scores_file import load_scores
from hpa_hier.metrics.logistic import expit
from hpa_hier.predict.answers import Answers, join_answers
from hpa_hier.predict.explanation.explainer import Evidence, Explainer
from hpa_hier.predict.explanation.heat_maps import HeatMaps, Method
from hpa_hier.predict.explanation.neighbours import Neighbours
from hpa_hier.predict.export.scorers import choose_exported_engine, is_exported, open_exported
from hpa_hier.predict.held_out import fitted_settings, scores_path
from hpa_hier.predict.inputs import (
    Batch,
    InputSpec,
    Samples,
    convert_frame,
    read_array,
    read_files,
    read_vectors,
    scan_images,
)
from hpa_hier.predict.magnify import WHOLE, check_scales, merge_tiles
from hpa_hier.predict.prior_file import read_prior
from hpa_hier.predict.shards.shards import Shards
from hpa_hier.predict.tables import Rejected
from hpa_hier.predict.unlike import find_unlike
from hpa_hier.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from hpa_hier.data.images.scan import ImageSource
    from hpa_hier.data.vectors.table import VectorTable

SEEN = "the members learned from this image, so this answer is more certain than one for a new image"


@dataclass(frozen=True)
class Predictor:
    """A run's fitted ensemble, ready to answer.

    Attributes:
        run: the run.
        device: where members are put: auto, cpu, cuda, cuda:N or mps.
        intensity: rule by which images become 8 bits, depth or percentile; None: as training images did.
        prior: how often nodes occur among the samples; None: as often as where the ensemble was fitted.
        scales: magnifications at which images are scored, in order; 1 is the whole image.
        engine: what computes members' networks: torch, onnxruntime, openvino or openvino-bf16.
    """

    run: Run
    device: str = "cpu"
    intensity: str | None = None
    prior: Prior | None = None
    scales: tuple[float, ...] = WHOLE
    engine: str = "torch"

    @classmethod
    def load(
        cls,
        run: Run | str | Path,
        device: str = "cpu",
        intensity: str | None = None,
        prior: str | Path | None = None,
        scales: Sequence[float] = WHOLE,
        engine: str = "torch",
    ) -> Predictor:
        """Load the ensemble of a run.

        Args:
            run: the run, its name under artifacts/, its folder, or ``pretrained`` for the bundled one.
            device: auto, cpu, cuda, cuda:N or mps.
            intensity: rule by which images become 8 bits, depth or percentile, where new images need another one than
                training images had; None: theirs.
            prior: how often classes occur among the samples, as `read_prior` takes it: a label table, a table of
                shares, or ``hpa28``; None: as often as where the ensemble was fitted.
            scales: magnifications from 1 to 8 at which images are scored; 1 is the whole image, 2 its tiles of half
                the side.
            engine: what computes members' networks: torch, onnxruntime, openvino, openvino-bf16 or auto, the fastest
                on this machine. Answers of two differ in the last digits, those of openvino-bf16 in the third.

        Raises:
            UserError: there is no such run, it has no fitted ensemble, a member was trained again since, the prior
                cannot be read, or the engine is not installed.
        """
        opened = run if isinstance(run, Run) else Run.open(run)
        shares = _find_exported_prior(opened) if prior is None else read_prior(str(prior), opened.ensemble.taxonomy)
        predictor = cls(opened, device, intensity, shares, check_scales(scales))
        if predictor.spec is None:
            return predictor
        if predictor.exported:
            return replace(predictor, engine=choose_exported_engine(opened, engine))
        records = predictor.run.check_unchanged(predictor.ensemble)
        return replace(predictor, engine=choose_engine(engine, [record.folder for record in records], device))

    @cached_property
    def ensemble(self) -> Ensemble:
        """The fitted ensemble, for samples with the prior."""
        return self.run.ensemble if self.prior is None else self.run.ensemble.with_prior(self.prior)

    @cached_property
    def spec(self) -> InputSpec | None:
        """What samples must be like; None where the ensemble takes score tables."""
        spec = InputSpec.from_ensemble(self.ensemble)
        return replace(spec, intensity=self.intensity) if spec and self.intensity else spec

    @cached_property
    def scorers(self) -> Mapping[str, Scorer]:
        """The members, by name, loaded when they are first asked for."""
        opening: Future[Mapping[str, Scorer]] | None = self.__dict__.get("_opening")
        return opening.result() if opening else load_scorers(self.run, self.ensemble, self.device, self.engine)

    def open_early(self) -> None:
        """Begin to load the members of an exported run, whose runtime leaves Python free to find and read images."""
        if self.exported and self.spec:
            one = ThreadPoolExecutor(1, "open")
            self.__dict__["_opening"] = one.submit(load_scorers, self.run, self.ensemble, self.device, self.engine)
            one.submit(expit, 0.0)  # its library, which combining waits for
            one.shutdown(wait=False)

    @property
    def exported(self) -> bool:
        """Whether the run was exported, and so answers without torch, and cannot be trained or adapted further."""
        return is_exported(self.run)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to bear in mind about every answer."""
        prior = self.ensemble.prior
        return tuple(filter(None, (self.run.origin.warning, prior.note if prior else "")))

    def predict(
        self,
        samples: Path | str | Sequence[Path | str] | np.ndarray | VectorSource | pd.DataFrame | Mapping[str, Path],
        *,
        ids: Sequence[str] | None = None,
        channels: str | None = None,
        may_be_missing: Sequence[str] = (),
        frame: str | None = None,
        batch_size: int = 64,
        threads: int = 2,
    ) -> Answers:
        """Answer for samples.

        Args:
            samples: a folder of images, a list of image files, an array (B, C, H, W) of uint8 or uint16; for an
                ensemble on vectors, a file of them, what names one and how it is read, or a data frame with ids as
                index; for one on score tables, a file for each model.
            ids: of an array's images; None: 0, 1, 2 and so on.
            channels: which channel is where, if names do not say: an order such as ``red,green,blue`` or names such as
                ``red=tubulin,green=gfp``; for an array, the names along axis C.
            may_be_missing: channels that images may lack, beside those that training images lacked.
            frame: of a time series, the one that is taken: first, middle, last, or its number, counted from 1.
            batch_size: images at a time; the answers do not depend on it.
            threads: that read and decode images.

        Returns:
            The answers; images that cannot be read are in `rejected`.

        Raises:
            UserError: nothing can be read, or the samples are not what the members take.
        """
        if isinstance(samples, Mapping):
            return answer_tables(self.ensemble, samples, str(self.run.folder))

        def open_samples() -> Samples:
            if isinstance(samples, np.ndarray):
                return self.open_array(samples, ids, channels, may_be_missing, batch_size)
            if isinstance(samples, VectorSource) or (not self._takes_images and isinstance(samples, (str, Path))):
                return self.open_vector_file(samples, batch_size)
            if isinstance(samples, (str, Path, Sequence)):
                return self.open_images(
                    samples, channels, may_be_missing, batch_size=batch_size, threads=threads, frame=frame
                )
            return self.open_vectors(convert_frame(samples), batch_size)

        def read_again(sample: str) -> Batch:  # so that the answers hold no images
            batch = next((batch for batch in open_samples().batches if sample in batch.ids), None)
            if batch is None:
                raise UserError(f"{opened.source}: '{sample}' is no longer there; predict again to explain it")
            return batch

        opened = open_samples()
        answers = join_answers([replace(part, evidence=None) for part in self.stream(opened)], opened.rejected)
        return replace(answers, evidence=self._find_evidence(read_again))

    def open_images(
        self,
        images: Path | str | Sequence[Path | str],
        channels: str | None = None,
        may_be_missing: Sequence[str] = (),
        *,
        only: str | None = None,
        batch_size: int = 64,
        threads: int = 2,
        follow_links: bool = False,
        frame: str | None = None,
        kept: Shards | None = None,
        chosen: Collection[str] | None = None,
    ) -> Samples:
        """Find the images of a folder, or of a list of files, for `stream`; arguments as for `predict`.

        `only` is the id of the one image that is wanted, or its file; `follow_links` enters linked folders, and takes
        links that leave the folder; `frame` is the one of a time series that is taken: first, middle, last, or its
        number, counted from 1; `kept` says which images are read, those that no other process is at and that have no
        answer yet; `chosen` are the ids of the only ones that are wanted.
        """
        source = f"{len(images)} files" if isinstance(images, Sequence) and not isinstance(images, str) else str(images)
        spec = self.check_kind("images", source)
        spec = replace(spec, frame=frame or spec.frame)
        allowed = spec.allowed(may_be_missing)
        scan = scan_images(images, channels, only, follow_links)
        rejected = [Rejected(one.id, one.file, one.reason) for one in scan.rejects]
        if only is not None:
            source = _name_files(scan.sources[0])
        from hpa_hier.data.images.scan import count_files, find_marks  # imports an image library

        simulated = bool(find_marks(scan.sources))
        if chosen is not None:
            scan = scan._replace(sources=tuple(one for one in scan.sources if one.id in chosen))
        read = partial(read_files, spec=spec, allowed=allowed, threads=threads, scales=self.scales)
        if kept is not None:
            kept.plan(scan.sources, read, batch_size)
        SWITCH.allow(count_files(scan.sources[kept.count_kept() if kept else 0 :]))
        chunks = (scan.sources[start : start + batch_size] for start in range(0, len(scan.sources), batch_size))
        batches = kept.batches() if kept else read(chunks)
        opened = Samples(source, len(scan.sources), batches, rejected, simulated, notes=scan.notes, spec=spec)
        return replace(opened, shared=kept is not None, refused=tuple(rejected))

    def open_array(
        self,
        images: np.ndarray,
        ids: Sequence[str] | None = None,
        channels: str | None = None,
        may_be_missing: Sequence[str] = (),
        batch_size: int = 64,
    ) -> Samples:
        """Take an array of images for `stream`; arguments as for `predict`."""
        source = "an array of images"
        spec = self.check_kind("images", source)
        names = tuple(map(str, range(len(images)) if ids is None else ids))
        if len(names) != len(images) or len(set(names)) != len(names):
            raise UserError(f"ids: {len(names)}, {len(set(names))} of them different, for {len(images)} images")
        allowed = spec.allowed(may_be_missing)
        return Samples(source, len(images), read_array(images, names, channels, spec, allowed, batch_size, self.scales))

    def open_vectors(self, table: VectorTable, batch_size: int = 64) -> Samples:
        """Take a table of vectors for `stream`."""
        from hpa_hier.data.vectors.table import order_features

        spec = self.check_kind("vectors", table.source)
        order = order_features(table.source, table.features, spec.channels)
        batches = read_vectors(table, order, spec, batch_size)
        return Samples(table.source, len(table.ids), batches, notes=(*table.notes, *order.notes))

    def open_vector_file(self, source: VectorSource | Path | str, batch_size: int = 64) -> Samples:
        """Read a file of vectors for `stream`; where it says nothing of how, what members know are its features.

        Raises:
            UserError: it cannot be read, or lacks a feature.
        """
        from hpa_hier.data.vectors.read import read_vectors as read_file

        source = source if isinstance(source, VectorSource) else VectorSource(Path(source))
        known = self.check_kind("vectors", str(source.path)).channels
        return self.open_vectors(read_file(source, known), batch_size)

    def open_own(self, batch_size: int = 64) -> Samples:
        """Take the samples of the run's own pack for `stream`.

        A sample that no member has learned from is answered for by the members' held-out scores; of the others it is
        said that their answers are more certain than those of new ones.

        Raises:
            UserError: the pack is no longer there, or members were trained again since.
        """
        pack, held = self.run.pack, self._read_held()
        return Samples(str(pack.path), len(pack.ids), self._read_own(held, batch_size), simulated=pack.simulated)

    def _read_own(self, held: Sequence[Scores], batch_size: int) -> Iterator[Batch]:
        pack, known = self.run.pack, set(held[0].ids).intersection(*(one.ids for one in held)) if held else set()
        unseen = [sample for sample in pack.ids if sample in known]
        held, done = [one.take(unseen) for one in held], 0
        for start in range(0, len(pack.ids), batch_size):
            rows = np.arange(start, min(start + batch_size, len(pack.ids)))
            ids = tuple(pack.ids[row] for row in rows)
            here = slice(done, done := done + sum(sample in known for sample in ids))
            scores = tuple(replace(one, ids=one.ids[here], logits=one.logits[here]) for one in held)
            yield Batch(
                ids,
                pack.read(rows),
                tuple(tuple(pack.samples[row].filled) for row in rows),
                notes=tuple(() if sample in known else (SEEN,) for sample in ids),
                held=scores if here.stop > here.start else (),
            )

    def _read_held(self) -> tuple[Scores, ...]:
        """Return each member's scores of the samples of the run's pack that it has not learned from."""
        records = self.run.check_unchanged(self.ensemble)
        if self.ensemble.about.get("adapted"):  # its members keep no scores of these samples
            return ()
        self.run.check_pack(records)
        settings, renamed = fitted_settings(self.ensemble), {one.name: one.renamed for one in self.ensemble.members}
        read = [load_scores(scores_path(self.run, record, settings), record.name) for record in records]
        return tuple(one.renamed(renamed[one.name]) for one in read)

    def stream(self, samples: Samples, stop: bool = False) -> Iterator[Answers]:
        """Answer for samples batch by batch: memory stays the same however many there are.

        Args:
            samples: opened; those that cannot be read are added to their `rejected`.
            stop: raise an error at the first sample that cannot be read.

        Raises:
            UserError: none can be read, and no other process shares the work.
        """
        done = 0
        if stop:
            samples.refuse_rejected()
        # While a batch is scored here, the next ones are read and the one before becomes answers, each in threads.
        with ThreadPoolExecutor(1, "answer") as pool:
            waiting: Future[Answers] | None = None
            try:
                for batch in samples.batches:
                    samples.rejected += batch.rejected
                    samples.bits.update(batch.bits)
                    samples.stacks.update(batch.stacks)
                    if stop:
                        samples.refuse_rejected()
                    if batch.ids:
                        done += len(batch.ids)
                        given = (self._score_members(batch), batch, samples.source, samples.simulated)
                        before, waiting = waiting, pool.submit(self._combine, *given)
                        if before is not None:
                            yield before.result()
            except (Exception, KeyboardInterrupt):
                if waiting is not None:
                    yield waiting.result()  # it is not lost to whoever keeps answers
                raise
            if waiting is not None:
                yield waiting.result()
        if not done and not samples.shared:
            samples.refuse_unanswered()

    def explain(
        self, sample: str, images: Samples | None = None, every_node: bool = False, *, numbers: bool = False
    ) -> str:
        """Describe how the answer for one image came about, as `Answers.explain` does.

        Args:
            sample: its id.
            images: from `open_images` with `only`; None: the image is one of the run's own pack.
            every_node: in numbers: show each member's scores of all nodes.
            numbers: in tables of scores and thresholds; else in words.
        """
        return self.answer_one(sample, images).explain(sample, every_node, numbers=numbers)

    def answer_one(self, sample: str, images: Samples | None = None) -> Answers:
        """Answer for one sample: of the run's own pack, or of `images`, from `open_images` with `only`.

        Raises:
            UserError: it is not there, or cannot be read.
        """
        return self._answer_own(sample) if images is None else next(self.stream(images, stop=True))

    def heat_maps(
        self, image: np.ndarray, node: str, method: Method = "grad_cam", members: Sequence[str] | None = None
    ) -> HeatMaps:
        """Draw where an image, (C, S, S) uint8 as members take it, raised the log-odds of a node.

        The other arguments, and errors, are those of `Answers.heat_maps`.
        """
        return self._explainer.heat_maps(image, node, method, members)

    def neighbours(self, samples: np.ndarray, count: int = 5) -> tuple[Neighbours, ...]:
        """Find the training samples most like each of some samples, as members take them.

        Args:
            samples: (B, C, S, S) uint8 images or (B, F) float32 vectors.
            count: how many for each.

        Returns:
            For each sample, those nearest to it by a member's features; or a sentence on why there are none.
        """
        return self._explainer.neighbours(samples, count)

    def prepare_neighbours(self) -> str:
        """Look at all training samples now, once and for all, so that `neighbours` need not; return why it cannot."""
        return self._explainer.prepare_neighbours()

    def load_members(self, names: Sequence[str]) -> dict[str, Scorer]:
        """Load members of the run, also such as the ensemble does not combine, as it does its own."""
        return _load(self.run, self.ensemble, names, self.device, self.engine)

    def check_kind(self, kind: str, source: str) -> InputSpec:
        """Return what samples must be like, where they are of the kind that the members take.

        Raises:
            UserError: they are of another kind, or the ensemble was fitted on score tables.
        """
        flag = {"images": "--images DIR", "vectors": "--vectors FILE"}
        if self.spec is None:
            raise UserError(f"{source}: the ensemble was fitted on score tables alone; use --scores, not --{kind}")
        if self.spec.kind != kind:
            raise UserError(f"{source}: the members take {self.spec.kind}, not {kind}; use {flag[self.spec.kind]}")
        return self.spec

    def _answer(self, batch: Batch, source: str, simulated: bool) -> Answers:
        return self._combine(self._score_members(batch), batch, source, simulated)

    def _score_members(self, batch: Batch) -> list[Scores]:
        """Return each member's scores of a batch: those that were held out, and of the other samples new ones."""
        held = {one.name: one for one in batch.held}
        rest = np.flatnonzero([not batch.held or sample not in batch.held[0].ids for sample in batch.ids])
        scores = []
        for member in self.ensemble.members:
            known, parts = held.get(member.name), []
            if len(rest):
                scorer, ids = self.scorers[member.name], tuple(batch.ids[row] for row in rest)
                logits = scorer.logits(batch.values[rest]) if known else self._score(scorer, batch)
                logits = logits.astype(np.float64)
                parts.append(Scores(member.name, ids, tuple(scorer.nodes), logits).renamed(member.renamed))
            if known:
                parts.append(known)
            scores.append(join_scores(parts).take(batch.ids))
        return scores

    def _score(self, scorer: Scorer, batch: Batch) -> np.ndarray:
        """Return a member's logits: the mean over magnifications, of each the tiles merged."""
        found = [scorer.logits(batch.values)] if not batch.tiles or WHOLE[0] in self.scales else []
        for images, seen in batch.tiles:
            logits = scorer.logits(images.reshape(-1, *images.shape[2:])).astype(np.float64)
            found.append(merge_tiles(logits.reshape(*seen.shape, -1), seen))
        return found[0] if len(found) == 1 else np.asarray(sum(found[1:], found[0]) / len(found))

    def _combine(self, scores: Sequence[Scores], batch: Batch, source: str, simulated: bool) -> Answers:
        ensemble, origin = self.ensemble, self.run.origin
        return Answers(
            ensemble,
            ensemble.predict(scores),
            align(scores),
            batch.filled,
            source=str(self.run.folder),
            place=source,
            notes=self.notes,
            unsafe=origin.why_unsafe(simulated),
            evidence=self._find_evidence(lambda _: batch),
            doubts=self._find_doubts(batch),
            files=batch.files,
        )

    def _find_doubts(self, batch: Batch) -> tuple[tuple[str, ...], ...]:
        """Return what looks wrong with each sample, and what is unlike those that members learned from."""
        unlike = find_unlike(self.ensemble.novelty, batch, self.spec)
        notes = batch.notes or ((),) * len(batch.ids)
        return tuple((*own, *filter(None, [far])) for own, far in zip(notes, unlike, strict=True))

    def _answer_own(self, sample: str) -> Answers:
        """Answer for a sample of the run's pack: by its held-out scores where there are any."""
        pack, held = self.run.pack, self._read_held()
        sample = sample if sample in pack.ids else find_id(sample)
        if sample not in pack.ids:
            raise UserError(
                f"{sample}: no image of {pack.path} has this id, the first is {pack.ids[0]}; "
                "for an image of yours add --images DIR"
            )
        row = int(pack.find_rows([sample])[0])
        batch = Batch((sample,), pack.read(np.array([row])), (tuple(pack.samples[row].filled),))
        if held and all(sample in scores.ids for scores in held):
            batch, known = replace(batch, held=tuple(one.take([sample]) for one in held)), "held-out image"
        elif self.ensemble.about.get("adapted"):
            known = "image that the ensemble was adapted to, so more certain than a new one"
        else:
            known = "image that the members were trained on, so more certain than a new one"
        return replace(self._answer(batch, known, pack.simulated), annotated={sample: pack.nodes[row]})

    @property
    def _takes_images(self) -> bool:
        return self.spec is not None and self.spec.kind == "images"

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self.run, self.ensemble, lambda: self.scorers)

    def _find_evidence(self, read: Callable[[str], Batch]) -> Evidence | None:
        """Return what answers can be traced back to, given what reads a sample's batch."""
        return Evidence(self._explainer, self.spec, read) if self.spec else None


def _find_exported_prior(run: Run) -> Prior | None:
    """Return the prior that a run was exported with; None: it was exported with none, or not at all."""
    kept = run.facts.prior if run.facts else None
    if kept is None:
        return None
    try:
        shares = np.array([kept[node] for node in run.ensemble.taxonomy.nodes])
    except KeyError as error:
        raise UserError(f"{run.folder}: its prior has no share of {error}; export it again") from None
    return Prior(run.facts.prior_source if run.facts else "", shares)


def _name_files(source: ImageSource) -> str:
    """Return the file of a sample, and how many others it has."""
    files = sorted({str(plane.file) for plane in source.planes.values()})
    return files[0] + (f" and {len(files) - 1} more" if len(files) > 1 else "")


def load_scorers(run: Run, ensemble: Ensemble, device: str, engine: str = "torch") -> dict[str, Scorer]:
    """Load an ensemble's members, checked to be those that it was fitted with."""
    run.check_unchanged(ensemble)
    return _load(run, ensemble, [member.name for member in ensemble.members], device, engine)


def _load(run: Run, ensemble: Ensemble, names: Sequence[str], device: str, engine: str) -> dict[str, Scorer]:
    if is_exported(run):
        return open_exported(run, names, device)
    from hpa_hier.members.tta import Tta, load_with_tta

    tta = Tta.from_settings(fitted_settings(ensemble))
    return {name: load_with_tta(run.member_folder(name), device, tta, engine) for name in names}


def answer_tables(ensemble: Ensemble, files: Mapping[str, Path], source: str) -> Answers:
    """Answer for the samples of score tables, one of each model that the ensemble, called `source`, was fitted on.

    Samples for which no model answers for some leaf are in `rejected`.

    Raises:
        UserError: a table is wrong, or the tables are not those of the models that the ensemble was fitted on.
    """
    kind = ensemble.about.get("score_kind")
    if kind not in ("probs", "logits"):
        raise UserError(
            f"{source}: its ensemble was fitted on members of its own, not on score tables; use --images DIR"
        )
    wanted, got = sorted(member.name for member in ensemble.members), sorted(files)
    if wanted != got:
        raise UserError(f"{source}: its ensemble combines {', '.join(wanted)}; got --scores of {', '.join(got)}")
    tables = [read_scores(name, Path(files[name]), kind, ensemble.taxonomy) for name in wanted]
    calibrations = ensemble.combiner.calibrations
    joined = join_tables([_in_order(one, calibrations[one.name].nodes) for one in tables], ensemble.taxonomy)
    return Answers(
        ensemble,
        ensemble.predict(joined.members, joined.available),
        joined.members,
        ((),) * len(joined.ids),
        tuple(Rejected(sample, "", f"no table answers for the leaf '{leaf}'") for sample, leaf in joined.unanswered),
        f"{source}: score tables of {', '.join(wanted)}",
        (
            *describe_coverage(tables, len(joined.ids), ensemble.taxonomy, joined.available),
            *([ensemble.prior.note] if ensemble.prior else []),
        ),
        joined.available,
    )


def _in_order(scores: Scores, nodes: tuple[str, ...]) -> Scores:
    """Put columns into the order that the ensemble knows them in."""
    if set(scores.nodes) != set(nodes):
        differing = sorted(set(scores.nodes) ^ set(nodes))[0]
        raise UserError(
            f"table '{scores.name}' has other columns than when the ensemble was fitted, such as '{differing}'; "
            "give the same ones, or fit again"
        )
    return replace(scores, nodes=nodes, logits=scores.logits[:, [scores.nodes.index(node) for node in nodes]])
