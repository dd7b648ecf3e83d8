"""Whose death the kernel's out-of-memory killer caused."""

from pathlib import Path

import pytest

from sweeper.executors.memory import OomKills


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    file = tmp_path / "memory.events"
    file.write_text("low 0\nhigh 0\nmax 3\noom 0\noom_kill 4\noom_group_kill 9\n")
    return file


def kills(counter: Path, count: int) -> None:
    counter.write_text(f"oom 0\noom_kill {count}\n")


def test_a_kill_counts_for_one_death_alone(counter: Path) -> None:
    found = OomKills((counter, "oom_kill "))
    before = found.count()
    assert before == 4
    assert not found.took_one(before)
    kills(counter, 5)
    assert found.took_one(before)
    assert not found.took_one(before)


def test_a_kill_from_before_the_attempt_is_not_its_own(counter: Path) -> None:
    found = OomKills((counter, "oom_kill "))
    kills(counter, 7)
    before = found.count()
    assert not found.took_one(before)
    kills(counter, 9)
    assert found.took_one(before)
    assert found.took_one(before)
    assert not found.took_one(before)


def test_where_nobody_counts_a_kill_is_any_kill(counter: Path) -> None:
    found = OomKills((counter, "oom_kill "))
    before = found.count()
    counter.unlink()
    assert found.count() is None
    assert not found.took_one(before)
    assert not found.took_one(None)


def test_this_machines_own_count_is_read_where_there_is_one() -> None:
    count = OomKills().count()
    assert count is None or count >= 0
