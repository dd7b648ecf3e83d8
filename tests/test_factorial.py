"""Two-level designs: their cells, their resolution, and what their contrasts estimate."""

from itertools import combinations, product

import numpy as np
import pytest

from sweeper.factorial import base_axes, cells, effects, find, others

LETTERS = "abcdefghijklmnopq"


def signs(axes: int, *, is_fraction: bool = True) -> np.ndarray:
    """(cells, axes) of -1 and +1."""
    return 2 * np.array(cells(axes, is_fraction=is_fraction)) - 1


def resolution(design: np.ndarray) -> int:
    """The number of axes whose signs multiply to a constant, of the fewest that do."""
    axes = design.shape[1]
    for count in range(1, axes + 1):
        for word in combinations(range(axes), count):
            if abs(design[:, word].prod(axis=1).sum()) == len(design):
                return count
    return axes + 1


def test_a_full_design_has_every_cell_in_the_order_of_a_grid() -> None:
    assert cells(3, is_fraction=False) == list(product((0, 1), repeat=3))
    assert cells(1, is_fraction=False) == [(0,), (1,)]


@pytest.mark.parametrize("axes", range(4, 18))
def test_a_fraction_is_balanced_and_of_resolution_4_in_as_few_cells_as_can_be(axes: int) -> None:
    design = signs(axes)
    # at 5 axes the 16 cells that resolution IV needs have resolution V
    assert resolution(design) == (5 if axes == 5 else 4)
    assert (design.sum(axis=0) == 0).all()
    assert len(np.unique(design, axis=0)) == len(design) == 2 ** base_axes(axes, is_fraction=True)
    # two for each axis are the fewest of resolution IV (Webb 1968), in a power of two
    assert len(design) / 2 < 2 * axes <= len(design)


@pytest.mark.parametrize("axes", range(1, 18))
def test_all_low_is_the_first_cell_of_every_design(axes: int) -> None:
    assert cells(axes, is_fraction=axes > 3)[0] == (0,) * axes


# Words of four letters in the defining relation: Montgomery, Design and Analysis of Experiments;
# Wu and Hamada, Experiments (2009), tables 5A.2 and 5A.3.
FEWEST = {6: 3, 7: 7, 8: 14, 9: 6, 10: 10, 11: 25, 12: 38}


@pytest.mark.parametrize("axes, fewest", FEWEST.items())
def test_as_few_interactions_are_aliased_as_in_the_published_designs(
    axes: int, fewest: int
) -> None:
    design = signs(axes)
    words = [w for w in combinations(range(axes), 4) if design[:, w].prod(axis=1).all() and
             abs(design[:, w].prod(axis=1).sum()) == len(design)]  # fmt: skip
    assert len(words) == fewest


def test_the_half_of_four_axes_aliases_as_i_equals_abcd_does() -> None:
    found = effects("ABCD", is_fraction=True)
    assert [(e.name, e.aliases) for e in found] == [
        ("A", ()), ("B", ()), ("C", ()), ("D", ()),
        ("A:B", ("C:D",)), ("A:C", ("B:D",)), ("A:D", ("B:C",)),
    ]  # fmt: skip


@pytest.mark.parametrize("axes", range(4, 11))
def test_aliases_are_those_that_pydoe_finds(axes: int) -> None:
    pydoe = pytest.importorskip("pyDOE3")
    classes, _ = pydoe.fracfact_aliasing(signs(axes).astype(float))
    expected = set()
    for line in classes:
        short = [word for word in line.split(" = ") if len(word) <= 2]
        expected |= {frozenset(":".join(word) for word in short)} if short else set()
    found = {frozenset((e.name, *e.aliases)) for e in effects(LETTERS[:axes], is_fraction=True)}
    assert found == expected


def test_pydoe_itself_has_no_such_design_for_4_axes_and_for_16_and_a_worse_one_for_5() -> None:
    pydoe = pytest.importorskip("pyDOE3")
    with pytest.raises(ValueError, match="design not possible"):
        pydoe.fracfact_by_res(4, 4)
    assert resolution(pydoe.fracfact_by_res(16, 4)) == 3
    worse = pydoe.fracfact_by_res(5, 4)
    assert (len(worse), resolution(worse)) == (len(signs(5)), 4)


@pytest.mark.parametrize("axes, is_fraction", [(2, False), (4, False), (4, True), (9, True)])
def test_the_contrast_of_an_effect_is_the_product_of_its_axes_signs(
    axes: int, is_fraction: bool
) -> None:
    design = signs(axes, is_fraction=is_fraction)
    for effect in effects(LETTERS[:axes], is_fraction=is_fraction):
        for name in (effect.name, *effect.aliases):
            columns = [LETTERS.index(letter) for letter in name.split(":")]
            assert (design[:, columns].prod(axis=1) == effect.signs).all()


def test_an_interaction_is_found_in_either_order_and_by_its_alias() -> None:
    known = effects(["optim.lr", "a,b", "c", "d"], is_fraction=True)
    for name in ("a,b:optim.lr", "optim.lr : a, b", "d:c"):
        found = find(name, known)
        assert found is not None and found.name == "optim.lr:a,b"
    assert others("d:c", known[4]) == ["optim.lr:a,b"]
    assert others("a,b : optim.lr", known[4]) == ["c:d"]
    assert [find(name, known) for name in ("optim", "c:c", "c:d:a,b", "")] == [None] * 4
