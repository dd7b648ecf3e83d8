"""The command line. Only this package's `cli` and `view` print."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.exceptions import Abort, TyperException

from sweeper.errors import RequestError, legible
from sweeper.folders import private

if TYPE_CHECKING:
    from sweeper.folders import Outputs

app = typer.Typer(
    name="sweeper",
    help="Ablation studies: recipes in, comparative tables and verdicts out.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="RECIPE… [override…]", help="Recipes, `all`, and axis=value overrides."),
]
_Recipes = Annotated[list[str] | None, typer.Argument(metavar="RECIPE…", help="Names of plans.")]
_Outputs = Annotated[Path, typer.Option(metavar="DIR", help="Where results lie.")]
_Conf = Annotated[
    list[Path] | None, typer.Option(metavar="DIR", help="Your own conf groups, found before ours.")
]
_Folders = Annotated[
    list[Path] | None, typer.Option(metavar="DIR", help="Your own recipes, found before ours.")
]
_Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="PREFIX", help="Modules whose code a `_target_` may name."),
]
_As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Name of the variant.")]
_Multirun = Annotated[
    bool,
    typer.Option("--multirun", "-m", help="Compare lists of values, as in model.norm=none,batch."),
]
_Design = Annotated[
    str | None, typer.Option(metavar="NAME", help="With -m: how the lists become arms (grid).")
]
_Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME", help="With -m: what is compared, first of all the first."
    ),
]
_Smallest = Annotated[
    float | None,
    typer.Option(metavar="X", help="With -m: the smallest difference worth speaking of."),
]
_HERE = Path("outputs")


def main() -> NoReturn:
    """Run the command line and exit: 0 results, 1 not all, 2 a wrong request, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of ASCII has no arrows
    sys.exit(_guarded(sys.argv[1:]))


def _guarded(arguments: list[str]) -> int:
    try:
        _check_text(arguments)
        with private():
            code = app(arguments, standalone_mode=False)
    except RequestError as error:
        return _say_wrong(str(error))
    except TyperException as error:  # what typer says of a mistyped command or option
        context = getattr(error, "ctx", None)
        usage = f"\n{context.get_usage()}" if context else ""
        return _say_wrong(error.format_message() + usage)
    except (Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:  # outputs that cannot be written, a full disk
        return _say_wrong(f"{error}: mend that, or choose another folder with --outputs DIR.")
    return code if isinstance(code, int) else 0


def _check_text(arguments: list[str]) -> None:
    for word in arguments:
        try:
            word.encode()
        except UnicodeEncodeError:  # bytes of another encoding: no record or table can hold them
            raise RequestError(f"the argument {word!r} is not UTF-8: write it so.") from None


def _say_wrong(message: str) -> int:
    print(f"sweeper: {legible(message)}", file=sys.stderr)
    return 2


def _places(outputs: Path, conf: Any = None, recipes: Any = None, allow: Any = None) -> Any:
    from sweeper.api import Places

    return Places.of(outputs, conf or (), recipes or (), allow or ())


def _sweep(is_one: bool, design: Any, metrics: Any, smallest_effect: Any) -> Any:
    if is_one:
        from sweeper.multirun import Multirun

        return Multirun(design or "grid", tuple(metrics or ()), smallest_effect)
    if design or metrics or smallest_effect is not None:
        raise RequestError(
            "--design, --metric and --smallest-effect say what becomes of lists of values: add -m."
        )
    return None


def _split(words: list[str] | None) -> tuple[list[str], list[str]]:
    """Recipes, and the overrides among them: what has an `=`."""
    words = words or []
    return [w for w in words if "=" not in w], [w for w in words if "=" in w]


@app.command("list")
def list_(
    recipes: _Folders = None,
    conf: _Conf = None,
    axes: Annotated[bool, typer.Option("--axes", help="List the axes and their choices.")] = False,
) -> None:
    """List the recipes, or with --axes what may be varied."""
    from sweeper import listing, view

    places = _places(_HERE, conf, recipes)
    if axes:
        view.show_axes(listing.axes(list(places.conf)))
    else:
        view.show_recipes(listing.recipes(list(places.recipes), list(places.conf)))


@app.command()
def plan(
    words: _Words = None,
    outputs: _Outputs = _HERE,
    conf: _Conf = None,
    recipes: _Folders = None,
    as_name: _As = None,
    multirun: _Multirun = False,
    design: _Design = None,
    metrics: _Metrics = None,
    smallest_effect: _Smallest = None,
) -> None:
    """Show what would be run: arms, trials, what is done, and what these seeds cannot decide."""
    from sweeper import forecast, view
    from sweeper.api import prepare

    places = _places(outputs, conf, recipes)
    names, overrides = _split(words)
    sweep = _sweep(multirun, design, metrics, smallest_effect)
    requests, composer = prepare(names, overrides, places, as_name, sweep)
    for found in forecast.forecast(requests, composer, places.outputs):
        view.show_forecast(found)


@app.command()
def run(
    words: _Words = None,
    outputs: _Outputs = _HERE,
    conf: _Conf = None,
    recipes: _Folders = None,
    allow: _Allow = None,
    as_name: _As = None,
    multirun: _Multirun = False,
    design: _Design = None,
    metrics: _Metrics = None,
    smallest_effect: _Smallest = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed trials again.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Count trials of other code or data as they are.")
    ] = False,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run trials of other code, data or versions again.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 unless every claim is reproduced.")
    ] = False,
) -> int:
    """Run what is missing, then write the tables."""
    from sweeper import view, watching
    from sweeper.api import run_all

    places = _places(outputs, conf, recipes, allow)
    names, overrides = _split(words)
    if keep and rerun:
        raise RequestError("--keep and --rerun exclude each other: choose one.")
    changed: Any = "keep" if keep else "rerun" if rerun else None
    sweep = _sweep(multirun, design, metrics, smallest_effect)
    with watching.watcher() as watcher:
        outcome = run_all(
            names, overrides, places, as_name=as_name, multirun=sweep, retry=retry,
            changed=changed, watcher=watcher,
        )  # fmt: skip
    view.show_outcome(outcome, places.outputs)
    if outcome.was_interrupted:
        return 130
    passed = outcome.all_ended_in_results and (outcome.all_reproduced or not strict)
    return 0 if passed else 1


@app.command()
def compare(
    recipes: _Recipes = None,
    outputs: _Outputs = _HERE,
) -> None:
    """Rebuild the tables from the store, as last planned."""
    from sweeper import view
    from sweeper.evidence.rebuild import rebuild

    places = _places(outputs)
    names = _plans(recipes, places.outputs)
    with view.held_back():  # a reader that has seen enough keeps no table from being written
        for name, tables in rebuild(places.outputs, names):
            view.show_tables(name, tables)
    view.say_written(places.outputs, names)


def _plans(names: list[str] | None, outputs: "Outputs") -> list[str]:
    """The plans of these names; without one, or with `all`, every plan that was run."""
    from sweeper.recipe_file import every
    from sweeper.records import Reader

    with Reader(outputs) as reader:
        known = reader.plan_names()
    return every(names or ["all"], known)


@app.command()
def report(
    recipes: _Recipes = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files for TensorBoard, too.")
    ] = False,
    outputs: _Outputs = _HERE,
) -> None:
    """Write a page for each recipe: verdicts, figures, tables, from what was recorded."""
    from sweeper import view
    from sweeper.evidence.report import write_reports

    places = _places(outputs)
    names = _plans(recipes, places.outputs)
    for path in write_reports(places.outputs, names, for_tensorboard=tensorboard):
        view.say(f"{path}")


@app.command()
def show(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="An id, or its first digits.")],
    outputs: _Outputs = _HERE,
) -> None:
    """Show a trial: its configuration, attempts, error and the end of its log."""
    from sweeper import view
    from sweeper.records import Reader

    places = _places(outputs)
    with Reader(places.outputs) as reader:
        found = reader.find_trials(trial)
        if len(found) != 1:
            raise RequestError(
                f"{len(found) or 'no'} trials start with {trial!r}"
                + (f": {', '.join(found[:5])}." if found else ": ids are in trials.csv.")
            )
        view.show_trial(*reader.trial(found[0]), reader.attempts(found[0]), places.outputs)


@app.command()
def diagnose(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="Columns epoch,train_loss,val_loss.")
    ],
    loss: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What was minimised: cross_entropy, mse, mae, other."),
    ] = None,
) -> None:
    """Name what loss curves show, by the loss-trend rules: `docs/diagnosis.md`."""
    from sweeper.diagnosing import diagnose_file

    diagnose_file(file, loss)


@app.command()
def status(
    outputs: _Outputs = _HERE,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again each second, until the sweep ends.")
    ] = False,
) -> None:
    """Show what is done, running, waiting and failed."""
    from sweeper import view
    from sweeper.operation import read_status

    places = _places(outputs)
    if watch:
        view.watch_status(lambda: read_status(places.outputs))
    else:
        view.show_status(read_status(places.outputs))


@app.command()
def cancel(
    outputs: _Outputs = _HERE,
    now: Annotated[
        bool, typer.Option("--now", help="Stop what runs too; it is run again next time.")
    ] = False,
) -> None:
    """Stop the sweep that writes to DIR, as Ctrl-C does: what runs ends, nothing new begins."""
    from sweeper import view
    from sweeper.operation import cancel_sweep

    view.say(cancel_sweep(_places(outputs).outputs, now=now))


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        from sweeper import __version__

        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
