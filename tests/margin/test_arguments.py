"""What Python callers hand over: what holds numbers is measured alike, all else refused by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from scipy import sparse

import margin
from margin import figures
from margin.capture.head import Head
from margin.cli import main
from margin.demo import modes_path
from margin.errors import MarginError
from margin.study.comparison import compare_recipes

X = np.random.default_rng(0).normal(size=(12, 4))
MODES = ["a", "b", "c"] * 4
PROMPTS = [place // 3 for place in range(12)]
Margin = Callable[..., Any]

BOTH = pytest.mark.parametrize(
    "measure", [margin.sam, lambda X, modes, prompts: margin.silhouette_samples(X, modes, prompts).mean()]
)


def value(found: Any) -> float:
    return float(getattr(found, "estimate", found))


@BOTH
@pytest.mark.parametrize(
    "given",
    [
        (X.tolist(), MODES, PROMPTS),
        (X.astype(object), MODES, PROMPTS),
        (torch.tensor(X, requires_grad=True), MODES, PROMPTS),
        (X, torch.tensor([0, 1, 2] * 4), torch.tensor(PROMPTS)),
        (pd.DataFrame(X, index=range(7, 19)), pd.Series(MODES, index=range(3, 15)), pd.Series(PROMPTS)),
        (X, pd.Series(MODES).astype("category"), pd.Series(PROMPTS).astype("category")),
        (np.ma.masked_array(X), np.array(MODES), tuple(PROMPTS)),
        (X * 1e9, MODES, PROMPTS),
        (X * 1e-30, MODES, PROMPTS),
    ],
)
def test_whatever_holds_the_numbers_gives_the_same_margin(measure: Margin, given: tuple[Any, ...]) -> None:
    assert value(measure(*given)) == pytest.approx(value(measure(X, MODES, PROMPTS)), abs=1e-12)


def test_bfloat16_is_measured_as_the_numbers_it_holds() -> None:
    rounded = torch.tensor(X).bfloat16()
    expected = margin.sam(rounded.double().numpy(), MODES, PROMPTS)
    assert margin.sam(rounded, MODES, PROMPTS).estimate == pytest.approx(expected.estimate, abs=1e-6)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "sqeuclidean"])
@pytest.mark.parametrize("scale", [1e-25, 1e-15, 1e15, 1e25])
def test_the_scale_of_the_points_makes_no_difference(distance: Any, scale: float) -> None:
    small = X.astype(np.float32)
    expected = margin.sam(small, MODES, PROMPTS, distance=distance).estimate
    found = margin.sam(small * np.float32(scale), MODES, PROMPTS, distance=distance)
    assert found.estimate == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("of", [4, 50_000])
def test_roots_of_probabilities_of_any_precision_are_taken(dtype: str, of: int) -> None:
    rng = np.random.default_rng(0)
    logits = torch.tensor(3 * rng.standard_normal((12, of))).to(getattr(torch, dtype))
    roots = logits.softmax(dim=1).sqrt()
    expected = margin.sam(roots.double().numpy(), MODES, PROMPTS, "sqeuclidean")  # of half of it the same
    assert margin.sam(roots, MODES, PROMPTS, "hellinger2").estimate == pytest.approx(
        expected.estimate, abs=1e-6
    )


@pytest.mark.parametrize("measure", [margin.sam, margin.silhouette_samples])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (X - X.mean(axis=0), "X holds negative numbers"),
        (np.abs(X), r"squares of row \d+ sum to .*, not to 1, .*: give the roots of whole distributions"),
        (np.abs(X) / np.abs(X).sum(axis=1, keepdims=True), r"give np.sqrt\(X\)"),
    ],
    ids=["negative", "of any length", "probabilities"],
)
def test_hellinger_of_what_is_no_root_of_a_distribution_is_refused(
    measure: Any, wrong: Any, says: str
) -> None:
    with pytest.raises(margin.MarginError, match=says):
        measure(wrong, MODES, PROMPTS, distance="hellinger2")


NAN = np.where(np.arange(48).reshape(12, 4) == 13, np.nan, X)


@BOTH
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((NAN, MODES, PROMPTS), "first at row 3"),
        ((X * np.inf, MODES, PROMPTS), "12 points are NaN or infinite"),
        ((X * 1e200, MODES, PROMPTS), "X holds numbers of up to 2e\\+200"),
        ((X * 1e-200, MODES, PROMPTS), "scale it"),
        ((np.where(np.arange(12)[:, None] == 5, X * 1e-170, X), MODES, PROMPTS), "row 5 of the points"),
        ((X[:, 0], MODES, PROMPTS), "X must be a matrix"),
        ((X[None], MODES, PROMPTS), "X must be a matrix"),
        ((None, MODES, PROMPTS), "X"),
        (("runs/a", MODES, PROMPTS), "X must be a matrix"),
        (([[1, 2], [3]], MODES, PROMPTS), "X is no matrix"),
        ((np.zeros((12, 0)), MODES, PROMPTS), "X has no columns"),
        ((X.astype(str), MODES, PROMPTS), "X must hold real numbers"),
        ((np.full((12, 2), "x", dtype=object), MODES, PROMPTS), "X is no matrix of numbers"),
        ((X + 1j, MODES, PROMPTS), "X must hold real numbers"),
        ((np.array(X, dtype="M8[s]"), MODES, PROMPTS), "X must hold real numbers"),
        ((sparse.csr_matrix(X), MODES, PROMPTS), "X.toarray"),
        ((np.ma.masked_array(X, mask=X > 1), MODES, PROMPTS), "mask"),
        ((X, ["a"] * 12, range(12)), "two modes"),
        ((X, MODES[:5], PROMPTS[:5]), "5 modes"),
        ((X, MODES, PROMPTS[:5]), "5 prompts"),
        ((X, None, PROMPTS), "modes must be a list"),
        ((X, "abcabcabcabc", PROMPTS), "modes must be a list"),
        ((X, np.array(MODES)[:, None], PROMPTS), "modes must be a list"),
        ((X, [["a"], ["b", "c"]] * 6, PROMPTS), "modes is no list"),
        ((X, [float("nan"), "a", "b"] * 4, PROMPTS), "mode of point 0 is missing"),
        ((X, [None, "a", "b"] * 4, PROMPTS), "mode of point 0 is missing"),
        ((X, MODES, ["p", float("nan"), *PROMPTS[2:]]), "prompt of point 1 is missing"),
        ((X, MODES, [0] * 12), "stands twice"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_its_name(
    measure: Margin, given: tuple[Any, ...], says: str
) -> None:
    with pytest.raises(MarginError, match=says) as caught:
        measure(*given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("level", [0, 1, 2, -0.5, 1e-320, 1 - 1e-16, float("nan"), "0.9", None])
def test_a_level_that_is_no_coverage_is_refused(level: Any, tmp_path: Path) -> None:
    with pytest.raises(MarginError, match="level"):
        margin.sam(X, MODES, PROMPTS, level=level)
    with pytest.raises(MarginError, match="level"):
        margin.analyse(tmp_path, level=level)


def test_arguments_of_the_public_functions_are_refused_by_their_name(tmp_path: Path) -> None:
    """Before anything is opened: what cannot be meant says which argument it is, in a line."""
    compare: Margin = partial(margin.compare, tmp_path / "a", tmp_path / "b")
    analyse, probe = partial(margin.analyse, tmp_path), partial(margin.probe, tmp_path)
    judge, check = partial(margin.judge, tmp_path), partial(margin.check, tmp_path)
    audit = partial(margin.draw_audit, tmp_path)
    wrong: dict[Margin, dict[str, list[Any]]] = {
        analyse: {"permutations": [0, 9.5, "9", None], "seed": [-1, 1.5, None]},
        compare: {
            "level": [0, 95, "x"],
            "seed": [-1, "x", 1.5, True],
            "across": ["tokenizer", None, [1], iter(["tokenizer"])],
        },
        probe: {
            "level": [2, "a"],
            "seed": [-3, 0.5],
            "folds": [0, 1, 2.5],
            "n_jobs": [0, "2"],
            "columns": ["language", 4],
            "layers": ["all", 4, ["4"], [4.0], [True]],
        },
        judge: {
            "level": [3, None],
            "judge": [5, ["refusal"]],
            "audit": [5, ["audit.csv"]],
            "refusal_modes": ["rej", 4],
            "expected": [["rej"], "rej"],
        },
        audit: {"n": [0, "9", 2.5], "seed": [-1, None], "out": [5]},
        check: {"baseline": [None, 5], "policy": [{"max_drop": 1}, 0.01]},
        margin.Policy: {
            "max_drop": [None, "0.01", float("nan"), -1, True],
            "max_leak": [2, float("inf")],
            "min_margin": ["a", 1.5],
            "slices": ["language", 5, [1], {"language": 1}],
        },
    }
    for function, arguments in wrong.items():
        for name, values in arguments.items():
            for given in values:
                least = {"baseline": tmp_path} if function is check and name != "baseline" else {}
                with pytest.raises(MarginError, match=f"^{name.replace('_', '[-_]')} ") as caught:
                    function(**least | {name: given})
                assert "\n" not in str(caught.value)
    with pytest.raises(MarginError, match=r"^run must be a path"):
        margin.compare(tmp_path, None)  # type: ignore[arg-type]
    with pytest.raises(MarginError, match=r"^a recipe must be a list of runs"):
        compare_recipes(str(tmp_path), [tmp_path])


@pytest.mark.parametrize("wrong", [None, 3, ["runs/a"], b"runs/a"])
def test_what_is_no_path_is_refused_by_its_name(wrong: Any) -> None:
    asked: dict[str, Any] = {"prompts": ["a", "b"], "modes": modes_path(), "out": wrong}
    writing: list[Margin] = [margin.collect, margin.plan, partial(margin.import_states, "a.npz")]
    for write in writing:
        with pytest.raises(MarginError, match=r"^out must be a path"):
            write(model="model", **asked)
    for function, name in ((margin.analyse, "run"), (margin.open_run, "run"), (margin.load_head, "model")):
        with pytest.raises(MarginError, match=f"^{name} must be a path"):
            function(wrong)


def test_an_empty_path_is_not_the_folder_this_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a variable of a script is not set."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MarginError, match=r"^run is empty"):
        margin.open_run("")
    with pytest.raises(MarginError, match=r"^out is empty"):
        margin.collect("model", prompts=["a", "b"], modes=modes_path(), out="")
    for words in (
        ["export", "", "--out", "new", "--shareable"],
        ["export", "run", "--out", "", "--shareable"],
    ):
        done = CliRunner().invoke(main, words)
        assert (done.exit_code, done.stderr.rstrip().endswith("the name is empty")) == (2, True)


def test_a_head_of_another_width_says_so() -> None:
    head = Head(torch.zeros(7, 5), None)
    assert head(np.zeros((2, 5), dtype=np.float32)).shape == (2, 7)
    with pytest.raises(MarginError, match="states of 5 numbers, not 4"):
        head(np.zeros((2, 4), dtype=np.float32))


@BOTH
def test_labels_behind_a_mask_and_sparse_tensors_are_refused(measure: Margin) -> None:
    """NumPy hands out what a mask hides as if it were there."""
    hidden: np.ma.MaskedArray[Any, Any] = np.ma.array(MODES, mask=[True] + [False] * 11)
    with pytest.raises(MarginError, match="modes hides some of its labels behind a mask"):
        measure(X, hidden, PROMPTS)
    with pytest.raises(MarginError, match="prompts hides some of its labels behind a mask"):
        measure(X, MODES, np.ma.array(PROMPTS, mask=[True] + [False] * 11))
    assert value(measure(X, np.ma.array(MODES), PROMPTS)) == value(measure(X, MODES, PROMPTS))
    for layout in (torch.tensor(X).to_sparse(), torch.tensor(X).to_sparse_csr()):
        with pytest.raises(MarginError, match=r"X is sparse: give X.to_dense\(\)"):
            measure(layout, MODES, PROMPTS)


@pytest.mark.parametrize(
    ("clusters", "says"),
    [
        (np.ones((12, 2)), "clusters must be a list of labels"),
        (pd.DataFrame({"a": PROMPTS}), "clusters must be a list of labels"),
        ("abcabcabcabc", "clusters must be a list of labels"),
        ([("t", 1)] * 12, "clusters must be a list of labels"),
        ([{"a": 1}] * 12, "clusters holds what is no label: unhashable"),
        (np.ma.array(PROMPTS, mask=[True] * 3 + [False] * 9), "clusters hides some of its labels"),
        ([1, 1, 1, "1", "1", "1", 2, 2, 2, 3, 3, 3], "clusters holds '1' as a text and as something else"),
        (PROMPTS[:4], "4 clusters but 12 points"),
        (range(12), "stands in two clusters"),
        ([0] * 12, "over clusters needs at least two"),
    ],
)
def test_clusters_that_are_none_are_refused(clusters: Any, says: str) -> None:
    with pytest.raises(MarginError, match=says):
        margin.sam(X, MODES, PROMPTS, clusters=clusters)


def test_prompts_without_a_cluster_are_alone_however_that_is_said() -> None:
    alone = [None if prompt < 2 else "t" for prompt in PROMPTS]
    expected = margin.sam(
        X, MODES, PROMPTS, clusters=[str(prompt) if prompt < 2 else "t" for prompt in PROMPTS]
    )
    for said in (
        alone,
        pd.Series(alone, dtype="string"),
        [np.nan if each is None else 7.0 for each in alone],
    ):
        found = margin.sam(X, MODES, PROMPTS, clusters=said)
        assert (found.estimate, found.low) == (expected.estimate, expected.low)


@BOTH
def test_ids_that_are_written_alike_are_refused(measure: Margin) -> None:
    """As names of a design, and in every file, 1 and "1" would be one prompt."""
    with pytest.raises(MarginError, match="prompts holds '1' as a text and as something else"):
        measure(X, MODES, np.array([1, 1, 1, "1", "1", "1", 2, 2, 2, 3, 3, 3], dtype=object))


@pytest.mark.parametrize(
    ("name", "asked", "nearest"),
    [
        ("analyse", {"permutation": 9}, "permutations"),
        ("analyse_arrays", {"cluster": [1]}, "clusters"),
        ("check", {"polcy": None}, "policy"),
        ("collect", {"layer": "all"}, "layers"),
        ("compare", {"levels": 0.9}, "level"),
        ("draw_audit", {"sed": 1}, "seed"),
        ("judge", {"judges": "refusal"}, "judge"),
        ("load_head", {"adaptor": "a"}, "adapter"),
        ("open_run", {"paths": "a"}, "path"),
        ("plan", {"generates": 3}, "generate"),
        ("probe", {"cluser": "a"}, "cluster"),
        ("sam", {"distances": "cosine"}, "distance"),
        ("secrecy", {"confirmd": 3}, "confirmed"),
        ("silhouette_samples", {"distanc": "cosine"}, "distance"),
        ("trace", {"traced_layer": "all"}, "traced_layers"),
        ("Policy", {"maxdrop": 0.1}, "max_drop"),
    ],
)
def test_a_mistyped_keyword_is_answered_with_the_nearest(
    name: str, asked: dict[str, object], nearest: str
) -> None:
    given = {"model": "m", "prompts": "p", "modes": "m", "out": "o"} if name == "secrecy" else {}
    with pytest.raises(TypeError, match=f"did you mean '{nearest}'") as caught:
        getattr(margin, name)(**asked, **given)
    assert isinstance(caught.value, MarginError)
    assert "\n" not in str(caught.value)


def test_a_keyword_like_no_other_is_answered_with_all_there_are() -> None:
    with pytest.raises(MarginError, match=r"^open_run has no argument 'zzz': it takes path$"):
        margin.open_run(zzz="a")  # type: ignore[call-arg]


def test_every_public_function_answers_for_its_keywords() -> None:
    for name in margin.__all__:
        if inspect.isfunction(function := getattr(margin, name)):
            required = {
                each.name: "a"
                for each in inspect.signature(function).parameters.values()
                if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
            }
            with pytest.raises(MarginError, match="has no argument 'quite_unknown'"):
                function(**required, quite_unknown=1)


def test_no_text_counts_as_true() -> None:
    X, modes, prompts = (
        np.random.default_rng(0).normal(size=(20, 4)),
        ["a", "b"] * 10,
        np.repeat(range(10), 2),
    )
    with pytest.raises(MarginError, match="optional no: take true or false"):
        margin.analyse_arrays(X, modes, prompts, optional="no")  # type: ignore[arg-type]
    with pytest.raises(MarginError, match="centre_prompts no: take true or false"):
        figures.project(X, modes, prompts, centre_prompts="no")  # type: ignore[arg-type]
    assert figures.project(X, modes, prompts, centre_prompts=np.True_).centred  # type: ignore[arg-type]
