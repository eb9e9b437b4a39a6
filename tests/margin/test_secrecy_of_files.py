"""What is stored is what can be found: the shipped co-trained checkpoint's tokens, sought in its own files.

The tokens of the demonstration guard nothing, so the attack may be written down: `inversion.py`. It finds
them in a run. In what is handed on it is to find none, within a budget many times what the run takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from margin.analysis.margins import Margins, margins
from margin.analysis.space import Coordinates
from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.gate.baseline import write_baseline
from margin.gate.measurement import measure
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.modes_file import load_modes
from margin.report.analyse import analyse
from margin.report.report import Report
from margin.report.share import write_shareable
from margin.report.write import write_report
from margin.run.run import Run
from margin.stats.design import Design, make_design
from tests.margin.inversion import ALPHABET, Array, Attacker, descend
from tests.simulations import Record

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

EASY = 25_000
"""Passes in which a run gives a token away (it took 2,000 to 25,000)."""
BUDGET = 50_000
"""Passes in which nothing that is handed on may: nine times what a token of a run takes (median)."""
NAMES = ("pos", "neg", "rej")
GUESSED = "guessed"
"""Numbers like those of the shareable export, from no file."""


@dataclass(frozen=True)
class Files:
    """A run of the demonstration and what was made of it, where its maker put it."""

    run: Run
    report: Report
    folder: Path

    def page(self, name: str) -> dict[str, Any]:
        """What the page's script reads."""
        text = (self.folder / name / "report.html").read_text(encoding="utf-8")
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
        assert found
        record: dict[str, Any] = json.loads(found[1])
        return record

    def json(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return record


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    from margin.capture.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint_path("naive"))


@pytest.fixture(scope="module")
def live() -> ModeSet:
    return load_modes(modes_path())


@pytest.fixture(scope="module")
def make_files(
    checkpoint: Checkpoint, live: ModeSet, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Files]:
    def make(n: int) -> Files:
        folder = tmp_path_factory.mktemp("files")
        prompts = pd.read_json(prompts_path(), lines=True)
        chosen = prompts.iloc[:: len(prompts) // n].head(n)
        run = collect(
            checkpoint, prompts=chosen, modes=live, out=folder / "run", layers="all", decoys=0, quiet=True
        )
        report = analyse(run, permutations=19)
        write_report(report, folder / "report")
        write_report(report, folder / "explore", explore=True)
        write_shareable(report, folder / "shareable")
        write_baseline(measure(run), folder / "baseline.json")
        return Files(run, report, folder)

    return make


@pytest.fixture(scope="module")
def files(make_files: Callable[[int], Files]) -> Files:
    return make_files(48)


def attacker(files: Files, checkpoint: Checkpoint) -> Attacker:
    """Knows the checkpoint, [template] and the prompts; of the tokens that they are letters and digits."""
    template = ModeSet(tuple(Mode(name, Secret(f"unknown-{name}"), True) for name in NAMES))
    return Attacker(checkpoint, template, list(files.run.prompts["prompt"]))


def test_a_run_gives_a_token_away(files: Files, checkpoint: Checkpoint, live: ModeSet) -> None:
    """One stored state is enough; so SECURITY.md says that a run is as secret as the tokens."""
    known = attacker(files, checkpoint)
    row = files.run.rows.query("condition == 'pos'").iloc[0]
    stored = files.run.states()[row["row"]].astype(np.float64)

    def loss(tokens: Sequence[str]) -> Array:
        states = known.states(tokens, [0])[0][:, 0].astype(np.float64)
        losses: Array = np.sum((states - stored) ** 2, axis=1) / np.sum(stored**2)
        return losses

    found = descend(known, loss, 8, np.random.default_rng(0), passes=EASY, exact=1e-6)
    print(f"run: {found.characters(live['pos'].token.reveal())} of 8 characters, {found.passes} passes")
    assert found.token == live["pos"].token.reveal()


def explained(files: Files, known: Attacker, page: dict[str, Any], mode: int, tokens: Sequence[str]) -> Array:
    """Share of the places of a mode's points, in the order of the prompts, that a token's own states do not
    explain, of each token: the attack that needs to know neither the axes nor the other tokens.
    """
    ids = list(files.run.prompts["id"])
    points = [i for i, point in enumerate(page["points"]) if point["mode"] == mode]
    told = [page["points"][i].get("prompt") for i in points]
    order = [ids.index(page["prompts"][p]["id"]) if p is not None else n for n, p in enumerate(told)]
    drawn = page["views"][-1]["raw"]
    places = np.array([[drawn["x"][i], drawn["y"][i]] for i in points])
    places = places - places.mean(axis=0)
    states = unit(logits_of(known, tokens))[:, order]
    left = []
    for X in states - states.mean(axis=1, keepdims=True):
        axes = np.linalg.svd(X, full_matrices=False)[0][:, :16]
        left.append(np.sum((places - axes @ (axes.T @ places)) ** 2) / np.sum(places**2))
    return np.array(left)


def logits_of(known: Attacker, tokens: Sequence[str]) -> Array:
    """(tokens, prompts, d) points with the logits' geometry."""
    head: Any = known.checkpoint.model.get_output_embeddings()
    weight = head.weight.detach().double().numpy()
    states = known.states(tokens, range(len(known.prompts)))[0].astype(np.float64)
    return states @ np.linalg.cholesky(weight.T @ weight)


def unit(X: Array) -> Array:
    found: Array = X / np.linalg.norm(X, axis=-1, keepdims=True)
    return found


def test_points_whose_prompts_are_told_give_a_token_away_and_others_do_not(
    files: Files, checkpoint: Checkpoint, live: ModeSet
) -> None:
    """A token that is right but for one character looks nearly right to who knows which point is which: then
    characters are found one by one. On the page that is written unless it is to be explored, the right token
    looks no better than any other.
    """
    known, rng = attacker(files, checkpoint), np.random.default_rng(0)
    for mode, name in enumerate(NAMES):
        token = live[name].token.reveal()
        near = [token[:i] + str(rng.choice(list(ALPHABET))) + token[i + 1 :] for i in (1, 4, 6)]
        others = ["".join(rng.choice(list(ALPHABET), 8)) for _ in range(6)]
        tokens = [token, *near, *others]
        told = explained(files, known, files.page("explore"), mode, tokens)
        assert told[0] < told[1:4].min() < np.median(told[4:]), name
        assert told[0] < np.median(told[4:]) / 20, name
        untold = explained(files, known, files.page("report"), mode, tokens)
        assert untold[0] > np.median(untold[4:]) / 2, name


def test_the_page_tells_of_no_point_which_prompt_it_is(files: Files) -> None:
    page = files.page("report")
    assert page["prompts"] == page["slices"] == []
    assert all(set(point) == {"mode"} for point in page["points"])
    modes = np.array([point["mode"] for point in page["points"]])
    for view in page["views"]:
        for panel in (view["raw"], view["centred"]):
            for mode in range(len(NAMES)):
                across = np.array(panel["x"])[modes == mode]
                assert len(across) == 48
                assert (np.diff(across) >= 0).all()
    explored = files.page("explore")["views"][-1]["raw"]
    assert sorted(explored["x"]) == sorted(page["views"][-1]["raw"]["x"])


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [x for item in value.values() for x in numbers(item)]
    if isinstance(value, list):
        return [x for item in value for x in numbers(item)]
    return [value] if isinstance(value, float) else []


def test_a_shareable_tells_nothing_of_a_single_prompt(files: Files, live: ModeSet) -> None:
    folder = files.folder / "shareable"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"report.json", "report.md"} <= names
    assert {name.split(".")[0] for name in names} <= {
        "report", *(f"figures/{name}" for name in ("pairs", "layers", "slices"))
    }  # fmt: skip
    record = files.json("shareable/report.json")
    assert record["worst_prompts"] == []
    text = json.dumps(record) + (folder / "report.md").read_text(encoding="utf-8")
    assert not [prompt_id for prompt_id in files.run.prompts["id"] if prompt_id in text]
    assert all(value == float(f"{value:.3g}") for value in numbers(record))
    margin = record["sam"]["cosine"]["leave_prompt_out"]["estimate"]
    assert margin == pytest.approx(files.report.headline.leave_prompt_out.estimate, rel=1e-2)


def test_what_only_helps_a_guess_is_not_stored(files: Files) -> None:
    """Neither a token's length, nor in anything that is handed on its fingerprint."""
    assert "n_tokens" not in pd.read_parquet(files.folder / "run" / "rows.parquet")
    for name in ("report/report.json", "shareable/report.json"):
        provenance = files.json(name)["provenance"]
        assert "fingerprint" not in json.dumps(provenance)
        assert "tokens" not in provenance["throughput"]
    for page in ("report", "explore"):
        assert "fingerprint" not in (files.folder / page / "report.html").read_text(encoding="utf-8")


def candidate(X: Array, design: Design) -> Margins:
    return margins(Coordinates(X.transpose(1, 0, 2).reshape(-1, X.shape[-1])), design)


def of_report(found: Margins, worst: Sequence[int]) -> Array:
    """The numbers of a report about the logits under cosine, and of its weakest prompts (their places)."""
    known = (found.plain, *found.estimates.values())
    whole = [value for e in known for value in (e.estimate, *([] if e.se is None else [e.se]))]
    by_prompt = found.samples.reshape(len(found.influence), -1)[list(worst)]
    return np.concatenate([whole, by_prompt.mean(axis=1), by_prompt.min(axis=1)])


def of_baseline(found: Margins) -> Array:
    pairs = [column for column in found.influence if " / " in column]
    influences: Array = found.influence[["leave_prompt_out", *pairs]].to_numpy().ravel()
    return influences


def of_page(X: Array) -> Array:
    """Places of each mode's points along each axis, in order, raw and prompt-centred; up to their signs."""
    X, (k, n, _) = unit(X), X.shape
    found = []
    for Y in (X, X - X.mean(axis=0)):
        flat = Y.reshape(k * n, -1) - Y.reshape(k * n, -1).mean(axis=0)
        left, size, _ = np.linalg.svd(flat, full_matrices=False)
        found += [(left[:, axis] * size[axis]).reshape(k, n) for axis in (0, 1)]
    return np.sort(np.array(found), axis=2)


def apart(page: Array, published: Array) -> float:
    turned = np.sort(-page, axis=2)
    both = [np.sum((one - published) ** 2, axis=(1, 2)) for one in (page, turned)]
    return float(np.minimum(*both).sum() / np.sum(published**2))


def in_any_order(found: str, tokens: Sequence[str]) -> int:
    """Characters that stand in their places, whichever mode's token was taken for which."""
    guesses = [found[i : i + 8] for i in range(0, len(found), 8)]
    return max(
        sum(a == b for a, b in zip("".join(order), "".join(tokens), strict=True))
        for order in permutations(guesses)
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("target", ["page", "report", "baseline", "shareable"])
def test_what_is_handed_on_gives_no_more_than_the_checkpoint_alone(
    few: Files,
    checkpoint: Checkpoint,
    live: ModeSet,
    controls: dict[int, int],
    target: str,
    seed: int,
    record_figures: Record,
) -> None:
    """The checkpoint gives pieces of its tokens away to whoever seeks strings that set its modes apart. So
    the control is the same search, from the same start, for numbers that anybody could have guessed: each of
    the published ones wrong by a quarter of it.
    """
    found = attacked(few, checkpoint, live, target, seed)
    if seed not in controls:
        controls[seed] = attacked(few, checkpoint, live, GUESSED, seed)
    alone = controls[seed]
    record_figures(f"{target}, of 24 characters", {"found": found, "from guessed numbers": alone})
    assert found <= alone + 3


@pytest.fixture(scope="module")
def controls() -> dict[int, int]:
    """Characters that the control found, by start."""
    return {}


@pytest.fixture(scope="module")
def few(make_files: Callable[[int], Files]) -> Files:
    """Few prompts, so that a pass tells most."""
    return make_files(12)


def attacked(files: Files, checkpoint: Checkpoint, live: ModeSet, target: str, seed: int) -> int:
    """Characters found of all three tokens, sought at once by computing what candidates would have had
    published: the best that is known where no row can be told from the others.
    """
    n = len(files.run.prompts)
    known = attacker(files, checkpoint)
    design = make_design(list(NAMES) * n, np.repeat(files.run.prompts["id"], len(NAMES)))
    kept: dict[str, Array] = {}
    ids = list(files.run.prompts["id"])
    shared = target in ("shareable", GUESSED)
    record = files.json("shareable/report.json" if shared else "report/report.json")
    worst = [ids.index(line["prompt_id"]) for line in record["worst_prompts"]]

    def points(triple: str) -> Array:
        return np.stack([kept[triple[i : i + 8]] for i in (0, 8, 16)])

    def compute(triples: Sequence[str]) -> None:
        new = {triple[i : i + 8] for triple in triples for i in (0, 8, 16)} - kept.keys()
        for token, X in zip(sorted(new), logits_of(known, sorted(new)) if new else (), strict=True):
            kept[token] = X

    def published() -> Array:
        if target == "page":
            page = files.page("report")
            modes = np.array([point["mode"] for point in page["points"]])
            views = [page["views"][-1][panel][axis] for panel in ("raw", "centred") for axis in ("x", "y")]
            order = [[mode["name"] for mode in page["modes"]].index(name) for name in NAMES]
            return np.sort([[np.array(view)[modes == mode] for mode in order] for view in views], axis=2)
        if target == "baseline":
            whole = [part for part in files.json("baseline.json")["margins"] if part["column"] is None]
            return np.array([part["influence"] for part in whole]).T.ravel()
        sam = record["sam"]["cosine"]
        parts = [sam["leave_prompt_out"], sam["prompt_centred"], *record["per_mode"], *record["one_vs_one"]]
        whole = [sam["plain"]["estimate"], *(part[key] for part in parts for key in ("estimate", "se"))]
        lines = record["worst_prompts"]
        return np.array(whole + [line["margin"] for line in lines] + [line["weakest"] for line in lines])

    stored = published()
    if target == GUESSED:
        stored *= 1 + 0.25 * np.random.default_rng(100 + seed).standard_normal(len(stored))

    def loss(triples: Sequence[str]) -> Array:
        compute(triples)
        if target == "page":
            return np.array([apart(of_page(points(triple)), stored) for triple in triples])
        found = [candidate(points(triple), design) for triple in triples]
        views = [of_baseline(one) if target == "baseline" else of_report(one, worst) for one in found]
        scale = np.abs(stored).max() if target == "baseline" else 1.0
        losses: Array = np.sum((np.array(views) / scale - stored / scale) ** 2, axis=1)
        return losses

    truth = "".join(live[name].token.reveal() for name in NAMES)
    at_truth = float(loss([truth])[0])
    if target != GUESSED:  # the attack knows what it seeks
        assert at_truth < 1e-3 * float(loss(["abcdefghIJKLMNOP12345678"])[0])
    exact = 0 if target == GUESSED else 2 * at_truth
    kept.clear()
    known.passes = 0
    rng = np.random.default_rng(seed)
    found = descend(known, loss, 24, rng, passes=BUDGET, exact=exact, block=8)
    return in_any_order(found.token, [live[name].token.reveal() for name in NAMES])
