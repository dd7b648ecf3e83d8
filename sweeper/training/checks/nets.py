"""Checks of nets and their weights: kept and loaded, read, decoded, composed."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweeper.training import losses, prepare
from sweeper.training.checkpoint import Checkpoint
from sweeper.training.checks.bench import Array, Bench, Fact, Ran, answers, close, equal, largest
from sweeper.training.evaluate import Evaluation
from sweeper.training.init import weight_layers
from sweeper.training.loop import build_model
from sweeper.training.prepare import Prepared


def images(bench: Bench) -> tuple[Array, ...]:
    """Noise images of 8 by 8 with a brighter half, which is the class; train, then validation."""
    random = bench.random("images")
    y = np.tile([0, 1], 48)
    x = random.integers(0, 128, (96, 8, 8))
    x[y == 0, :4] += 100
    x[y == 1, 4:] += 100
    return x[:64], y[:64], x[64:], y[64:]


def _trained(bench: Bench, kind: str = "mlp", **model: Any) -> tuple[Ran, Prepared]:
    """A net after some training on images, and the data as it was fed them."""
    config = bench.config(
        images(bench), kind, model=model, data={"scaling": "unit"}, optim={"lr": 0.1},
        train={"epochs": 3, "batch_size": 16},
    )  # fmt: skip
    return bench.train(config), prepare.load(config["data"], bench.seed).to(bench.device)


def weights_reload(bench: Bench) -> Iterator[Fact]:
    """E3: weights are a dictionary of tensors, which loads to the same outputs, and in part."""
    ran, data = _trained(bench, "cnn", norm="batch", channels=4)
    net, config = ran.net.eval(), ran.config
    state = net.state_dict()
    are_tensors = all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    yield Fact("the weights are a dictionary of tensors by name", bool(state) and are_tensors)
    kept = Checkpoint(ran.folder, config, bench.seed, bench.device)
    kept.write({"model": state})
    read = kept.read()
    yield Fact("the file that was written can be read", read is not None)
    fresh = build_model(config, data, bench.seed + 1).to(bench.device).eval()
    x, expected = data.val_x, answers(net, data.val_x)
    yield Fact("a fresh net answers otherwise", largest(answers(fresh, x), expected) > 1e-3)
    fresh.load_state_dict({} if read is None else read["model"])
    yield close("with the weights it answers alike", largest(answers(fresh, x), expected), 0.0)
    yield from _in_part(bench, ran, data, state)


def _in_part(bench: Bench, ran: Ran, data: Prepared, state: dict[str, Tensor]) -> Iterator[Fact]:
    """All but the last layer go into a net with more classes."""
    wider = replace(data, classes=(*data.classes, "a third one"))
    net = build_model(ran.config, wider, bench.seed + 1).to(bench.device).eval()
    last = [name for name, v in net.state_dict().items() if v.shape != state[name].shape]
    own = {name: net.state_dict()[name].clone() for name in last}
    answer = net.load_state_dict({k: v for k, v in state.items() if k not in last}, strict=False)
    yield equal("what was left out", sorted(answer.missing_keys), sorted(last))
    yield Fact("that is the last layer", len(last) == 2)
    kept = [torch.equal(net.state_dict()[name], value) for name, value in own.items()]
    yield Fact("the last layer keeps its own weights", all(kept))
    bodies = [nn.Sequential(*list(whole.children())[:-1]) for whole in (net, ran.net)]
    difference = largest(*(answers(body, data.val_x) for body in bodies))
    yield close("what comes before it answers alike", difference, 0.0)


def dropout_off_in_evaluation(bench: Bench) -> Iterator[Fact]:
    """E6a: in evaluation dropout is the identity, in training it is not."""
    ran, data = _trained(bench, dropout=0.5)
    yield from _acts_in_training_only(bench, ran, data, nn.Dropout)


def norm_off_in_evaluation(bench: Bench) -> Iterator[Fact]:
    """E6b as the text has it: in evaluation batch norm is the identity, in training it is not."""
    ran, data = _trained(bench, norm="batch")
    yield from _acts_in_training_only(bench, ran, data, nn.BatchNorm1d)


def _acts_in_training_only(
    bench: Bench, ran: Ran, data: Prepared, kind: type[nn.Module]
) -> Iterator[Fact]:
    """What the loop reads of the net, and of the same net with the identity in its place."""
    without = copy.deepcopy(ran.net)
    places = [name for name, module in without.named_modules() if isinstance(module, kind)]
    for name in places:
        without.set_submodule(name, nn.Identity())
    yield Fact("the net has such layers", bool(places))
    loss = losses.build("cross_entropy", is_classification=True)
    read = {}
    for mode in ("train", ran.config["train"]["evaluation_mode"]):
        axes = {**ran.config["train"], "evaluation_mode": mode}
        both = [Evaluation(data, loss, axes, bench.seed).read(net) for net in (ran.net, without)]
        read[mode] = abs(both[0]["val_loss"] - both[1]["val_loss"])
    yield Fact("it changes what is read in training mode", read["train"] > 1e-3)
    # batch norm at its start divides by √(1 + 1e-5)
    in_evaluation = read[ran.config["train"]["evaluation_mode"]]
    yield close("and the loss that is read in evaluation by", in_evaluation, 1e-4)


WORDS = (
    "the", "a", "cat", "dog", "bird", "sat", "ran", "flew", "on", "under",
    "over", "mat", "tree", "house", "small", "old", "red", "slowly", "today", "and",
)  # fmt: skip


def words_decode(bench: Bench) -> Iterator[Fact]:
    """E7: a net answers with word vectors; the nearest row of the embedding tells the word."""
    torch.manual_seed(bench.seed)
    table = nn.Embedding(len(WORDS), 16).weight.detach()
    index = {word: i for i, word in enumerate(WORDS)}
    text = [WORDS[i] for i in bench.random("words").integers(0, len(WORDS), 200)]
    encoded = table[torch.tensor([index[word] for word in text])]
    yield equal("encoded and decoded", _wrong(decoded(encoded, table), text), 0)
    # the net is to learn which vector belongs to which word
    x, y = np.eye(len(WORDS), dtype=np.float32), table.numpy()
    ran = bench.train(
        bench.config(
            (x, y, x, y), model={"depth": 0}, loss={"name": "mse"},
            optim={"name": "adam", "lr": 0.05}, train={"epochs": 150, "evaluate_every": 150},
        )
    )  # fmt: skip
    untrained = build_model(ran.config, prepare.load(ran.config["data"], bench.seed), bench.seed)
    asked = torch.from_numpy(x)
    before, after = answers(untrained, asked), answers(ran.net.cpu(), asked)
    wrong = _wrong(decoded(after, table), WORDS)
    yield close("words that the trained net's vectors miss", wrong, 0)
    yield Fact("the untrained one's miss some", _wrong(decoded(before, table), WORDS) > 0)


def decoded(vectors: Tensor, table: Tensor) -> list[str]:
    """The word of the nearest row of the embedding, for each vector."""
    return [WORDS[i] for i in torch.cdist(vectors, table).argmin(dim=1).tolist()]


def _wrong(found: Sequence[str], expected: Sequence[str]) -> int:
    return sum(a != b for a, b in zip(found, expected, strict=True))


def linear_net_collapses(bench: Bench) -> Iterator[Fact]:
    """B03a: a trained deep net without activation equals the one linear map it multiplies out to,
    and so does one of convolutions, which adds up as linear maps do."""
    ran, data = _trained(bench, depth=5, activation="none")
    net = ran.net.eval().double()
    x = data.val_x.double()
    weight = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device)
    bias = weight.new_zeros(len(weight))
    layers = weight_layers(net)
    yield equal("layers multiplied out", len(layers), 6)
    for layer in layers:
        assert isinstance(layer, nn.Linear)
        weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
    expected = (x.flatten(1) @ weight.T + bias).detach()
    yield close("difference to the one map", largest(answers(net, x), expected), 1e-9)
    ran, data = _trained(bench, "cnn", activation="none", pooling="average")
    apart = bend(ran.net.eval().double(), data.val_x.double())
    yield close("convolutions: distance from a linear model", apart, 1e-9)


def bend(net: nn.Module, x: Tensor) -> float:
    """How far the answer to a mixture is from the mixture of the answers: 0 for a linear net."""
    half = len(x) // 2
    mixture = answers(net, 0.3 * x[:half] + 0.7 * x[half:])
    return largest(mixture, 0.3 * answers(net, x[:half]) + 0.7 * answers(net, x[half:]))


CHECKS = (
    weights_reload,
    dropout_off_in_evaluation,
    norm_off_in_evaluation,
    words_decode,
    linear_net_collapses,
)
