"""What an installation consists of: which licences are refused, and an audit that could not be made says so."""

import json
from types import SimpleNamespace

import distributions
import pytest
from distributions import audit, kind_of, report_audit, report_licences


@pytest.mark.parametrize(
    ("licence", "kind"),
    [
        ("MIT", "permissive"),
        ("BSD-3-Clause AND MIT AND Zlib", "permissive"),
        ("GPL-3.0-only", "refused"),
        ("GNU Affero General Public License v3", "refused"),
        ("GNU General Public License v2 or later (GPLv2+)", "refused"),
        ("BSD-3-Clause AND AGPL-3.0-or-later", "refused"),
        ("GPL-2.0-or-later OR MIT", "permissive"),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", "permissive"),
        ("LGPL-2.1-or-later", "weak copyleft"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "weak copyleft"),
        ("MPL-2.0 AND MIT", "weak copyleft"),
        ("LicenseRef-NVIDIA-Proprietary", "proprietary"),
        ("", "no licence named"),
        ("UNKNOWN", "no licence named"),
    ],
)
def test_a_licence_is_of_the_kind_of_its_strictest_part_and_of_the_best_choice(licence, kind):
    assert kind_of(licence) == kind


def test_one_refused_licence_is_enough(capsys):
    assert report_licences({"one 1.0": "MIT", "two 2.0": "MPL-2.0"}) == 0
    assert "2 distributions: 1 permissive, 1 weak copyleft" in capsys.readouterr().out
    assert report_licences({"one 1.0": "MIT", "three 3.0": "GPL-3.0"}) == 1
    assert "refused: three 3.0: GPL-3.0" in capsys.readouterr().out


def test_an_audit_that_no_source_answered_is_no_clean_one_and_says_why_in_two_lines(capsys, monkeypatch):
    assert report_audit("pypi", "", "ERROR: connection refused") == (
        2,
        "pypi did not answer (ERROR: connection refused)",
    )
    skipped = {"dependencies": [{"name": "numpy", "skip_reason": "not found"}], "fixes": []}
    assert report_audit("pypi", json.dumps(skipped), "") == (2, "pypi knew none of 1 distributions")
    said = (
        "Traceback (most recent call last):\n"
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='osv.test', port=443): Max retries exceeded "
        "with url: /v1/query (Caused by NameResolutionError(\"HTTPSConnection(host='osv.test', port=443): Failed to "
        "resolve 'osv.test' ([Errno -2] Name or service not known)\"))\n"
    )
    monkeypatch.setattr(distributions.importlib.util, "find_spec", lambda _: True)
    ended = SimpleNamespace(stdout="/site\n", stderr=said)
    monkeypatch.setattr(distributions.subprocess, "run", lambda *_, **__: ended)
    assert audit("python") == 2
    first, second = capsys.readouterr().err.splitlines()
    why = "did not answer (Failed to resolve 'osv.test')"
    assert first == f"error: nothing was audited: pypi {why}; osv {why}"
    assert second.startswith("run `make audit` where PyPI or OSV itself can be reached")


def test_an_audit_without_its_tool_says_what_installs_it(capsys, monkeypatch):
    monkeypatch.setattr(distributions.importlib.util, "find_spec", lambda _: None)
    assert audit("python") == 2
    assert "pip-audit is not installed beside this; `make audit` installs it" in capsys.readouterr().err


def test_an_audit_names_each_known_fault_with_the_version_that_fixes_it(capsys):
    fault = {"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": []}
    found = {
        "dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "version": "2", "vulns": [fault]}]
    }
    assert report_audit("osv", json.dumps(found), "") == (1, "")
    assert capsys.readouterr().out.splitlines() == [
        "b 2: PYSEC-1, fixed in 2.1",
        "osv: 2 of 2 distributions known there, 1 known faults",
    ]
    found["dependencies"].pop()
    assert report_audit("osv", json.dumps(found), "") == (0, "")
