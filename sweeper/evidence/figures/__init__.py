"""Figures: of each a dataclass is computed, whose numbers are tested, and then drawn."""
