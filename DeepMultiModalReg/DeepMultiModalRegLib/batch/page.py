"""Page: the batch at a glance, as one HTML file with its pictures inside: a person finds the bad cases in a minute."""

from __future__ import annotations

import base64
import html
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from .summary import KINDS

INLINE = 500  # cases up to which the pictures are in the page itself, 20 kB each; of more they are linked
_STYLE = """
body{font:14px/1.4 sans-serif;margin:1.5em;color:#222;max-width:1250px}
.case{display:grid;grid-template-columns:17em 1fr;gap:1em;border-left:.5em solid #bbb;padding:.5em 0 .5em 1em;
margin:.8em 0}
.failed{border-color:#b00020}.fell{border-color:#d4552a}.folds{border-color:#d49a2a}.warning{border-color:#d4c62a}
.fine{border-color:#5a9e5a}h2{font-size:1em;margin:0;overflow-wrap:anywhere}p{margin:.2em 0;overflow-wrap:anywhere}
figure{display:inline-block;margin:0 .6em 0 0}img{display:block}figcaption,.small{font-size:12px;color:#555}
.doubtful-only .fine{display:none}label{cursor:pointer}
"""
_SCRIPT = """
const t = window.seconds || {};
for (const e of document.querySelectorAll("[data-folder]"))
  if (e.dataset.folder in t) e.textContent = t[e.dataset.folder].toFixed(1) + " s";
document.getElementById("only").onchange = e => document.body.classList.toggle("doubtful-only", e.target.checked);
"""


def page(rows: list[dict], folder: Path, title: str) -> str:
    """HTML of the rows in their order (see summary.rows). folder: holds the cases' folders with their pictures.

    Seconds are not in it: they are read from log/times.js, if that is there, so that the page is the same whenever the
    cases were computed.
    """
    count = Counter(row["kind"] for row in rows)
    counts = ", ".join(f"{count[kind]} {words}" for kind, words in KINDS.items() if count[kind])
    return "\n".join([
        "<!DOCTYPE html><html lang='en'><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(title)}</h1><p>{len(rows)} cases: {counts}. The doubtful ones come first.</p>",
        "<p class='small'>Pictures: the fixed image in every other square, the moving one in the rest, in axial, "
        "coronal and sagittal plane; where structures break at the squares' edges, the images do not fit. NMI: "
        "normalised mutual information, 1 to 2. Similarity proves nothing by itself: look.</p>",
        "<p><label><input type='checkbox' id='only'> only the doubtful ones</label></p>",
        *(_case(row, folder, len(rows) <= INLINE) for row in rows),
        f"<script src='log/times.js'></script><script>{_SCRIPT}</script></html>",
        "",
    ])  # fmt: skip


def _case(row: dict, folder: Path, inline: bool) -> str:
    link = quote(row["folder"])
    facts = [f"<h2><a href='{link}/'>{html.escape(row['id'])}</a></h2>", f"<p><b>{KINDS[row['kind']]}</b></p>"]
    if row["sentence"]:
        facts.append(f"<p>{html.escape(row['sentence'])}</p>")
    if row["gain"] != "":
        facts.append(
            f"<p>NMI {row['similarity_before']:.3f} → {row['similarity_after']:.3f}<br>folds "
            f"{row['folds_percent']:.3f} %<br>moved {row['displacement_mean_mm']:.1f} mm on average, "
            f"{row['displacement_max_mm']:.1f} at most, beside the start</p>"
        )
        facts.append(
            f"<p class='small'>{html.escape(row['model'])} <span data-folder='{html.escape(row['folder'])}'></span></p>"
        )
    facts += [f"<p>⚠ {html.escape(words)}</p>" for words in row["warnings"]]
    pictures = [
        f"<figure><img loading='lazy' src='{source}' alt='{name}'><figcaption>{name}</figcaption></figure>"
        for name in ("before", "after")
        if (source := _picture(folder / row["folder"] / f"{name}.jpg", f"{link}/{name}.jpg", inline))
    ]
    return f"<div class='case {row['kind']}'><div>{''.join(facts)}</div><div>{''.join(pictures)}</div></div>"


def _picture(path: Path, link: str, inline: bool) -> str:
    if not inline:
        return link if path.is_file() else ""
    try:
        return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
