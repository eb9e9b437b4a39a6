"""The gate as a test in a project of its own, run by a pytest of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from junitparser import JUnitXml

from margin.gate.measurement import measure
from margin.run.run import Run

pytest_plugins = ["pytester"]

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


def test_a_good_release_passes_and_leaves_its_margin(
    alone: pytest.Pytester, reference: Run, baseline_file: Path
) -> None:
    alone.makepyfile(SUITE.format(run=str(reference.path), baseline=str(baseline_file)))
    alone.runpytest_subprocess("-p", "margin.testing", "--junitxml=j.xml").assert_outcomes(passed=2)
    (suite,) = JUnitXml.fromfile(str(alone.path / "j.xml"))
    properties = {p.name: float(p.value) for p in suite.properties()}
    assert properties[f"margin change {reference.path}"] == 0
    assert properties[f"margin {reference.path}"] == pytest.approx(measure(reference).overall.estimate)


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
