"""One seed, split by name into independent streams of randomness, the same in every arm."""

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

# The names in use; any other name works as well.
NAMES = (
    "split", "init", "order", "dropout", "evaluation", "augmentation", "input_noise",
    "mining", "pretraining", "probes",
)  # fmt: skip


def sequence(seed: int, name: str) -> np.random.SeedSequence:
    """The stream `name` of `seed`: a checksum of the name, since `hash` differs by process."""
    return np.random.SeedSequence([seed, zlib.crc32(name.encode())])


def generator(seed: int, name: str) -> np.random.Generator:
    """A NumPy generator at the start of the stream."""
    return np.random.default_rng(sequence(seed, name))


def number(seed: int, name: str) -> int:
    """63 bits of the stream: what `torch.manual_seed` takes."""
    return int(sequence(seed, name).generate_state(1, np.uint64)[0] >> np.uint64(1))


def torch_generator(seed: int, name: str) -> torch.Generator:
    """A torch generator (CPU) at the start of the stream."""
    return torch.Generator().manual_seed(number(seed, name))


def global_state(device: torch.device) -> dict[str, Tensor]:
    """Of torch's global generators: dropout draws from that of the device it runs on."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def set_global_state(device: torch.device, state: Mapping[str, Tensor]) -> None:
    """Stand where `state` was taken."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
