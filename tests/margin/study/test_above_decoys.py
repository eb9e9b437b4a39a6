"""Probes and layers beside decoys: the same numbers of other rows, on the prompts that both were asked of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from sklearn.model_selection import PredefinedSplit, cross_val_predict

import margin
from margin import figures
from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.prompts import load_prompts
from margin.probes import grouped_folds, logistic_probe, make_rows
from margin.run.run import Run, open_run
from margin.study.decoys import DecoyRows, decoy_rows
from margin.study.probe_file import read_probes, write_probes
from margin.study.probing import Probing, probe
from margin.study.sections.layers import Layers
from margin.study.sections.probes import Probes
from margin.study.study import Study
from tests.intervals import lower, upper

PROMPTS, ASKED, SETS = 40, 30, 3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    table = load_prompts(prompts_path()).table.iloc[::7].head(PROMPTS).reset_index(drop=True)
    table["template"] = [f"t{i // 4}" for i in range(PROMPTS)]
    return collect(
        checkpoint_path("cotrained"),
        prompts=table,
        modes=modes_path(),
        out=tmp_path_factory.mktemp("above") / "run",
        layers=[1, 4],
        decoys=SETS,
        decoy_prompts=ASKED,
        quiet=True,
    )


@pytest.fixture(scope="module")
def rows(run: Run) -> DecoyRows:
    found = decoy_rows(run)
    assert found is not None
    assert found.design.n_prompts == ASKED
    return found


@pytest.fixture(scope="module")
def probed(run: Run) -> Probing:
    return probe(run)


def test_accuracy_of_each_set_is_scikit_learns_on_its_rows(
    run: Run, rows: DecoyRows, probed: Probing
) -> None:
    assert [(one.layer, one.quantity) for one in probed.above_decoys] == [
        (layer, quantity) for layer in (1, 4) for quantity in ("accuracy", "auc")
    ]
    design = rows.design
    modes = np.array(design.modes)[design.mode]
    by_id = make_rows(modes, np.array(design.prompt_ids)[design.prompt])
    folds = PredefinedSplit(grouped_folds(by_id, probed.folds))
    for one in probed.above_decoys:
        if one.quantity == "accuracy":
            X = run.layer(one.layer)
            accuracies = [
                float(np.mean(cross_val_predict(logistic_probe(), X[places], modes, cv=folds) == modes))
                for places in (rows.live, *rows.sets)
            ]
            found = one.found
            assert (found.live, *found.decoys) == pytest.approx(accuracies)
            assert found.above.estimate == pytest.approx(accuracies[0] - np.mean(accuracies[1:]))
            assert lower(found.above) < found.above.estimate < upper(found.above)


def test_the_report_shows_probes_above_decoys_where_it_shows_probes(run: Run, probed: Probing) -> None:
    write_probes(probed, run)
    record = read_probes(run)
    assert record is not None
    assert len(record.above_decoys) == 4
    shown = Study(open_run(run.path)).section(Probes)
    assert shown is not None
    (lines,) = (each for each in shown.tables() if each.key == "probes-decoys")
    assert [cell[0].text for cell in lines.rows] == ["1", "1", "4", "4"]
    last = record.above_decoys[2]
    assert f"{last.estimate:+.3f}" in " ".join(str(fact) for fact in shown.facts())


def test_without_decoys_nothing_is_said_of_them(run: Run, tmp_path: Path) -> None:
    bare = collect(
        checkpoint_path("cotrained"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=tmp_path / "bare",
        layers=[1, 4],
        decoys=0,
        limit=8,
        quiet=True,
    )
    found = probe(bare)
    assert found.above_decoys == ()
    assert found.to_dict()["above_decoys"] == []
    layers = Study(bare).section(Layers)
    assert layers is not None
    assert layers.sets() is None
    assert [each.key for each in layers.tables() if each.rows] == ["layers"]


def test_clusters_reach_what_is_above_decoys(run: Run, probed: Probing) -> None:
    clustered = probe(run, cluster="template")
    for one in clustered.above_decoys:
        assert one.found.above.n_clusters is not None
        assert one.found.above.n_clusters < one.found.above.n_prompts == ASKED


def test_layers_of_each_set_have_the_margin_of_its_rows(run: Run, rows: DecoyRows) -> None:
    found = Study(run).section(Layers)
    assert found is not None
    design = rows.design
    modes = np.array(design.modes)[design.mode]
    ids = np.array(design.prompt_ids)[design.prompt]
    for line in found.record().layers.decoys:
        sets = [
            margin.sam(run.layer(line.layer)[places], modes, prompts=ids, variant=line.variant).estimate
            for places in (rows.live, *rows.sets)
        ]
        assert (line.live, *line.decoys) == pytest.approx(sets, abs=1e-9)
    assert {(line.layer, line.variant) for line in found.record().layers.decoys} == {
        (layer, variant) for layer in (1, 4) for variant in ("leave_prompt_out", "prompt_centred")
    }


def test_the_layer_curve_has_a_grey_band_of_the_sets(run: Run) -> None:
    study = Study(run)
    layers = study.section(Layers)
    assert layers is not None
    sets = layers.sets()
    assert sets is not None
    ax = figures.figure().add_subplot()
    figures.layer_curve(layers.curve.to_frame(), ax, series="variant", decoys=sets)
    bands = [band for band in ax.collections if isinstance(band, PolyCollection) and band.get_zorder() < 1]
    drawn = [np.asarray(band.get_paths()[0].vertices)[:, 1] for band in bands if band.get_paths()]
    ranges = {(min(part["low"]), max(part["high"])) for _, part in sets.groupby("variant")}
    assert {(y.min(), y.max()) for y in drawn} == ranges
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()].count("sets of decoys") == 1


def test_a_set_that_is_the_live_tokens_is_as_well_read(run: Run, rows: DecoyRows) -> None:
    """Rows put in the place of both: nothing is above nothing."""
    from margin.study.probe_decoys import probes_above_decoys

    same = replace(rows, sets=np.stack([rows.live, rows.live]))
    for one in probes_above_decoys(run, [4], same, folds=5):
        assert one.found.above.estimate == 0
        assert one.found.rank_p == 1
