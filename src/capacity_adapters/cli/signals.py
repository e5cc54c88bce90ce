"""What a long command does about Ctrl-C and SIGTERM: stop in order, and at the second, at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR: Final = b"\x1b[?25h"


@contextmanager
def until_signal(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Stop at the first Ctrl-C or SIGTERM, end at once at the second; lends those that came."""
    came: list[int] = []
    # Not in the handler itself: it may interrupt whoever holds a lock.
    stopping = threading.Thread(target=stop, name="stopping")

    def handle(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            _end_at_once(number)
        stopping.start()

    # What is ignored, as by nohup, stays so.
    heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before: dict[int, Any] = {each: signal.signal(each, handle) for each in heeded}
    try:
        yield came
    finally:
        if came:
            stopping.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_at_once(number: int) -> NoReturn:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR)
    os._exit(128 + number)
