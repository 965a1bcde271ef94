"""A real worker whose engine takes milliseconds, started by the tests in the place of the pipeline's.

What an upload holds tells the engine what to do: `sleep:2` works that long and reports all the while, `poison`
kills the process it runs in, `hang` reports nothing any more, `abort` dies in native code, anything else is
done at once. `meet:2` waits until two processes are at it. A study in stages does so in each of them, but for
`poison:encode` and its like, which is for one. Every beginning is written down, so that executions can be counted.
"""

import ctypes
import hashlib
import json
import logging
import os
import signal
import sys
import time
import warnings
from pathlib import Path

from celery.exceptions import SecurityWarning

from dras_model.results.study import Stage
from dras_service.settings import read_settings
from dras_service.worker import __main__ as worker
from unit.dras_service.examples import bundle_view, study_result

EXECUTIONS = "DRAS_TEST_EXECUTIONS"  # names the file that beginnings are written to
_STEP_S = 0.02


class QuickEngine:
    def __call__(self, source: Path, out: Path, *, report, **_choices):
        content = source.read_bytes()
        self._write_down(content)
        report(Stage.READ, 0.0)
        self._obey(content, Stage.ENCODE, report)
        return self._end(content, out, report)

    def prepare(self, source: Path, draft: Path, *, report, **_choices):
        content = source.read_bytes()
        self._write_down(content, ".prepare")
        report(Stage.READ, 0.0)
        self._obey(content, Stage.READ, report, "prepare")
        draft.mkdir()
        (draft / "content").write_bytes(content)

    def encode(self, drafts, encoded, *, bundle, report):
        for draft, folder in zip(drafts, encoded, strict=True):
            content = (draft / "content").read_bytes()
            self._write_down(content, ".encode")
            report(Stage.ENCODE, 0.0)
            self._obey(content, Stage.ENCODE, report, "encode")
            folder.mkdir()
            (folder / "content").write_bytes(content)

    def finish(self, draft: Path, out: Path, *, source, report):
        content = (draft / "content").read_bytes()
        self._write_down(content, ".finish")
        report(Stage.OUTPUTS, 0.0)
        self._obey(content, Stage.OUTPUTS, report, "finish")
        return self._end(content, out, report)

    @staticmethod
    def _end(content, out, report):
        out.mkdir()
        digest = hashlib.sha256(content).hexdigest()
        (out / "result.json").write_text(json.dumps({"sha256": digest}))
        report(Stage.OUTPUTS, 1.0)
        return study_result()

    def _obey(self, content, stage, report, queue=""):
        word, _, number = content.decode("latin-1").split("\n")[0].partition(":")
        if word == "poison" and number in ("", queue):
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "abort":
            ctypes.CDLL(None).abort()
        if word == "hang":
            time.sleep(3600)
        if word == "sleep":
            self._sleep(float(number), stage, report)
        if word == "meet":
            self._meet(int(number), stage, report)

    @staticmethod
    def _sleep(duration_s, stage, report):
        end = time.monotonic() + duration_s
        while (left_s := end - time.monotonic()) > 0:
            report(stage, 1 - left_s / duration_s)
            time.sleep(_STEP_S)

    @staticmethod
    def _meet(n_processes, stage, report):
        """Wait for others: work that is done by one after the other never gets past here."""
        while (
            len({line.split()[1] for line in Path(os.environ[EXECUTIONS]).read_text().splitlines()})
            < n_processes
        ):
            report(stage, 0.5)
            time.sleep(_STEP_S)

    @staticmethod
    def _write_down(content, where=""):
        line = f"{hashlib.sha256(content).hexdigest()}{where} {os.getpid()}\n".encode()
        descriptor = os.open(os.environ[EXECUTIONS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line)
        os.close(descriptor)


def main() -> int:
    settings = read_settings()
    logging.basicConfig(level=settings.log_level)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # containers run as root
    worker.worker_ready.connect(worker._announce)
    worker.setup_logging.connect(worker._keep_logging)
    engine = QuickEngine()
    celery = worker.create_worker(settings, (bundle_view(is_default=True),), engine, stages=engine)
    with worker.attended(settings):
        return worker.run(celery, log_level=settings.log_level, queues=worker.served(settings))


if __name__ == "__main__":
    sys.exit(main())
