"""A trained network becomes a model of the catalogue: weights in half precision and a model.yaml that says how it was
made."""

from __future__ import annotations

import platform
from pathlib import Path

import torch
import yaml

from ..engine.catalogue import write_model
from ..engine.description import FILE, check_description, read_description
from ..io import write_text
from ..methods.base import Method

FROM_CARD = ("description", "modalities", "anatomy", "citation", "licence", "limits")


def hardware(device: str = "cpu") -> str:
    """The processor's name, what the operating system calls the machine, and the GPU where the device is one."""
    cpuinfo = Path("/proc/cpuinfo")
    name = platform.processor()
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = names[0] if names else name
    gpu = torch.cuda.get_device_name(device) if str(device).startswith("cuda") else "no GPU"
    return f"{name or 'unknown processor'}, {platform.machine()}, {gpu}"


def export(
    config: dict,
    method: Method,
    seconds: float,
    folder: Path,
    results: list[dict] | None = None,
    device: str = "cpu",
) -> Path:
    """Writes the model of a finished run into `folder`/NAME and returns that folder.

    config: the training configuration (its `card` becomes the description); seconds: of training on `device`; results:
    rows of a table.
    """
    card = config["card"]
    threads = config["training"].get("threads")
    write_model(
        folder / config["name"],
        {
            **{key: card[key] for key in FROM_CARD},
            "method": config["method"],
            "settings": config["settings"],
            "dimension": config["dimension"],
            "working": config["working"],
            "normalisation": config.get("normalisation", "quantile"),
            "training": {
                "command": f"deepmultimodalreg train --config {config['name']} --out runs/{config['name']}",
                "data": card["data"],
                "licences": card["licences"],
                "seconds": round(seconds),
                "hardware": hardware(device) + (f", {threads} thread{'s' if threads > 1 else ''}" if threads else ""),
                "seed": config["training"]["seed"],
            },
            "results": results or [],
        },
        method.state_dict(),
        config.get("initial", ()),
    )
    return folder / config["name"]


def add_results(folder: Path, rows: list[dict]) -> None:
    """Puts the rows of a table made by `deepmultimodalreg evaluate` into a model's description; its weights stay as
    they are.

    Raises InputError where the description would no longer be valid; then nothing is written.
    """
    data = {**read_description(folder).data, "results": rows}
    check_description(data, str(folder / FILE))
    write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), folder / FILE)
