"""`--mode=data_dispatcher` and `--mode=data_worker`: the processes of a tf.data service."""

import socket
import time

import tensorflow as tf

from tfssl import compat
from tfssl.config.values import host_and_port
from tfssl.errors import UsageError

LOCAL = ("localhost", "127.0.0.1")
LOST = 20_000  # milliseconds without a sign of life after which a worker counts as lost
BEAT = 5_000  # milliseconds between two signs
SOON = 1.0  # seconds


def dispatcher(config, given):
    """Runs a dispatcher until a signal.

    Args:
        config: a `tfssl.Config`; `data_service` is the address at which others reach it.
        given: names of the flags that the user gave.

    Raises:
        UsageError: its port cannot be used.
        Interrupted: by a signal.
    """
    host, port = host_and_port(config.data_service)
    check_free("--data_service", config.data_service, port)
    service = tf.data.experimental.service
    server = service.DispatchServer(
        service.DispatcherConfig(port=port, worker_timeout_ms=LOST), start=True
    )
    print(
        f"tf.data service: trainings and workers reach it at --data_service={host}:{port}, without "
        "authentication or encryption",
        flush=True,
    )
    watch(lambda: compat.workers_of(server), "worker")


def worker(config, given):
    """Runs a worker until a signal; waits for the dispatcher.

    Args, Raises: as `dispatcher`, and of `config` `worker_address`.
    """
    tf.config.set_visible_devices([], "GPU")
    host, port = own_address(config)
    check_free("--worker_address", f"{host}:{port}", port)
    await_dispatcher(config.data_service)
    service = tf.data.experimental.service
    server = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=config.data_service,
            worker_address=f"{host}:%port%",
            port=port,
            heartbeat_interval_ms=BEAT,
        )
    )
    print(
        f"tf.data service: makes batches for the trainings at {config.data_service}, which reach "
        f"it as {host}",
        flush=True,
    )
    watch(lambda: compat.tasks_of(server), "training")


def own_address(config):
    """(host, port) of a worker for others; port 0: a free one."""
    if config.worker_address:
        return host_and_port(config.worker_address)
    there, _ = host_and_port(config.data_service)
    return (there if there in LOCAL else socket.gethostname()), 0


def check_free(flag, address, port):
    """Raises UsageError if a port cannot be listened on."""
    try:
        with socket.create_server(("", port)):
            pass
    except OSError as error:
        raise UsageError(
            f"{flag} must have a port that is free on this machine ({error.strerror}). "
            f"Received: {address}"
        ) from None


def await_dispatcher(address):
    """Waits until a dispatcher answers."""
    told = False
    while True:
        try:
            socket.create_connection(host_and_port(address), SOON).close()
            return
        except (OSError, ValueError) as error:  # also of a name that cannot be one
            if not told:
                why = getattr(error, "strerror", None) or error
                print(f"waits for the dispatcher at {address} ({why})", flush=True)
            told = True
            time.sleep(SOON)


def watch(count, what):
    """Prints a number when it changes, without end."""
    before = None
    while True:
        now = count()
        if now != before:
            print(f"{time.strftime('%H:%M:%S')} {now} {what}{'s' * (now != 1)}", flush=True)
        before = now
        time.sleep(SOON)
