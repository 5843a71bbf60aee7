"""The lock: one batch in a folder; a dead one's lock is no lock; its living workers' is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from DeepMultiModalRegLib.batch.lock import NAME, Lock
from DeepMultiModalRegLib.core import InputError

HOLD = (
    "import sys, time; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
    "from DeepMultiModalRegLib.batch.lock import Lock\n"
    "lock = Lock(Path(sys.argv[2])); print('held', flush=True); time.sleep(60)\n"
)


def holder(folder) -> subprocess.Popen:
    library = next(p for p in sys.path if p.endswith("DeepMultiModalReg"))
    process = subprocess.Popen([sys.executable, "-c", HOLD, library, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_lock_is_refused_and_says_who_holds_the_first(tmp_path):
    first = Lock(tmp_path)
    with pytest.raises(InputError, match=f"process {os.getpid()} on .* works in"):
        Lock(tmp_path, patience=0)
    first.release()
    assert not (tmp_path / NAME).exists()
    Lock(tmp_path, patience=0).release()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_the_lock_of_another_process_holds_until_it_is_killed(tmp_path):
    process = holder(tmp_path)
    with pytest.raises(InputError, match=f"process {process.pid}"):
        Lock(tmp_path, patience=0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / NAME).exists()  # its file stays, and means nothing
    Lock(tmp_path, patience=0).release()


@pytest.mark.skipif(os.name == "nt", reason="descriptors of POSIX")
def test_the_lock_ends_with_the_last_worker_not_with_the_batch(tmp_path):
    lock = Lock(tmp_path)
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.descriptor,))
    os.close(lock.descriptor)  # as the death of the batch would
    with pytest.raises(InputError, match="works in"):
        Lock(tmp_path, patience=0)
    worker.stdin.close()
    began = time.monotonic()
    Lock(tmp_path, patience=30).release()  # waits for it to end
    assert time.monotonic() - began < 30 and worker.wait() is not None


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be written"):
            Lock(tmp_path)
    finally:
        tmp_path.chmod(0o700)
