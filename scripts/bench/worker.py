"""One variant in a process of its own: python worker.py TABLE VARIANT SETTINGS

Says it is ready with a line of JSON, then for every line it reads times some calls and says how
long they took.
"""

import importlib
import json
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), os.path.dirname(HERE), HERE]

AIM = 2.0  # seconds of a turn


def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Peak:
    """The most memory that was resident since it began, beyond what was then."""

    def __init__(self):
        self.base = self.most = resident_mb()
        threading.Thread(target=self.watch, daemon=True).start()

    def restart(self):
        self.base = self.most = resident_mb()

    def watch(self):
        while True:
            self.most = max(self.most, resident_mb())
            time.sleep(0.002)

    @property
    def megabytes(self):
        return self.most - self.base


class Protocol:
    """What is said to the process that asks: ready, then done after each turn it asks for."""

    def __init__(self):
        self.began, self.peak = time.perf_counter(), Peak()

    def ready(self, items, flops, calls):
        print(
            json.dumps(
                {
                    "items": items,
                    "flops": flops,
                    "calls": calls,
                    "first_seconds": time.perf_counter() - self.began,
                    "peak_mb": self.peak.megabytes,
                }
            ),
            flush=True,
        )

    def wait(self):
        if not sys.stdin.readline():
            os._exit(0)

    def done(self, seconds):
        print(json.dumps({"seconds": seconds}), flush=True)

    def calls(self, call, items, flops, calls=None):
        """Serves turns of a function without arguments, each as many calls as take AIM seconds."""
        self.peak.restart()
        call()
        times = [timed(call) for _ in range(2)]
        calls = calls or max(1, round(AIM / times[-1]))
        self.ready(items, flops, calls)
        while True:
            self.wait()
            self.done(timed(call, calls))


def timed(call, times=1):
    start = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - start


def main():
    table, name, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    module = importlib.import_module(f"tables.{table}")
    protocol = Protocol()
    if hasattr(module, "serve"):
        module.serve(name, settings, protocol)
    else:
        protocol.calls(*module.build(name, settings))


if __name__ == "__main__":
    main()
