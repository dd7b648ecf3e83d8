"""A recipe: the question, the baseline, the arms that change it, the seeds, the claims."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from sweeper.arm import NAME, Arm, Components, Factorial, Grids, Value
from sweeper.claim import LONGEST_NAME, Assertion, Claim, Finite, Part, parsed
from sweeper.errors import nearest
from sweeper.limits import MOST_OF_LOOKS, MOST_SEEDS
from sweeper.metric import ALONG_AN_AXIS, MetricExpression, parse

BASELINE = "baseline"
TARGET = "target"  # the arm at the end of a path
DURATION = "duration_s"  # of each trial, as it was measured: a search may tune for it
Goal = Literal["down", "up"]


def is_name_of_a_plan(name: str) -> bool:
    """Whether it may name a folder under outputs, beside the trials and the cache."""
    taken = ("all", "cache", "trials", "reproduction.csv")
    fits = len(name) <= LONGEST_NAME and re.fullmatch(NAME, name)
    return bool(fits) and not name.startswith("sweeper.") and name not in taken


class Metric(Part):
    """How one metric is judged."""

    smallest_effect: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="The smallest difference worth speaking of."
    )
    goal: Goal | None = Field(
        None,
        description="Which way is better; from the name if not given (loss down, accuracy up).",
    )
    scale: Literal["linear", "log"] = Field(
        "linear", description="`log` compares log10 of the values: for losses that span decades."
    )
    of_diverged: Literal["worst", "measured"] = Field(
        "worst",
        description="What a diverged run counts as: the worst value, or the value it measured.",
    )
    variance: Literal["own", "pooled"] = Field(
        "own",
        description="A comparison's variance is its own, or one of all arms, if they vary alike.",
    )


Choice = bool | int | Finite | str


def _listed(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, list) and any(map(_is_nested, value))):
        raise ValueError(f"give a value, or a list of values, and not {value!r}")
    return value if isinstance(value, list) else [value]


def _is_nested(value: Any) -> bool:
    return value is None or isinstance(value, dict | list)


def _told(metric: Any) -> Any:
    return [metric] if isinstance(metric, str) else metric


Values = Annotated[
    list[Choice],
    Field(min_length=1),
    BeforeValidator(_listed, json_schema_input_type=list[Choice] | Choice),
]


class Range(Part):
    """The values a nuisance axis is searched over."""

    low: float | None = Field(None, allow_inf_nan=False)
    high: float | None = Field(None, allow_inf_nan=False)
    log: bool = False
    integer: bool = False
    choices: list[Choice] | None = Field(None, min_length=1)
    when: dict[str, Values] = Field(
        default_factory=dict,
        description="The axis is there where each of these axes has one of these values.",
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None:
                raise ValueError("give either `choices` or `low` and `high`")
            if doubled := [c for i, c in enumerate(self.choices) if is_among(c, self.choices[:i])]:
                raise ValueError(f"the choice {doubled[0]!r} stands twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give `low` and `high`, or `choices`")
        if self.low >= self.high:
            raise ValueError(f"`low < high` must hold, but got (low={self.low}, high={self.high})")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"an integer range has whole ends, but got {self.low} and {self.high}")
        if math.isinf(self.high - self.low):
            raise ValueError(f"a range is finite, but got {self.low} to {self.high}")
        if self.integer and max(-self.low, self.high) > 2**53:
            raise ValueError("an integer range lies within ±2**53, where floats are whole")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range starts above zero, but got low={self.low}")
        return self

    def takes(self, value: Any) -> bool:
        """Whether the search may propose this value."""
        if self.choices is not None:
            return is_among(value, self.choices)
        assert self.low is not None and self.high is not None
        if isinstance(value, bool | str) or (self.integer and value != int(value)):
            return False
        return bool(self.low <= value <= self.high)


def is_among(value: Any, values: Iterable[Any]) -> bool:
    """Whether it is one of these; a switch is no number, and 1 is 1.0."""
    return any(isinstance(v, bool) == isinstance(value, bool) and v == value for v in values)


class Search(Part):
    """Nuisance axes, tuned by Optuna for each of `arms` before its reported seeds run."""

    axes: dict[str, Range] = Field(min_length=1)
    arms: list[str] | None = Field(None, min_length=1, description="All arms if not given.")
    trials: int = Field(20, ge=1, description="Trials of the search, for each arm.")
    seeds: list[int] = Field([10000], min_length=1, description="Never the reported ones.")
    metric: Annotated[
        list[str] | None, BeforeValidator(_told, json_schema_input_type=str | list[str] | None)
    ] = Field(
        None, min_length=1, description="What is tuned for (a list: all of them); the first metric."
    )
    replay: Literal["exact", "enqueue"] = Field(
        "exact",
        description="How a search goes on where Optuna proposes other values than were recorded: "
        "not at all, or from the recorded values.",
    )

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, seeds: list[int]) -> list[int]:
        return read_seeds(seeds)

    @field_validator("metric")
    @classmethod
    def _are_a_runs_own(cls, metrics: list[str] | None) -> list[str] | None:
        for metric in metrics or ():
            if parsed(metric).function in {*ALONG_AN_AXIS, "spread"}:
                raise ValueError(f"{metric!r} is no metric of a single run")
        if metrics is not None and len(set(metrics)) != len(metrics):
            raise ValueError(f"a metric stands twice in {metrics!r}")
        return metrics

    @model_validator(mode="after")
    def _conditions_can_hold(self) -> Self:
        for axis, found in self.axes.items():
            for parent, values in found.when.items():
                if parent in self.axes:
                    self._check_condition(axis, parent, values)
        left = dict(self.axes)
        while free := [a for a, found in left.items() if not left.keys() & found.when.keys()]:
            left = {a: found for a, found in left.items() if a not in free}
        if left:
            raise ValueError(f"axes: the `when` of {' and '.join(map(repr, left))} go in a circle")
        return self

    def _check_condition(self, axis: str, parent: str, values: list[Any]) -> None:
        for value in values:
            if not self.axes[parent].takes(value):
                raise ValueError(
                    f"axes: {axis!r} is there when {parent!r} is {value!r}, which is not among the "
                    f"values that {parent!r} is searched over"
                )


class Looks(Part):
    """Seeds that are added until every claim is decided: the first `min`, at most `max`."""

    min: int = Field(ge=2, description="Seeds that run in any case.")
    max: int = Field(le=MOST_OF_LOOKS, description="The most seeds that may run.")
    by: int = Field(1, ge=1, description="How many are added at a time.")

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"`min < max` must hold, but got (min={self.min}, max={self.max})")
        return self


Seeds = Annotated[
    Annotated[Looks, Tag("looks")] | Annotated[list[int], Tag("list")],
    Discriminator(lambda seeds: "looks" if isinstance(seeds, dict | Looks) else "list"),
]


class Recipe(Part):
    """What shall be asked. Shapes and meaning: docs/recipes.md."""

    question: str = Field(min_length=1)
    source: str = Field("", description="The document the claims come from.")
    notes: str = Field("", description="How the conditions were chosen.")
    otherwise: str = Field("", description="Under which conditions it may turn out otherwise.")
    baseline: dict[str, Value] = Field(
        default_factory=dict, description="A bare key chooses from a group; a dotted one sets."
    )
    sequence: list[Arm] = Field(
        default_factory=list, description="Arms in order, each changing the one before."
    )
    arms: list[Arm] = Field(default_factory=list, description="Arms that change the baseline.")
    leave_one_out: Components = Field(
        default_factory=dict, description="An arm without each component: its axes' values then."
    )
    add_one_in: Components = Field(
        default_factory=dict, description="An arm with each component: its axes' values then."
    )
    one_at_a_time: dict[str, list[Value]] = Field(
        default_factory=dict, description="An arm for each value of each axis."
    )
    grid: Grids = Field(
        default_factory=dict,
        description="An arm for each combination of the axes' values; several grids as a list.",
    )
    factorial: Factorial | None = None
    ladder: dict[str, list[Value]] = Field(
        default_factory=dict,
        description="One axis; each rung is compared with the rung before.",
        max_length=1,
    )
    path: dict[str, Value] = Field(
        default_factory=dict,
        description="The target's values; from the baseline the best change is taken, again and "
        "again.",
    )
    search: Search | None = None
    seeds: Seeds = Field(
        description="A number n (0 … n-1), a list, or {min: 3, max: 20}: as many as are needed."
    )
    folds: int | None = Field(
        None,
        ge=2,
        description="Seed s is fold s mod k of k: the trials share training data, and are believed"
        " less.",
    )
    metrics: dict[str, Metric] = Field(min_length=1)
    claims: list[Claim] = Field(default_factory=list)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, seeds: Any) -> Any:
        return seeds if isinstance(seeds, dict | Looks) else read_seeds(seeds)

    @field_validator("metrics", mode="before")
    @classmethod
    def _bare_metrics(cls, metrics: Any) -> Any:
        if isinstance(metrics, list) and all(isinstance(metric, str) for metric in metrics):
            metrics = dict.fromkeys(metrics)
        if not isinstance(metrics, dict):
            return metrics
        return {k: {} if v is None else v for k, v in metrics.items()}

    @field_validator("metrics")
    @classmethod
    def _metrics_parse(cls, metrics: dict[str, Metric]) -> dict[str, Metric]:
        for text, metric in metrics.items():
            if metric.goal is None and goal_of(parsed(text)) is None:
                raise ValueError(
                    f"metric {text!r}: its name says neither loss nor accuracy; "
                    "add `goal: down` or `goal: up`"
                )
        return metrics

    @model_validator(mode="after")
    def _claims_can_be_judged(self) -> Self:
        ids = [i for c in self.claims for i in {c.id, *(line for line, _ in c.assertions())}]
        doubled = [i for i, n in Counter(ids).items() if n > 1]
        if doubled:
            raise ValueError(f"two claims have the id {doubled[0]!r}")
        for claim in self.claims:
            for line, assertion in claim.assertions():
                self._check_assertion(line, assertion)
        if self.search is not None and set(self.search.seeds) & set(self.every_seed):
            raise ValueError("search.seeds are never the reported seeds: leave the default, 10000")
        for told in self._told():
            is_known = told in self.metrics or told == DURATION
            if not is_known and goal_of(parse(told)) is None:
                raise ValueError(
                    f"search.metric {told!r}: its name says neither loss nor accuracy; "
                    "name it under `metrics:` with its `goal`"
                )
        return self

    def _told(self) -> list[str]:
        """What a search is told; of a metric over several runs the inner one."""
        if self.search is None or self.search.metric:
            return [] if self.search is None else list(self.search.metric or ())
        expression = parse(next(iter(self.metrics)))
        return [expression.name] if expression.function in {*ALONG_AN_AXIS, "spread"} else []

    def _check_assertion(self, line: str, assertion: Assertion) -> None:
        metric = assertion.metric or next(iter(self.metrics))
        if assertion.kind == "exact":  # an equality needs neither a goal nor a size
            return
        if metric not in self.metrics:
            raise ValueError(
                f"claim {line}: metric {metric!r} is not under `metrics:`. "
                + nearest(metric, self.metrics, what="metrics")
            )
        needs_size = assertion.kind in ("no_effect", "no_worse")
        if needs_size and not self.metrics[metric].smallest_effect:
            raise ValueError(
                f"claim {line}: {assertion.kind} needs `smallest_effect` above zero for {metric!r}"
            )

    @property
    def grids(self) -> list[dict[str, list[Value]]]:
        """Each grid of their union."""
        return self.grid if isinstance(self.grid, list) else [self.grid]

    @property
    def every_seed(self) -> list[int]:
        """The seeds that may run: all of them, or the first of them where looks end it sooner."""
        return list(range(self.seeds.max)) if isinstance(self.seeds, Looks) else self.seeds

    @property
    def first_seeds(self) -> list[int]:
        """The seeds that run in any case."""
        return list(range(self.seeds.min)) if isinstance(self.seeds, Looks) else self.seeds

    def goal(self, metric: str) -> Goal:
        """Which way the metric is better, given in the recipe or read from its name."""
        return self.metrics[metric].goal or goal_of(parse(metric)) or "down"


def goal_of(expression: MetricExpression) -> Goal | None:
    """Fewer epochs and less spread are better, and a larger workable value; else by the name."""
    if expression.function == "best_of":  # a value of the axis: neither way is better by itself
        return None
    own: dict[str, Goal] = {"epochs_to": "down", "spread": "down", "largest_of": "up"}
    return own.get(expression.function) or goal_from_name(expression.name)


def goal_from_name(name: str) -> Goal | None:
    """`down` for a loss or an error, `up` for an accuracy, None where the name does not say."""
    if re.search(r"loss|error", name):
        return "down"
    return "up" if re.search(r"accuracy|score", name) else None


def read_seeds(seeds: Any) -> list[int]:
    """A count n means 0 … n-1; a list means itself. Raises ValueError on anything else."""
    if isinstance(seeds, bool) or not isinstance(seeds, int | list):
        raise ValueError(f"seeds is a number (10 means 0 … 9) or a list, but got {seeds!r}")
    if isinstance(seeds, int):
        if seeds < 1:
            raise ValueError(f"seeds is at least 1, but got {seeds}")
        if seeds > MOST_SEEDS:
            raise ValueError(f"seeds is at most {MOST_SEEDS}, but got {seeds}")
        return list(range(seeds))
    if not seeds or any(isinstance(s, bool) or not isinstance(s, int) or s < 0 for s in seeds):
        raise ValueError(f"a list of seeds holds whole numbers from 0 up, but got {seeds!r}")
    if max(seeds) >= 2**32:
        raise ValueError(f"a seed is below 2**32, as NumPy's are, but got {max(seeds)}")
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"a seed stands twice in {seeds!r}")
    return seeds
