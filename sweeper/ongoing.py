"""A request on its way: where its trials come from, and what follows when they are answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sweeper.compose import Composer
from sweeper.looks import MoreSeeds
from sweeper.nuisance import Search
from sweeper.planning import Request
from sweeper.recipe import Looks
from sweeper.records import Reader
from sweeper.searching import SearchedArm
from sweeper.sources import FixedCells, Source
from sweeper.store import Store

BeginSearch = Callable[[Request, Search], SearchedArm]


class Follower(Protocol):
    """What may ask for more when every cell of a request is answered."""

    def next(self, request: Request) -> Request | None:
        """The request with further cells, made of what was measured; None where it is enough."""


@dataclass
class Ongoing:
    """A request on its way: what still has to be asked, and which trials are open."""

    request: Request
    sources: list[Source]
    begin_search: BeginSearch
    followers: Sequence[Follower] = ()
    notes: list[str] = field(default_factory=list)  # for the user
    is_concluded: bool = False  # nothing will be asked any more
    is_finished: bool = False

    @property
    def searches(self) -> list[SearchedArm]:
        """Those that have no winner yet."""
        return [source for source in self.sources if isinstance(source, SearchedArm)]

    @property
    def is_waiting(self) -> bool:
        """Whether some source has, or waits for, an answer."""
        # A search that is done has yet to name its winner, whose trials come then.
        return any(not s.is_done or isinstance(s, SearchedArm) for s in self.sources)

    def conclude(self, store: Store) -> bool:
        """A search that is done has a winner, whose cells on the recipe's seeds are asked next.

        When all are answered, whatever follows them is asked. Returns whether that was anything.
        """
        done = [search for search in self.searches if search.is_done]
        for search in done:
            self.sources.remove(search)
            self._go_on_with(search.conclude(self.request), store)
            self.notes += search.notes
        if done or self.is_waiting or self.is_concluded:
            return bool(done)
        for follower in self.followers:
            if (request := follower.next(self.request)) is not None:
                self._go_on_with(request, store)
                return True
        self.is_concluded = True
        return False

    def _go_on_with(self, request: Request, store: Store) -> None:
        """A request that has cells beside those it had, or lets arms begin that waited."""
        before = self.request
        known = {(c.arm, c.seed) for c in before.begun_cells if c.phase == "report"}
        begun = {search.arm for search in before.begun_searches}
        self.request = request
        self.notes += request.notes[len(before.notes) :]
        store.add_trials(request.trials.values())
        store.save_plan(request.plan)
        cells = [
            c for c in request.begun_cells if c.phase == "report" and (c.arm, c.seed) not in known
        ]
        self.sources += [
            self.begin_search(request, s) for s in request.begun_searches if s.arm not in begun
        ]
        self.sources.append(FixedCells(request, cells, store.statuses(), {}))


def followers_of(request: Request, reader: Reader, composer: Composer) -> list[Follower]:
    """What a recipe asks for beyond the cells that are known beforehand."""
    assert request.recipe is not None
    followers: list[Follower] = []
    if request.held:
        from sweeper.applying import LastThatApplied

        followers.append(LastThatApplied(reader, composer))
    if request.plan.path:
        from sweeper.path import NextRound  # which reads as the tables do, with pandas

        followers.append(NextRound(reader, composer))
    if isinstance(request.recipe.seeds, Looks):  # when all arms are there
        followers.append(MoreSeeds(reader))
    return followers
