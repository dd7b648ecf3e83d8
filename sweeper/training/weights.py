"""How the weights of each layer are distributed, before training and after, for people's eyes.

`weights.json` in a trial's folder: a histogram of each parameter with more than one dimension.
"""

import json
import math
from typing import Any

import torch
from torch import nn

NAME = "weights.json"
BINS = 40
# More layers than anybody looks at; their histograms come to half a megabyte.
MOST = 256

Histogram = dict[str, Any]  # name, shape, low, high, counts; without the last three if not finite


def histograms(model: nn.Module) -> list[Histogram]:
    """Of each weight as it stands: `counts` in 40 equal bins from its least to its largest."""
    named = [(name, p) for name, p in model.named_parameters() if _is_weight(p)]
    return [_histogram(name, p.detach().double().cpu()) for name, p in named[:MOST]]


def _is_weight(parameter: nn.Parameter) -> bool:
    return parameter.is_floating_point() and parameter.ndim > 1 and parameter.numel() > 0


def _histogram(name: str, weight: torch.Tensor) -> Histogram:
    found: Histogram = {"name": name, "shape": list(weight.shape)}
    low, high = (end.item() for end in weight.aminmax())
    if not math.isfinite(high - low):
        return found
    # of equal weights torch would make bins of its own, one to either side
    bins = weight.histc(BINS, low, high) if high > low else torch.tensor([weight.numel()])
    return {**found, "low": low, "high": high, "counts": [int(n) for n in bins.tolist()]}


def content(before: list[Histogram], after: list[Histogram]) -> bytes:
    """The file's content."""
    return json.dumps({"before": before, "after": after}).encode()
