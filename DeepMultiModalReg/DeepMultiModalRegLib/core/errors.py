"""The errors a user can act on, each with the exit code of the command line (0 done, 5 internal)."""

from __future__ import annotations


class RegistrationError(Exception):
    """A sentence with cause and remedy. `exit_code` is what the command line returns for it."""

    exit_code = 5


class InputError(RegistrationError):
    """Something given to the engine is wrong: a file, an image, a mask, a name, a setting."""

    exit_code = 2


class MemoryShortage(RegistrationError):
    """The machine has too little memory even for the cheapest way the engine knows."""

    exit_code = 3


class Cancelled(RegistrationError):
    """The caller asked to stop; nothing was written."""

    exit_code = 4

    def __init__(self, message: str = "The registration was cancelled; nothing was changed.") -> None:
        super().__init__(message)
