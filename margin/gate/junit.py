"""The verdict as JUnit XML, which build servers show as tests."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from margin.gate.claims import Claim
from margin.gate.verdict import Verdict
from margin.gate.words import asked, concluded, found, measured, worst
from margin.run.files import make_folder, write_atomic
from margin.text import shown

SUITE = "margin check"
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not."""


def to_junit(verdict: Verdict) -> bytes:
    """The verdict as a test suite: a test for the verdict as a whole, then one a claim.

    Broken is a failure, open an error ("could not be told"), open but not required a skipped test.
    """
    whole = TestCase("verdict", classname="margin.check")
    fell = f"prompts that fell most: {worst(verdict) or 'none'}"
    whole.system_out = "\n".join(map(_clean, (measured(verdict), fell)))
    match verdict.outcome:
        case "regression" | "limit not met":
            whole.result = [Failure(_clean(verdict.reason), verdict.outcome)]
        case "inconclusive":
            whole.result = [Error(_clean(verdict.reason), "inconclusive")]
    suite = TestSuite(SUITE)
    suite.add_testcases([whole, *map(_testcase, verdict.claims)])
    xml = JUnitXml()
    xml.add_testsuite(suite)
    out = BytesIO()
    xml.write(out)
    return out.getvalue()


def write_junit(verdict: Verdict, path: Path) -> None:
    """Write the verdict as JUnit XML, atomically; UnwritableError where that is not possible."""
    make_folder(path.parent)
    write_atomic(path, to_junit(verdict))


def _testcase(claim: Claim) -> TestCase:
    case = TestCase(_clean(claim.name), classname=f"margin.{claim.kind}")
    message = _clean(f"{claim.name}: {asked(claim)}, seen {found(claim)}: {concluded(claim)}")
    match claim.status, claim.required:
        case "broken", _:
            case.result = [Failure(message, "regression" if claim.worse else "limit not met")]
        case "open", True:
            case.result = [Error(message, "inconclusive")]
        case "open", False:
            case.result = [Skipped(message)]
        case _:
            case.system_out = message
    return case


def _clean(text: str) -> str:
    return NOT_XML.sub("?", shown(text))
