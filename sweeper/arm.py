"""An arm as a recipe writes it, and the designs that generate arms."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from sweeper import factorial
from sweeper.claim import LONGEST_NAME, Part

Value = bool | int | float | str | list[Any] | dict[Any, Any] | None
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+=,-]*$"


class Arm(Part):
    """A change of the baseline, or of the arm that `from` names."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    set: dict[str, Value] = Field(
        default_factory=dict,
        description="Axes and their values; a bare key chooses from a group.",
    )
    from_: str | None = Field(
        None, alias="from", description="The arm to start at, and to be compared with."
    )


def axes_of(key: str) -> list[str]:
    """The axes that a key of a design names: one, or linked ones joined by commas."""
    return [axis.strip() for axis in key.split(",")]


class Factorial(Part):
    """Two values of each axis, crossed: for main effects and interactions of two axes."""

    axes: dict[str, list[Value]] = Field(
        max_length=100, description="Each axis with two values, the low one first."
    )
    resolution: Literal["full", 4] = Field(
        "full",
        description="`4` takes a fraction of the cells: main effects stay clear of the interactions"
        " of two axes, and these are aliased with each other.",
    )

    @model_validator(mode="after")
    def _has_two_levels(self) -> Self:
        if not self.axes:
            raise ValueError("axes: name at least one, as in {optim.lr: [0.01, 0.1]}")
        for axis, values in self.axes.items():
            if len(values) != 2:
                raise ValueError(f"axes: {axis!r} takes two values, [low, high], not {len(values)}")
            if values[0] == values[1]:
                raise ValueError(f"axes: {axis!r} has the same value low and high")
        if self.is_fraction and len(self.axes) < 4:
            raise ValueError(
                f"with {len(self.axes)} axes resolution 4 takes as many arms as the full design: "
                "leave `resolution` out, or name at least 4 axes"
            )
        return self

    @property
    def is_fraction(self) -> bool:
        return self.resolution == 4

    @property
    def names(self) -> list[str]:
        """What its effects are called by: each axis, linked ones joined by commas."""
        return [",".join(axes_of(key)) for key in self.axes]

    @property
    def size(self) -> int:
        """How many cells it has."""
        return int(2 ** factorial.base_axes(len(self.axes), is_fraction=self.is_fraction))

    def cells(self) -> list[factorial.Cell]:
        """Which value, 0 or 1, each axis takes in each cell."""
        return factorial.cells(len(self.axes), is_fraction=self.is_fraction)

    def effects(self) -> list[factorial.Effect]:
        """What can be estimated, main effects first."""
        return factorial.effects(self.names, is_fraction=self.is_fraction)


def _components(raw: Any) -> Any:
    """An axis with a plain value is short for a component of that axis alone."""
    if not isinstance(raw, dict):
        return raw
    for name, value in raw.items():
        if isinstance(value, dict) and not all(isinstance(axis, str) for axis in value):
            raise ValueError(
                f"{name!r} is a component, whose axes have names: for an axis whose value is a "
                f"mapping write {{{name}: {{{name}: …}}}}"
            )
    return {k: v if isinstance(v, dict) else {k: v} for k, v in raw.items()}


_Component = dict[str, Value]
Components = Annotated[
    dict[Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME - 10)], _Component],
    BeforeValidator(_components, json_schema_input_type=dict[str, _Component | Value]),
]
_Grid = dict[str, list[Value]]
Grids = Annotated[
    Annotated[_Grid, Tag("one")] | Annotated[list[_Grid], Tag("union")],
    Discriminator(lambda grid: "union" if isinstance(grid, list) else "one"),
]
