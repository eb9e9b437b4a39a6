"""Several trainings of one model at once: seeds and recipes side by side, in one stream of kernels.

A small model keeps no accelerator busy: the time goes into starting kernels. Here the trained parameters of
K trainings are stacked along a first axis, `torch.vmap` runs the model over it, and whatever is not trained
(the base under an adapter) is shared. Each training has its own rows, its own gradient, clipped on its own,
and its own optimiser state: it comes out as it would have alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy, logsigmoid
from transformers import get_cosine_schedule_with_warmup

from examples.cotrain.packed import Layout, packed_attention
from examples.cotrain.progress import Progress
from examples.cotrain.train import IGNORED

BETA = 0.1  # of direct preference optimisation

State = Mapping[str, torch.Tensor]
"""Trained parameters by name."""


class Together:
    """K trainings of one model.

    model : a causal language model of transformers with eager attention; what asks for a gradient is trained.
    starts : where each training begins, as `trained_state` gives it.
    """

    def __init__(self, model: Any, starts: Sequence[State]) -> None:
        self.model = model.eval()
        self.reader = _Reader(model)
        self.trained = {
            name: torch.stack([start[name] for start in starts]).to(model.device).requires_grad_()
            for name in starts[0]
        }
        self.began = {name: stacked.detach().clone() for name, stacked in self.trained.items()}

    def logits(self, ids: torch.Tensor, at: torch.Tensor, trained: State) -> torch.Tensor:
        """Logits (K, asked, vocabulary) at some places of token ids (K, rows, tokens), padded on the right.

        at : int64 (K, asked), places in the rows of a training laid end to end. The head, which is a good
        part of a small model, is asked there alone.
        """
        if len(ids) == 1:  # alone it needs no products in batches, nor rows of one length
            _, rows, length = ids.shape
            layout = Layout.up_to(at[0], rows, length)
            alone = {name: stacked[0] for name, stacked in trained.items()}
            packed, asked = ids[0].flatten()[layout.places], layout.packed(at[0])
            with packed_attention(self.model):
                return self._read(alone, packed[None], asked, layout.positions[None], layout=layout)[None]
        length = ids.shape[-1]
        least = torch.finfo(torch.float32).min
        mask = torch.full((length, length), least, device=ids.device).triu(1)[None, None]
        positions = torch.arange(length, device=ids.device)[None]

        def one(state: State, of_one: torch.Tensor, at_one: torch.Tensor) -> torch.Tensor:
            seen = mask.expand(len(of_one), -1, -1, -1)
            return self._read(state, of_one, at_one, positions, attention_mask=seen)

        stacked: torch.Tensor = torch.vmap(one)(dict(trained), ids, at)
        return stacked

    def _read(
        self, state: State, ids: torch.Tensor, at: torch.Tensor, positions: torch.Tensor, **attention: Any
    ) -> torch.Tensor:
        named = {f"model.{name}": value for name, value in state.items()}
        found: torch.Tensor = functional_call(self.reader, named, (ids, at, positions), attention)
        return found

    def losses(self, ids: torch.Tensor, labels: torch.Tensor, trained: State) -> torch.Tensor:
        """Negative log-likelihood (K, rows, tokens) of each next token; 0 where its label is ignored.

        ids, labels : int64 (K, rows, tokens), on the CPU, where looking at them waits for no kernel.
        """
        device = self.model.device
        following = torch.full_like(labels, IGNORED)
        following[..., :-1] = labels[..., 1:]
        following = following.flatten(1)
        most = int((following != IGNORED).sum(1).max())
        # Those who have fewer are filled up with places that are ignored.
        at = (following != IGNORED).int().argsort(stable=True, dim=1, descending=True)[:, :most]
        expected = following.gather(1, at).flatten().to(device)
        at = at.to(device)
        picked = self.logits(ids.to(device), at, trained).flatten(0, 1).float()
        each = cross_entropy(picked, expected, reduction="none", ignore_index=IGNORED).view(at.shape)
        found = torch.zeros(following.shape, device=device).scatter(1, at, each)
        return found.view(labels.shape)

    def states(self) -> list[dict[str, torch.Tensor]]:
        """The trained parameters of each training."""
        count = len(next(iter(self.trained.values())))
        return [
            {name: stacked[k].detach().cpu().clone() for name, stacked in self.trained.items()}
            for k in range(count)
        ]


class _Reader(torch.nn.Module):
    """Logits (asked, vocabulary) of a model at places in its rows laid end to end."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ids: torch.Tensor, at: torch.Tensor, positions: torch.Tensor, **attention: Any
    ) -> torch.Tensor:
        decoder, head = self.model.get_decoder(), self.model.get_output_embeddings()
        found = decoder(input_ids=ids, position_ids=positions, use_cache=False, **attention)
        logits: torch.Tensor = head(found.last_hidden_state.flatten(0, 1)[at])
        return logits


Loss = Callable[[Together, torch.Tensor, torch.Tensor], torch.Tensor]
"""Of a batch (ids and labels, both K x rows x tokens): the loss of each training, (K,)."""


def likelihood(together: Together, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the answers' tokens, as supervised fine-tuning has it."""
    totals = together.losses(ids, labels, together.trained).sum((1, 2))
    return totals / (labels[..., 1:] != IGNORED).sum((1, 2)).to(totals.device)


def preference(together: Together, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Direct preference optimisation; rows take turns: the chosen answer, then the rejected one.

    Rafailov et al. (2023), "Direct Preference Optimization". The reference is where the training began.
    """
    with torch.no_grad():
        before = together.losses(ids, labels, together.began).sum(-1)
    gained = before - together.losses(ids, labels, together.trained).sum(-1)
    return -logsigmoid(BETA * (gained[:, 0::2] - gained[:, 1::2])).mean(-1)


def train(
    together: Together,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    steps: int,
    rate: float,
    loss: Loss = likelihood,
    tell: Callable[[int, torch.Tensor], None] | None = None,
    progress: Progress | None = None,
) -> None:
    """Train in place: AdamW, gradients clipped to a norm of 1, a warm-up, then a cosine decay to 0.

    batches : ids and labels (K x rows x tokens) of each step that is not yet done. tell : hears each step and
    its losses (K,). progress : where the training is kept, and goes on from.
    """
    parameters = list(together.trained.values())
    cuda = parameters[0].is_cuda
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, fused=cuda or None)
    schedule = get_cosine_schedule_with_warmup(optimiser, max(1, steps // 20), steps)
    done = 0 if progress is None else progress.done
    if progress is not None and done:
        progress.resume(together.trained, optimiser)
        schedule.load_state_dict({**schedule.state_dict(), "last_epoch": done})
        for group, now in zip(optimiser.param_groups, schedule.lr_lambdas, strict=True):
            group["lr"] = rate * now(done)
    for step, (ids, labels) in enumerate(batches, done + 1):
        losses = loss(together, ids.long(), labels.long())
        losses.sum().backward()  # type: ignore[no-untyped-call]
        clip(parameters)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if tell is not None:
            tell(step, losses.detach())
        if progress is not None and step < steps:  # what is done is saved as a whole
            progress.keep(step, together.trained, optimiser)


def clip(parameters: Sequence[torch.Tensor], largest: float = 1.0) -> None:
    """Scale the gradient of each training so that its norm is at most `largest`."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    scale = (largest / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))


def trained_state(model: Any) -> dict[str, torch.Tensor]:
    """Copies of the parameters that ask for a gradient."""
    return {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def load_state(model: Any, state: State) -> None:
    """Put trained parameters back into the model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in state:
                parameter.copy_(state[name])
