import os
import threading

from dras_service.worker.between_forks import BetweenForks


def test_a_fork_waits_for_the_work_and_finds_no_lock_held(parts):
    database = BetweenForks(parts.settings.store_url)
    ended = threading.Event()

    def work():
        while not ended.is_set():
            database.use(lambda store: store.check())

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if database._using.acquire(timeout=5) else 1)
        assert os.waitpid(pid, 0)[1] == 0
    ended.set()
    thread.join()
