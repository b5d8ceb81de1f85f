"""A request to stop is heeded between two answers, a second one at once, and the old handlers come back."""

import os
import signal
import threading

import pytest

from analysis.engine.stopping import SIGNALS, Stopped, StopRequest, stop_request


def signals_while_waiting(request: StopRequest, *numbers: int) -> None:
    """Signals come, one after another, while somebody waits who checks after each."""
    with request.heeded():
        for number in numbers:
            os.kill(os.getpid(), number)
            request.reached = number  # type: ignore[attr-defined]
        request.check()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_somebody_waits_only_leaves_word(number: signal.Signals) -> None:
    with stop_request() as request:
        with pytest.raises(Stopped) as stopped:
            signals_while_waiting(request, number)
        assert request.reached == number  # type: ignore[attr-defined]
        assert (stopped.value.number, stopped.value.at_once) == (number, False)
        assert str(stopped.value) == number.name


def test_a_signal_that_nobody_waits_for_ends_the_run_where_it_is() -> None:
    with stop_request(), pytest.raises(Stopped) as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.at_once


def test_the_second_signal_does_not_wait() -> None:
    with stop_request() as request:
        with pytest.raises(Stopped) as stopped:
            signals_while_waiting(request, signal.SIGINT, signal.SIGTERM)
        assert request.reached == signal.SIGINT  # type: ignore[attr-defined]
        assert (stopped.value.number, stopped.value.at_once) == (signal.SIGTERM, True)


def test_word_that_came_too_late_for_a_check_is_heeded_at_the_end_of_the_waiting() -> None:
    with stop_request() as request:
        with pytest.raises(Stopped), request.heeded(), request.heeded():
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(ZeroDivisionError), request.heeded():  # an error has the word
            raise ZeroDivisionError


def test_the_inner_waiting_leaves_the_outer_waiting() -> None:
    with stop_request() as request:
        with pytest.raises(Stopped) as stopped, request.heeded():
            wait_within(request)
        assert not stopped.value.at_once


def wait_within(request: StopRequest) -> None:
    with request.heeded():
        pass
    os.kill(os.getpid(), signal.SIGINT)


def test_without_a_signal_nothing_stops() -> None:
    request = StopRequest()
    with request.heeded():
        request.check()
    request.check()


def test_the_old_handlers_come_back() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with stop_request() as request:
        assert {signal.getsignal(number) for number in SIGNALS} == {request}
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_what_nohup_has_set_to_be_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_request() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            request.check()
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_changes() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    during = {}

    def listen() -> None:
        with stop_request() as request:
            during.update({number: signal.getsignal(number) for number in SIGNALS})
            request.check()

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert during == before
