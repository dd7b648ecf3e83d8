"""Reading: tables, statistics, claims, diagnosis. Imports no torch, Ray or Hydra."""
