"""The door to user code: what is allowed is decided on what a path really names."""

# ruff: noqa: E501 - a case of a table is a line

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeper import targets
from sweeper.errors import DoesNotApply, RequestError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of a user, importable; what is allowed is put back afterwards."""
    (tmp_path / "own_code.py").write_text(
        "import os\n"
        "from os.path import join as borrowed\n"
        "run = os.system\n"
        "number = 3\n"
        "class Net:\n    def __init__(self, width, depth=2, *, input_shape=None): self.all = (width, depth, input_shape)\n"
        "def anything(**values): return values\n"
        "import functools, subprocess, operator, ctypes\n"
        "class Thing:\n    __module__ = 'own_code'\n    def __call__(self): return 1\n    @classmethod\n    def make(cls): return cls()\n"
        "class Disguised(subprocess.Popen): pass\n"
        "thing, made, bound = Thing(), Thing.make, Thing().__call__\n"
        "kept, halfway = functools.lru_cache(anything), functools.partial(anything, a=1)\n"
        "part = functools.partial(functools.partial(os.system), 'true')\n"
        "part.__module__ = part.__qualname__ = 'own_code'\n"
        "cached = functools.lru_cache(os.system)\n"
        "cached.__module__ = 'own_code'\n"
        "wrapped = functools.wraps(anything)(functools.partial(os.system))\n"
        "Popen, call, evaluate, get = subprocess.Popen, subprocess.call, eval, getattr\n"
        "method, c = operator.methodcaller('system', 'true'), ctypes.CDLL(None).system\n"
        "add, popen = [].append, subprocess.Popen.wait\n"
    )
    (tmp_path / "own_code_more.py").write_text("def f(): return 1\n")
    (tmp_path / "own_broken.py").write_text("import no_such_library_of_anybody\n")
    (tmp_path / "own_wrong.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    targets.allow(["own_code", "own_broken", "own_wrong"])
    yield
    targets.allow([])
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_an_allowed_path_is_loaded_and_called(own: None) -> None:
    net = targets.call("own_code.Net", {"width": 3}, {"input_shape": (8, 8), "outputs": 10})
    assert net.all == (3, 2, (8, 8))  # of what is offered, what the signature names


def test_what_is_given_goes_before_what_is_offered(own: None) -> None:
    net = targets.call("own_code.Net", {"width": 3, "input_shape": 1}, {"input_shape": 2})
    assert net.all == (3, 2, 1)


def test_a_function_of_any_keywords_gets_what_is_given(own: None) -> None:
    assert targets.call("own_code.anything", {"a": 1}, {"b": 2}) == {"a": 1}


def test_our_own_data_models_and_training_are_always_allowed() -> None:
    assert len(targets.load("sweeper.training.data.diabetes")()[1]) == 442


@pytest.mark.parametrize("path", ["sweeper.api.run", "sweeper.targets.allow", "sweeper.run"])
def test_the_rest_of_our_own_is_not_for_configurations(path: str) -> None:
    with pytest.raises(RequestError, match=r"only its data, models and training may be named\.$"):
        targets.load(path)


def test_what_the_user_made_of_their_own_functions_is_theirs(own: None) -> None:
    for name in ("bound", "kept", "halfway", "thing", "made"):
        assert callable(targets.load(f"own_code.{name}")), name


@pytest.mark.parametrize(
    "prefixes, message",
    [
        pytest.param("own", "allow is a list of prefixes, as in ['own'].", id="one-text"),
        *(pytest.param([bad], f"--allow {bad!r} is no module", id=f"{bad!r}") for bad in ("", ".", "own*", "own code", "./own.py", "*", "own..x", ".own", "own;os")),
    ],
)  # fmt: skip
def test_a_prefix_is_a_dotted_name(prefixes: Any, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        targets.check_prefixes(prefixes)
    assert message in str(refused.value)


def test_a_dot_at_its_end_changes_nothing_of_a_prefix() -> None:
    assert targets.check_prefixes(["own.", "my.nets"]) == ("own", "my.nets")


@pytest.mark.parametrize(
    "path, message",
    [
        pytest.param("os.system", "_target_ 'os.system' is not allowed: add --allow os (or set SWEEPER_ALLOW) if you trust that code.", id="not-allowed"),
        pytest.param("own_code_more.f", "_target_ 'own_code_more.f' is not allowed", id="a-longer-name-is-another-module"),
        pytest.param("own_code.run", "_target_ 'own_code.run' is really 'posix.system', which is not allowed: add --allow posix", id="what-is-merely-imported"),
        pytest.param("own_code.borrowed", "is really 'posixpath.join', which is not allowed", id="a-function-under-another-name"),
        *(pytest.param(f"own_code.{name}", f"is really '{home}", id=name) for name, home in {
            "part": "posix.system'", "cached": "posix.system'", "wrapped": "posix.system'", "Popen": "subprocess.Popen'", "call": "subprocess.call'",
            "evaluate": "builtins.eval'", "get": "builtins.getattr'", "method": "operator.methodcaller'", "c": "ctypes.", "add": "builtins.list.append'",
            "popen": "subprocess.Popen.wait'", "__class__": "builtins.module'", "__init__": "builtins.", "__dir__": "builtins.", "__getattribute__": "builtins.", "__setattr__": "builtins.",
        }.items()),
        *(pytest.param(path, message, id=path) for path, message in {
            "own_code.os.system": "there is no module 'own_code.os'", "own_code.__loader__.load_module": "there is no module 'own_code.__loader__'",
            "own_code.__builtins__": "is a dict, not a callable", "own_code.__spec__": "not a callable", "own_code.__loader__": "not a callable",
            "own_code.thing.__class__": "there is no module 'own_code.thing'", "": "is no dotted name", ".own_code.anything": "is no dotted name",
            "own_code..anything": "is no dotted name", "own_code.anything()": "is no dotted name", "own_code/../own_code.anything": "is no dotted name",
            "own_code:anything": "is no dotted name", "own_code.anything ": "is no dotted name", "own_code .anything": "is no dotted name",
            "Own_code.anything": "is not allowed", "ᵒwn_code.anything": "is not allowed",
        }.items()),
        pytest.param("own_code.os", "is a module, not a callable", id="a-module"),
        pytest.param("own_code.number", "_target_ 'own_code.number' is a int, not a callable.", id="a-number"),
        pytest.param("own_code.nothing", "module 'own_code' has no 'nothing'", id="no-such-name"),
        pytest.param("own_code.deeper.f", "there is no module 'own_code.deeper'", id="no-such-part"),
        pytest.param("own_code", "_target_ 'own_code' has no module: write module.own_code.", id="a-bare-name"),
        pytest.param("sweeper_own.f", "is not allowed", id="nearly-ours"),
    ],
)  # fmt: skip
def test_what_may_not_be_called_is_refused(own: None, path: str, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        targets.load(path)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "path, error",
    [("own_broken.f", ModuleNotFoundError), ("own_wrong.f", ZeroDivisionError)],
)
def test_a_mistake_within_the_users_module_stays_theirs(
    own: None, path: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        targets.load(path)


def test_a_key_that_the_callable_lacks_means_that_the_arm_does_not_apply(own: None) -> None:
    with pytest.raises(
        DoesNotApply,
        match=r"own_code\.Net takes no 'norm'; it takes \['depth', 'input_shape', 'width'\]",
    ):
        targets.call("own_code.Net", {"width": 3, "norm": "batch"})


@pytest.mark.parametrize(
    "function, expected",
    [
        (lambda a, *, b: 0, ({"a", "b"}, False)),
        (lambda a, /, *b, **c: 0, (set(), True)),
    ],
)
def test_parameters_are_the_names_that_may_be_keywords(function: Any, expected: Any) -> None:
    assert targets.parameters(function) == expected
