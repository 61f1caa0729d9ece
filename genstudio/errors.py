"""The one class of errors that users are meant to see, and the exit codes of the program.

A `GenstudioError` prints as two lines: what is wrong, then what to do. Everything else is a bug and keeps
its traceback.
"""

from enum import IntEnum
from typing import Final

# How torch says it: the allocators of GPUs, of the CPU, and cuBLAS for its workspace.
NO_MEMORY: Final = ("out of memory", "can't allocate memory", "ALLOC_FAILED")


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    WEIGHTS = 3
    MEMORY = 4
    CHECK = 5
    INTERRUPTED = 130


class GenstudioError(Exception):
    """A mistake that the user can mend: `message` says what is wrong, `hint` says what to do."""

    def __init__(self, message: str, hint: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory was not enough, on any device."""
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    return told or isinstance(error, MemoryError)


def is_lost_process(error: BaseException) -> bool:
    """Whether an error means that another process of the run is gone: gloo says where it heard of that."""
    return isinstance(error, RuntimeError) and "gloo/transport" in str(error)
