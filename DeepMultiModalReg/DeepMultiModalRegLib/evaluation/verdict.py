"""Verdict: ours with refinement against the best peer of each group, and what leaving the refinement out costs."""

from __future__ import annotations

import re

FOLDS = 0.1  # percent, at most
FASTER = {"convexadam": 5.0, "ants-syn": 2.0}  # ours takes at most so small a part of their wall time


def against_peers(means: list[dict]) -> str:
    """Markdown: for each group and each of our rows with refinement the best peer's figures, ours, the ratios of time,
    and whether it is met; then the reasons. means: of table.means. Empty where there is no peer or no such row."""
    lines, reasons, met = [], [], {}
    for group in dict.fromkeys(row["group"] for row in means):
        own = [row for row in means if row["group"] == group and "seconds" in row]
        peers = {row["method"]: row for row in own if row.get("kind") == "peer"}
        if not peers:
            continue
        for ours in (row for row in own if row.get("kind") == "refined"):
            cells, short = _compared(ours, peers)
            lines.append("| " + " | ".join([group, ours["method"], *cells, "not met" if short else "met"]) + " |")
            reasons += [f"- {group}, {ours['method']}: {reason}." for reason in short]
            met.setdefault(ours["method"], []).append(not short)
    if not lines:
        return ""
    head = ["group", "ours", "Dice, ours / best peer", "mm, ours / best peer", "folds %"]
    for name in FASTER:
        head += [f"{name}'s wall / ours", f"{name}'s CPU / ours"]
    count = "; ".join(f"{method}: {sum(each)} of {len(each)} groups" for method, each in met.items())
    table = ["| " + " | ".join([*head, "verdict"]) + " |", "|---|---|" + "---:|" * (len(head) - 2) + "---|", *lines]
    parts = [f"Met by {count}.", "\n".join(table)]
    return "\n\n".join([*parts, "Where it falls short:\n\n" + "\n".join(reasons)] if reasons else parts) + "\n"


def _compared(ours: dict, peers: dict[str, dict]) -> tuple[list[str], list[str]]:
    """The cells of a line, and in words where ours falls short."""
    cells, short = [], []
    for pattern, digits, larger in ((r"dice_[^_].*(?<!_each)", 3, True), (r"(error|landmark)_mean_mm", 2, False)):
        texts = []
        for key in (k for k, v in ours.items() if re.fullmatch(pattern, k) and isinstance(v, int | float)):
            having = {name: row[key] for name, row in peers.items() if key in row}
            if not having:
                continue
            best = (max if larger else min)(having, key=having.get)
            text = f"{ours[key]:.{digits}f} / {having[best]:.{digits}f} ({best})"
            name = key.removeprefix("dice_").removesuffix("_mean_mm")
            texts.append(f"{name}: {text}")
            if ours[key] < having[best] if larger else ours[key] > having[best]:
                short.append(f"{'Dice of ' if larger else 'mm of '}{name} {text}")
        cells.append("; ".join(texts) or "–")
    cells.append(f"{ours['folds']:.4f}")
    if ours["folds"] >= FOLDS:
        short.append(f"{ours['folds']:.2f} % of folds")
    for name, wanted in FASTER.items():
        peer = peers.get(name, {})
        for key in ("seconds", "cpu_seconds"):
            known = peer.get(key) and ours.get(key)
            cells.append(f"{peer[key] / ours[key]:.1f}" if known else "–")
        if "seconds" not in peer:
            short.append(f"{name} was not measured here")
        elif peer["seconds"] < wanted * ours["seconds"]:
            short.append(f"only {peer['seconds'] / ours['seconds']:.1f} times faster than {name}, not {wanted:g}")
    return cells, short


def without_refinement(means: list[dict]) -> str:
    """Markdown: each model without and with refinement side by side, the loss and the gain; empty where none has
    both."""
    lines = []
    for ours in (row for row in means if row.get("kind") == "refined" and "seconds" in row):
        plain = next(
            (r for r in means if (r["group"], r["method"]) == (ours["group"], ours["model"]) and "seconds" in r), None
        )
        if plain is None:
            continue
        dice = [k for k in ours if re.fullmatch(r"dice_.+(?<!_each)", k) and k in plain]
        overlap = "; ".join(f"{k.removeprefix('dice_')}: {_change(plain[k], ours[k], 3)}" for k in dice)
        key = "error_mean_mm"
        error = _change(plain[key], ours[key], 2) if key in ours else ""
        seconds = f"{plain['seconds']:.2f} / {ours['seconds']:.2f}"
        gain = f"{ours['seconds'] / max(plain['seconds'], 1e-9):.1f} times"
        cells = [ours["group"], ours["model"], overlap or "–", error or "–", seconds, gain]
        lines.append("| " + " | ".join(cells) + " |")
    if not lines:
        return ""
    head = "| group | model | Dice without / with | mm without / with | seconds without / with | faster without |"
    return "\n".join([head, "|---|---|---|---|---|---:|", *lines]) + "\n"


def _change(without: float, with_it: float, digits: int) -> str:
    """Both figures and what leaving the refinement out changes, with its sign."""
    return f"{without:.{digits}f} / {with_it:.{digits}f} ({without - with_it:+.{digits}f})"
