"""Inspect: what is to be packed, found out from its file names and a look at some of its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from joblib import Parallel, delayed

from hpa_hier.data.images.exposure import RULES, Look, choose_rule, count_bits, describe_equal
from hpa_hier.data.images.planes import Plane
from hpa_hier.data.images.read import Reading, read_image
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.readers import split_suffix
from hpa_hier.data.images.scan import ImageSource, Reject
from hpa_hier.data.labels.problems import Doubts, OnProblem, Problem, stop_at_problems
from hpa_hier.data.pack.matching import PackRequest, Plan, make_plan

AUTO = "auto"  # the intensity rule that a look at some images chooses
LOOKED_AT = 32  # images, evenly spaced in the label table
_CURE_COPIES = "give each stain its own picture (a grey picture saved as RGB has one only)"


@dataclass(frozen=True)
class Found:
    """What is to be packed.

    Attributes:
        request: with the intensity rule that was chosen, "depth" or "percentile".
        plan: the samples with their labels, and the rejects that are known without opening an image.
        reason: of the intensity rule, in words; "" where the request names the rule.
        channels: for each channel, where it comes from (as "*_red.png") → samples.
        missing: samples that lack a channel, by channel.
        sizes: (width, height) in pixels → samples that were looked at.
        looks: of those looked at that can be packed, by id.
        copies: of those looked at, samples with channels that are one picture; they are never packed.
        unreadable: of those looked at.
    """

    request: PackRequest
    plan: Plan
    reason: str
    channels: Mapping[str, Mapping[str, int]]
    missing: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    looks: Mapping[str, Look]
    copies: tuple[Reject, ...]
    unreadable: tuple[Reject, ...]

    @property
    def intensity(self) -> str:
        """The rule by which images become 8 bits."""
        return self.request.intensity

    @property
    def looked_at(self) -> int:
        """How many samples were looked at."""
        return len(self.looks) + len(self.copies) + len(self.unreadable)

    @cached_property
    def bits(self) -> dict[str, int]:
        """Samples looked at by the bits that they use, as {"12 of 16": 5}."""
        return count_bits(self.looks.values())

    @property
    def doubts(self) -> tuple[str, ...]:
        """A line for each kind of thing that looks wrong, with how many images have it."""
        doubts = Doubts()
        doubts.add(tuple(self.looks), [look.doubts(self.intensity) for look in self.looks.values()])
        return doubts.lines()

    def describe(self) -> tuple[str, ...]:
        """Return what was found, in lines for people."""
        count, seen = len(self.plan.samples), self.looked_at
        some = "" if seen == count else f"; {seen:,} of them looked at"
        sizes = join_counts({f"{width} × {height}": n for (width, height), n in self.sizes.items()})
        lines = [f"images: {count:,}{f' of {sizes} pixels' if sizes else ''}{some}"]
        lines.append("channels: " + ", ".join(f"{name} from {join_counts(it)}" for name, it in self.channels.items()))
        lines += [f"channel {name}: missing in {n:,}, filled with zeros there" for name, n in self.missing.items()]
        if self.looks:
            lines.append(f"bits used: {join_counts(self.bits)}")
            lines.append(f"intensity: {self.intensity}{f', since {self.reason}' if self.reason else ''}")
        lines += [f"look again: {doubt}" for doubt in self.doubts]
        if self.intensity == "depth" and any(look.dark for look in self.looks.values()):
            lines.append("  dark: --intensity percentile uses the range that each channel has")
        rejects = (*self.plan.rejects, *self.unreadable, *self.copies)
        if rejects:
            lines.append(f"cannot be packed: {len(rejects):,}, the first is {rejects[0].id} ({rejects[0].reason})")
        return tuple(lines)


def inspect(request: PackRequest, threads: int = 2) -> Found:
    """Find out what a request would pack, from file names, the label table and up to 32 images.

    The same files give the same result. Where the request's intensity is "auto", the rule is chosen by these images:
    see `choose_rule`.

    Args:
        request: what is to be packed; nothing is written.
        threads: images decoded at the same time.

    Raises:
        UserError: labels and images do not match and the request says to stop, or nothing can be packed.
    """
    return look_into(request, make_plan(request), threads)


def look_into(request: PackRequest, plan: Plan, threads: int = 2) -> Found:
    """Do as `inspect` does, for a plan that was made already."""
    count = len(plan.samples)
    rows = np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).round().astype(int))
    sources = [plan.samples[row].source for row in rows]
    pool = Parallel(threads, prefer="threads")
    outcomes: Sequence[Reading | Reject] = pool(delayed(_look)(request, source) for source in sources)
    read = {one.id: two for one, two in zip(sources, outcomes, strict=True) if not isinstance(two, Reject)}
    rule, reason = request.intensity, ""
    if rule == AUTO:
        rule, reason = choose_rule([reading.look for reading in read.values() if not reading.look.equal])
    return Found(
        replace(request, intensity=rule),
        plan,
        reason,
        _find_origins(request.channels, [sample.source for sample in plan.samples]),
        dict(Counter(name for one in plan.samples for name in one.source.missing_channels(request.channels))),
        dict(Counter((reading.shape[1], reading.shape[0]) for reading in read.values()).most_common()),
        {sample: reading.look for sample, reading in read.items() if not reading.look.equal},
        tuple(make_copy_reject(sample, reading) for sample, reading in read.items() if reading.look.equal),
        tuple(outcome for outcome in outcomes if isinstance(outcome, Reject)),
    )


def stop_at_copies(where: object, copies: Sequence[Reject], on_problem: OnProblem) -> None:
    """Raise the UserError of samples with channels that are one picture, unless they are to be skipped."""
    if on_problem == "stop":
        reasons = dict.fromkeys(one.reason for one in copies)
        problems = [Problem(why, tuple(one.id for one in copies if one.reason == why)) for why in reasons]
        stop_at_problems(where, problems, f"{_CURE_COPIES}, or give --on-problem skip to leave these samples out")


def make_copy_reject(sample: str, reading: Reading) -> Reject:
    """Return why a sample with channels that are one picture is not packed."""
    return Reject(sample, "", "; ".join(map(describe_equal, reading.look.equal)))


def join_counts(counts: Mapping[str, int]) -> str:
    """Join what there is with how many have it; the numbers are left out where there is one kind only.

    >>> join_counts({"a": 2, "b": 1}), join_counts({"a": 2})
    ('a (2), b (1)', 'a')
    """
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{what} ({n:,})" for what, n in counts.items())


def _look(request: PackRequest, source: ImageSource) -> Reading | Reject:
    try:
        return read_image(source, request.size, request.channels, RULES[0], request.may_be_missing, request.stacks)
    except UnreadableImage as error:
        return Reject(source.id, error.shown, error.reason)


def _find_origins(channels: Sequence[str], sources: Iterable[ImageSource]) -> dict[str, dict[str, int]]:
    origins: dict[str, Counter[str]] = {channel: Counter() for channel in channels}
    for source in sources:
        for channel in channels:
            if channel in source.planes:
                origins[channel][_describe_origin(source.id, source.planes[channel])] += 1
    return {channel: dict(places.most_common()) for channel, places in origins.items() if places}


def _describe_origin(sample: str, plane: Plane) -> str:
    """Describe where a channel comes from, as "*_red.png" or "plane 2 of *.tif"."""
    stem, suffix = split_suffix(plane.file.name)
    end = stem.removeprefix(sample) if stem.startswith(sample) else ""
    where = f"*{end}{suffix or plane.file.suffix}"
    return where if plane.index is None else f"plane {plane.index + 1} of {where}"
