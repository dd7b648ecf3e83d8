"""The built-in task: train one net on one data set and report what happened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sweeper import targets
from sweeper.errors import RequestError
from sweeper.training import checkpoint, init, prepare, pretraining, streams
from sweeper.training.checkpoint import Checkpoint
from sweeper.training.leaving import leave
from sweeper.training.prepare import Prepared
from sweeper.training.run import Report, Run


def train(
    config: Mapping[str, Any], *, seed: int, device: str, report: Report, workdir: Path
) -> dict[str, float]:
    """Train as `config` says and return the last value of every metric.

    `report` hears of epoch 0 (before training) and of each evaluated epoch; docs/recipes.md lists
    the metrics. Bit for bit reproducible from `seed` on one machine with one thread, also when it
    was stopped and goes on from the checkpoint in `workdir`. Raises what the data, the model or
    torch raise; a loss of NaN or inf is a result, not an error.
    """
    data = prepare.load(config["data"], seed).to(device)
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices), checkpoint.kept(workdir, config, seed, device) as kept:
        run = _begun(config, data, seed, device, kept)
        run.start(report, kept)
        run.train(report, kept)
        if run.is_interrupted:
            run = _interrupted(run, config, data, seed, device, kept)
            run.train(report, kept)
        for name, content in run.leaves(seed).items():
            leave(workdir / name, content)
        return run.ending()


def _begun(
    config: Mapping[str, Any], data: Prepared, seed: int, device: str, kept: Checkpoint
) -> Run:
    """The run where its checkpoint left it, or else at its start."""
    run, state = _fresh(config, data, seed, device), kept.read()
    if state is not None:
        try:
            run.load_state(state)
        except Exception as error:  # noqa: BLE001 - a net changed meanwhile raises all kinds
            kept.refuse(error)
            run = _fresh(config, data, seed, device)  # a state that fits in part is there in part
        else:
            checkpoint.log(f"training goes on after epoch {state['progress']['epochs']}.")
            return run
    if config["train"]["pretrain_epochs"]:
        _pretrain(run, config, data, seed, device)
    return run


def _fresh(config: Mapping[str, Any], data: Prepared, seed: int, device: str) -> Run:
    model = build_model(config, data, seed).to(device)
    torch.manual_seed(streams.number(seed, "dropout"))
    return Run(config, model, data, seed)


def _pretrain(run: Run, config: Mapping[str, Any], data: Prepared, seed: int, device: str) -> None:
    """Train as the run will be trained, on the classes that it leaves out, from the same start."""
    other = pretraining.other_data(config, data, seed).to(device)
    before = _fresh(
        pretraining.other_config(config), other, streams.number(seed, "pretraining"), device
    )
    pretraining.keep_all_but_the_last_layer(run.model, before.model)
    before.train_unheard()
    pretraining.keep_all_but_the_last_layer(before.model, run.model)
    torch.manual_seed(streams.number(seed, "dropout"))


def _interrupted(
    run: Run,
    config: Mapping[str, Any],
    data: Prepared,
    seed: int,
    device: str,
    kept: Checkpoint,
) -> Run:
    """The run in fresh objects, from what was written of it, with or without the optimizer's."""
    left = run.state()
    kept.write(left)
    state = kept.read()
    if state is None or state["progress"]["epochs"] != left["progress"]["epochs"]:
        raise RuntimeError("train.interrupt_after: the checkpoint could not be kept.")
    fresh = _fresh(config, data, seed, device)
    if config["train"]["optimizer_state"] == "dropped":
        state["optimizer"] = fresh.state()["optimizer"]
    fresh.load_state(state)
    fresh.go_on()
    return fresh


def build_model(config: Mapping[str, Any], data: Prepared, seed: int) -> nn.Module:
    """The net that `config` names, with the starting weights of the seed's stream `init`.

    Seeds torch's global generator; a caller who minds wraps it in `fork_rng`.
    """
    values = {k: v for k, v in config["model"].items() if k != "_target_"}
    torch.manual_seed(streams.number(seed, "init"))
    offered = {"input_shape": data.input_shape, "outputs": data.outputs}
    model = targets.call(config["model"]["_target_"], values, offered)
    if not isinstance(model, nn.Module):
        raise RequestError(
            f"the model function returned {type(model).__name__}, not a torch Module"
        )
    init.initialise(model, config["init"])
    return model
