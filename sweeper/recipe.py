"""A recipe: the question, the baseline, the arms that change it, the seeds, the claims."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from sweeper.errors import RequestError, nearest
from sweeper.metric import ALONG_AN_AXIS, MetricExpression, parse

BASELINE = "baseline"
Goal = Literal["down", "up"]
Value = bool | int | float | str | list[Any] | dict[Any, Any] | None
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+=,-]*$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=False)


class Metric(_Part):
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


class Arm(_Part):
    """A change of the baseline, or of the arm that `from` names."""

    name: str = Field(pattern=NAME)
    set: dict[str, Value] = Field(
        default_factory=dict,
        description="Axes and their values; a bare key chooses from a group.",
    )
    from_: str | None = Field(
        None, alias="from", description="The arm to start at, and to be compared with."
    )


class _Claim(_Part):
    statement: str = Field(min_length=1, description="What the document asserts, in own words.")
    documented: str | float = Field("", description="The document's own figure.")
    metric: str | None = Field(None, description="The metric; the recipe's first if not given.")

    @field_validator("metric")
    @classmethod
    def _parses(cls, metric: str | None) -> str | None:
        if metric is not None:
            _parsed(metric)
        return metric

    def arms_named(self) -> list[str]:
        """Every arm that the claim speaks of."""
        named = [getattr(self, "arm", None), getattr(self, "reference", None)]
        named += [*(getattr(self, "arms", None) or ()), *(getattr(self, "contrast", None) or ())]
        return [name for name in named if name is not None]


class Comparison(_Claim):
    """A difference paired by seed: `arm` against `reference`, or a `contrast` of several arms.

    `no_worse`: surely not worse by the smallest effect; it may be better.
    """

    kind: Literal["better", "worse", "no_effect", "no_worse"]
    arm: str | None = None
    reference: str | None = Field(None, description="The arm it started from if not given.")
    contrast: dict[str, float] | None = Field(
        None, description="Weights of arms; their weighted sum is compared with zero."
    )

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.arm is None) == (self.contrast is None):
            raise ValueError("give either `arm` or `contrast`")
        if self.contrast is not None and self.reference is not None:
            raise ValueError("a `contrast` has no `reference`: give that arm a weight")
        if self.contrast is not None and abs(sum(self.contrast.values())) > 1e-9:
            raise ValueError("the weights of a `contrast` add up to zero, as in {a: 1, b: -1}")
        if self.contrast is not None and not any(self.contrast.values()):
            raise ValueError("a `contrast` has weights other than zero, as in {a: 1, b: -1}")
        return self


class _Event(_Claim):
    """Something that happens in a run or does not; decided on the share of seeds."""

    arm: str | None = None
    arms: list[str] | None = Field(
        None, min_length=1, description="Several arms: it holds for a seed if in most of them."
    )
    negated: bool = Field(False, description="The claim is that it does not happen.")

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.arm is None) == (self.arms is None):
            raise ValueError("give either `arm` or `arms`")
        return self


class Reaches(_Event):
    """The metric reaches a level (at least it where up is better, at most it where down is)."""

    kind: Literal["reaches"]
    level: float = Field(allow_inf_nan=False)


class Diverges(_Event):
    """The run becomes NaN or inf, within so many steps where that is given."""

    kind: Literal["diverges"]
    within_steps: int | None = Field(None, ge=1)
    after_level: float | None = Field(
        None, allow_inf_nan=False, description="The metric had reached this level before."
    )


class Diagnosed(_Event):
    """The loss-trend rule or the health record names it."""

    kind: Literal["diagnosed"]
    diagnosis: Literal["diverged", "R7", "R7_overfitting"]


class Order(_Claim):
    """The arms rank as stated, the best first."""

    kind: Literal["order"]
    arms: list[str] = Field(min_length=2)


class Exact(_Claim):
    """An equality, without statistics: of `arm` and `reference`, seed by seed, or a named check."""

    kind: Literal["exact"]
    arm: str | None = None
    reference: str | None = None
    check: str | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.arm is None) == (self.check is None):
            raise ValueError("give either `arm` or `check`")
        return self


Assertion = Annotated[
    Comparison | Reaches | Diverges | Diagnosed | Order | Exact, Field(discriminator="kind")
]


class Claim(_Part):
    """A row of the ledger: one assertion, or several with letters."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.\-]+$")
    source: str | None = Field(None, description="The document; the recipe's if not given.")
    assertion: Assertion | None = None
    parts: dict[str, Assertion] | None = Field(
        None, min_length=1, description="Assertions by letter; reproduced when every one is."
    )
    statement: str = ""

    @model_validator(mode="before")
    @classmethod
    def _assertion_lies_flat(cls, raw: Any) -> Any:
        """In YAML the assertion's keys stand beside the id; `kind` tells that there is one."""
        if not isinstance(raw, Mapping) or "parts" in raw or "assertion" in raw:
            return raw
        own = {k: raw[k] for k in ("id", "source") if k in raw}
        return {**own, "assertion": {k: v for k, v in raw.items() if k not in own}}

    @field_validator("parts")
    @classmethod
    def _letters(cls, parts: dict[str, Assertion] | None) -> dict[str, Assertion] | None:
        for letter in parts or ():
            if not re.fullmatch(r"[a-z]", letter):
                raise ValueError(f"parts are named by one small letter, but got {letter!r}")
        return parts

    def assertions(self) -> Iterator[tuple[str, Assertion]]:
        """The id and the assertion of each line: `T2.1a`, `T2.1b`, or the bare id."""
        if self.assertion is not None:
            yield self.id, self.assertion
        for letter, part in (self.parts or {}).items():
            yield self.id + letter, part


class Range(_Part):
    """The values a nuisance axis is searched over."""

    low: float | None = Field(None, allow_inf_nan=False)
    high: float | None = Field(None, allow_inf_nan=False)
    log: bool = False
    integer: bool = False
    choices: list[bool | int | float | str] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None:
                raise ValueError("give either `choices` or `low` and `high`")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give `low` and `high`, or `choices`")
        if self.low >= self.high:
            raise ValueError(f"`low < high` must hold, but got (low={self.low}, high={self.high})")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"an integer range has whole ends, but got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range starts above zero, but got low={self.low}")
        return self


class Search(_Part):
    """Nuisance axes, tuned by Optuna for each of `arms` before its reported seeds run."""

    axes: dict[str, Range] = Field(min_length=1)
    arms: list[str] | None = Field(None, min_length=1, description="All arms if not given.")
    trials: int = Field(20, ge=1, description="Trials of the search, for each arm.")
    seeds: list[int] = Field([10000], min_length=1, description="Never the reported ones.")
    metric: str | None = Field(None, description="What is tuned for; the recipe's first metric.")

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, seeds: list[int]) -> list[int]:
        return read_seeds(seeds)

    @field_validator("metric")
    @classmethod
    def _is_one_runs_own(cls, metric: str | None) -> str | None:
        if metric is not None and _parsed(metric).function in {*ALONG_AN_AXIS, "spread"}:
            raise ValueError(f"{metric!r} is no metric of a single run")
        return metric


class Recipe(_Part):
    """What shall be asked. Shapes and meaning: docs/recipes.md."""

    question: str = Field(min_length=1)
    source: str = Field("", description="The document the claims come from.")
    notes: str = Field("", description="How the conditions were chosen.")
    baseline: dict[str, Value] = Field(
        default_factory=dict, description="A bare key chooses from a group; a dotted one sets."
    )
    sequence: list[Arm] = Field(
        default_factory=list, description="Arms in order, each changing the one before."
    )
    arms: list[Arm] = Field(default_factory=list, description="Arms that change the baseline.")
    one_at_a_time: dict[str, list[Value]] = Field(
        default_factory=dict, description="An arm for each value of each axis."
    )
    grid: dict[str, list[Value]] = Field(
        default_factory=dict, description="An arm for each combination of the axes' values."
    )
    ladder: dict[str, list[Value]] = Field(
        default_factory=dict,
        description="One axis; each rung is compared with the rung before.",
        max_length=1,
    )
    search: Search | None = None
    seeds: list[int] = Field(description="A number n (0 … n-1) or a list.")
    metrics: dict[str, Metric] = Field(min_length=1)
    claims: list[Claim] = Field(default_factory=list)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, seeds: Any) -> Any:
        return read_seeds(seeds)

    @field_validator("metrics", mode="before")
    @classmethod
    def _bare_metrics(cls, metrics: Any) -> Any:
        if isinstance(metrics, list):
            metrics = dict.fromkeys(metrics)
        return {k: v or {} for k, v in metrics.items()} if isinstance(metrics, dict) else metrics

    @field_validator("metrics")
    @classmethod
    def _metrics_parse(cls, metrics: dict[str, Metric]) -> dict[str, Metric]:
        for text, metric in metrics.items():
            if metric.goal is None and goal_of(_parsed(text)) is None:
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
        if self.search is not None and set(self.search.seeds) & set(self.seeds):
            raise ValueError("search.seeds are never the reported seeds: leave the default, 10000")
        told = self.search.metric if self.search is not None else None
        if told is not None and told not in self.metrics and goal_of(parse(told)) is None:
            raise ValueError(
                f"search.metric {told!r}: its name says neither loss nor accuracy; "
                "name it under `metrics:` with its `goal`"
            )
        return self

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

    def goal(self, metric: str) -> Goal:
        """Which way the metric is better, given in the recipe or read from its name."""
        return self.metrics[metric].goal or goal_of(parse(metric)) or "down"


def _parsed(metric: str) -> Any:
    try:
        return parse(metric)
    except RequestError as error:
        raise ValueError(str(error)) from None


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
        return list(range(seeds))
    if not seeds or any(isinstance(s, bool) or not isinstance(s, int) or s < 0 for s in seeds):
        raise ValueError(f"a list of seeds holds whole numbers from 0 up, but got {seeds!r}")
    if max(seeds) >= 2**32:
        raise ValueError(f"a seed is below 2**32, as NumPy's are, but got {max(seeds)}")
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"a seed stands twice in {seeds!r}")
    return seeds


def load_recipe(name: str, folders: list[Path]) -> tuple[str, Recipe]:
    """The recipe of that name in the first folder that has it, or the file at that path.

    Returns its name (the file's stem) and the recipe; raises RequestError naming file and place.
    """
    path = _find(name, folders)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise RequestError(f"{path}: cannot be read as YAML: {error}") from None
    if not isinstance(raw, dict):
        raise RequestError(f"{path}: a recipe is a mapping with a question, a baseline and arms.")
    if not is_name_of_a_plan(path.stem):
        raise RequestError(
            f"{path}: name the file with letters, digits and _ alone, as in my_study.yaml."
        )
    return path.stem, read_recipe(raw, where=str(path))


def is_name_of_a_plan(name: str) -> bool:
    """Whether it may name a folder under outputs, beside the trials and the cache."""
    taken = ("all", "cache", "trials", "reproduction.csv")
    return bool(re.fullmatch(NAME, name)) and not name.startswith("sweeper.") and name not in taken


def read_recipe(raw: Mapping[str, Any], *, where: str) -> Recipe:
    """Check a recipe's mapping; `where` names the file in messages."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RequestError(f"{where}: " + explain(error)) from None


def explain(error: ValidationError) -> str:
    """The first mistakes of a pydantic error, each with its place and the nearest real key."""
    lines = []
    for detail in error.errors()[:5]:
        place = [p for p in detail["loc"] if p not in _UNION_TAGS]
        where = ".".join(map(str, place))
        if detail["type"] == "extra_forbidden":
            lines.append(
                f"unknown key {where!r}. "
                + nearest(str(place[-1]), _keys(detail["loc"]), what="keys")
            )
        elif detail["type"] == "missing":
            lines.append(f"the key {where!r} is missing.")
        elif detail["type"].startswith("union_tag"):
            given = detail["input"].get("kind") if isinstance(detail["input"], Mapping) else None
            kinds = sorted(_KINDS)
            lines.append(
                f"{where}: there is no kind {given!r}. " + nearest(str(given), kinds, what="kinds")
                if given is not None
                else f"{where}: the key 'kind' is missing: one of {', '.join(kinds)}."
            )
        else:
            lines.append(_in_words(where, detail))
    return "\n  ".join(lines)


def _in_words(where: str, detail: ErrorDetails) -> str:
    """A mistake in a value: our own sentence as it stands, pydantic's with what was given."""
    message, given, place = detail["msg"], detail["input"], f"{where}: " if where else ""
    if detail["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        place = "" if message.startswith(f"{where} ") else place
    elif detail["type"] == "string_pattern_mismatch":
        message = f"{given!r} is no name: use letters, digits and _ . + = , - alone"
    else:
        message = message.replace("valid dictionary", "mapping").replace("valid list", "list")
        if isinstance(given, str | int | float | bool):
            message += f" (got {given!r})"
    return f"{place}{message}" + ("" if message.endswith("?") else ".")


_KINDS = {
    "better",
    "worse",
    "no_effect",
    "no_worse",
    "reaches",
    "diverges",
    "diagnosed",
    "order",
    "exact",
}
_UNION_TAGS = {*_KINDS, "assertion"}
_MODELS: dict[str, type[BaseModel]] = {
    "sequence": Arm, "arms": Arm, "metrics": Metric, "search": Search, "axes": Range,
    "better": Comparison, "worse": Comparison, "no_effect": Comparison, "no_worse": Comparison,
    "reaches": Reaches,
    "diverges": Diverges, "diagnosed": Diagnosed, "order": Order, "exact": Exact, "claims": Claim,
}  # fmt: skip


def _keys(place: tuple[Any, ...]) -> list[str]:
    """The keys that are known where the misspelt one stands."""
    for step in reversed(place[:-1]):
        if step in _MODELS:
            fields = _MODELS[step].model_fields
            return [field.alias or name for name, field in fields.items()]
    return list(Recipe.model_fields)


def _find(name: str, folders: list[Path]) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise RequestError(f"there is no recipe file {name!r}.")
        return path
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = recipe_names(folders)
    raise RequestError(f"unknown recipe {name!r}. " + nearest(name, known, what="recipes"))


def recipe_names(folders: list[Path]) -> list[str]:
    """The names of all recipes in these folders, sorted, each once."""
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def recipe_order(name: str, recipe: Recipe) -> tuple[list[str | int], str]:
    """Sorts recipes by the id of their first claim (T2 before T10), those without one last."""
    first = recipe.claims[0].id if recipe.claims else "~"
    parts: list[str | int] = [
        int(part) if part.isdigit() else part for part in re.split(r"(\d+)", first)
    ]
    return parts, name


def json_schema() -> dict[str, Any]:
    """The recipe's JSON Schema (draft 2020-12), as editors read it."""
    schema = Recipe.model_json_schema(by_alias=True)
    _lay_assertions_flat(schema)
    schema["properties"]["seeds"] = {
        "anyOf": [{"type": "integer", "minimum": 1}, schema["properties"]["seeds"]]
    }
    schema["properties"]["metrics"] = {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, schema["properties"]["metrics"]]
    }
    return schema


def _lay_assertions_flat(schema: dict[str, Any]) -> None:
    """In the file an assertion's keys stand beside `id` and `source`: say so to the editor."""
    definitions = schema["$defs"]
    claim = definitions.pop("Claim")["properties"]
    own = {key: claim[key] for key in ("id", "source")}
    kinds = ["Comparison", "Reaches", "Diverges", "Diagnosed", "Order", "Exact"]
    variants = []
    for kind in kinds:
        flat = {**definitions[kind], "properties": {**own, **definitions[kind]["properties"]}}
        flat["required"] = ["id", *definitions[kind]["required"]]
        variants.append(flat)
    compound = {
        "type": "object",
        "additionalProperties": False,
        "properties": {**own, "statement": claim["statement"], "parts": claim["parts"]},
        "required": ["id", "parts"],
    }
    definitions["Claim"] = {"anyOf": [*variants, compound]}


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice and reads 1e-3 as a number, as Hydra does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = Counter(
            self.construct_object(key, deep=True) for key, _ in node.value if key.value != "<<"
        )
        doubled = [key for key, count in seen.items() if count > 1]
        if doubled:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {doubled[0]!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


_UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?[eE][-+]?\d+$|^[-+]?(?:\d[\d_]*\.[\d_]*)(?:[eE][-+]?\d+)?$|^[-+]?\.inf$|^\.nan$"
    ),
    list("-+0123456789."),
)
