"""Seeds added in looks, until every claim of a recipe is decided."""

from sweeper.planning import Request
from sweeper.store import Store


class MoreSeeds:
    """Adds seeds to the arms whose claims are still open."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def next(self, request: Request) -> Request | None:
        return None
