"""The `capacity` command. It speaks English to people and JSON to programs.

Here is only what must be there before a Ctrl-C may come; the rest is imported under its guard.
"""

import gc
import os
import sys
from typing import NoReturn

INTERRUPTED = 130


def main() -> int:
    """Be the program: run the command of this process, and return its exit code."""
    gc.set_threshold(10_000, 10)  # looking for garbage often takes a quarter of a short command
    gc.disable()  # an import makes none: an open application looks for it
    try:
        code = _guarded()
    except KeyboardInterrupt:
        return INTERRUPTED
    gc.freeze()  # nor need the process look for any while it ends
    return code


def _guarded() -> int:
    import signal  # noqa: PLC0415 -- under the guard

    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so under nohup
    if ours:  # no exception: one amid an import may be wrapped, or swallowed
        signal.signal(signal.SIGINT, _leave)
    from capacity_adapters.cli.program import run  # noqa: PLC0415 -- likewise

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = run(sys.argv[1:])
    if ours:  # all is said; the interpreter still has to clear up
        signal.signal(signal.SIGINT, _leave)
    return code


def _leave(*_signal: object) -> NoReturn:
    os._exit(INTERRUPTED)
