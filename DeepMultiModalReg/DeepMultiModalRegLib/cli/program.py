"""Main: reads the arguments, runs the command, turns errors into a sentence and an exit code."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from .. import __version__
from ..core.errors import Cancelled, RegistrationError
from . import batch, demonstrate, measure, models, register, train
from .interrupt import Interrupt

INTERNAL = 5
COMMANDS = (register, batch, models, demonstrate, train, measure)


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one sentence (exit code 2)."""

    def error(self, message: str) -> None:
        text = message[:1].upper() + message[1:]
        self.exit(2, f"{text}; '{self.prog} --help' lists what it takes.\n")


def build_parser(arguments: Sequence[str]) -> Parser:
    """The parser. `arguments` tell which command's own parser must be complete: some of them cost an import."""
    parser = Parser("deepmultimodalreg", description="Registers images of different modality with trained networks.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True, parser_class=Parser)
    for command in COMMANDS:
        command.add_arguments(subparsers, common, arguments)
    return parser


def run(arguments: Sequence[str] | None, interrupt: Interrupt) -> int:
    """Runs one command; returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    try:
        options = build_parser(arguments).parse_args(arguments)
        return int(options.run(options, interrupt) or 0)
    except SystemExit as done:  # argparse: --help, --version, or a complaint it has printed
        return int(done.code or 0)
    except RegistrationError as error:
        return _fail(str(error), error.exit_code, debug)
    except KeyboardInterrupt:
        return _fail("Cancelled; nothing half-written was left.", Cancelled.exit_code, debug)
    except MemoryError:
        return _fail("Memory does not suffice; close other programs or use smaller images.", 3, debug)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        message = f"Internal error ({type(error).__name__}: {reason}); run again with --debug and report what it shows."
        return _fail(message, INTERNAL, debug)


def _fail(sentence: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(sentence, file=sys.stderr)
    return code
