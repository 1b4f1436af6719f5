"""What workers tell each other beside TensorFlow: lines of JSON between the chief and each other.

They meet before TensorFlow's servers start, whose waiting no signal ends, at the chief's own
address; the connections stay. So a worker that waits says for whom and can be stopped, and one that
leaves is missed at once.
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

SAY = 30.0  # seconds until the first word about waiting, and between those while workers gather
MOST = 600.0  # between two such words of a worker that waits later on, at most
LOOK = 0.5  # seconds between two attempts to reach the chief
LIMIT = 2**20  # bytes that a line may have


class Lost(Exception):
    """The other end has closed its connection, or does not speak this language."""


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
        """Raises Lost where it cannot be sent."""
        try:
            self.connection.sendall(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise Lost(error) from None

    def read(self):
        """The next dict that was sent, or None where it has not come whole.

        For when `select` says that there is something, or `rest` holds some of it.

        Raises:
            Lost: none will come.
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
            raise Lost("no worker speaks so")
        return value


class Meeting:
    """The workers of one training; of each process, its connections to the others.

    Args:
        addresses: of all workers as HOST:PORT, the chief's first.
        place: of this one among them.
    """

    def __init__(self, addresses, place):
        self.addresses, self.place = addresses, place
        self.peers = {}  # {place: Peer}; of a worker that is not the chief, that alone

    @property
    def chief(self):
        return self.place == 0

    def name(self, place):
        """What a worker is called in messages."""
        return f"{'the chief' if place == 0 else f'worker {place}'} at {self.addresses[place]}"

    def names(self, places):
        return ", ".join(map(self.name, sorted(places)))

    def join(self):
        """Waits until all workers are there.

        Raises:
            UsageError: this address cannot be had, or TF_CONFIG is another one elsewhere.
            Interrupted: by a signal.
        """
        with self.stoppable("the other workers"):
            refused = self.receive_all() if self.chief else self.reach_chief()
        if refused:
            raise UsageError(refused)

    def receive_all(self):
        """As the chief: waits for each of the others. Returns why it must not be, or None."""
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
                    waiting.tell(f"waiting for {self.names(missing)}")
                    self.to_all({"waiting": f"{self.name(0)} waits for {self.names(missing)}"})
        self.to_all({"all": True})

    def to_all(self, value):
        """Says something to all others; whoever needs one that is gone is told later."""
        for peer in self.peers.values():
            with contextlib.suppress(Lost):
                peer.send(value)

    def greet(self, peer):
        """Hears who has come, or has gone again. Returns why it must not be, or None."""
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
        told = (
            f"{self.addresses} on the chief, {addresses} on worker {place}"
            if addresses != self.addresses
            else f"two processes that are worker {place}"
        )
        refused = f"TF_CONFIG must name the same workers for all, each once. Received: {told}"
        self.peers.setdefault(place, peer)
        self.to_all({"refused": refused})
        with contextlib.suppress(Lost):
            peer.send({"refused": refused})
        return refused

    def reach_chief(self):
        """As another worker: comes to the chief. Returns why it must not be, or None."""
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
                    waiting.tell(f"waiting for {self.name(0)}, which does not answer")
                time.sleep(LOOK)

    def answer(self, peer):
        """What the chief says once all are there, or why they must not be."""
        while True:
            select.select([peer], [], [])
            value = peer.read()
            if value is not None and "waiting" not in value:
                return value
            if value is not None:
                Waiting(0.0).tell(value["waiting"])

    def gather(self, value):
        """The values of all workers, by place, on the chief; on the others None.

        Raises:
            TrainingError: one is gone.
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
        """The chief's value on all workers; raises as `gather`."""
        if not self.chief:
            return self.receive({0})[1]
        for place in self.peers:
            self.send(place, value)
        return value

    def dismiss(self):
        """As the chief: lets all go, also where one is gone. As another: waits for that.

        Raises:
            TrainingError: the chief is gone.
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
        """(place, value) of the first of some workers that says something; raises as `gather`."""
        waiting = Waiting(SAY, MOST)
        ready = [place for place in places if self.peers[place].rest]
        with self.stoppable(self.names(places)):
            while True:
                for place in ready:
                    try:
                        said = self.peers[place].read()
                    except Lost:
                        raise self.gone(place) from None
                    if said is not None:
                        return place, said["value"]
                heard = select.select([self.peers[place] for place in places], [], [], LOOK)[0]
                ready = [place for place in places if self.peers[place] in heard]
                if waiting.due():
                    waiting.tell(f"waiting for {self.names(places)}")

    def gone(self, place):
        return TrainingError(
            f"Another worker is gone: {self.name(place)}, which may have said "
            "why. The same command on all workers continues from the newest "
            "checkpoint."
        )

    def stoppable(self, whom):
        """While waiting for somebody, SIGTERM and SIGINT raise `Interrupted`."""
        return stoppable("the same command on all workers continues", f" while waiting for {whom}")


class Waiting:
    """Says now and then that one waits, on standard error.

    Args:
        pause: seconds until the first word, and to the next.
        most: up to which these double; None: they do not.
    """

    def __init__(self, pause, most=None):
        self.pause, self.most = pause, most or pause
        self.next = time.monotonic() + pause

    def due(self):
        return time.monotonic() >= self.next

    def tell(self, text):
        print(text, file=sys.stderr, flush=True)
        self.pause = min(2 * self.pause, self.most)
        self.next = time.monotonic() + self.pause


def endpoint(address):
    """HOST:PORT as (host, port); an IPv6 host may be in brackets.

    Raises:
        UsageError: it is none.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise UsageError(
            "TF_CONFIG must name workers as HOST:PORT, the port from 1 to 65535. "
            f"Received: {address}"
        )
    return host.strip("[]"), int(port)


def listening(address):
    """A socket that listens at an address; where that is not this machine's own, on all of it.

    Raises:
        UsageError: it cannot be had.
    """
    host, port = endpoint(address)
    try:
        try:
            return bound(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            return bound("", port)  # the name of a proxy, or of what is outside of a container
    except OSError as error:
        raise UsageError(
            f"TF_CONFIG: this worker could not start at {address} ({error.strerror or error})."
        ) from None


def bound(host, port):
    family = (
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0] if host else (socket.AF_INET)
    )
    return socket.create_server((host, port), family=family)
