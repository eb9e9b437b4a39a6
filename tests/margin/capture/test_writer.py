"""What is written beside the loop is written in order, and its errors reach the loop."""

from __future__ import annotations

import threading

import pytest

from margin.capture.writer import WAITING, Writer


def failing() -> None:
    raise OSError("no space left on device")


def test_jobs_run_in_order_and_are_done_when_it_is_left() -> None:
    done: list[int] = []
    with Writer() as writer:
        for number in range(20):
            writer.submit(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(20))


def test_an_error_stops_the_loop() -> None:
    def loop() -> None:
        with Writer() as writer:
            for _ in range(WAITING + 1):
                writer.submit(failing)
            raise AssertionError("the loop went on")

    with pytest.raises(OSError, match="no space left"):
        loop()


def test_an_error_of_the_last_job_is_raised_too() -> None:
    with pytest.raises(OSError, match="no space left"), Writer() as writer:
        writer.submit(failing)


def test_no_more_jobs_wait_than_memory_is_meant_for() -> None:
    free, taken = threading.Event(), threading.Event()

    def feed(writer: Writer) -> None:
        for _ in range(WAITING + 1):
            writer.submit(free.wait)  # type: ignore[arg-type]
        taken.set()

    with Writer() as writer:
        feeder = threading.Thread(target=feed, args=(writer,))
        feeder.start()
        assert not taken.wait(0.3)
        free.set()
        feeder.join()
        assert taken.is_set()


def test_an_error_of_the_loop_is_not_hidden_and_what_was_handed_over_is_written() -> None:
    done: list[int] = []

    def loop() -> None:
        with Writer() as writer:
            writer.submit(lambda: done.append(1))
            raise ValueError("the loop")

    with pytest.raises(ValueError, match="the loop"):
        loop()
    assert done == [1]
