"""Whether a loaded model is the one in its file: no weight drawn at random, none of the file's left out.

transformers loads what fits and warns about the rest. What it says was missing, left over or of another size
is judged here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from transformers import PreTrainedModel

from margin.errors import MarginError
from margin.text import brief, shown

UNLIKE = "does not hold the weights of the model its configuration describes"
SHOWN = 3
"""Names an error gives at most."""
WRAPPERS = {
    "_orig_mod.": "torch.compile",
    "module.": "DistributedDataParallel",
    "_fsdp_wrapped_module.": "FSDP",
    "_forward_module.": "a trainer",
    "_checkpoint_wrapped_module.": "activation checkpointing",
}
"""What wrappers put into the names of the weights of a model that is saved inside them."""
_BESIDE = re.compile(
    r"vision|visual|image|audio|speech|video|vit|tower|projector|connector|abstractor|perceiver|resampler"
    r"|multi_?modal|mm_|^mtp|nextn|eagle|medusa|pooler"
)
"""Parts that multi-modal and speculative models keep beside the blocks of the text decoder."""
_MASK = re.compile(r"(^|\.)(masked_)?bias$")


def require_whole(source: str, model: PreTrainedModel, info: Mapping[str, Any], fault: str = UNLIKE) -> None:
    """MarginError, naming a few, where weights are missing, of another size, or not of this model.

    `info` is what transformers gives for `output_loading_info`: of the missing it has taken out what is tied
    or not saved. Left over may be what the next token does not depend on: heads and towers beside the
    decoder, masks and rotary tables that were saved in the past, a quantiser's own state.
    """
    missing, unplaced = set(info["missing_keys"]), set(info["unexpected_keys"])
    sizes = {name: (tuple(there), tuple(here)) for name, there, here in info["mismatched_keys"]}
    placed = set(model.state_dict()) - missing
    for prefix, wrapper in WRAPPERS.items():
        if twice := {name for name in unplaced if prefix in name and name.replace(prefix, "") in placed}:
            raise MarginError(
                f"{source} holds two weights for one place: {named(twice)} beside those without {prefix} "
                f"({wrapper}'s): keep one of each in the file"
            )
        if missing & {name.replace(prefix, "") for name in unplaced if prefix in name}:
            raise MarginError(
                f"{source} was saved inside {wrapper}, its weights are named {prefix}...: strip that with "
                f"save_file({{k.replace({prefix!r}, ''): v for k, v in load_file(F).items()}}, F)"
            )
    if before := _one_prefix(missing, unplaced):
        raise MarginError(
            f"the weights of {source} are named {brief(before, 120)}...: strip that with save_file("
            f"{{k.removeprefix({brief(before, 120)!r}): v for k, v in load_file(F).items()}}, F)"
        )
    found = []
    if missing:
        found.append(f"missing are {named(missing)}")
    if strange := {name for name in unplaced if not _harmless(name, model)}:
        found.append(f"not of that model are {named(strange)}")
    if sizes:
        there, here = sizes[min(sizes)]
        found.append(f"of other sizes are {named(sizes)} ({there} in the file, {here} by the configuration)")
    found += map(shown, info["error_msgs"][:1])
    if found:
        raise MarginError(f"{source} {fault}: {'; '.join(found)}")


def _one_prefix(missing: set[str], unplaced: set[str]) -> str | None:
    """What stands before the names of most of the missing weights in the file, whoever put it there."""
    ends = [(name, name[dot.end() :]) for name in unplaced for dot in re.finditer(r"\.", name)]
    before = Counter(name.removesuffix(end) for name, end in ends if end in missing)
    prefix, times = before.most_common(1)[0] if before else ("", 0)
    return prefix if 2 * times > len(missing) else None


def named(names: Iterable[str]) -> str:
    """The first few names in order, and how many more there are."""
    ordered = sorted(names)
    more = [f"and {len(ordered) - SHOWN} more"] if len(ordered) > SHOWN else []
    return ", ".join([brief(name, 120) for name in ordered[:SHOWN]] + more)


def _harmless(name: str, model: PreTrainedModel) -> bool:
    """Whether a weight of the file that found no place decides nothing of what the model computes.

    What belongs into a part that the model has (a layer more, a bias, a norm) makes it another model. What
    stands beside all its parts is not run for the next token.
    """
    modules = dict(model.named_modules())
    parts = name.split(".")
    depth = next(n for n in range(len(parts) - 1, -1, -1) if ".".join(parts[:n]) in modules)
    inside, first = ".".join(parts[:depth]), parts[depth]
    if depth == 0:
        return True
    if name in dict(model.named_buffers()) or name.endswith("rotary_emb.inv_freq"):
        return True
    # A causal mask: a module that has a bias of its own has a weight, too.
    if _MASK.search(name) and depth == len(parts) - 1 and not hasattr(modules[inside], "weight"):
        return True
    quantised = getattr(model.config, "quantization_config", None) is not None
    if quantised and depth == len(parts) - 1 and first not in ("weight", "bias"):
        return True
    # What holds the decoder: "model", and in a larger model "model.language_model", too.
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    holds = inside == model.base_model_prefix or modules[inside] is decoder
    return holds and _BESIDE.search(first) is not None
