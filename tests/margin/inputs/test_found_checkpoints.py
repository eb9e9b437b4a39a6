"""Which folders are the checkpoints of a training, and their order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from margin.errors import MarginError
from margin.inputs.checkpoints import find_checkpoints, left_out


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., Path]:
    """Maker of a folder of checkpoints by their names, and by what their trainer_state.json says."""

    def make(*names: str, states: dict[str, object] | None = None) -> Path:
        for name in names:
            (tmp_path / name).mkdir()
            (tmp_path / name / "config.json").write_text("{}")
        for name, state in (states or {}).items():
            (tmp_path / name / "trainer_state.json").write_text(json.dumps(state))
        return tmp_path

    return make


@pytest.mark.parametrize(
    "ordered",
    [
        {"checkpoint-20": 20, "checkpoint-100": 100},
        {"checkpoint-200-merged": 200, "checkpoint-1000-merged": 1000},
        {"epoch=0-step=200": 200, "epoch=0-step=1000": 1000, "epoch=1-step=2000": 2000},
        {"epoch-1-step-10": None, "epoch-2-step-5": None, "epoch-10-step-1": None},
        {"200": 200, "1000": 1000},
        {"0000200": 200, "1000": 1000},
        {"ft-1": None, "ft-2": None, "ft-10": None},
        {"global_step20": 20, "global_step100": 100},
        {"iter_0000020": 20, "iter_0000100": 100},
        {"epoch_2": 2, "epoch_10": 10},
        {"run2-checkpoint-9": 9, "run1-checkpoint-10": 10},
        {"checkpoint-2k": None, "checkpoint-10k": None},
        {"footstep-1": None, "footstep-3": None},
        {"step-20": 20, "best": None, "final": None},
        {"checkpoint-1": 1, f"checkpoint-{'9' * 99}": None},
        {"Final 2": None, "final 10": None},
    ],
    ids=lambda ordered: next(iter(ordered)),
)
def test_the_order_and_the_steps_by_their_names(
    training: Callable[..., Path], ordered: dict[str, int | None]
) -> None:
    found = find_checkpoints([str(training(*reversed(ordered)))])
    assert {saved.name: saved.step for saved in found} == ordered
    assert [saved.name for saved in found] == list(ordered)


def test_links_have_the_names_that_people_gave_them(training: Callable[..., Path], tmp_path: Path) -> None:
    folder = training("hf", "other")
    (links := tmp_path / "links").mkdir()
    for name, target in {"step-100": "hf", "step-200": "other"}.items():
        (links / name).symlink_to(folder / target)
    assert [(one.name, one.step) for one in find_checkpoints([str(links)])] == [
        ("step-100", 100),
        ("step-200", 200),
    ]


def test_the_trainers_own_state_says_more_than_a_name(training: Callable[..., Path]) -> None:
    place = training("best", "last", "checkpoint-7", states={"best": {"global_step": 300}, "last": {}})
    assert [(s.name, s.step) for s in find_checkpoints([str(place)])] == [
        ("checkpoint-7", 7),
        ("best", 300),
        ("last", None),
    ]
    states = {"last": {"global_step": 20}, "checkpoint-7": {"global_step": 700}}
    for name, state in states.items():
        (place / name / "trainer_state.json").write_text(json.dumps(state))
    assert [(s.name, s.step) for s in find_checkpoints([str(place)])] == [
        ("last", 20),
        ("best", 300),
        ("checkpoint-7", 700),
    ]


@pytest.mark.parametrize("state", ['{"global_step": "9"}', '{"global_step": true}', "[]", "{", "[" * 10_000])
def test_a_state_that_says_no_step_leaves_it_to_the_name(training: Callable[..., Path], state: str) -> None:
    place = training("checkpoint-9", "checkpoint-10")
    (place / "checkpoint-9/trainer_state.json").write_text(state)
    assert [s.step for s in find_checkpoints([str(place)])] == [9, 10]


def test_places_named_one_by_one_keep_their_order_where_steps_are_not_known(
    training: Callable[..., Path],
) -> None:
    place = training("ft-2", "ft-10", "ft-1")
    names = ["ft-10", "ft-1", "ft-2"]
    assert [s.name for s in find_checkpoints([str(place / name) for name in names])] == names


@pytest.mark.parametrize("place", ["/nowhere/at/all", "./nowhere", "runs/of/nobody"])
def test_a_path_where_nothing_is_is_no_checkpoint(place: str) -> None:
    with pytest.raises(MarginError, match=f"^{place}: no such file or folder$"):
        find_checkpoints([place])


def test_what_is_left_out_is_known_and_whether_it_looks_like_a_checkpoint(
    training: Callable[..., Path],
) -> None:
    place = training("checkpoint-1", "checkpoint-2")
    for name in ("logs", "runs", "checkpoint-3", "final"):
        (place / name).mkdir()
    (place / "final/model.safetensors").write_bytes(b"")
    found = {folder.name: looks_like_one for folder, looks_like_one in left_out([str(place)])}
    assert found == {"logs": False, "runs": False, "checkpoint-3": True, "final": True}
    assert not list(left_out([str(place / "checkpoint-1"), "org/model"]))
