"""Tasks that do nothing, for measuring what an orchestrator adds."""


def noop(config, *, seed, device, report, workdir):
    """A trial that costs nothing and returns its seed."""
    return {"loss": float(seed)}
