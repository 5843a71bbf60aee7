"""What experiments that train their own rows share: which rows are wanted, training them once, writing it all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..core import InputError
from ..io import write_json, write_text


def wanted(names: Iterable[str], only: str | None) -> list[str]:
    """The rows asked for: those named in "A|B", or all. Raises InputError where that names none."""
    names = list(names)
    chosen = [name for name in names if only is None or name in only.split("|")]
    if not chosen:
        raise InputError(f"No row of the table is named '{only}'; it has {', '.join(names)}.")
    return chosen


def trained(
    name: str, begins: dict[str, str | None], make: Callable[[str, dict | None], object]
) -> tuple[dict, float]:
    """A row's weights and seconds of training. make(name, begin) gives its trainer (resume(), run(), method, seconds);
    begin: the weights of the row it begins with, which is trained first. Stopped, all go on where they were."""
    before = begins.get(name)
    run = make(name, None if before is None else trained(before, begins, make)[0])
    run.resume()
    run.run()
    return run.method.state_dict(), run.seconds


def written(folder: Path, stem: str, text: str, facts: dict, rows: object) -> None:
    """The experiment's page and its figures, `stem`.md and `stem`.json, and the page on stdout."""
    write_text(text, folder / f"{stem}.md")
    write_json({"about": facts, "rows": rows}, folder / f"{stem}.json")
    print("\n" + text)
