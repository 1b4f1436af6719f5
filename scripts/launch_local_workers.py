"""Several workers on this machine: python scripts/launch_local_workers.py --workers=2 [FLAGS]

Starts so many processes of run.py with the same FLAGS, joined by TF_CONFIG over loopback: what
several hosts do, to try it on one. On a machine with GPUs each worker is given its share of them.
Every line of output says which worker it is of. When one worker fails, the others are given a
minute to say so and are then stopped; so they are by Ctrl-C. The exit code is that of the first
that failed.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import runs

PATIENCE = 60  # seconds that the others have after one has failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--gpus",
        type=int,
        default=0,
        help="GPUs of this machine, divided among the workers; 0: none of them",
    )
    arguments, flags = parser.parse_known_args()
    if arguments.workers < 1 or arguments.gpus % arguments.workers:
        parser.error(
            "--workers must be at least 1 and divide --gpus. "
            f"Received: {arguments.workers} and {arguments.gpus}"
        )
    processes = launch(arguments.workers, arguments.gpus, flags)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: tell(processes, number))
    readers = [threading.Thread(target=relay, args=pair) for pair in enumerate(processes)]
    for reader in readers:
        reader.start()
    code = wait(processes)
    for reader in readers:
        reader.join()
    sys.exit(code)


def launch(workers, gpus, flags):
    """Starts the workers and returns their processes."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    share = gpus // workers
    processes = []
    for index in range(workers):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        own = ",".join(str(index * share + i) for i in range(share)) or "-1"
        processes.append(
            subprocess.Popen(
                [sys.executable, os.path.join(runs.ROOT, "run.py"), *flags],
                env={**os.environ, "TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": own},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
    return processes


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def relay(index, process):
    for line in process.stdout:
        print(f"[{index}] {line}", end="", flush=True)


def tell(processes, number):
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def wait(processes):
    """Waits for all, not for long once one has failed; the exit code of the first that did."""
    code, until = 0, None
    while any(process.poll() is None for process in processes):
        failed = [process.returncode for process in processes if process.poll()]
        if failed and until is None:
            code, until = failed[0], time.monotonic() + PATIENCE
        if until and time.monotonic() > until:
            tell(processes, signal.SIGKILL)
        time.sleep(0.1)
    return code or next((p.returncode for p in processes if p.returncode), 0)


if __name__ == "__main__":
    main()
