"""Runner: cases to workers, results to the folder, until all are done."""

from __future__ import annotations

import os
import queue
import time
from collections import deque
from collections.abc import Callable

from ..core.errors import Cancelled, InputError, MemoryShortage
from ..io.atomic import write_text
from .case import Case, Settings
from .clock import Clock
from .fingerprint import fingerprint, model_identity
from .folder import BatchFolder
from .log import Log
from .page import page
from .pool import Worker, sentence_for
from .summary import as_csv, rows

TICK = 0.2  # seconds between two looks at whether to stop
REFRESH = 60.0  # seconds after which table and page are written anew while the batch runs


class Batch:
    """One run over a list, from `run` on. `say` gets events (dicts):

    {"event": "started", "cases", "finished": those of an earlier run, "jobs"},
    {"event": "case", "id", "folder", "state", "code", "sentence", "report", "seconds", "done", "cases", "remaining"},
    {"event": "progress", "done", "cases", "running": [[id, fraction, step]], "remaining": seconds or None},
    {"event": "finished", "code", "failed", "doubtful", "cases"}.
    """

    def __init__(
        self, cases: list[Case], folder: BatchFolder, settings: Settings, jobs: int, say: Callable[[dict], None],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._cases, self._folder, self._settings = cases, folder, settings
        self._jobs, self._say, self._cancelled = jobs, say, cancelled
        self._events: queue.Queue = queue.Queue()
        self._workers: list[Worker] = []
        self._at: dict[Worker, tuple[Case, dict]] = {}
        self._under_way: dict[Worker, tuple[float, str]] = {}
        self._reports: dict[str, dict | None] = {}
        self._alone: deque[Case] = deque()
        self._ended = 0

    def run(self, resume: bool = False) -> int:
        """Computes what is not finished; returns 0, or the code of the list's first failed case.

        Raises InputError (nothing was computed: a setting, a model or the folder is wrong; or the folder cannot be
        written any more) and Cancelled (all that was finished stays).
        """
        models = self._models()
        self._folder.open(resume, self._settings, self._cases)
        try:
            self._log, self._models_by_name, self._written = Log(self._folder.log), models, time.monotonic()
            todo = deque(case for case in self._cases if not self._finished(case))
            self._before, self._clock = len(self._cases) - len(todo), Clock(len(todo))
            jobs = max(1, min(self._jobs, len(todo)))
            self._say({"event": "started", "cases": len(self._cases), "finished": self._before, "jobs": jobs})
            try:
                self._through(todo, jobs)
                self._through(self._alone, 1)
            finally:
                self._end_workers()
                self._write()
            return self._close()
        finally:
            self._folder.close()

    def _models(self) -> dict[str | None, dict]:
        found: dict[str | None, dict] = {}
        for case in self._cases:
            if case.model not in found:
                try:
                    found[case.model] = model_identity(case.model)
                except InputError as error:
                    raise InputError(f"Line {case.line} of the list: {error}") from error
        return found

    def _asked(self, case: Case) -> dict:
        return fingerprint(case, self._settings, self._models_by_name[case.model])

    def _finished(self, case: Case) -> bool:
        if self._cancelled():
            raise Cancelled("The batch was cancelled; nothing was computed.")
        if self._folder.report(case) is not None:
            self._reports[case.folder] = self._folder.finished(case, self._asked(case))
        return self._reports.get(case.folder) is not None

    def _through(self, todo: deque[Case], jobs: int) -> None:
        """Has all of todo computed by `jobs` workers; those that ran short of memory beside others go to `_alone`."""
        alone = jobs == 1
        while todo or self._at:
            while len(self._workers) < min(jobs, len(todo) + len(self._at)):
                self._start_worker()
            try:
                worker, event = self._events.get(timeout=TICK)
            except queue.Empty:
                worker, event = None, {}
            if self._cancelled():
                raise Cancelled(
                    f"The batch was cancelled; {self._before + self._ended} of {len(self._cases)} cases are finished "
                    "and stay. Go on by --resume."
                )
            if worker in self._workers:
                self._heard(worker, event, alone)
                if event["event"] in ("ready", "done", "failed"):
                    self._next(worker, todo)
            if time.monotonic() - self._written > REFRESH:
                self._write()
        self._end_workers()

    def _start_worker(self) -> None:
        number = len(self._workers) + 1
        lock = self._folder.lock.descriptor if self._folder.lock else None
        self._workers.append(
            Worker(self._events, self._settings.threads, self._folder.log / f"worker-{number}.log", lock)
        )

    def _next(self, worker: Worker, todo: deque[Case]) -> None:
        if not todo:
            self._workers.remove(worker)
            worker.end()
            return
        case = todo.popleft()
        asked = self._asked(case)
        self._at[worker] = case, asked
        self._under_way[worker] = 0.0, "starting"
        worker.give({
            "id": case.id, "staging": str(self._folder.staging(case)), "model": case.model, "refine": case.refine,
            "paths": {role: str(case.path(role)) for role in case.roles()}, "start": case.start, "asked": asked,
        })  # fmt: skip

    def _heard(self, worker: Worker, event: dict, alone: bool) -> None:
        kind = event["event"]
        if kind == "ready":
            if not any(one.ready for one in self._workers) and not self._ended:
                self._clock.begin()
            worker.ready = True
        elif kind == "progress":
            self._under_way[worker] = event["fraction"], event["step"]
            running = [[case.id, *self._under_way[w]] for w, (case, _) in self._at.items()]
            self._say({"event": "progress", "running": running, **self._where()})
        elif kind == "ended":
            self._workers.remove(worker)
            if worker not in self._at:
                if not worker.ready:
                    raise InputError(
                        f"The workers do not start ({worker.last_words() or 'they say nothing'}); repair the "
                        "installation."
                    )
                return
            self._failed(worker, *sentence_for(event["code"]), {}, alone)
        elif kind == "failed":
            self._failed(worker, event["code"], event["message"], {"details": event["details"]}, alone)
        elif kind == "done":
            case, _ = self._at.pop(worker)
            times = {name: event[name] for name in ("seconds", "peak_memory_mb")}
            self._log.add(case, "done", times)
            self._folder.publish(case)
            self._over(worker, case, self._folder.report(case))

    def _failed(self, worker: Worker, code: int, sentence: str, facts: dict, alone: bool) -> None:
        case, asked = self._at.pop(worker)
        sentence = sentence.replace(f"{self._folder.staged(case)}{os.sep}", "")  # the hidden place is nobody's business
        if code == MemoryShortage.exit_code and not alone:  # it may have run short only beside the others
            self._folder.drop(case)
            self._under_way.pop(worker, None)
            self._alone.append(case)
            return
        self._log.add(case, "failed", {"code": code, "sentence": sentence, **{k: v for k, v in facts.items() if v}})
        self._over(worker, case, self._folder.fail(case, asked, code, sentence))

    def _over(self, worker: Worker, case: Case, report: dict | None) -> None:
        self._under_way.pop(worker, None)
        self._ended += 1
        self._reports[case.folder] = report
        report = report or {}
        self._say({
            "event": "case", "id": case.id, "folder": case.folder, "state": report.get("state"),
            "code": report.get("code"), "sentence": report.get("sentence", ""), "report": report,
            "seconds": self._log.seconds(case), **self._where(),
        })  # fmt: skip

    def _where(self) -> dict:
        fractions = [fraction for worker, (fraction, _) in self._under_way.items() if worker in self._at]
        return {
            "done": self._before + self._ended, "cases": len(self._cases),
            "remaining": self._clock.remaining(self._ended, fractions),
        }  # fmt: skip

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.end()
        for case, _ in self._at.values():
            self._folder.drop(case)
        self._workers, self._at = [], {}

    def _write(self) -> None:
        """The table, the page and the times."""
        table = rows(self._cases, self._reports)
        write_text(as_csv(table), self._folder.path / "summary.csv")
        write_text(page(table, self._folder.path, "Batch registration"), self._folder.path / "index.html")
        self._log.write(self._cases)
        self._written = time.monotonic()

    def _close(self) -> int:
        for log in self._folder.log.glob("worker-*.log"):
            if log.stat().st_size == 0:
                log.unlink()
        codes = [(self._reports.get(case.folder) or {}).get("code", 5) for case in self._cases]
        failed = [code for code in codes if code]
        kinds = [row["kind"] for row in rows(self._cases, self._reports)]
        code = failed[0] if failed else 0
        self._say({
            "event": "finished", "code": code, "failed": len(failed), "cases": len(self._cases),
            "doubtful": sum(kind not in ("fine", "failed") for kind in kinds),
        })  # fmt: skip
        return code
