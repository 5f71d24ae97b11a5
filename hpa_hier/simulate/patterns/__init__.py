"""Patterns: how a protein at each of the 28 places looks, one function per class, called by the leaf's name.

Each takes the scene and a generator, and returns (S, S) intensities: about 1 where the place is, 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from hpa_hier.simulate.geometry import Scene
from hpa_hier.simulate.patterns import cytoplasm, cytoskeleton, nucleus, secretory
from hpa_hier.simulate.splat import Map

Pattern = Callable[[Scene, np.random.Generator], Map]

PATTERNS: Mapping[str, Pattern] = MappingProxyType(
    {
        "Nucleoplasm": nucleus.nucleoplasm,
        "Nuclear membrane": nucleus.nuclear_membrane,
        "Nucleoli": nucleus.nucleoli,
        "Nucleoli fibrillar center": nucleus.fibrillar_centres,
        "Nuclear speckles": nucleus.speckles,
        "Nuclear bodies": nucleus.bodies,
        "Endoplasmic reticulum": secretory.reticulum,
        "Golgi apparatus": secretory.golgi,
        "Peroxisomes": secretory.peroxisomes,
        "Endosomes": secretory.endosomes,
        "Lysosomes": secretory.lysosomes,
        "Intermediate filaments": cytoskeleton.intermediate_filaments,
        "Actin filaments": cytoskeleton.actin,
        "Focal adhesion sites": cytoskeleton.focal_adhesions,
        "Microtubules": cytoskeleton.microtubules,
        "Microtubule ends": cytoskeleton.microtubule_ends,
        "Cytokinetic bridge": cytoskeleton.bridge,
        "Mitotic spindle": cytoskeleton.spindle,
        "Microtubule organizing center": cytoskeleton.organising_centre,
        "Centrosome": cytoskeleton.centrosome,
        "Lipid droplets": secretory.lipid_droplets,
        "Plasma membrane": secretory.plasma_membrane,
        "Cell junctions": secretory.junctions,
        "Mitochondria": cytoplasm.mitochondria,
        "Aggresome": cytoplasm.aggresome,
        "Cytosol": cytoplasm.cytosol,
        "Cytoplasmic bodies": cytoplasm.bodies,
        "Rods & rings": cytoplasm.rods_and_rings,
    }
)

# The same classes as whole fields of the competition show them; benchmarks/sim_probe.py measured what each is worth.
REAL_PATTERNS: Mapping[str, Pattern] = MappingProxyType(
    {
        **PATTERNS,
        "Nucleoplasm": nucleus.grainy_nucleoplasm,
        "Nuclear bodies": nucleus.bodies_on_nucleoplasm,
        "Nucleoli fibrillar center": nucleus.fibrillar_spots,
        "Golgi apparatus": secretory.golgi_variants,
        "Plasma membrane": secretory.membrane_on_cell,
        "Mitochondria": cytoplasm.mitochondrial_network,
        "Cytosol": cytoplasm.flat_cytosol,
    }
)
