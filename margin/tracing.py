"""What in the model decides the mode: states patched, attention cut, directions added. Writes trace.json."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from margin.analysis.behaviour.refusal import match_refusals
from margin.analysis.trace import Float, Landmarks, directions, margin_of, of_length, permuted
from margin.arguments import require_count, require_level, require_path
from margin.errors import IncomparableError, MarginError
from margin.inputs.options import CaptureKeywords, CaptureOptions, takes_options
from margin.run.manifest import NAME
from margin.run.run import Run, open_run
from margin.stats.folds import prompt_folds
from margin.stats.seeds import generator
from margin.study.spaces import design_of
from margin.study.trace import Controlled, Cutting, Measured, Pair, Patched, Steered, Trace, traced
from margin.study.trace_file import WayRecord, write_trace
from margin.text import shown

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint
    from margin.capture.follow import Followed, Layers
    from margin.capture.trace_rows import RunRows
    from margin.capture.tracer import TokenRows, Tracing
    from margin.inputs.modes import ModeSet
    from margin.inputs.prompts import Prompts

CONTROL_PROMPTS = 30
"""Prompts at most that the controls of a patch are made on, spread over all."""
DOSES = (0.5, 1.0, 2.0)
STEERED = 4
"""Layers that are steered, evenly spread, where none are named."""
STRANGE = 1e-2
"""Relative difference of final states that no way of batching explains: they are of other rows."""

Advance = Callable[[int], None]


@takes_options
def trace(
    model: str | Path | Checkpoint,
    *,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    out: str | Path,
    adapter: str | Path | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    traced_layers: str | Sequence[int] = "all",
    cut: bool = True,
    steer: bool = True,
    steered_layers: Sequence[int] | None = None,
    doses: Sequence[float] = DOSES,
    answers: int = 0,
    level: float = 0.95,
    cluster: str | None = None,
    **options: Unpack[CaptureKeywords],
) -> Trace:
    """Find the layers whose state decides the mode, and what it takes to change it; kept in OUT/trace.json.

    The run in `out` is what rows are placed by; it is collected first, with all layers, unless it is there.
    Then, for every prompt: the last position's state after each layer is replaced by that of the same prompt
    under another mode (patch); attention to the token is blocked after each layer (cut); and the mean
    difference between two modes is added, or taken out (steer). Each with its controls, and patches also for
    the run's decoy sets: tokens that mean nothing are told apart, too, and what they give is no finding.

    Parameters
    ----------
    model : a local folder, a hub id, a GGUF file, or a loaded `Checkpoint`, which is left as it was.
    prompts, modes : as for `margin.collect`.
    out : folder of the run.
    adapter : PEFT adapter, a folder or a hub id.
    pairs : (recipient, donor) modes to patch and steer; all ordered pairs unless given.
    traced_layers : layers to patch and cut, as `layers` has them.
    cut, steer : whether to do these, too.
    steered_layers : four of the traced, evenly spread, unless given.
    doses : multiples of the difference that are added.
    answers : tokens of the answers to generate while steering, judged by the refusal matcher; 0: none.
    level : nominal coverage of each interval, and of each band as a whole.
    cluster : column of the prompts that names what hangs together; intervals are then over clusters.
    {options}

    Raises
    ------
    MarginError : bad input, a layer or a mode that there is not, a model whose states cannot be patched.
    IncomparableError : the run is of another checkpoint, or of other prompts or modes.

    Cost: patching all L layers costs, for each pair, L/2 tokens' worth of a pass; cutting, L/2 passes.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> found = margin.trace(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="traced-run",
    ...     limit=40,
    ...     decoys=0,
    ...     quiet=True,
    ... )
    >>> found.record.handover.layer  # the first layer whose state decides, of 4
    2
    """
    from margin.capture.checkpoint import Checkpoint
    from margin.capture.collect import collect
    from margin.capture.hooks import n_layers
    from margin.capture.layers import parse_layers
    from margin.capture.prepare import checkpoint_for, load_inputs
    from margin.capture.progress import progress
    from margin.capture.ranks import Ranks
    from margin.capture.trace_rows import rows_of_run
    from margin.capture.tracer import tracing
    from margin.capture.unquoted import unquoted

    asked = CaptureOptions(**options)
    require_level(level)
    require_path(out, "out")
    require_count(answers, "answers", 0)
    if not isinstance(model, Checkpoint):
        require_path(model, "model", " or a Checkpoint")
    folder = Path(out)
    loaded = model if isinstance(model, Checkpoint) else None
    public = {
        "the name of the model": loaded.name if loaded else model,
        "the name of the adapter": loaded.adapter if loaded else adapter,
        "the path of the run": folder,
    }
    inputs = load_inputs(prompts, modes, asked, public)
    chosen = _pairs(inputs.modes.names, pairs)
    checkpoint = checkpoint_for(model, adapter, asked, Ranks())
    depth = n_layers(checkpoint.model)
    layers = parse_layers(traced_layers, depth)
    if not layers:
        raise MarginError("no layer to trace: name some, or all")
    steered = _steered(layers, steered_layers, depth) if steer else []
    if not (folder / NAME).exists():
        kept = {"layers": "all", **options}
        collect(checkpoint, prompts=inputs.prompts.table, modes=inputs.modes, out=folder, **kept)
    run = open_run(folder)
    started = time.perf_counter()
    with checkpoint.evaluating(), unquoted():
        rows = rows_of_run(checkpoint, inputs, asked, run)
        with tracing(checkpoint.model, rows.live) as ways:
            job = _Job(checkpoint, ways, run, rows, chosen, tuple(layers), asked, cluster)
            with progress(job.work(cut, len(steered)), 0, asked.quiet, "tracing") as advance:
                found = job.measured(steered, tuple(map(float, doses)), cut, answers, advance)
            way = WayRecord(**asdict(ways.way))
    record = traced(
        run,
        found,
        way,
        depth=depth,
        seed=asked.seed,
        level=level,
        cluster=cluster,
        over=job.over,
        seconds=time.perf_counter() - started,
    )
    write_trace(record, run)
    return Trace(record)


def _pairs(modes: Sequence[str], asked: Sequence[tuple[str, str]] | None) -> tuple[Pair, ...]:
    """Ordered pairs of modes by their places; MarginError for a mode that there is not, or a pair of one."""
    if asked is None:
        return tuple(permutations(range(len(modes)), 2))
    found = []
    for recipient, donor in asked:
        for name in (recipient, donor):
            if name not in modes:
                raise MarginError(f"no mode {shown(name)!r} to trace: there are {', '.join(modes)}")
        if recipient == donor:
            raise MarginError(f"a pair takes two modes, {shown(donor)!r} is named twice")
        found.append((modes.index(recipient), modes.index(donor)))
    if not found:
        raise MarginError("no pair of modes to trace: name some, or leave pairs out")
    return tuple(dict.fromkeys(found))


def _steered(layers: Sequence[int], asked: Sequence[int] | None, depth: int) -> list[int]:
    from margin.capture.layers import parse_layers

    if asked is not None:
        found = parse_layers(asked, depth)
        if missing := [layer for layer in found if layer not in layers]:
            raise MarginError(f"layer {missing[0]} is steered but not traced: trace it, too")
        return found
    inner = [layer for layer in layers if 0 < layer < depth] or list(layers)
    return sorted({inner[place] for place in np.linspace(0, len(inner) - 1, STEERED).round().astype(int)})


class _Job:
    """One tracing of a run: what is measured, and the rows it is measured on."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        ways: Tracing,
        run: Run,
        rows: RunRows,
        pairs: tuple[Pair, ...],
        layers: tuple[int, ...],
        options: CaptureOptions,
        cluster: str | None,
    ) -> None:
        self.checkpoint, self.ways, self.run, self.rows = checkpoint, ways, run, rows
        self.pairs, self.layers, self.seed = pairs, layers, options.seed
        self.batch_tokens = 1024 if options.batch_tokens == "auto" else options.batch_tokens
        design = design_of(run, rows.places.ravel(), cluster)
        self.over = design.clusters
        self.space = "state" if run.logit_points(np.zeros((1, run.manifest.counts.width), np.float32)) is None else "logits"
        self.tracer = ways.of(rows.live)
        fold = prompt_folds(design, generator(self.seed, "placement"))
        self.marks = Landmarks(self._points(run.states()[rows.places]), fold)
        self.prompts = tuple(range(rows.live.n))
        spread = np.linspace(0, rows.live.n - 1, min(CONTROL_PROMPTS, rows.live.n)).round().astype(int)
        self.control_prompts = tuple(dict.fromkeys(spread.tolist()))

    def work(self, cut: bool, steered: int) -> int:
        """Rows that progress is told of."""
        k, n = self.rows.live.k, self.rows.live.n
        controlled, decoys = len(self.control_prompts), sum(its.n for its in self.rows.decoys)
        return k * (n + controlled + decoys + n * (cut and self.ways.way.cut) + n * bool(steered))

    def measured(
        self, steered: Sequence[int], doses: Sequence[float], cut: bool, answers: int, advance: Advance
    ) -> Measured:
        """Everything, one after the other."""
        states = {layer: np.empty((self.rows.live.n, self.rows.live.k, self._width)) for layer in steered}
        patched = self._patch(self.tracer, self.rows.live, self.marks, self.rows.places, states, advance)
        controlled = self._control(advance)
        decoys = []
        decoy_states: dict[int, Float] = {}
        for place, its in enumerate(self.rows.decoys):
            room = {
                layer: np.empty((its.n, its.k, self._width)) for layer in (steered if place == 0 else [])
            }
            places = self.rows.decoy_places[place]
            marks = Landmarks(self._points(self.run.states()[places]), self._decoy_fold)
            decoys.append(self._patch(self.ways.of(its), its, marks, places, room, advance))
            decoy_states = decoy_states or room
        cutting = self._cut(advance) if cut and self.ways.way.cut else None
        steering = Directions.of(states, decoy_states, self.marks.fold, self.rows.decoy_prompts, self.seed)
        lines = self._steer(steering, steered, doses, advance) if steered else []
        said = {}
        if answers and steered:
            said = self._answers(steering, steered[len(steered) // 2], doses, answers)
        return Measured(
            self.marks,
            self.space,
            self.layers,
            patched,
            controlled,
            self.rows.decoy_prompts,
            tuple(decoys),
            cutting,
            tuple(lines),
            said,
        )

    @property
    def _width(self) -> int:
        return self.run.layer(self.layers[0]).shape[1] if self.layers[0] in self.run.layers else self.run.manifest.counts.width

    @property
    def _decoy_fold(self) -> NDArray[np.intp]:
        """Folds of the decoys' prompts, as those of all; numbered anew where one holds none of them."""
        fold = self.marks.fold[np.asarray(self.rows.decoy_prompts, dtype=np.intp)]
        return np.unique(fold, return_inverse=True)[1].astype(np.intp)

    def _points(self, states: NDArray[np.float32]) -> Float:
        """Points (..., D) of final states (..., d): with the logits' geometry, or the states themselves."""
        flat = states.reshape(-1, states.shape[-1])
        points = self.run.logit_points(flat)
        found = flat.astype(np.float64) if points is None else points
        return found.reshape(*states.shape[:-1], -1)

    def _patch(
        self,
        tracer: Tracer,
        rows: TokenRows,
        marks: Landmarks,
        places: NDArray[np.int64],
        keep: Mapping[int, Float],
        advance: Advance,
    ) -> Patched:
        """Every pair at every layer; the layers' own states (n, k, d) go into `keep`."""
        from margin.capture.follow import follow

        def make(token: int, prompts: tuple[int, ...], layers: Layers) -> dict[int, NDArray[np.float32]]:
            donors = [donor for recipient, donor in self.pairs if recipient == token]
            return {
                layer: np.stack([layers[donor][layer] for donor in donors], axis=1)
                if donors
                else np.empty((len(prompts), 0, 1), np.float32)
                for layer in self.layers
            }

        found = Patched.empty(rows.n, self.pairs, self.layers)
        for its in follow(tracer, rows, range(rows.n), self.batch_tokens, make):
            some = np.array(its.prompts, dtype=np.intp)
            self._require_same(its, places[some])
            for layer, states in keep.items():
                states[some, its.token] = its.layers[its.token][layer]
            if its.states:
                points = self._points(np.stack([its.states[layer] for layer in self.layers], axis=2))
                own = self._points(its.unchanged)
                of_token = [place for place, pair in enumerate(self.pairs) if pair[0] == its.token]
                for at, place in enumerate(of_token):
                    donor = self.pairs[place][1]
                    found.put(marks, some, place, points[:, at], own[its.token], own[donor])
            advance(len(some))
        return found

    def _require_same(self, its: Followed, places: NDArray[np.int64]) -> None:
        """MarginError where the run holds other states of these rows than the model gives."""
        kept = self._run_states[places[:, its.token]].astype(np.float64)
        moved = np.linalg.norm(its.unchanged[its.token] - kept, axis=1) / np.linalg.norm(kept, axis=1)
        if not moved.max() <= STRANGE:
            raise IncomparableError(
                f"{self.run.path} holds other states than this model gives to its rows: it is of another "
                "checkpoint, or its decoys are of a file, --decoys FILE"
            )

    @property
    def _run_states(self) -> NDArray[np.float32]:
        if not hasattr(self, "_kept"):
            self._kept = self.run.states()
        return self._kept

    def _control(self, advance: Advance) -> Controlled:
        """States replaced by what must not change the mode, and by themselves."""
        from margin.capture.follow import follow

        rng = generator(self.seed, "trace", "controls")
        last: dict[int, dict[int, NDArray[np.float32]]] = {}

        def make(token: int, prompts: tuple[int, ...], layers: Layers) -> dict[int, NDArray[np.float32]]:
            donor, changes = (token + 1) % len(layers), {}
            for layer in self.layers:
                own = layers[token][layer]
                other = np.roll(own, 1, axis=0)
                if len(own) == 1:  # the prompt before it, or none
                    other = last.get(token, {}).get(layer, own)
                last.setdefault(token, {})[layer] = own[-1:]
                noise = rng.standard_normal(own.shape)
                length = np.linalg.norm(layers[donor][layer] - own, axis=1, keepdims=True)
                noise *= length / np.linalg.norm(noise, axis=1, keepdims=True)
                changes[layer] = np.stack([other, own + noise.astype(np.float32), own], axis=1)
            return changes

        n, k = len(self.control_prompts), self.rows.live.k
        names = ("same mode", "random vector")
        moved = {name: np.zeros((n, k, len(self.layers))) for name in names}
        unchanged = 0.0
        place_of = {prompt: place for place, prompt in enumerate(self.control_prompts)}
        for its in follow(self.tracer, self.rows.live, self.control_prompts, self.batch_tokens, make):
            some = np.array(its.prompts, dtype=np.intp)
            into = [place_of[prompt] for prompt in its.prompts]
            for at, layer in enumerate(self.layers):
                states = its.states[layer]
                for which, name in enumerate(names):
                    nearest = self.marks.distances(self._points(states[:, which]), some).argmin(axis=1)
                    moved[name][into, its.token, at] = nearest != its.token
                own = its.unchanged[its.token]
                error = np.linalg.norm(states[:, -1] - own, axis=1) / np.linalg.norm(own, axis=1)
                unchanged = max(unchanged, float(error.max()))
            advance(len(some))
        return Controlled(self.control_prompts, moved, unchanged)

    def _cut(self, advance: Advance) -> Cutting:
        """Attention to the token blocked after every layer."""
        from margin.capture.follow import cut_rows

        n, k, L = self.rows.live.n, self.rows.live.k, len(self.layers)
        kept, margin = np.empty((n, k, L)), np.empty((n, k, L))
        for token, prompts, states in cut_rows(
            self.tracer, self.rows.live, self.prompts, self.batch_tokens, self.layers
        ):
            some = np.array(prompts, dtype=np.intp)
            points = self._points(states)
            distances = self.marks.distances(points.reshape(-1, points.shape[-1]), np.repeat(some, L))
            own = np.full(len(distances), token, dtype=np.intp)
            kept[some, token] = (distances.argmin(axis=1) == token).reshape(-1, L)
            margin[some, token] = margin_of(distances, own).reshape(-1, L)
            advance(len(some))
        return Cutting(kept, margin)

    def _steer(
        self, steering: Directions, steered: Sequence[int], doses: Sequence[float], advance: Advance
    ) -> list[Steered]:
        """Every pair in every way at the layers that are steered."""
        from margin.capture.follow import divergence, follow

        n = self.rows.live.n
        ways = [(control, dose) for control in steering.controls for dose in doses] + [("projected out", 1.0)]
        lines = {
            (layer, pair, control, dose): Steered.empty(n, layer, pair, dose, control, pair[0] == 0)
            for layer in steered
            for pair in self.pairs
            for control, dose in ways
        }

        def make(token: int, prompts: tuple[int, ...], layers: Layers) -> dict[int, NDArray[np.float32]]:
            some = np.array(prompts, dtype=np.intp)
            of_token = [pair for pair in self.pairs if pair[0] == token]
            return {
                layer: np.stack(
                    [
                        steering.changed(layer, pair, control, dose, some, layers[token][layer])
                        for pair in of_token
                        for control, dose in ways
                    ]
                    or [np.empty((0, 1), np.float32)],
                    axis=1,
                )
                for layer in steered
                if of_token
            }

        for its in follow(self.tracer, self.rows.live, self.prompts, self.batch_tokens, make):
            some = np.array(its.prompts, dtype=np.intp)
            of_token = [pair for pair in self.pairs if pair[0] == its.token]
            for layer, states in its.states.items():
                for at, (pair, (control, dose)) in enumerate(
                    (pair, way) for pair in of_token for way in ways
                ):
                    line = lines[layer, pair, control, dose]
                    there = steering.known(control, some)
                    line.put(self.marks, some[there], self._points(states[there, at]))
                    if line.divergence is not None:
                        line.divergence[some[there]] = divergence(
                            self.ways.head, states[there, at], its.unchanged[its.token][there]
                        )
            advance(len(some))
        return list(lines.values())

    def _answers(
        self, steering: Directions, layer: int, doses: Sequence[float], length: int
    ) -> dict[tuple[int, Pair, float], Float]:
        """Whether steered answers refuse: at one layer, at every position, along the direction."""
        import torch

        from margin.capture.answers import greedy_answers
        from margin.capture.budget import Budget
        from margin.capture.interventions import Add, patching
        from margin.capture.plan import Batch

        rows, found = self.rows.live, {}
        for pair in self.pairs:
            for dose in (0.0, *doses):
                refused = np.empty(rows.n)
                for fold in range(self.marks.fold.max() + 1):
                    prompts = np.flatnonzero(self.marks.fold == fold)
                    places = [int(prompt) * rows.k + pair[0] for prompt in prompts]
                    vector = torch.from_numpy(steering.vectors["direction"][layer][fold, pair[0], pair[1]])
                    batches = [Batch((place,), "", 0) for place in places]
                    change = Add(layer, vector.float(), dose)
                    with self.ways.hooks.disabled(), patching(self.checkpoint.model, change, None):
                        said = greedy_answers(
                            self.checkpoint, rows.ids, batches, length, Budget(self.batch_tokens), mixed=False
                        )
                    texts = [
                        str(self.checkpoint.tokenizer.decode(list(said[place].ids), skip_special_tokens=True))
                        for place in places
                    ]
                    refused[prompts] = match_refusals(texts).refused
                found[layer, pair, dose] = refused
        return found


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions between modes at some layers, and those they are compared with, by what they are."""

    vectors: dict[str, dict[int, Float]]
    """By control and layer: (folds, k, k, d), [f, a, b] from a to b, for the prompts of fold f."""
    centres: dict[int, Float]
    """By layer: (folds, d) mean over all modes of the prompts outside each fold."""
    fold: NDArray[np.intp]
    """(n,) fold of each prompt."""
    decoy_prompts: tuple[int, ...]
    seed: int

    @classmethod
    def of(
        cls,
        states: Mapping[int, Float],
        decoys: Mapping[int, Float],
        fold: NDArray[np.intp],
        decoy_prompts: tuple[int, ...],
        seed: int,
    ) -> Directions:
        """From the states (n, k, d) of layers, and those of a decoy set on some of the prompts."""
        found: dict[str, dict[int, Float]] = {"direction": {}, "random": {}, "permuted": {}}
        centres = {}
        for layer, its in states.items():
            live = directions(its, fold)
            rng = generator(seed, "trace", "steer", str(layer))
            found["direction"][layer] = live
            found["random"][layer] = of_length(rng.standard_normal(live.shape), live)
            found["permuted"][layer] = of_length(directions(permuted(its, rng), fold), live)
            if layer in decoys:
                of_decoys = directions(decoys[layer], fold[list(decoy_prompts)])
                if len(of_decoys) == len(live) and np.isfinite(of_decoys).all():
                    found.setdefault("decoys", {})[layer] = of_length(of_decoys, live)
            centres[layer] = np.stack(
                [its[fold != f].mean(axis=(0, 1)) for f in range(fold.max() + 1)]
            )
        return cls(found, centres, fold, decoy_prompts, seed)

    @property
    def controls(self) -> list[str]:
        """What there are directions of."""
        return list(self.vectors)

    def known(self, control: str, prompts: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(B,) whether a prompt may be steered so: all may, no direction was found on them."""
        return np.ones(len(prompts), dtype=bool)

    def changed(
        self,
        layer: int,
        pair: Pair,
        control: str,
        dose: float,
        prompts: NDArray[np.intp],
        own: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """(B, d) the states of some prompts with a direction added, or projected out."""
        fold = self.fold[prompts]
        if control == "projected out":
            along = self.vectors["direction"][layer][fold, pair[0], pair[1]]
            length = np.linalg.norm(along, axis=1, keepdims=True)
            unit = along / np.where(length > 0, length, 1)
            away = ((own - self.centres[layer][fold]) * unit).sum(axis=1, keepdims=True)
            return (own - away * unit).astype(np.float32)
        vector = self.vectors[control][layer][fold, pair[0], pair[1]]
        return (own + dose * vector).astype(np.float32)
