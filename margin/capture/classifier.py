"""A judge that is a Hugging Face text classifier, such as a guard model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from margin.capture.checkpoint import require_device
from margin.capture.loading import Source, load_config, load_model, load_tokenizer, require_known
from margin.errors import MarginError, foreign

BATCH = 32
"""Texts a batch, of like lengths."""
NONE = "none"
"""Label where a model that may give several labels gives none."""


@dataclass(frozen=True)
class TextClassifier:
    """Gives each text the likeliest of a classifier's labels."""

    model: PreTrainedModel = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    name: str
    """A hub id, or the last part of a local path."""

    @property
    def labels(self) -> list[str]:
        """The classifier's labels, in the order of its outputs."""
        config: Any = self.model.config
        return [str(config.id2label.get(i, f"LABEL_{i}")) for i in range(config.num_labels)]

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Label of each text; one longer than the model reads is cut at its end.

        Of a model that may give several labels at once (multi-label) the likeliest is taken, "none" where
        none is likelier than not. Costs one forward pass a text, in batches of texts of like lengths.
        MarginError where the classifier cannot read a text, or answers NaN.
        """
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        # Without a pad token only one text at a time has a place to read the label from.
        size = BATCH if self.tokenizer.pad_token_id is not None else 1
        found = [""] * len(texts)
        with torch.inference_mode():
            for start in range(0, len(order), size):
                batch = order[start : start + size]
                for place, label in zip(batch, self._label([texts[i] for i in batch]), strict=True):
                    found[place] = label
        return found

    def _label(self, texts: list[str]) -> list[str]:
        with foreign(f"judge {self.name} cannot read the answers"):
            encoded = self.tokenizer(
                texts,
                padding=len(texts) > 1,
                truncation=True,
                max_length=self._context(),
                return_tensors="pt",
            )
            logits = self.model(**encoded.to(self.model.device)).logits.float()
        if not torch.isfinite(logits).all():
            raise MarginError(f"judge {self.name} answers NaN or infinity: its weights are damaged")
        best = logits.argmax(dim=1).tolist()
        if self.model.config.problem_type == "multi_label_classification":
            sure = (logits.amax(dim=1) > 0).tolist()
            return [self.labels[i] if yes else NONE for i, yes in zip(best, sure, strict=True)]
        return [self.labels[i] for i in best]

    def _context(self) -> int:
        """Tokens the model reads: what its tokenizer says, within the positions it has."""
        positions = getattr(self.model.config, "max_position_embeddings", None) or 512
        return int(min(self.tokenizer.model_max_length, positions))


def load_classifier(
    source: str | Path, *, device: str | None = None, trust_remote_code: bool = False
) -> TextClassifier:
    """Load a text classifier from a local folder or by its hub id; safetensors only, float32 on the CPU.

    Raises
    ------
    MarginError : there is no checkpoint, it has only pickled weights, no trained classification head (a
        language model has none) or fewer than two labels, or the device cannot be used.
    """
    path = Path(source)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    local = path.is_absolute() or len(path.parts) > 2 or str(source).startswith(".")
    if path.is_file():
        raise MarginError(f"{source} is no labels file, .csv, .jsonl or .parquet, and no classifier's folder")
    if local and not path.is_dir():
        raise MarginError(f"{source}: no such judge: give refusal, a labels file, a folder or a hub id")
    require_device(device)
    place = Source.of_checkpoint(source)
    config = load_config(place, trust_remote_code)
    require_known(AutoModelForSequenceClassification, place, config, "text classifier")
    tokenizer = load_tokenizer(place, config, trust_remote_code)
    model: Any = load_model(
        AutoModelForSequenceClassification,
        place,
        config,
        trust_remote_code,
        "is no trained text classifier",
        dtype=torch.float32 if device == "cpu" else "auto",
        device_map=device,
    )
    if model.config.num_labels < 2:
        raise MarginError(f"{source} gives a number, not labels: a judge needs two labels or more")
    return TextClassifier(model.eval(), tokenizer, place.name)
