"""The command `demo`: registers the bundled pair and draws what came out."""

from __future__ import annotations

import argparse
from pathlib import Path

from .interrupt import Interrupt


def add_arguments(subparsers, common: argparse.ArgumentParser, _arguments) -> None:
    parser = subparsers.add_parser("demo", parents=[common], help="register the bundled pair, with pictures")
    parser.set_defaults(run=run)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for what it makes")
    parser.add_argument("--model", metavar="NAME", help="a model (default: hierarchical-t1t2-brain-3d)")


def run(options: argparse.Namespace, interrupt: Interrupt) -> int:
    from ..demo import demo

    interrupt.at_once()
    return demo(options.out, options.model)
