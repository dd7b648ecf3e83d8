"""A recipe's runs as TensorBoard reads them: curves, images and weights, a folder a run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from sweeper.arm import NAME
from sweeper.claim import LONGEST_NAME
from sweeper.errors import RequestError
from sweeper.evidence.csvfile import write_bytes
from sweeper.evidence.figures import samples, weights
from sweeper.evidence.figures.canvas import slug
from sweeper.evidence.findings import Evidence
from sweeper.evidence.left import samples_of, weights_of
from sweeper.evidence.runs import Run
from sweeper.folders import Outputs
from sweeper.trial import RESULTS

_FILE = "events.out.tfevents.sweeper"
_MOST = 2**53  # steps; NaN is not below it either


class EventFiles:
    """The door to TensorBoard. Raises RequestError where it is not installed."""

    def __init__(self) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise RequestError(
                "--tensorboard needs TensorBoard: pip install 'sweeper[tensorboard]' "
                "-c constraints.txt"
            ) from error
        self._event, self._summary, self._writer = Event, Summary, RecordWriter

    def write(
        self, evidence: Evidence, folder: Path, outputs: Outputs, starts: Mapping[str, float]
    ) -> None:
        """`<arm>/seed-<n>` for each reported run that ended in a result.

        An arm whose name cannot name a folder, such as a path that was compared, is `_<place>`.
        """
        for place, row in enumerate(evidence.grid.runs):
            for run in (run for run in row if run.status in RESULTS):
                is_name = re.fullmatch(NAME, run.arm) and len(run.arm) <= LONGEST_NAME
                arm = run.arm if is_name else f"_{place}"
                content = self._content(run, outputs, starts.get(run.trial_id))
                write_bytes([content], folder / arm / slug(f"seed-{run.seed}") / _FILE)

    def _content(self, run: Run, outputs: Outputs, started: object) -> bytes:
        start = started if isinstance(started, float) else 0.0  # a foreign store's may be a text
        content = BytesIO()
        writer = self._writer(content)
        writer.write(self._event(wall_time=start, file_version="brain.Event:2").SerializeToString())
        for step, values in self._by_step(run, outputs):
            event = self._event(wall_time=start, step=step, summary=self._summary(value=values))
            writer.write(event.SerializeToString())
        return content.getvalue()

    def _by_step(self, run: Run, outputs: Outputs) -> Iterator[tuple[int, list[Any]]]:
        columns = dict(run.curve)  # each is decoded once
        steps = _counted(columns.pop("step", []))
        for step, *values in zip(steps, *columns.values(), strict=False):
            at = zip(columns, values, strict=True)
            yield step, [self._scalar(name, value) for name, value in at if value is not None]
        first, last = min(steps, default=0), max(steps, default=0)
        drawn, fed = weights_of(run, outputs), samples_of(run, outputs)
        if drawn is not None:
            yield first, [self._histogram(h) for h in drawn.before if h.counts]
            yield last, [self._histogram(h) for h in drawn.after if h.counts]
        if fed is not None:
            yield last, [self._image(f"fed/{i:02}", p) for i, p in enumerate(fed.train)]
            yield last, [self._image(f"answered/{i:02}", p) for i, p in enumerate(fed.validation)]

    def _scalar(self, name: str, value: float) -> Any:
        return self._summary.Value(tag=_tag(name), simple_value=value)

    def _histogram(self, found: weights.Histogram) -> Any:
        n = len(found.counts)
        width = (found.high - found.low) / n
        middles = [found.low + (i + 0.5) * width for i in range(n)]
        held = list(zip(middles, found.counts, strict=True))
        value = self._summary.Value(tag=_tag(f"weights/{found.name}"))
        value.histo.min, value.histo.max = found.low, found.high
        value.histo.num = sum(found.counts)
        value.histo.sum = sum(middle * count for middle, count in held)
        value.histo.sum_squares = sum(middle**2 * count for middle, count in held)
        value.histo.bucket_limit.extend(found.low + (i + 1) * width for i in range(n))
        value.histo.bucket.extend(found.counts)
        return value

    def _image(self, place: str, picture: samples.Picture) -> Any:
        said = f" → {picture.predicted}" if picture.predicted else ""
        value = self._summary.Value(tag=_tag(f"{place} {picture.label}{said}"))
        value.image.height, value.image.width = picture.pixels.shape[:2]
        value.image.encoded_image_string = samples.png(picture.pixels)
        return value


def _counted(steps: Sequence[float | None]) -> list[int]:
    """Whole steps as they are; where one is not, the points are numbered."""
    if all(step is not None and abs(step) < _MOST and step == int(step) for step in steps):
        return [int(step) for step in steps if step is not None]
    return list(range(len(steps)))


def _tag(name: str) -> str:
    """A user's name; half a character has no UTF-8 and becomes an escape."""
    return name.encode("utf-8", "backslashreplace").decode()
