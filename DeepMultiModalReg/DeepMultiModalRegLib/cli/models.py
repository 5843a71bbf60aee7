"""The command `models`: what is installed."""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(subparsers, common: argparse.ArgumentParser, _arguments) -> None:
    parser = subparsers.add_parser("models", parents=[common], help="list the installed models")
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="everything their descriptions say")


def run(options: argparse.Namespace, _interrupt) -> int:
    from ..engine.catalogue import installed_models

    found, broken = installed_models()
    if options.json:
        print(
            json.dumps([{**model.data, "folder": str(model.folder)} for model in found], indent=2, ensure_ascii=False)
        )
    elif found:
        width = max(len(model.name) for model in found)
        for model in found:
            working = "slices" if model.dimension == 2 else "volume"
            kinds = f"{', '.join(model.modalities)}; {', '.join(model.data['anatomy'])}"
            print(f"{model.name:<{width}}  {working} at {model.spacing:g} mm  {kinds}")
            print(f"{'':<{width}}  {model.data['description']}")
    else:
        print("No model is installed.")
    for sentence in broken:
        print(sentence, file=sys.stderr)
    return 0
