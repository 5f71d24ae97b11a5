"""What an installation consists of: licences, a bill of materials, known faults.

    python benchmarks/distributions.py licences [--python .venv/bin/python]
    python benchmarks/distributions.py sbom --out build/sbom.json [--python …]
    python benchmarks/distributions.py audit [--python …]

`licences` lists every distribution of an environment whose licence is not simply permissive, and exits with 1 if one is
under the GPL, AGPL or SSPL, without a linking exception and without another licence to choose. `sbom` writes
CycloneDX's JSON. `audit` asks PyPI for known faults, and OSV if that does not answer: exit status 1 if there are some,
2 if neither could be asked, so that nothing was audited. Needs pip-licenses, cyclonedx-bom and pip-audit, which
`make licences`, `make sbom` and `make audit` install into an environment of their own, build/tools.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

REFUSED = re.compile(r"\bA?GPL|\bAffero\b|\bGNU General Public|\bSSPL", re.I)  # not LGPL, which has no word's end there
LINKED = re.compile(
    r"\b(LGPL|Lesser General Public|MPL|Mozilla|EPL|Eclipse|CDDL)", re.I
)  # fine to import, with their own terms
PROPRIETARY = re.compile(r"\b(proprietary|NVIDIA|commercial)\b", re.I)
KINDS = ("permissive", "weak copyleft", "proprietary", "no licence named", "looked at", "refused")
UNKNOWN = ("", "UNKNOWN", "None")
OWN = "hpa-hier"
SOURCES = ("pypi", "osv")  # of known faults
_AUDIT_ELSEWHERE = "run `make audit` where PyPI or OSV itself can be reached; no mirror will do"
LOOKED_AT = {  # refused by what they say, and yet no reason to worry
    "docutils": "its Emacs mode alone is under the GPL (its COPYING.rst); needed by `make docs` only",
}


def kind_of(licence: str) -> str:
    """Return which of `KINDS` a licence is: an SPDX expression, a classifier, or a name.

    >>> kind_of("MIT OR GPL-2.0-or-later"), kind_of("BSD-3-Clause AND GPL-3.0-only"), kind_of("LGPL-3.0")
    ('permissive', 'refused', 'weak copyleft')
    >>> kind_of("GPL-3.0-or-later WITH GCC-exception-3.1"), kind_of("MPL-2.0 AND MIT"), kind_of("UNKNOWN")
    ('permissive', 'weak copyleft', 'no licence named')
    """
    if licence.strip() in UNKNOWN:
        return "no licence named"
    choices = re.split(r"\bOR\b", re.sub(r"[()]", " ", licence)) if "AND" not in licence else [licence]
    return min((_strictest(choice) for choice in choices), key=KINDS.index)  # one may be chosen


def _strictest(terms: str) -> str:
    """Return the strictest kind of licences that hold together."""
    bare = re.sub(r"\b\S+\s+WITH\s+\S*exception\S*", "", terms, flags=re.I)
    for kind, words in (("refused", REFUSED), ("proprietary", PROPRIETARY), ("weak copyleft", LINKED)):
        if words.search(bare):
            return kind
    return "permissive"


def list_licences(python: str) -> dict[str, str]:
    """Return distribution and version → its licence: the expression, else classifiers, the field, its file's head."""
    command = [sys.executable, "-m", "piplicenses", "--python", python, "--from=all", "--format=json", "--with-system"]
    command += ["--with-license-file", "--no-license-path"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    keys = ("License-Expression", "License-Classifier", "License-Metadata", "LicenseText")
    licences = {}
    for one in listed:
        named = [word for word in (one.get(key, "").strip() for key in keys) if word not in UNKNOWN]
        licences[f"{one['Name']} {one['Version']}"] = named[0].splitlines()[0].strip() if named else ""
    return licences


def report_licences(licences: dict[str, str]) -> int:
    """Print what is not permissive, and how many are of each kind; return 1 if one is refused."""
    found = []
    for name, licence in licences.items():
        kind, reason = kind_of(licence), LOOKED_AT.get(name.split()[0], "")
        found.append(("looked at" if kind == "refused" and reason else kind, name, licence, reason))
    counts = Counter(kind for kind, *_ in found)
    for kind, name, licence, reason in sorted(found, key=lambda one: (KINDS.index(one[0]), one[1])):
        if kind != "permissive":
            print(f"{kind}: {name}: {licence or 'nothing'}" + (f" ({reason})" if reason else ""))
    print(f"{len(found)} distributions: {', '.join(f'{counts[kind]} {kind}' for kind in KINDS)}")
    return int(counts["refused"] > 0)


def write_sbom(python: str, out: Path) -> int:
    """Write a bill of materials as CycloneDX's JSON; return the status of the tool."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--of", "JSON", "-o", str(out), python]
    done = subprocess.run(command, check=False)
    if done.returncode == 0:
        bill = json.loads(out.read_text(encoding="utf-8"))
        print(f"wrote {out}: {len(bill['components'])} components, CycloneDX {bill['specVersion']}")
    return done.returncode


def audit(python: str) -> int:
    """Print the known faults of what is installed; return 1 if there are some, 2 if no source could be asked."""
    if not importlib.util.find_spec("pip_audit"):
        print("error: pip-audit is not installed beside this; `make audit` installs it, and runs this", file=sys.stderr)
        return 2
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    reasons = []
    for source in SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "audit.json")
            command = [sys.executable, "-m", "pip_audit", "--path", site, "--vulnerability-service", source]
            command += ["--progress-spinner", "off", "-f", "json", "-o", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            text = out.read_text(encoding="utf-8") if out.exists() else ""
        status, reason = report_audit(source, text, done.stderr)
        if status != 2:
            return status
        reasons.append(reason)
    print(f"error: nothing was audited: {'; '.join(reasons)}\n{_AUDIT_ELSEWHERE}", file=sys.stderr)
    return 2


def report_audit(source: str, text: str, said: str) -> tuple[int, str]:
    """Print what pip-audit found.

    Args:
        source: of `SOURCES`.
        text: pip-audit's JSON; "" where it ended before that.
        said: what it printed beside it.

    Returns:
        0; 1 if there are known faults; 2 if nothing was audited, and why.
    """
    if not text:
        return 2, f"{source} did not answer ({_shorten(said)})"
    asked = [one for one in json.loads(text)["dependencies"] if one["name"] != OWN]
    known = [one for one in asked if "skip_reason" not in one]
    if not known:
        return 2, f"{source} knew none of {len(asked)} distributions"
    faults = [(one, fault) for one in known for fault in one["vulns"]]
    for one, fault in faults:
        fixed = ", ".join(fault["fix_versions"]) or "no version"
        print(f"{one['name']} {one['version']}: {fault['id']}, fixed in {fixed}")
    print(f"{source}: {len(known)} of {len(asked)} distributions known there, {len(faults)} known faults")
    return int(bool(faults)), ""


def _shorten(said: str) -> str:
    """Return the innermost reason of what pip-audit printed last, in at most 120 characters.

    >>> _shorten("ConnectionError: Max retries (Caused by NameResolution(Failed to resolve 'x' (no such name)))")
    "Failed to resolve 'x'"
    """
    last = (said.strip() or "pip-audit said nothing").splitlines()[-1]
    inner = re.search(r"Caused by .*?(Failed to [^(\"]+|Connection [^(\"]+)", last)
    return (inner[1] if inner else last).strip(" :")[:120]


def main() -> None:
    """Run one of the checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=("licences", "sbom", "audit"))
    parser.add_argument("--python", default=sys.executable, help="of the environment (default: this one's)")
    parser.add_argument("--out", type=Path, default=Path("build/sbom.json"), help="of sbom")
    options = parser.parse_args()
    if not shutil.which(options.python):
        parser.error(f"--python {options.python}: is no program; name the environment's Python")
    if options.check == "licences":
        raise SystemExit(report_licences(list_licences(options.python)))
    raise SystemExit(write_sbom(options.python, options.out) if options.check == "sbom" else audit(options.python))


if __name__ == "__main__":
    main()
