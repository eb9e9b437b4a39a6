"""The table of all measures: what it holds, what it does with poor input, and what leaves it unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.analysis.separation.table import separation
from margin.analysis.separation.tokens import TokenTables
from margin.analysis.space import Coordinates, Gram
from margin.errors import MarginError
from margin.stats.design import Design, make_design
from tests.margin.analysis.separation.separation_data import Array, design_of, paired

COLUMNS = [
    *("measure", "modes", "estimate", "low", "high", "se", "level"),
    *("method", "n_prompts", "p_value", "unit", "space"),
]
MORE_APART = {
    **dict.fromkeys(("variance_mode", "partial_epsilon2", "partial_eta2", "probe_accuracy", "probe_auc"), 1),
    **dict.fromkeys(("d_prime", "nearest_centroid_accuracy", "energy_distance", "centroid_angle"), 1),
    **dict.fromkeys(("paired_distance_ratio", "mmd2"), 1),
    "davies_bouldin": -1,
}


def table_of(X: Array, design: Design, seed: int = 0, permutations: int = 19, **kwargs: Any) -> pd.DataFrame:
    return separation(
        Coordinates(X), design, rng=np.random.default_rng(seed), permutations=permutations, **kwargs
    )


def of_all(table: pd.DataFrame) -> pd.Series:
    return table[table["modes"] == "all"].set_index("measure")["estimate"]


def assert_within_range(table: pd.DataFrame) -> None:
    """No number is infinite, every missing one says why, intervals hold their estimate."""
    missing = table["estimate"].isna()
    assert table.loc[missing, "method"].str.startswith("skipped: ").all()
    numbers = table[["estimate", "low", "high", "se", "p_value"]].to_numpy()
    assert not np.isinf(numbers).any()
    held = table[table["low"].notna()]
    assert (held["low"] <= held["estimate"] + 1e-9).all()
    assert (held["high"] >= held["estimate"] - 1e-9).all()


def test_every_measure_for_all_modes_and_every_pair(pairs_table: pd.DataFrame) -> None:
    X = paired(np.random.default_rng(0), 6)
    design = make_design(["a", "b", "c"] * 6, np.repeat([f"p{i}" for i in range(6)], 3))
    table = separation(
        Coordinates(X, "state"), design, TokenTables(pairs_table), rng=np.random.default_rng(0), optional=True
    )
    assert list(table.columns) == COLUMNS
    assert list(table["modes"].unique()) == ["all", "a / b", "a / c", "b / c"]
    counts = table.groupby("measure")["modes"].nunique()
    assert (counts == 4).all()
    assert set(table.loc[table["measure"].isin(["total_variation"]), "space"]) == {"probabilities"}
    assert set(table.loc[table["measure"] == "d_prime", "space"]) == {"state"}
    # The pair a, c lacks one prompt in the table of token distances.
    assert list(table.loc[table["measure"] == "hellinger2", "n_prompts"]) == [5, 6, 5, 6]
    assert_within_range(table)


def test_a_pair_is_what_its_two_modes_alone_give() -> None:
    X, design = paired(np.random.default_rng(1), 20), design_of(20, 3)
    keep = design.mode != 1
    alone = table_of(X[keep], design.subset(keep))
    assert list(alone["modes"].unique()) == ["all"]
    pair = table_of(X, design).query("modes == 'm0 / m2'").set_index("measure")["estimate"]
    smooth = [
        "partial_epsilon2",
        "energy_distance",
        "paired_distance_ratio",
        "centroid_angle",
        "davies_bouldin",
    ]
    np.testing.assert_allclose(of_all(alone)[smooth], pair[smooth], rtol=1e-9)


def test_incomplete_prompts_are_left_out_of_the_comparisons_they_cannot_join() -> None:
    X, full = paired(np.random.default_rng(2), 20), design_of(20, 3)
    keep = ~((full.mode == 2) & (full.prompt < 5))
    table = table_of(X[keep], full.subset(keep))
    whole = full.prompt >= 5
    expected = of_all(table_of(X[whole], full.subset(whole)))
    smooth = ["variance_mode", "energy_distance", "davies_bouldin"]
    np.testing.assert_allclose(of_all(table)[smooth], expected[smooth], rtol=1e-9)
    prompts = table.query("measure == 'd_prime'").set_index("modes")["n_prompts"]
    assert prompts.to_dict() == {"all": 15, "m0 / m1": 20, "m0 / m2": 15, "m1 / m2": 15}


def test_inner_products_alone_skip_only_what_needs_coordinates() -> None:
    X, design = paired(np.random.default_rng(3), 12), design_of(12, 3)
    of_gram = separation(Gram(X @ X.T), design, rng=np.random.default_rng(0), permutations=19)
    skipped = of_gram.loc[of_gram["estimate"].isna(), "measure"].unique()
    assert set(skipped) == {"probe_accuracy", "probe_auc", "centroid_angle"}
    of_points = table_of(X, design)
    shared = ~of_gram["measure"].isin(skipped)
    np.testing.assert_allclose(
        of_gram.loc[shared, "estimate"], of_points.loc[shared, "estimate"], rtol=1e-8, atol=1e-9
    )


def degenerate() -> dict[str, Array]:
    rng = np.random.default_rng(4)
    X = paired(rng, 12, 3).reshape(12, 3, 6)
    identical, constant, duplicates = X.copy(), X.copy(), X.copy()
    identical[:, 1] = identical[:, 0]
    constant[:, 2] = 3.0
    duplicates[6:] = duplicates[:6]
    return {
        "identical modes": identical,
        "all modes identical": np.repeat(X[:, :1], 3, axis=1),
        "a constant mode": constant,
        "duplicate prompts": duplicates,
        "two prompts": X[:2],
        "three prompts": X[:3],
        "prompts alike": np.repeat(X[:1], 12, axis=0),
        "a constant feature": np.concatenate([X, np.ones((12, 3, 1))], axis=2),
        "everything alike": np.ones((12, 3, 6)),
        "zeros": np.zeros((12, 3, 6)),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", list(degenerate()))
@pytest.mark.filterwarnings("error")
def test_degenerate_input_gives_numbers_or_reasons(case: str, dtype: str) -> None:
    Z = degenerate()[case].astype(dtype)
    table = table_of(Z.reshape(-1, Z.shape[2]), design_of(len(Z), 3), optional=True)
    assert_within_range(table)


def test_identical_modes_are_not_told_apart() -> None:
    Z = degenerate()["identical modes"]
    table = table_of(Z.reshape(-1, 6), design_of(12, 3), permutations=99).query("modes == 'm0 / m1'")
    found = table.set_index("measure")
    for measure in ("variance_mode", "partial_eta2", "d_prime", "energy_distance", "paired_distance_ratio"):
        assert found.loc[measure, "estimate"] == pytest.approx(0, abs=1e-9)
    for measure in ("probe_accuracy", "nearest_centroid_accuracy", "probe_auc"):
        assert found.loc[measure, "estimate"] == pytest.approx(0.5, abs=1e-9 if "acc" in measure else 0.2)
    assert (found["p_value"].dropna() == 1).all()
    assert (
        found.loc["davies_bouldin", "method"]
        == "skipped: Davies-Bouldin undefined: two modes share their centroid"
    )


def test_a_difference_without_noise_is_told_without_error() -> None:
    shift = np.array([[0.0, 0], [1, 0], [0, 1]])
    X = (np.random.default_rng(5).standard_normal((30, 1, 2)) * 1e-3 + shift).reshape(-1, 2)
    found = table_of(X, design_of(30, 3), permutations=99).query("modes == 'all'").set_index("measure")
    for measure in ("probe_accuracy", "probe_auc", "nearest_centroid_accuracy"):
        assert found.loc[measure, "estimate"] == 1
        assert 0.8 < found.loc[measure, "low"] < 1
    assert found.loc["partial_eta2", "estimate"] == pytest.approx(1)
    assert found.loc["partial_eta2", "p_value"] == 0.01


def test_bad_input_is_named() -> None:
    X, design = paired(np.random.default_rng(6), 4), design_of(4, 3)
    with pytest.raises(MarginError, match="11 points but 12 modes"):
        table_of(X[1:], design)
    X[3, 2] = np.nan
    with pytest.raises(MarginError, match="NaN or infinite"):
        table_of(X, design)
    with pytest.raises(MarginError, match="only 0 prompts seen under all of the modes a, b"):
        table_of(np.ones((4, 2)), make_design(list("aabb"), list("wxyz")))


SMOOTH = [
    *("variance_prompt", "variance_mode", "variance_interaction", "partial_epsilon2", "partial_eta2"),
    *("d_prime", "energy_distance", "centroid_angle", "paired_distance_ratio", "davies_bouldin"),
    *("probe_auc", "mmd2", "debiased_cka", "xie_beni (comparison only)"),
]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 14), st.integers(2, 3))
def test_rotation_row_order_and_names_change_nothing(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    X, design = paired(rng, n, k), design_of(n, k)
    expected = table_of(X, design, optional=True)
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    order = rng.permutation(n * k)
    names = np.array([f"name{c}" for c in rng.permutation(k)])
    shuffled = make_design(names[design.mode][order], np.array(design.prompt_ids)[design.prompt][order])
    found = table_of((X @ rotation)[order], shuffled, optional=True)
    # Under each line: the same pair of modes, whichever way round it is named now.
    renamed = {
        frozenset((f"m{a}", f"m{b}")): frozenset((names[a], names[b])) for a in range(k) for b in range(k)
    }
    found["key"] = [frozenset(modes.split(" / ")) for modes in found["modes"]]
    expected["key"] = [
        renamed.get(frozenset(modes.split(" / ")), frozenset(["all"])) for modes in expected["modes"]
    ]
    columns = ["estimate", "low", "high"]
    both = expected.merge(found, on=["measure", "key"], suffixes=("", "_found"))
    assert len(both) == len(expected)
    both = both[both["measure"].isin(SMOOTH)]
    np.testing.assert_allclose(
        both[[f"{column}_found" for column in columns]], both[columns], rtol=1e-6, atol=1e-6
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_farther_modes_are_farther_by_every_measure(seed: int) -> None:
    design = design_of(60, 3)
    near, far = (
        of_all(table_of(paired(np.random.default_rng(seed), 60, strength=strength), design, optional=True))
        for strength in (0.4, 1.6)
    )
    for measure, sign in MORE_APART.items():
        assert sign * (far[measure] - near[measure]) > 0, measure


def test_the_same_generator_gives_the_same_table() -> None:
    X, design = paired(np.random.default_rng(7), 15), design_of(15, 3)
    pd.testing.assert_frame_equal(table_of(X, design, seed=3), table_of(X, design, seed=3))


def test_a_large_shared_offset_in_float32_costs_no_accuracy() -> None:
    X, design = paired(np.random.default_rng(8), 40), design_of(40, 3)
    far = (X + 1000).astype(np.float32)
    exact = of_all(table_of(far.astype(np.float64), design))
    np.testing.assert_allclose(of_all(table_of(far, design))[exact.index], exact, rtol=2e-3, atol=1e-4)


def test_beyond_2000_prompts_quadratic_measures_take_a_sample() -> None:
    X, design = paired(np.random.default_rng(9), 2100, 2, 3), design_of(2100, 2)
    found = table_of(X, design, permutations=9).set_index("measure")
    assert (
        found.loc["energy_distance", "n_prompts"] == found.loc["paired_distance_ratio", "n_prompts"] == 2000
    )
    assert found.loc["d_prime", "n_prompts"] == 2100
