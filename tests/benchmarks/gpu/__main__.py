"""What a device makes of the runner: on models of random weights in the shapes of 1B and 8B, made there.

python -m tests.benchmarks.gpu [--shapes 1b 8b] [--rows 3000] [--repeats 2] [--parts loop ...]

Rows of random tokens, 3 conditions that each begin with tokens of their own. Parts:

- loop: by turns the bare forward pass (rows sorted by length, padded on the right, the head at the last
  position, nothing kept) and the capture loop, files written, with the last layer and with all, without
  sharing prefixes and with. Tokens are those that went through the model, padding left out; the peak is that
  of a large matrix product, measured here.
- cost: what a batch costs by itself, in tokens.
- stages: all of `margin.collect`, by stage.
- waits: where the loop waits for the device, and what the device does.
- equality: batches against rows alone, and both against float64.

`--shapes tiny` shows on a CPU that all of it runs.
"""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable
from functools import partial

import torch
import transformers
from rich.console import Console
from rich.table import Table

from tests.benchmarks.gpu.batch_cost import batch_cost_table
from tests.benchmarks.gpu.equality import equality_table
from tests.benchmarks.gpu.loop import loop_table
from tests.benchmarks.gpu.models import SHAPES, random_model
from tests.benchmarks.gpu.stages import stages_table
from tests.benchmarks.gpu.timing import copy_rate, product_peak
from tests.benchmarks.gpu.waits import profile_table, waits_table

PARTS = ("loop", "cost", "stages", "waits", "profile", "equality")


def main() -> None:
    """Run the benchmark; a part that fails says so and the others go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["1b", "8b"])
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--collected", type=int, default=3000, help="rows of the part stages")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    console = Console(highlight=False, width=130)
    started = time.perf_counter()

    def part(name: str, make: Callable[[], Table]) -> None:
        if name not in options.parts:
            return
        try:
            console.print(make())
        except Exception:  # noqa: BLE001  minutes on a device are few: the other parts are wanted
            console.print(traceback.format_exc(), markup=False)
        console.print(f"({name}: {time.perf_counter() - started:.0f} s since the start)\n")

    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    peak = product_peak(dtype, device)
    console.print(
        f"{where}, torch {torch.__version__}, transformers {transformers.__version__}: matrix product "
        f"{peak / 1e12:.1f} TFLOP/s in {dtype}, {product_peak(torch.float32, device) / 1e12:.1f} in float32; "
        f"{copy_rate(device) / 1e9:.1f} GB/s to the host"
    )
    for name in options.shapes:
        shape = SHAPES[name]
        model = random_model(shape, dtype, device)
        part("loop", partial(loop_table, model, shape, options.rows, options.repeats, peak))
        part("cost", partial(batch_cost_table, model, shape))
        part("waits", partial(waits_table, model, shape, min(256, options.rows)))
        if device.type == "cuda":
            part("profile", partial(profile_table, model, shape, min(256, options.rows)))
        part("stages", partial(stages_table, model, shape, options.collected))
        del model
    part("equality", partial(equality_table, SHAPES[options.shapes[0]], device))


if __name__ == "__main__":
    main()
