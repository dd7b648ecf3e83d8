"""The same uneven trials as a Hydra application, for its Optuna sweeper and joblib launcher."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from tasks import nap


@hydra.main(version_base=None, config_path=None)
def main(config: DictConfig) -> float:
    """The sampler's x is of no account: the job's number says how long it sleeps."""
    return nap(Path(config.folder), HydraConfig.get().job.num)


if __name__ == "__main__":
    main()
