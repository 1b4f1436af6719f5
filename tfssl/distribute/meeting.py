"""Coordination of workers besides TensorFlow: JSON lines between the chief and each other worker.

They connect at the chief's address before TensorFlow's servers start, because no signal interrupts
those while they wait. The connections stay open: a waiting worker reports for whom it waits and can
be stopped, and a lost worker is noticed at once.
"""

import contextlib
import errno
import json
import re
import select
import socket
import sys
import time

from tfssl.errors import TrainingError, UsageError
from tfssl.signals import stoppable

SAY = 30.0  # seconds until the first message about waiting, and between those during startup
MOST = 600.0  # seconds between such messages later on, at most
LOOK = 0.5  # seconds between two attempts to reach the chief
LIMIT = 2**20  # maximum length of a line in bytes


class Lost(Exception):
    """The connection is closed, or the other end does not follow the protocol."""


class Peer:
    """A connection to another worker."""

    def __init__(self, connection):
        self.connection, self.rest = connection, b""
        connection.settimeout(10.0)
        for level, option, value in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", None), 60),
        ):
            if option is not None:
                connection.setsockopt(level, option, value)

    def fileno(self):
        return self.connection.fileno()

    def close(self):
        self.connection.close()

    def send(self, value):
        """Sends a JSON-serializable value; raises Lost if the connection is closed."""
        try:
            self.connection.sendall(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise Lost(error) from None

    def read(self):
        """The next dict that was sent; None: it has not arrived completely.

        To be called when `select` reports data, or `rest` is not empty.

        Raises:
            Lost: the connection is closed.
        """
        if b"\n" not in self.rest:
            try:
                more = self.connection.recv(65536)
            except OSError as error:
                raise Lost(error) from None
            self.rest += more
            if not more or len(self.rest) > LIMIT:
                raise Lost("closed")
        line, newline, rest = self.rest.partition(b"\n")
        if not newline:
            return None
        self.rest = rest
        try:
            value = json.loads(line)
        except ValueError as error:
            raise Lost(error) from None
        if not isinstance(value, dict):
            raise Lost("not a message of a worker")
        return value


class Meeting:
    """The workers of one training, and the connections of this process to them.

    Args:
        addresses: HOST:PORT of all workers, the chief's first.
        place: index of this worker.
    """

    def __init__(self, addresses, place):
        self.addresses, self.place = addresses, place
        self.peers = {}  # {place: Peer}: all others on the chief, only the chief elsewhere

    @property
    def chief(self):
        return self.place == 0

    def name(self, place):
        """The name of a worker in messages."""
        return f"{'the chief' if place == 0 else f'worker {place}'} at {self.addresses[place]}"

    def names(self, places):
        return ", ".join(map(self.name, sorted(places)))

    def join(self):
        """Waits until all workers are connected.

        Raises:
            UsageError: the address cannot be used, or TF_CONFIG differs between workers.
            Interrupted: by a signal.
        """
        with self.stoppable("the other workers"):
            refused = self.receive_all() if self.chief else self.reach_chief()
        if refused:
            raise UsageError(refused)

    def receive_all(self):
        """On the chief: waits for the other workers. Returns the reason of a refusal, or None."""
        waiting, strangers = Waiting(SAY), []
        everyone = set(range(1, len(self.addresses)))
        with listening(self.addresses[0]) as server:
            while missing := everyone - self.peers.keys():
                ready = select.select([server, *strangers, *self.peers.values()], [], [], LOOK)[0]
                if server in ready:
                    ready.remove(server)
                    strangers.append(Peer(server.accept()[0]))
                for peer in ready:
                    if refused := self.greet(peer):
                        return refused
                strangers = [
                    peer
                    for peer in strangers
                    if peer.fileno() >= 0 and peer not in self.peers.values()
                ]
                if waiting.due():
                    waiting.say(f"waiting for {self.names(missing)}")
                    self.to_all({"waiting": f"{self.name(0)} waits for {self.names(missing)}"})
        self.to_all({"all": True})

    def to_all(self, value):
        """Sends a value to all other workers; a lost one is reported when it is needed."""
        for peer in self.peers.values():
            with contextlib.suppress(Lost):
                peer.send(value)

    def greet(self, peer):
        """Reads the first message of a worker. Returns the reason of a refusal, or None."""
        try:
            hello = peer.read()
            if hello is None:
                return None
            place, addresses = hello["worker"], hello["addresses"]
        except (Lost, KeyError):
            peer.close()
            self.peers = {place: one for place, one in self.peers.items() if one is not peer}
            return None
        if addresses == self.addresses and 0 < place < len(addresses) and place not in self.peers:
            self.peers[place] = peer
            return None
        received = (
            f"{self.addresses} on the chief, {addresses} on worker {place}"
            if addresses != self.addresses
            else f"two processes that are worker {place}"
        )
        refused = f"TF_CONFIG must name the same workers for all, each once. Received: {received}"
        self.peers.setdefault(place, peer)
        self.to_all({"refused": refused})
        with contextlib.suppress(Lost):
            peer.send({"refused": refused})
        return refused

    def reach_chief(self):
        """On another worker: connects to the chief. Returns the reason of a refusal, or None."""
        waiting = Waiting(SAY)
        while True:
            try:
                peer = Peer(socket.create_connection(endpoint(self.addresses[0]), timeout=2.0))
                peer.send({"worker": self.place, "addresses": self.addresses})
                answer = self.answer(peer)
                self.peers[0] = peer
                return answer.get("refused")
            except (OSError, Lost):
                if waiting.due():
                    waiting.say(f"waiting for {self.name(0)}, which does not answer")
                time.sleep(LOOK)

    def answer(self, peer):
        """Waits for the chief's final message: all workers are connected, or a refusal."""
        while True:
            select.select([peer], [], [])
            value = peer.read()
            if value is not None and "waiting" not in value:
                return value
            if value is not None:
                Waiting(0.0).say(value["waiting"])

    def gather(self, value):
        """Collects the values of all workers: a list on the chief, None on the others.

        Raises:
            TrainingError: a worker is lost.
            Interrupted: by a signal.
        """
        if not self.chief:
            self.send(0, value)
            return None
        values = {0: value}
        while missing := self.peers.keys() - values.keys():
            place, value = self.receive(missing)
            values[place] = value
        return [values[place] for place in sorted(values)]

    def share(self, value=None):
        """Broadcasts the chief's value to all workers; raises as `gather`."""
        if not self.chief:
            return self.receive({0})[1]
        for place in self.peers:
            self.send(place, value)
        return value

    def dismiss(self):
        """On the chief: releases the other workers. On another worker: waits for that.

        Raises:
            TrainingError: the chief is lost.
            Interrupted: by a signal.
        """
        if self.chief:
            self.to_all({"value": None})
        else:
            self.receive({0})

    def send(self, place, value):
        try:
            self.peers[place].send({"value": value})
        except Lost:
            raise self.gone(place) from None

    def receive(self, places):
        """(place, value) of the first message from any of some workers; raises as `gather`."""
        waiting = Waiting(SAY, MOST)
        ready = [place for place in places if self.peers[place].rest]
        with self.stoppable(self.names(places)):
            while True:
                for place in ready:
                    try:
                        message = self.peers[place].read()
                    except Lost:
                        raise self.gone(place) from None
                    if message is not None:
                        return place, message["value"]
                readable = select.select([self.peers[place] for place in places], [], [], LOOK)[0]
                ready = [place for place in places if self.peers[place] in readable]
                if waiting.due():
                    waiting.say(f"waiting for {self.names(places)}")

    def gone(self, place):
        return TrainingError(
            f"Another worker is gone: {self.name(place)}, which may have said "
            "why. The same command on all workers continues from the newest "
            "checkpoint."
        )

    def stoppable(self, whom):
        """A context in which SIGTERM and SIGINT raise `Interrupted`, naming whom it waits for."""
        return stoppable("the same command on all workers continues", f" while waiting for {whom}")


class Waiting:
    """Schedules repeated messages about waiting, on standard error.

    Args:
        pause: seconds until the first message, and between messages.
        most: limit up to which `pause` doubles after each message; None: it stays constant.
    """

    def __init__(self, pause, most=None):
        self.pause, self.most = pause, most or pause
        self.next = time.monotonic() + pause

    def due(self):
        return time.monotonic() >= self.next

    def say(self, text):
        print(text, file=sys.stderr, flush=True)
        self.pause = min(2 * self.pause, self.most)
        self.next = time.monotonic() + self.pause


def endpoint(address):
    """Parses HOST:PORT into (host, port); an IPv6 host may be in brackets.

    Raises:
        UsageError: the address has another form.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise UsageError(
            "TF_CONFIG must name workers as HOST:PORT, the port from 1 to 65535. "
            f"Received: {address}"
        )
    return host.strip("[]"), int(port)


def listening(address):
    """A socket that listens at an address, or on all interfaces if it is not this machine's own.

    Raises:
        UsageError: the port cannot be used.
    """
    host, port = endpoint(address)
    try:
        try:
            return bound(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            return bound("", port)  # the name of a proxy, or of the host of a container
    except OSError as error:
        raise UsageError(
            f"TF_CONFIG: this worker could not start at {address} ({error.strerror or error})."
        ) from None


def bound(host, port):
    family = (
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0] if host else (socket.AF_INET)
    )
    return socket.create_server((host, port), family=family)
