"""The gate as a test in a project of its own, run by a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from margin.gate.measurement import measure
from margin.run.run import Run

pytest_plugins = ["pytester"]

needs_xdist = pytest.mark.skipif(find_spec("xdist") is None, reason="pytest-xdist is not installed")

SUITE = """
from margin.testing import assert_margin

def test_by_function():
    assert_margin({run!r}, {baseline!r}, max_drop=0.01)

def test_by_fixture(margin_gate):
    assert margin_gate({run!r}, {baseline!r}).outcome == "pass"
"""


@pytest.fixture
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest with no plugin but this one, whether or not it is installed as one."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def properties(junit: Path) -> dict[str, float]:
    """Properties of all tests in a JUnit file."""
    found = ElementTree.parse(junit).iterfind(".//testcase/properties/property")
    return {p.get("name", ""): float(p.get("value", "")) for p in found}


@pytest.mark.parametrize(
    "how",
    [
        pytest.param((), id="plain"),
        pytest.param(("-p", "xdist", "-n", "2"), id="processes", marks=needs_xdist),
        pytest.param(("-p", "no:cacheprovider"), id="no cache"),
    ],
)
def test_a_good_release_passes_and_leaves_its_margin(
    alone: pytest.Pytester, reference: Run, baseline_file: Path, how: tuple[str, ...]
) -> None:
    alone.makepyfile(SUITE.format(run=str(reference.path), baseline=str(baseline_file)))
    alone.runpytest_subprocess("-p", "margin.testing", "--junitxml=j.xml", *how).assert_outcomes(passed=2)
    found = properties(alone.path / "j.xml")
    assert found[f"margin change {reference.path}"] == 0
    assert found[f"margin {reference.path}"] == pytest.approx(measure(reference).overall.estimate)


def test_the_gate_needs_no_junit_plugin(alone: pytest.Pytester, reference: Run, baseline_file: Path) -> None:
    alone.makepyfile(SUITE.format(run=str(reference.path), baseline=str(baseline_file)))
    alone.runpytest_subprocess("-p", "margin.testing", "-p", "no:junitxml").assert_outcomes(passed=2)


def test_the_gate_works_in_unittest_where_pytest_is_not_installed(
    reference: Run, regressed: Run, baseline_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_release.py").write_text(
        "import sys, unittest\n"
        "sys.modules['pytest'] = None\n"  # as if it were not there
        "from margin.testing import assert_margin\n"
        "class Release(unittest.TestCase):\n"
        "    def test_holds(self):\n"
        f"        assert_margin({str(reference.path)!r}, {str(baseline_file)!r}, max_drop=0.01)\n"
        "    def test_falls(self):\n"
        "        with self.assertRaisesRegex(AssertionError, 'REGRESSION'):\n"
        f"            assert_margin({str(regressed.path)!r}, {str(baseline_file)!r}, max_drop=0.01)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "test_release"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr


def test_a_regression_fails_with_the_verdict_in_the_log(
    alone: pytest.Pytester, regressed: Run, baseline_file: Path
) -> None:
    alone.makepyfile(SUITE.format(run=str(regressed.path), baseline=str(baseline_file)))
    done = alone.runpytest_subprocess("-p", "margin.testing")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(["*REGRESSION  shown to be broken: overall,*", "*prompts that fell most: *"])


def test_the_plugin_itself_loads_next_to_nothing(alone: pytest.Pytester) -> None:
    alone.makepyfile(
        "import sys\n"
        "def test_light():\n"
        "    assert 'margin.testing' in sys.modules\n"
        "    assert not {'numpy', 'pandas', 'torch', 'rich'} & set(sys.modules)\n"
    )
    alone.runpytest_subprocess("-p", "margin.testing").assert_outcomes(passed=1)
