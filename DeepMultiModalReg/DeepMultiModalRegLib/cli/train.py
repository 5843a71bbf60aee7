"""The command `train`: trains a model from a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from .interrupt import Interrupt


def add_arguments(subparsers, common: argparse.ArgumentParser, _arguments) -> None:
    parser = subparsers.add_parser("train", parents=[common], help="train a model")
    parser.set_defaults(run=run)
    parser.add_argument("--config", required=True, metavar="FILE|NAME", help="a YAML file, or a shipped configuration")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for checkpoints, log, pictures, model"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="stop after so many seconds, whatever the configuration says"
    )


def run(options: argparse.Namespace, interrupt: Interrupt) -> int:
    from ..training.train import main

    interrupt.at_once()
    return main(options.config, options.out, options.resume, options.seconds)
