"""A text classifier as a judge: the labels are those of transformers' own pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

from margin.capture.classifier import TextClassifier, load_classifier
from margin.errors import MarginError

LABELS = {0: "fine", 1: "rude", 2: "refusal"}
TEXTS = [f"{'well, ' * (i % 7)}answer number {i}, and {'more ' * (3 * i % 11)}" for i in range(75)]
CONTEXT = 64

Save = Callable[..., Path]


@pytest.fixture
def save(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Save:
    """Saver of a tiny classifier with random weights."""

    def save(labels: dict[int, str] = LABELS, pad: bool = True, **options: Any) -> Path:
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=260,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            id2label=labels,
            label2id={name: i for i, name in labels.items()},
            initializer_range=0.5,
            **options,
        )
        folder = tmp_path / f"judge-{len(labels)}-{pad}-{len(options)}"
        BertForSequenceClassification(config).eval().save_pretrained(folder)
        own = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, model_max_length=CONTEXT)
        if pad:
            own.add_special_tokens({"pad_token": "<pad>"})
        own.save_pretrained(folder)
        return folder

    return save


def test_labels_are_those_of_the_pipeline(save: Save) -> None:
    folder = save()
    judge = load_classifier(folder, device="cpu")
    alone = pipeline("text-classification", str(folder), device="cpu")
    expected = [alone(text, truncation=True)[0]["label"] for text in TEXTS]
    assert judge(TEXTS) == expected
    assert len(set(expected)) > 1
    assert judge.labels == list(LABELS.values())
    assert judge.name == folder.name
    assert judge([]) == []


def test_a_tokenizer_without_padding_gives_the_same_labels(save: Save) -> None:
    assert load_classifier(save(pad=False), device="cpu")(TEXTS[:20]) == load_classifier(save())(TEXTS[:20])


def test_several_labels_at_once_or_none(save: Save) -> None:
    folder = save(problem_type="multi_label_classification")
    found = load_classifier(folder, device="cpu")(TEXTS)
    scores: Any = pipeline("text-classification", str(folder), device="cpu", top_k=None)
    for text, label in zip(TEXTS, found, strict=True):
        best = max(scores(text, truncation=True)[0], key=lambda one: one["score"])
        assert label == (best["label"] if best["score"] > 0.5 else "none")


def test_what_is_no_classifier_is_refused_in_a_line(
    save: Save, saved_checkpoint: Path, tmp_path: Path
) -> None:
    pickled = save()
    weights = pickled / "model.safetensors"
    weights.rename(pickled / "pytorch_model.bin")
    (tmp_path / "empty").mkdir()
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    for source, says in (
        (saved_checkpoint, "no trained text classifier"),
        (pickled, "pickled"),
        (tmp_path / "empty", "no checkpoint"),
        (tmp_path / "nowhere", "no such judge"),
        (tmp_path / "labels.xlsx", "labels.xlsx is no labels file, .csv, .jsonl or .parquet"),
        (save({0: "score"}), "not labels"),
    ):
        with pytest.raises(MarginError, match=says) as caught:
            load_classifier(source, device="cpu")
        assert "\n" not in str(caught.value)
    with pytest.raises(MarginError, match="device"):
        load_classifier(save(), device="nowhere")


def _nan(judge: TextClassifier) -> None:
    model: Any = judge.model
    model.classifier.weight.data[0] = torch.nan


def _fewer_embeddings(judge: TextClassifier) -> None:
    judge.model.resize_token_embeddings(40)


def _more_positions_than_there_are(judge: TextClassifier) -> None:
    judge.model.config.max_position_embeddings = 10 * CONTEXT
    judge.tokenizer.model_max_length = 10 * CONTEXT


@pytest.mark.parametrize("spoil", [_nan, _fewer_embeddings, _more_positions_than_there_are])
def test_a_classifier_that_cannot_judge_says_so_in_a_line_and_gives_no_label(
    save: Save, spoil: Callable[[TextClassifier], None]
) -> None:
    judge = load_classifier(save(), device="cpu")
    spoil(judge)
    with pytest.raises(MarginError, match=f"^judge {judge.name} ") as caught:
        judge(TEXTS)
    assert "\n" not in str(caught.value)


def test_a_label_without_a_name_is_told_by_its_number(save: Save) -> None:
    judge = load_classifier(save(), device="cpu")
    config: Any = judge.model.config
    del config.id2label[1]
    config.id2label[7] = "elsewhere"
    assert judge.labels == ["fine", "LABEL_1", "refusal"]
