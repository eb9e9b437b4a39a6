"""Arrays of one's own get the same numbers as a run of the same points, and errors that say what to do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

import margin
from margin.analysis.margins import Variant
from margin.analysis.metrics import Distance
from margin.analysis.space import Coordinates
from margin.errors import MarginError
from margin.report.report import Report
from margin.run.run import Run

Points = dict[str, Any]
INFERRED: tuple[Variant, ...] = ("leave_prompt_out", "prompt_centred")


@pytest.fixture(scope="module")
def points() -> Points:
    """30 prompts in two languages and fifteen templates, under three modes."""
    rng = np.random.default_rng(5)
    prompt, mode = np.repeat(np.arange(30), 3), np.tile(np.arange(3), 30)
    X = rng.normal(size=(30, 12))[prompt] + rng.normal(size=(3, 12))[mode] + 0.5 * rng.normal(size=(90, 12))
    return {
        "X": X.astype(np.float32),
        "modes": np.array(["pos", "neg", "rej"])[mode],
        "prompts": [f"p{i}" for i in prompt],
        "slices": {"language": np.array(["en", "zh"])[prompt % 2], "template": prompt // 2},
    }


def of_run(run: Run, report: Report) -> Points:
    """The arrays behind a report."""
    space, rows = report.study.space, run.rows.iloc[report.study.rows]
    assert isinstance(space, Coordinates)
    return {"X": space.X, "modes": rows["condition"], "prompts": rows["prompt_id"]}


@pytest.mark.parametrize("cluster", [None, "topic"])
def test_numbers_are_those_of_a_run_of_the_same_points(run: Run, cluster: str | None) -> None:
    report = margin.analyse(run, permutations=19, seed=4, level=0.9, cluster=cluster)
    points = of_run(run, report)
    topics = report.study.labels.loc[points["prompts"], "topic"]
    own = margin.analyse_arrays(
        **points,
        slices=topics,
        clusters=topics if cluster else None,
        permutations=19,
        seed=4,
        level=0.9,
    )
    ours, theirs = own.to_dict(), report.to_dict()
    for key in ("per_mode", "one_vs_one", "null", "slices", "strata", "dependence", "extremes"):
        assert ours[key] == theirs[key], key
    assert own.sam_space == "points"
    assert ours["sam"] == {name: theirs["sam"][name] for name in ("cosine", "euclidean", "sqeuclidean")}
    measures = report.separation.query("space == 'logits'").reset_index(drop=True).drop(columns="space")
    pd.testing.assert_frame_equal(own.separation.drop(columns="space"), measures)
    known = report.prompts.drop(columns=["token_margin", "token_weakest"])
    pd.testing.assert_frame_equal(own.prompts, known, check_dtype=False)


def test_margins_are_those_of_sam_and_scikit_learn(points: Points) -> None:
    report = margin.analyse_arrays(**points, permutations=19)
    X, modes, prompts = points["X"], points["modes"], points["prompts"]
    distances: tuple[Distance, ...] = ("cosine", "euclidean")
    for distance in distances:
        found = report.sam[distance]
        for variant in INFERRED:
            ours = getattr(found, variant)
            alone = margin.sam(X, modes, prompts, distance, variant)
            for end in ("estimate", "low", "high"):  # which float32 points tell to seven digits
                assert getattr(ours, end) == pytest.approx(getattr(alone, end), abs=1e-7)
        assert found.plain.estimate == pytest.approx(silhouette_score(X, modes, metric=distance), abs=1e-6)


def test_every_kind_of_array_is_read_as_the_same_points(points: Points) -> None:
    import torch

    rest = {name: points[name] for name in ("modes", "prompts")}
    tensor = torch.tensor(points["X"]).to(torch.bfloat16)
    exact: NDArray[np.float32] = tensor.float().numpy()
    expected = margin.analyse_arrays(exact, **rest).headline.leave_prompt_out
    kinds = {
        "tensor": tensor,
        "tensor with a gradient": tensor.clone().requires_grad_(),
        "tensors": list(tensor),
        "table": pd.DataFrame(exact),
        "lists": [[float(x) for x in row] for row in exact],
    }
    for kind, X in kinds.items():
        found = margin.analyse_arrays(X, **rest).headline.leave_prompt_out
        assert found.estimate == pytest.approx(expected.estimate, abs=1e-6), kind


def test_one_column_of_slices_keeps_its_name_and_several_are_columns(points: Points) -> None:
    language = points["slices"]["language"]
    rest = {name: points[name] for name in ("X", "modes", "prompts")}
    expected = margin.analyse_arrays(**rest, slices={"language": language}).slices[0].to_frame()
    named = margin.analyse_arrays(**rest, slices=pd.Series(language, name="language"))
    pd.testing.assert_frame_equal(named.slices[0].to_frame(), expected)
    unnamed = margin.analyse_arrays(**rest, slices=list(language))
    assert unnamed.slices[0].column == "slice"
    assert unnamed.slices[0].margins == named.slices[0].margins
    table = margin.analyse_arrays(**rest, slices=pd.DataFrame(points["slices"]))
    assert [each.column for each in table.slices] == ["language", "template"]


def test_prompts_that_hang_together_widen_what_is_said(points: Points) -> None:
    rest = {name: points[name] for name in ("X", "modes", "prompts")}
    report = margin.analyse_arrays(**rest, clusters=points["slices"]["template"])
    assert report.headline.leave_prompt_out.n_clusters == 15
    alone = margin.analyse_arrays(**points, permutations=19)
    assert [line["grouping"] for line in alone.to_dict()["dependence"]] == ["template"]


def test_what_is_found_can_be_shown_drawn_and_written(points: Points) -> None:
    language = {"language": np.where(points["slices"]["language"] == "en", "<b>", "zh")}
    report = margin.analyse_arrays(**{**points, "slices": language}, permutations=19)
    assert len(repr(report)) < 200
    cell = report._repr_html_()
    assert "90 points" in cell
    assert "<b>" not in cell
    written = json.loads(json.dumps(report.to_dict()))
    assert written["format"] == "margin-points/1"
    estimate = report.to_frame().query("quantity == 'sam' and name == 'leave_prompt_out'")["estimate"]
    assert estimate.iloc[0] == written["sam"]["cosine"]["leave_prompt_out"]["estimate"]
    assert set(report.to_frames()) == {
        *("margins", "null", "slices", "strata", "separation", "prompts", "extremes")
    }
    for name in ("projection", "silhouette", "distributions", "waterfall", "pairs", "slices"):
        plt.close(report.figure(name))


ONE = np.zeros(90)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"X": ONE}, "X must be a matrix"),
        ({"X": np.full((90, 2), np.nan)}, "NaN"),
        ({"X": [["a"] * 2] * 90}, "X must hold real numbers"),
        ({"X": np.zeros((89, 2))}, "89 points but 90 modes"),
        ({"modes": ["pos"] * 90}, "at least two modes"),
        ({"modes": "pos"}, "modes must be a list of labels"),
        ({"modes": ["", "neg", "rej"] * 30}, "mode '' has no name that can be read"),
        ({"modes": ["p\x1b[2J", "neg", "rej"] * 30}, "mode 'p[U+001B][2J' has no name that can be read"),
        ({"modes": ["all", "neg", "rej"] * 30}, "mode name 'all' is what reports call something else"),
        ({"modes": ["pos", "p\u043es", "rej"] * 30}, "modes 'pos' and 'p[U+043E]s' look alike"),
        ({"prompts": ["p"] * 90}, "stands twice under mode"),
        ({"prompts": ["p"] * 3}, "90 modes but 3 prompts"),
        ({"prompts": np.arange(90)}, "no prompt stands under two modes"),
        ({"slices": {"language": ["en", "zh", "en"]}}, "3 slices of language but 90 points"),
        ({"slices": {"language": np.arange(90) % 4}}, "'p0' stands in two slices of language"),
        ({"slices": "language"}, "slices of slice must be a list of labels"),
        ({"slices": {1: ONE, "1": ONE}}, "two columns '1'"),
        ({"clusters": np.arange(90) % 4}, "'p0' stands in two clusters"),
        ({"clusters": ONE}, "one cluster"),
        ({"level": 95}, "level 95"),
        ({"permutations": 0}, "permutations 0"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(points: Points, change: Points, says: str) -> None:
    with pytest.raises(MarginError) as caught:
        margin.analyse_arrays(**{**points, **change})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [0, -1, 2.0])
def test_the_weakest_prompts_are_a_number_of_them(points: Points, count: Any) -> None:
    report = margin.analyse_arrays(**points, permutations=9)
    with pytest.raises(MarginError, match=f"count {count}: take a whole number from 1 on"):
        report.worst_prompts(count)
    assert len(report.worst_prompts(99)) == 30


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"width": 0}, "width 0 makes no sense: take a number from 2 to 40"),
        ({"width": float("nan")}, "width nan"),
        ({"width": "3"}, "width 3 makes no sense"),
        ({"style": "poster"}, "style 'poster' is unknown: choose from paper, talk"),
    ],
)
def test_a_figure_of_no_size_or_style_is_refused(points: Points, asked: dict[str, Any], says: str) -> None:
    report = margin.analyse_arrays(**points, permutations=9)
    with pytest.raises(MarginError, match=says):
        report.figure("pairs", **asked)
    assert report.figure("pairs", width=2).get_size_inches()[0] == 2
