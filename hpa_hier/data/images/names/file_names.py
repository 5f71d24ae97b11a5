"""File names: which sample and which channel each file of a folder belongs to, decided for all files together."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hpa_hier.data.images.channels import COMPOSITE, ChannelHint, split_name
from hpa_hier.data.images.names.assign import assign_channels, is_numbered
from hpa_hier.data.images.names.instruments import read_instrument, split_codes
from hpa_hier.data.images.names.stains import Word, combine_stains, find_stains, normalise, read_number, split_words
from hpa_hier.data.images.reader import Layout, UnreadableImage
from hpa_hier.data.images.readers import find_reader

_HOLE = "\0"  # stands for the stain in what is left of a name
_OVERLAYS = frozenset({"merge", "merged", "overlay", "composite", "rgb", "color", "colour"})
_MOST_NUMBERS = 8  # more files that differ in a number only are a series
_STRONG = re.compile(r"(ch|w|wv|channel)\d+")  # c1 and d1 may be wells
_SECTION = re.compile(r"(?:^|(?<=[\W_]))z=?(\d{1,4})(?=$|[\W_])", re.IGNORECASE)
_EXPORTED = re.compile(r"ch\d\d")
_DIGITS = re.compile(r"(?<![^\W_])\d+(?![^\W_])")
_THUMBNAIL = re.compile(r".+_w\d+_thumb.*", re.IGNORECASE)  # that MetaXpress puts beside each picture
_LONGEST = 4  # words, or stains, of what a file's name calls its channel


class Place(NamedTuple):
    """Where one file belongs."""

    id: str
    channel: str | None  # None: a file of all channels
    fault: str | None = None  # why the file cannot be used
    section: int | None = None  # along z, where each section is a file
    left_out: bool = False  # a stain that is none of the four channels


class Placement(NamedTuple):
    """Where the files of a folder belong."""

    places: tuple[Place, ...]  # one a file, in the order given
    meanings: Mapping[str, str | None]  # stains as they are written → the channels they were taken for; None: left out


@dataclass(frozen=True)
class _Cut:
    """One way to read a name: a stain, and what is left without it."""

    rest: str  # with a hole where the stain was
    stain: str  # as it is written
    channels: tuple[str, ...] | None  # that it may be; None: it is only a number
    words: int = 1
    numbered: bool = False  # a number goes with it that can be nothing but a channel's
    section: int | None = None
    frame: int | None = None


def place_files(stems: Sequence[str], find: Callable[[int], Path], hint: ChannelHint) -> Placement:
    """Find the sample and the channel of each file by its name, beside the names of the others.

    A colour at the end of a name is a channel. A stain's name is one where the protein's is beside it, or where the
    file holds a single plane: `nucleus_1.jpg` may be a picture of a nuclear protein. A number, as in `_ch00`, is one
    where the file holds a single plane.

    Args:
        stems: of each file. One may hold folders, `plate1/a_red`: they stay in front of the id.
        find: returns the path of the i-th file; few are opened.
        hint: what the user said about channels.
    """
    places: list[Place | None] = [None] * len(stems)
    meanings: dict[str, str | None] = {}
    cuts: dict[int, list[_Cut]] = {}
    for i, stem in enumerate(stems):
        folder, slash, name = stem.rpartition("/")
        sample_id, channel = split_name(name, hint)
        if _THUMBNAIL.fullmatch(name):
            places[i] = Place(stem, None, left_out=True)
            continue
        if channel is not None or COMPOSITE.fullmatch(name):
            places[i] = Place(folder + slash + sample_id, channel)
            if channel and hint.names:
                meanings[name[len(sample_id) + 1 :]] = channel
        elif found := list(_find_cuts(name, folder + slash, hint)):
            cuts[i] = found
    chosen = _choose(cuts)
    if any(places) or any(cut.channels for cut in chosen.values()):
        chosen = _admit(chosen, stems, find, hint)
    else:  # actin_1, golgi_2: what the pictures are of, for all that is known
        chosen = _admit({i: cut for i, cut in chosen.items() if cut.channels is None}, stems, find, hint)
    others, aside = _find_fillers(stems, find, chosen, places, meanings)
    named: dict[int, Place] = {}
    for sample in _by_rest(chosen | others).values():
        named |= _name_sample(sample, find, hint, meanings)
    for i, place in (named | aside).items():
        places[i] = place
    filled = [place or Place(stem, None) for place, stem in zip(places, stems, strict=True)]
    return Placement(tuple(_join_sections(filled)), meanings)


def _find_cuts(name: str, folder: str, hint: ChannelHint) -> Iterator[_Cut]:
    """Give every way to read a name as a sample's and a stain's."""
    shot = read_instrument(name)
    if shot is not None:
        channels = _read_channels([word.text for word in split_words(shot.stain)], hint)
        yield _Cut(f"{folder}{shot.sample}{_HOLE}", shot.stain, channels, 1, True, shot.section, shot.frame)
        return
    words = split_codes(split_words(name))
    texts = [word.text for word in words]
    units = _find_units(texts, hint)
    numbers = [i for i, text in enumerate(texts) if read_number(text)]
    for start in range(len(units)):
        for stop in range(start, min(len(units), start + _LONGEST)):
            first, last = units[start][0], units[stop][1]
            if sum(j - i + 1 for i, j in units[start : stop + 1]) != last - first + 1:
                break  # words between them that are no stain
            channels = _read_channels(texts[first : last + 1], hint)
            if channels is None and stop > start:
                continue
            rest = name[: words[first].start] + _HOLE + name[words[last].end :]
            if rest == _HOLE and not folder:
                continue
            stain = name[words[first].start : words[last].end]
            strong = _STRONG.fullmatch(texts[first]) is not None
            yield _Cut(folder + rest, stain, channels, stop - start + 1, strong)
            for i in numbers:  # C1-cell_GFP: the number tells the same as the stain
                if channels is not None and not first - 1 <= i <= last:
                    yield _cut_twice(name, folder, words[i], words[first], words[last], channels)


def _find_units(texts: Sequence[str], hint: ChannelHint) -> list[tuple[int, int]]:
    """Return the first and last word of each name that the user gave, stain, and number of a channel."""
    given = {normalise(name) for name in hint.names}
    units: list[tuple[int, int]] = []
    runs = ((i, i + length) for length in range(_LONGEST - 1, -1, -1) for i in range(len(texts) - length) if given)
    stains = ((found.first, found.last) for found in find_stains(texts))
    numbers = ((i, i) for i, text in enumerate(texts) if read_number(text))
    for first, last in (
        *(run for run in runs if normalise("".join(texts[run[0] : run[1] + 1])) in given),
        *stains,
        *numbers,
    ):
        if all(last < i or j < first for i, j in units):
            units.append((first, last))
    return sorted(units)


def _cut_twice(name: str, folder: str, number: Word, first: Word, last: Word, channels: tuple[str, ...]) -> _Cut:
    (a, b), (c, d) = sorted([(number.start, number.end), (first.start, last.end)])
    rest = name[:a] + _HOLE + name[b:c] + _HOLE + name[d:]
    return _Cut(folder + rest, f"{name[number.start : number.end]} {name[first.start : last.end]}", channels, 2)


def _read_channels(texts: Sequence[str], hint: ChannelHint) -> tuple[str, ...] | None:
    """Return the channels that words may be which are a stain's name and no more, but for a number before it."""
    given = {normalise(name): channel for name, channel in hint.names.items()}
    for kept in (texts, texts[1:] if read_number(texts[0]) else ()):
        if kept and (channel := given.get(normalise("".join(kept)))):
            return (channel,)
        found = find_stains(kept)
        if kept and sum(one.last - one.first + 1 for one in found) == len(kept):
            combined = combine_stains(one.stain for one in found)
            return combined.channels if combined else None
    return None


def _choose(cuts: Mapping[int, Sequence[_Cut]]) -> dict[int, _Cut]:
    """Choose one way to read each name: the one that makes a set of it and the names of other files."""
    holes: dict[str, dict[str, tuple[str, ...] | None]] = defaultdict(dict)  # rest → stains → channels
    for cut in (cut for several in cuts.values() for cut in several):
        holes[cut.rest][normalise(cut.stain)] = cut.channels

    def rank(cut: _Cut) -> tuple[int, int, int]:
        stains = holes[cut.rest]
        clear = [channels[0] for channels in stains.values() if channels is not None and len(channels) == 1]
        is_set = len(stains) > 1 and len(set(clear)) == len(clear)
        if cut.channels is not None:  # stains of which two are one channel are likely several samples
            level = 5 if is_set else 4 if cut.numbered else 2 if len(stains) == 1 else 1
        else:
            level = (3 if cut.numbered else 1) if is_set and len(stains) <= _MOST_NUMBERS else 0
        return level, len(stains) if is_set else 0, -cut.words

    best = {i: max(reversed(several), key=rank) for i, several in cuts.items()}  # the last one of equals
    return {i: cut for i, cut in best.items() if cut.channels is not None or len(holes[cut.rest]) <= _MOST_NUMBERS}


def _by_rest(chosen: Mapping[int, _Cut]) -> dict[str, dict[int, _Cut]]:
    """Return the files of each sample: those of one name but for the stain."""
    samples: dict[str, dict[int, _Cut]] = defaultdict(dict)
    for i, cut in chosen.items():
        samples[cut.rest][i] = cut
    return samples


def _admit(
    chosen: Mapping[int, _Cut], stems: Sequence[str], find: Callable[[int], Path], hint: ChannelHint
) -> dict[int, _Cut]:
    """Return the files whose names may be read so: of a set with the protein's stain, or of a single plane."""
    admitted: dict[int, _Cut] = {}
    series = _count_series(stems) if any(cut.stain.isdigit() for cut in chosen.values()) else {}
    for rest, sample in _by_rest(chosen).items():
        bare = all(cut.stain.isdigit() for cut in sample.values())
        if bare and series[rest] != max(2, len(sample)):
            continue  # 405 and 488 among 401 to 499
        told = {cut.channels for cut in sample.values()}
        has_protein = len(told) > 1 and ("green",) in told and not bare
        for i, cut in sample.items():
            exported = len(sample) > 1 and _EXPORTED.fullmatch(cut.stain) and not hint.order  # coloured, by LAS X
            in_set = has_protein and (cut.channels is not None or bool(hint.names))
            if in_set or exported or _layout(find(i)).planes == 1:
                admitted[i] = cut
    return admitted


def _count_series(stems: Sequence[str]) -> Counter[str]:
    """Count the names that differ in a number only, by what is left without it."""
    numbers = {(stem[: m.start()] + _HOLE + stem[m.end() :], m[0]) for stem in stems for m in _DIGITS.finditer(stem)}
    return Counter(rest for rest, _ in numbers)


def _layout(path: Path) -> Layout:
    try:
        return find_reader(path).layout(path)
    except UnreadableImage:  # which is said when it is read
        return Layout(None)


def _name_sample(
    sample: Mapping[int, _Cut], find: Callable[[int], Path], hint: ChannelHint, meanings: dict[str, str | None]
) -> dict[int, Place]:
    """Find the channel of each file of a sample, and add what its stains were taken for to `meanings`."""
    names = {i: _full_name(cut, i, find) for i, cut in sample.items()}
    short = {name: _short_name(name) for name in names.values()}
    if not hint.names and len(set(map(normalise, short.values()))) == len(short):
        names = {i: short[name] for i, name in names.items()}
    listed = list(dict.fromkeys(names.values()))
    assignment = assign_channels(listed, hint.names)
    channel_of = dict(zip(listed, assignment.channels, strict=True))
    if assignment.question is None:
        meanings |= channel_of
    rest = next(iter(sample.values())).rest
    frames = {cut.frame for cut in sample.values()}
    sections = {cut.section for cut in sample.values()}
    placed = {}
    for i, cut in sample.items():
        sample_id = _close(rest) + (f"_t{cut.frame}" if len(frames) > 1 else "")
        channel = channel_of[names[i]]
        section = cut.section if len(sections) > 1 else None
        left_out = channel is None and assignment.question is None
        placed[i] = Place(sample_id, channel, assignment.question, section, left_out)
    return placed


def _short_name(name: str) -> str:
    """Return a stain's name without the number before it.

    >>> _short_name("w2GFP"), _short_name("w2")
    ('GFP', 'w2')
    """
    words = split_words(name)
    return name[words[1].start :] if len(words) > 1 and read_number(words[0].text) and name[-1] != ")" else name


def _full_name(cut: _Cut, i: int, find: Callable[[int], Path]) -> str:
    """Return a stain as it is written, with the name that the file itself has for it where it is only a number."""
    if cut.channels is not None or not is_numbered(cut.stain):
        return cut.stain
    own = _layout(find(i)).names
    return f"{cut.stain} ({own[0]})" if len(own) == 1 and not is_numbered(own[0]) else cut.stain


def _close(rest: str) -> str:
    r"""Return a name with its holes closed, one mark in place of two.

    >>> _close("plate/cell_\0_01"), _close("\0-cell"), _close("plate/cell1/\0")
    ('plate/cell_01', 'cell', 'plate/cell1')
    """
    folder, slash, name = rest.rpartition("/")
    name = re.sub(r"[\s_.\-]*\0[\s_.\-]*$|^\0[\s_.\-]*|[\s_.\-]\0(?=[\s_.\-])", "", name).replace(_HOLE, "")
    return folder + slash + name if name else folder


def _find_fillers(
    stems: Sequence[str],
    find: Callable[[int], Path],
    chosen: Mapping[int, _Cut],
    places: Sequence[Place | None],
    meanings: dict[str, str | None],
) -> tuple[dict[int, _Cut], dict[int, Place]]:
    """Find the files that are named as a sample's but for a word that is no known stain.

    Those of a sample with known stains are named with it; overlays, and what is beside files of colours, are aside.
    """
    rests = {cut.rest for cut in chosen.values() if cut.channels is not None}
    coloured = {
        stem[: len(place.id) + 1] + _HOLE for stem, place in zip(stems, places, strict=True) if place and place.channel
    }
    stains: dict[int, _Cut] = {}
    aside: dict[int, Place] = {}
    for i, stem in enumerate(stems):
        if places[i] or i in chosen:
            continue
        folder, slash, name = stem.rpartition("/")
        for word in split_words(name):
            rest = folder + slash + name[: word.start] + _HOLE + name[word.end :]
            if (rest not in rests and rest not in coloured) or word.text.isdigit():
                continue
            if word.text in _OVERLAYS:
                aside[i] = Place(_close(rest), None)
            elif _layout(find(i)).planes == 1 and rest in rests:
                stains[i] = _Cut(rest, name[word.start : word.end], None)
            elif _layout(find(i)).planes == 1:
                aside[i] = Place(_close(rest), None, left_out=True)
                meanings[name[word.start : word.end]] = None
    return stains, aside


def _join_sections(places: Sequence[Place]) -> Iterator[Place]:
    """Give each file its section along z, where the files of one channel differ in it only: a_z01_red, a_z02_red."""
    sections: dict[tuple[str, str | None], set[int]] = defaultdict(set)
    for place in places:
        if place.channel and place.section is None and (match := _SECTION.search(_name(place))):
            sections[_cut_section(place, match), place.channel].add(int(match[1]))
    stacks = {sample for (sample, _), numbers in sections.items() if len(numbers) > 1}
    for place in places:
        match = _SECTION.search(_name(place)) if place.section is None and (place.channel or place.left_out) else None
        if match and _cut_section(place, match) in stacks:
            yield place._replace(id=_cut_section(place, match), section=int(match[1]))
        else:
            yield place


def _name(place: Place) -> str:
    return place.id.rpartition("/")[2]


def _cut_section(place: Place, match: re.Match[str]) -> str:
    folder, slash, name = place.id.rpartition("/")
    return folder + slash + _close(name[: match.start()] + _HOLE + name[match.end() :])
