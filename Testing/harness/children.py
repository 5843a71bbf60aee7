"""Children for tests: small Python programs in the worker's place. Each is called with the job's folder."""

from __future__ import annotations

import sys

_SAY = """
import json, os, shutil, signal, subprocess, sys, time
folder = sys.argv[-1]
def tell(event, **facts): print(json.dumps({"event": event, **facts}), flush=True)
def finish(**more):
    shutil.copy(os.path.join(folder, "fixed.npy"), os.path.join(folder, "warped.npy"))
    affine = [[1, 0, 0, 2.5], [0, 1, 0, -1.5], [0, 0, 1, 0.5], [0, 0, 0, 1]]
    report = {"similarity": {"measure": "NMI", "before": 1.05, "start": 1.08, "after": 1.2}, "folds_percent": 0.0,
              "model": {"name": "tiny", "reason": "a test"}, "seconds": {"total": 1.0}, "warnings": [],
              "machine": {"device": "cpu"}, "displacement_mm": {"mean": 0.0, "max": 0.0}}
    found = {"transform": {"affine": affine, "field": None}, "report": report, "warped": "warped.npy", **more}
    with open(os.path.join(folder, "result.json"), "w") as file: json.dump(found, file)
    tell("done")
"""


def child(body: str) -> list[str]:
    """The command that runs `body` after the helpers above."""
    return [sys.executable, "-S", "-u", "-c", _SAY + body]


QUICK = child("tell('started', pid=os.getpid()); tell('progress', fraction=0.5, step='network'); finish()")
SLOW = child("""
for n in range(400):
    tell('progress', fraction=n / 400, step='network' if n > 20 else 'start')
    open(os.path.join(os.environ['TMPDIR'], f'scratch-{n}'), 'w').write('x' * 1000)
    time.sleep(0.05)
finish()
""")
WITH_CHILDREN = child("""
code = "import time, sys; time.sleep(60)"
others = [subprocess.Popen([sys.executable, '-S', '-c', code]) for _ in range(2)]
tell('progress', fraction=0.1, step=' '.join(str(o.pid) for o in others))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(60)
""")
KILLED = child("tell('progress', fraction=0.3, step='network'); os.kill(os.getpid(), signal.SIGKILL)")
CRASHED = child("print('Fatal: abc', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)")
SILENT = child("print('Traceback\\nValueError: odd', file=sys.stderr); sys.exit(7)")
NO_MEMORY = child("""
tell('error', code=3, message='Memory does not suffice; close other programs.', details='MemoryError'); sys.exit(3)
""")
UNFINISHED = child("tell('done')")
