"""The commands `evaluate` and `benchmark`: tables of how good models and other tools are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .interrupt import Interrupt

HELP = {"evaluate": "measure models on cases with known truth", "benchmark": "the same cases through other tools"}


def add_arguments(subparsers, common: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """The evaluation's own arguments where one of its commands is asked for, else only the commands' names."""
    if next((word for word in arguments if not word.startswith("-")), None) in HELP:
        from ..evaluation import command

        command.add_arguments(subparsers)
        for name in HELP:
            if name in subparsers.choices:
                subparsers.choices[name].set_defaults(run=run)
                subparsers.choices[name].add_argument(
                    "--debug", action="store_true", help="show where an error came from"
                )
        return
    for name, text in HELP.items():
        subparsers.add_parser(name, parents=[common], help=text)


def run(options: argparse.Namespace, interrupt: Interrupt) -> int:
    from ..evaluation import command

    interrupt.at_once()
    return command.run(options)
