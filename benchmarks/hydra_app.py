"""The same no-op as a Hydra application, for its own multirun and its joblib launcher."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base=None, config_path=None)
def main(config: DictConfig) -> float:
    return float(config.get("seed", 0))


if __name__ == "__main__":
    main()
