"""How idle threads wait: a short look, then sleep; what somebody has set himself stays."""

from __future__ import annotations

import json
import subprocess
import sys

from file_lists import MODULE

from DeepMultiModalRegLib.waiting import PATIENT, patient


def test_a_child_gets_both_words_about_waiting_and_what_somebody_has_set_stays() -> None:
    assert patient({"PATH": "a"}) == {"PATH": "a", **PATIENT}
    own = {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "7"}
    assert patient(own) == own


def test_the_command_says_so_before_torch_is_loaded() -> None:
    told = "import json, os, runpy, sys; runpy.run_module('DeepMultiModalRegLib.__main__', run_name='seen'); "
    told += "print(json.dumps([dict(os.environ), 'torch' in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", told], env={"PYTHONPATH": str(MODULE)}, capture_output=True, text=True, check=True
    )
    environment, loaded = json.loads(done.stdout)
    assert environment.items() >= PATIENT.items() and not loaded
