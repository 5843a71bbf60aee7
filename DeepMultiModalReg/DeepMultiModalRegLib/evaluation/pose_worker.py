"""Runs one peer over pairs as they come: `python pose_worker.py PEER SEED`, started by pose_peer.py.

A line of JSON in (a job of peer_worker.py), a line of JSON out: {"seconds", "cpu_seconds"} of the peer's call alone,
files left out, or {"error"}. The first line out is {"version"}. Importing a peer takes seconds: it is done once.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys

import peer_worker


def searched():
    """antspyx affine after its own search for a start: affine_initializer, turns in steps of 20 degrees."""
    import ants as peer

    def run(job: dict, seed: int) -> peer_worker.Spent:
        fixed, moving = peer.image_read(job["fixed"]), peer.image_read(job["moving"])
        prefix = os.path.join(job["out"], "ants_")
        started = peer_worker.clock()
        first = peer.affine_initializer(fixed, moving, search_factor=20, radian_fraction=0.5)
        found = peer.registration(
            fixed,
            moving,
            type_of_transform="Affine",
            initial_transform=first,
            aff_metric="mattes",
            random_seed=seed + 1,
            outprefix=prefix,
        )
        seconds = peer_worker.since(started)
        os.replace(found["fwdtransforms"][0], os.path.join(job["out"], "affine.mat"))
        return seconds

    return run


PEERS = {**peer_worker.PEERS, "ants-affine-searched": ("antspyx", searched)}


def main(peer: str, seed: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints goes to stderr, also from C++
    package, make = PEERS[peer]
    run = make()
    print(json.dumps({"version": f"{package} {importlib.metadata.version(package)}"}), file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            os.makedirs(job["out"], exist_ok=True)
            spent = run(job, seed)
            answer = {"seconds": spent, "cpu_seconds": spent.cpu}
        except Exception as error:  # whatever a peer raises is its row's error; the next pair has its own chance
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
