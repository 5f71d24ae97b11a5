"""Stains: the words that microscopes and people use for them, and the channels that each may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a word tells of."""

    PLACE = "place"  # what is stained: microtubules, DNA
    TAG = "tag"  # a fluorescent protein, which people fuse to the protein in question
    DYE = "dye"  # of an antibody, which may be against anything


class Stain(NamedTuple):
    """What a word for a stain means."""

    channels: tuple[str, ...]  # that it may be; one: it is that one; none: a picture that is none of the four
    kind: Kind
    wave: int = 0  # nm, of excitation; 0: unknown


class Word(NamedTuple):
    """A word of a name."""

    text: str  # in lower case
    start: int  # in the name
    end: int


class Found(NamedTuple):
    """A stain in a name."""

    stain: Stain
    first: int  # its words
    last: int


_ANY_DYE = ("green", "red", "yellow")  # may be an antibody's dye or a red fluorescent protein
_FAR_RED = ("green", "yellow", "red")
_PLACES = {
    "red": """microtubule microtubules microtubuli tubulin alphatubulin atubulin αtubulin betatubulin βtubulin btubulin
    tuba1a tubb tubb3 sirtubulin tubulintracker""",
    "green": "protein antibody proteinofinterest",
    "blue": """nucleus nuclei nuclear nuc dna dapi hoechst hoechst33342 hoechst33258 h33342 draq5 draq7 topro3 nucblue
    sytox nucspot nuclearmask""",
    "yellow": """er endoplasmicreticulum reticulum calnexin canx calreticulin calr kdel pdi sec61 sec61b ertracker
    concanavalin concanavalina cona""",
    "": """brightfield bf phase phasecontrast ph1 ph2 ph3 dic transmitted trans transmittedlight tl tpmt pmt
    actin factin phalloidin golgi agp rna mito mitochondria mitotracker lysotracker lysosome wga cellmask membrane
    syto14 celltracker autofluorescence lipidtox bodipy nilered""",
}
_TAGS = {
    "green": """gfp egfp sfgfp mgfp emgfp megfp emerald memerald mneongreen neongreen mng clover mclover venus mvenus
    yfp eyfp citrine mcitrine ypet""",
}
_DYES = {  # of no fixed place, with their excitation in nm; those of 405 and 488 nm are by custom nucleus and protein
    **{"tritc": 550, "rhodamine": 550, "rhodaminered": 570, "cy2": 489, "cy3": 550, "cy35": 580, "cy5": 649},
    **{"cy55": 675, "cy7": 750, "mcherry": 587, "cherry": 587, "rfp": 555, "mrfp": 584, "tagrfp": 555, "dsred": 558},
    **{"tdtomato": 554, "texasred": 595, "txred": 595, "mscarlet": 569, "mruby": 558, "mkate": 588, "irfp": 690},
    **{"farred": 647, "orange": 555, "fitc": 490, "cfp": 435, "ecfp": 435, "cerulean": 433, "turquoise": 434},
    **{"bfp": 400, "ebfp": 400, "tagbfp": 400, "sirdna": 652, "spyorange": 555},
}
_WAVE_WORD = re.compile(
    r"(?P<dye>alexa|alexafluor|af|a|atto|dylight|cf|jf|janeliafluor|star|abberiorstar|csu\w?|confocal|laser|line|ex"
    r"|excitation|em|emission|vis|wavelength|channel|obis|led)?(?P<wave>\d{3})(nm)?"
)
_LOOSE = ("a", "channel", "line", "star", "led", "vis")  # words that also go before other numbers
_LASERS = (375, 385, 395, 405, 440, 445, 470, 475, 488, 514, 532, 546, 555, 561, 568, 594, 633, 635, 638, 640, 642, 647)
_NUMBER = re.compile(r"(?P<kind>channel|chan|ch|c|w|wv|wavelength|d)0*(?P<number>\d{1,3})")
_GLUED = re.compile(r"(?P<number>(?:ch|c|w|wv)\d{1,2})(?P<name>[^\W\d_]\w*)")  # MetaXpress writes w2GFP
_LONGEST = 4  # words of a stain's name: Alexa Fluor 488 nm


def _table() -> dict[str, Stain]:
    table = {colour: Stain((colour,), Kind.DYE) for colour in ("red", "green", "blue", "yellow")}
    for kind, groups in ((Kind.PLACE, _PLACES), (Kind.TAG, _TAGS)):
        for channel, words in groups.items():
            table.update({word: Stain((channel,) if channel else (), kind) for word in words.split()})
    for word, wave in _DYES.items():
        table[word] = Stain(_by_excitation(wave), Kind.DYE, wave)
    return table


def _by_excitation(wave: int) -> tuple[str, ...]:
    """Return the channels that a dye of an excitation, in nm, may be."""
    if wave <= 410:
        return ("blue",)
    return ("green",) if 465 <= wave <= 505 else _ANY_DYE if wave < 620 else _FAR_RED


def _by_emission(wave: int) -> tuple[str, ...]:
    if 420 <= wave <= 480:
        return ("blue",)
    return ("green",) if 500 <= wave <= 545 else _ANY_DYE if wave < 645 else _FAR_RED


STAINS = _table()


def split_words(name: str) -> list[Word]:
    """Split a name into its words: w2GFP is two, Alexa_Fluor-488 three.

    >>> [word.text for word in split_words("plate1_w2GFP-Alexa488")]
    ['plate1', 'w2', 'gfp', 'alexa488']
    """
    words = []
    for match in re.finditer(r"[^\W_]+", name):
        text, start, end = match[0].lower(), match.start(), match.end()
        glued = _GLUED.fullmatch(text)
        if glued and text not in STAINS:
            middle = start + len(glued["number"])
            words += [Word(glued["number"], start, middle), Word(glued["name"], middle, end)]
        else:
            words.append(Word(text, start, end))
    return words


def find_stains(words: Sequence[str], *, bare_waves: bool = True) -> list[Found]:
    """Find the stains among words, longest names first.

    Args:
        words: in lower case.
        bare_waves: whether a number such as 488 is the stain that its laser excites.

    >>> [found.stain.channels for found in find_stains(["nuclei", "alexa", "fluor", "488"])]
    [('blue',), ('green',)]
    """
    found = []
    first = 0
    while first < len(words):
        last = min(len(words), first + _LONGEST)
        stain = None
        while stain is None and last > first:
            last -= 1
            stain = _find_word("".join(words[first : last + 1]), bare_waves)
        if stain is None:
            first += 1
        else:
            found.append(Found(stain, first, last))
            first = last + 1
    return found


def _find_word(word: str, bare_waves: bool) -> Stain | None:
    """Return the stain that a word, or words written as one, mean."""
    if known := STAINS.get(word) or STAINS.get(word.removeprefix("anti")):
        return known
    match = _WAVE_WORD.fullmatch(word)
    if match:
        wave, dye = int(match["wave"]), match["dye"]
        if wave not in _LASERS if dye in (None, *_LOOSE) else not 340 <= wave <= 850:
            return None
        if dye is None and not bare_waves:
            return None
        return Stain(_by_emission(wave) if dye in ("em", "emission") else _by_excitation(wave), Kind.DYE, wave)
    head = re.fullmatch(r"([^\W\d_]{3,})\d{3}", word)  # GFP488
    return STAINS.get(head[1]) if head and head[1] not in ("dna", "rna") else None


def combine_stains(stains: Iterable[Stain]) -> Stain | None:
    """Return what a name of several words for stains means; None where there is none.

    A place says more than the dye that shows it; a fluorescent protein beside a place may mean either.

    >>> combine_stains([STAINS["tubulin"], STAINS["cy3"]]).channels
    ('red',)
    >>> combine_stains([STAINS["gfp"], STAINS["tubulin"]]).channels
    ('green', 'red')
    """
    by_kind = {kind: list(stains_of) for kind, stains_of in _by_kind(stains)}
    if not by_kind:
        return None
    places, tags = by_kind.get(Kind.PLACE, []), by_kind.get(Kind.TAG, [])
    chosen = places or tags or by_kind[Kind.DYE]
    if tags and places:
        chosen = [*tags, *(place for place in places if place.channels)]
    channels = tuple(dict.fromkeys(channel for one in chosen for channel in one.channels))
    waves = [one.wave for group in by_kind.values() for one in group if one.wave]
    return Stain(channels, chosen[0].kind, min(waves, default=0))


def _by_kind(stains: Iterable[Stain]) -> Iterator[tuple[Kind, list[Stain]]]:
    listed = list(stains)
    for kind in Kind:
        if some := [one for one in listed if one.kind is kind]:
            yield kind, some


def read_number(word: str) -> str | None:
    """Return a channel that is only numbered, in one spelling of its own; None where a word is no such number.

    >>> read_number("ch00"), read_number("w2"), read_number("gfp")
    ('c0', 'w2', None)
    """
    match = _NUMBER.fullmatch(word)
    if match is None:
        return None
    kind = "c" if match["kind"].startswith("c") else "w" if match["kind"].startswith("w") else match["kind"]
    return f"{kind}{int(match['number'])}"


def normalise(name: str) -> str:
    """Return a name as it is compared: letters and digits in lower case, numbers of channels in one spelling.

    >>> normalise("Alexa Fluor-488"), normalise("Ch01")
    ('alexafluor488', 'c1')
    """
    plain = "".join(re.findall(r"[^\W_]+", name.lower()))
    return read_number(plain) or plain
