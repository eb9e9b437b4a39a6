"""The baseline on disk: exactly what was measured, and nothing that was tampered with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from margin.errors import MarginError
from margin.gate.baseline import read_baseline, to_record, write_baseline
from margin.gate.baseline_record import BaselineRecord, schema
from margin.gate.evidence import AboveDecoys, Leak, Measurement
from margin.run.seal import checksum, sealed
from margin.study.sealed import broken_rule
from tests.margin.gate.releases import Hang, draw_prompts, measurement

LACKING = object()


@pytest.fixture(scope="module")
def measured() -> Measurement:
    rng = np.random.default_rng(0)
    prompts = draw_prompts(40, rng)
    found = measurement(prompts, prompts.points(1, rng), leaks=(Leak("random", 1, 40, indicative=True),))
    return replace(found, noise_floor={"sam": 0.001, "rows": 30}, prompt_ids=("ü|1", *found.prompt_ids[1:]))


@pytest.fixture
def path(measured: Measurement, tmp_path: Path) -> Path:
    write_baseline(measured, tmp_path / "new" / "baseline.json")
    return tmp_path / "new" / "baseline.json"


def test_it_comes_back_as_it_was_measured(measured: Measurement, path: Path) -> None:
    found = read_baseline(path)
    for name in ("space", "distance", "prompt_ids", "leaks", "noise_floor", "provenance"):
        assert getattr(found, name) == getattr(measured, name)
    for was, now in zip(measured.margins, found.margins, strict=True):
        assert (now.name, now.column, now.estimate, now.n_prompts) == (
            was.name,
            was.column,
            was.estimate,
            was.n_prompts,
        )
        np.testing.assert_array_equal(now.influence, was.influence)
    assert [p.name for p in path.parent.iterdir()] == ["baseline.json"]


def test_the_schema_is_one_and_describes_it(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema())


@pytest.fixture
def clustered(tmp_path: Path) -> tuple[Measurement, Path]:
    """A measurement over clusters, with decoys, and its baseline."""
    rng = np.random.default_rng(1)
    prompts = draw_prompts(42, rng, hang=Hang(each=3, rho=0.5))
    leak = Leak("random", 1, 42, clusters=14.0, trials=14.0)
    found = replace(
        measurement(prompts, prompts.points(1, rng), leaks=(leak,)),
        above_decoys=AboveDecoys(0.05, 0.01, 7.5, 5, 40, 14),
    )
    write_baseline(found, tmp_path / "clustered.json")
    return found, tmp_path / "clustered.json"


def test_clusters_and_decoys_come_back(clustered: tuple[Measurement, Path]) -> None:
    measured, path = clustered
    found = read_baseline(path)
    assert (found.cluster, found.leaks, found.above_decoys) == (
        "template",
        measured.leaks,
        measured.above_decoys,
    )
    assert found.clusters is not None
    assert measured.clusters is not None
    np.testing.assert_array_equal(found.clusters.code, measured.clusters.code)
    assert [margin.n_clusters for margin in found.margins] == [m.n_clusters for m in measured.margins]
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema())


def test_without_clusters_and_decoys_a_baseline_is_what_it_was_before_them(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert not {"cluster", "clusters", "above_decoys"} & set(record)
    assert set(record["margins"][0]) == {"name", "column", "estimate", "n_prompts", "influence"}
    assert set(record["leaks"][0]) == {"condition", "n_leaks", "n_prompts", "indicative"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["clusters"].pop(), "its clusters are not those of its 42 prompts"),
        (lambda r: r["clusters"].__setitem__(0, 99), "its clusters are not those of its 42 prompts"),
        (lambda r: r.update(clusters=[0] * 42), "its clusters are not those of its 42 prompts"),
        (lambda r: r.pop("clusters"), "some of it is over clusters, and some is not"),
        (lambda r: r["margins"][1].pop("n_clusters"), "some of it is over clusters, and some is not"),
        (lambda r: r["above_decoys"].pop("n_clusters"), "some of it is over clusters, and some is not"),
        (lambda r: r["leaks"][0].pop("trials"), "some of it is over clusters, and some is not"),
        (lambda r: r["margins"][0].update(n_clusters=13), "not that of all its clusters"),
        (lambda r: r["margins"][-1].update(n_clusters=30), "more clusters than prompts"),
        (lambda r: r["leaks"][0].update(trials=43.0), "count for more than they are"),
        (lambda r: r["above_decoys"].update(n_prompts=43), "asked of more than its 42 prompts"),
        (lambda r: r["above_decoys"].update(sets=1), "minimum"),
    ],
)
def test_clusters_that_cannot_be_are_refused(
    clustered: tuple[Measurement, Path], change: Callable[[dict[str, Any]], object], says: str
) -> None:
    assert says in resealed(clustered[1], change)


def refused(path: Path) -> str:
    with pytest.raises(MarginError) as error:
        read_baseline(path)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert str(path) in str(error.value)
    return str(error.value)


@given(share=st.floats(0, 0.999))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_short_is_refused(path: Path, share: float) -> None:
    whole = path.read_bytes()
    cut = path.with_name("cut.json")
    cut.write_bytes(whole[: int(share * len(whole))])
    assert "cut short" in refused(cut)


def test_an_edited_number_is_refused(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    record["margins"][0]["estimate"] -= 0.01
    path.write_text(json.dumps(record), encoding="utf-8")
    assert "was edited" in refused(path)


def test_another_layout_of_the_same_content_is_read(measured: Measurement, path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(record.items())), indent=4), encoding="utf-8")
    assert read_baseline(path).prompt_ids == measured.prompt_ids


@pytest.mark.parametrize("name", ["margin-baseline/0", "margin-baseline/2", "margin-report/1", None])
def test_other_formats_are_refused_by_name(path: Path, name: str | None) -> None:
    record = json.loads(path.read_text(encoding="utf-8")) | {"format": name}
    path.write_text(json.dumps(record), encoding="utf-8")
    assert f"has format {name!r}, this version reads 'margin-baseline/1'" in refused(path)


def test_what_breaks_the_schema_is_named_even_with_a_right_checksum(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    record["margins"][1]["estimate"] = "high"
    del record["checksum"]
    record["checksum"] = checksum(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    assert "$.margins[1].estimate breaks the rule 'type'" in refused(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"3", b"{}"])
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(content)
    refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.json")
    assert "directory" in refused(tmp_path)


def resealed(path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """What is said of a baseline that was changed by someone who sealed it again."""
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["checksum"]
    change(record)
    path.write_text(json.dumps(sealed(record)), encoding="utf-8")
    return refused(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["margins"][0].update(estimate=float("nan")), "no JSON"),
        (lambda r: r["margins"][0]["influence"].__setitem__(0, float("inf")), "no JSON"),
        (lambda r: r["noise_floor"].update(sam=float("nan")), "no JSON"),
        (lambda r: r["noise_floor"].update(sam=-0.1), "minimum"),
        (lambda r: r["margins"][0].update(estimate=1.5), "maximum"),
        (lambda r: r["margins"][0]["influence"].__setitem__(0, 1e30), "maximum"),
        (lambda r: r["margins"][0]["influence"].__setitem__(0, 0.5), "margin overall do not balance"),
        (lambda r: r["margins"][1]["influence"].pop(), "is not one of its 40 prompts"),
        (lambda r: r["margins"][0].update(n_prompts=41), "not that of all its 40 prompts"),
        (lambda r: r["margins"][-1].update(n_prompts=10**30), "is not one of its 40 prompts"),
        (lambda r: r["margins"].reverse(), "not that of all its 40 prompts"),
        (lambda r: r["margins"].append(r["margins"][1]), "stands twice"),
        (lambda r: r["margins"][1].update(column="language"), "is no slice by language"),
        (lambda r: r["leaks"][0].update(n_leaks=41), "more prompts leak under random"),
        (lambda r: r["leaks"][0].update(n_leaks=-1), "minimum"),
        (lambda r: r["provenance"]["identity"].pop("model"), "required"),
        (lambda r: r["provenance"]["identity"].update(modes=["pos"]), "type"),
        (lambda r: r["prompt_ids"].__setitem__(1, r["prompt_ids"][0]), "uniqueItems"),
    ],
)
def test_numbers_that_no_measurement_gives_are_refused_whoever_sealed_them(
    path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    assert says in resealed(path, change)


def test_a_key_that_stands_twice_is_refused(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("{", '{"space": "state", ', 1), encoding="utf-8")
    assert "no JSON" in refused(path)


def test_any_byte_changed_is_refused_or_changes_nothing(measured: Measurement, path: Path) -> None:
    data, refusals = path.read_bytes(), 0
    for place in np.linspace(0, len(data) - 1, 300).astype(int):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x21]) + data[place + 1 :])
        try:
            found = to_record(read_baseline(path))
        except MarginError:
            refusals += 1
        else:
            assert found == to_record(measured), place
    assert refusals > 250


def inside(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all that a record holds; of long lists the first two places."""
    if path:
        yield path
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value[:2])
        for key, entry in entries:
            yield from inside(entry, (*path, key))


def test_the_types_refuse_what_the_schema_refuses_and_say_where(path: Path) -> None:
    """jsonschema, which knows the rules only as the schema states them, finds the fault in the same place."""
    whole = json.loads(path.read_text(encoding="utf-8"))
    rules, refusals = jsonschema.Draft202012Validator(schema()), 0
    for place in inside(whole):
        if place[0] in ("format", "checksum"):  # looked at before
            continue
        for value in (None, True, "3", -3, 0, 1.5, 1e9, [], ["a"], {}, LACKING):
            record = json.loads(path.read_text(encoding="utf-8"))
            holder = record
            for key in place[:-1]:
                holder = holder[key]
            if value is not LACKING:
                holder[place[-1]] = value
            else:
                del holder[place[-1]]
            if isinstance(value, float) and value.is_integer() and place[-1] in ("n_leaks", "n_prompts"):
                continue  # JSON Schema takes 1e9 for an integer
            expected = jsonschema.exceptions.best_match(rules.iter_errors(record))
            del record["checksum"]
            if expected is None:
                BaselineRecord.model_validate(record)
                continue
            refusals += 1
            with pytest.raises(ValidationError) as error:
                BaselineRecord.model_validate(record)
            assert broken_rule(error.value).startswith(f"{expected.json_path} breaks the rule ")
    assert refusals > 300
