"""One seed, split by name into independent streams of randomness, the same in every arm."""

import zlib

import numpy as np
import torch

# The names in use; any other name works as well.
NAMES = ("split", "init", "order", "dropout", "evaluation", "augmentation")


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
