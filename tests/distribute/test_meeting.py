"""Workers meet, tell each other what they are, wait for each other, and miss who is gone."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.helpers import ROOT, TINY_FLAGS, write_image
from tfssl import UsageError
from tfssl.config import Config
from tfssl.distribute import meeting, strategy
from tfssl.distribute.meeting import Meeting
from tfssl.errors import TrainingError
from tfssl.runner import workers


@pytest.fixture
def addresses():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    found = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return found


def together(*works):
    """What functions return or raise that run side by side, in order."""
    found = [None] * len(works)

    def run(place, work):
        try:
            found[place] = work()
        except Exception as error:
            found[place] = error

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return found


@pytest.fixture
def met(addresses):
    workers = [Meeting(addresses, place) for place in range(3)]
    assert together(*(worker.join for worker in workers)) == [None] * 3
    yield workers
    for worker in workers:
        for peer in worker.peers.values():
            peer.close()


def spread(met):
    return [strategy.Distribution(None, 3, one.chief, one) for one in met]


def test_all_have_the_chiefs_number(met):
    works = [
        lambda one=one, place=place: one.agree(7 * (place == 0))
        for place, one in enumerate(spread(met))
    ]
    assert together(*works) == together(*works) == [7, 7, 7]


def test_a_record_that_differs_is_refused_by_all_with_what_differs(met):
    def say(temperature):
        return {"--temperature": temperature, "--sizes": (1, 2), "--seed": 0}

    workers = spread(met)
    same = [lambda one=one: one.require_same(say(0.25)) for one in workers]
    assert together(*same) == [None] * 3
    found = together(same[0], same[1], lambda: workers[2].require_same(say(0.5)))
    assert len(set(map(str, found))) == 1 and all(isinstance(f, UsageError) for f in found)
    chief, other = met[0].addresses[0], met[0].addresses[2]
    assert str(found[0]) == (
        f"All workers must be started alike. Received on the chief at {chief}, and on worker 2 at "
        f"{other}: --temperature 0.25 and 0.5"
    )


def test_a_long_record_arrives_whole(met):
    value = {"text": "x" * 300_000}
    assert together(*(lambda one=one: one.gather(value) for one in met))[0] == [value] * 3


def test_who_is_gone_is_missed_at_once_by_name(met):
    met[2].peers[0].close()
    found = together(*(lambda one=one: one.agree(1) for one in spread(met)[:1]))
    assert isinstance(found[0], TrainingError)
    assert f"gone: worker 2 at {met[0].addresses[2]}" in str(found[0])


def test_other_addresses_and_a_place_taken_twice_are_refused(addresses):
    works = [Meeting(addresses, 0).join, Meeting([*addresses[:2], "elsewhere:1"], 1).join]
    for found in together(*works):
        assert isinstance(found, UsageError) and "elsewhere:1" in str(found)
    found = together(
        Meeting(addresses, 0).join, Meeting(addresses, 1).join, Meeting(addresses, 1).join
    )
    assert all("two processes that are worker 1" in str(error) for error in found)


def test_strangers_and_who_left_again_do_not_count(addresses, monkeypatch, capsys):
    monkeypatch.setattr(meeting, "SAY", 0.2)
    host, port = meeting.endpoint(addresses[0])

    def disturb():
        for content in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"[]\n",
            b'{"worker": 1}\n',
            b"",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\xff\n",
        ):
            while True:
                try:
                    with socket.create_connection((host, port)) as stranger:
                        stranger.sendall(content)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.1)
        leaver = meeting.Peer(socket.create_connection((host, port)))
        leaver.send({"worker": 2, "addresses": addresses})
        time.sleep(1)
        leaver.close()
        time.sleep(1)
        assert together(Meeting(addresses, 1).join, Meeting(addresses, 2).join) == [None, None]

    assert together(Meeting(addresses, 0).join, disturb) == [None, None]
    said = capsys.readouterr().err
    assert f"waiting for worker 1 at {addresses[1]}, worker 2 at {addresses[2]}" in said
    assert f"waiting for worker 1 at {addresses[1]}\n" in said  # while the one that left was there


@pytest.mark.parametrize(
    "address",
    [
        "host",
        "host:",
        ":1",
        "host:0",
        "host:65536",
        "host:x",
        "host:" + "9" * 5000,
        "host:\N{SUPERSCRIPT TWO}",
    ],
)
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(UsageError, match="HOST:PORT"):
        meeting.endpoint(address)


def test_an_address_that_is_taken_is_refused(addresses):
    host, port = meeting.endpoint(addresses[0])
    with socket.create_server((host, port)), pytest.raises(UsageError, match="could not start at"):
        meeting.listening(addresses[0])


def test_an_ipv6_address_may_have_brackets():
    assert meeting.endpoint("[::1]:2222") == ("::1", 2222)


def test_every_setting_counts_but_where_things_are():
    one = workers.settings(Config())
    other = workers.settings(Config(model_dir="a", data_dir="b"))
    assert one == other and len(one["the code of tfssl"]) == 12
    for changes in (
        dict(temperature=0.5),
        dict(train_steps=3),
        dict(checkpoint_steps=2),
        dict(train_summary_steps=3),
        dict(steps_per_execution=2),
        dict(mode="train"),
    ):
        assert workers.settings(Config(**changes)) != one, changes


def start(addresses, place, *flags):
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": place}}
    return subprocess.Popen(
        [sys.executable, "run.py", *TINY_FLAGS, *flags],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": "-1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "place,number",
    [(0, signal.SIGTERM), (1, signal.SIGINT)],
)
def test_a_worker_that_waits_can_be_stopped(place, number, addresses, tmp_path):
    process = start(addresses[:2], place, f"--model_dir={tmp_path / 'run'}")
    assert "waiting for the others" in process.stdout.readline()
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 5  # two seconds, where others do not use the machine
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} while waiting for the other workers" in out
    assert "Traceback" not in out and not (tmp_path / "run").exists()


@pytest.mark.slow  # the refusal itself is tested above, without processes
def test_workers_of_other_settings_are_refused_before_anything_is_written(addresses, tmp_path):
    directory = tmp_path / "run"
    both = [
        start(addresses[:2], place, f"--model_dir={directory}", f"--temperature={value}")
        for place, value in enumerate((0.25, 0.5))
    ]
    for process in both:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 2 and "Traceback" not in out
        assert out.count("\n") == 2 and "--temperature 0.25 and 0.5" in out.splitlines()[1]
    assert not directory.exists()


@pytest.mark.slow
def test_workers_of_other_images_are_refused_before_anything_is_written(addresses, tmp_path):

    for name in ("a", "b"):
        for label in range(2):
            for i in range(16):
                write_image(
                    tmp_path / name / "train" / f"c{label}" / f"{i}.png",
                    height=16,
                    width=16,
                    seed=100 * label + i + (name == "b" and i == 0),
                )
    directory = tmp_path / "run"
    both = [
        start(
            addresses[:2],
            place,
            f"--model_dir={directory}",
            "--dataset=folder",
            f"--data_dir={tmp_path / name}",
            "--train_split=train[:20]",
            "--eval_split=train[20:]",
            "--max_shared_fraction=1",
        )
        for place, name in enumerate("ab")
    ]
    for process in both:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 2 and "Traceback" not in out
        assert "contents of files of the training images" in out
    assert not directory.exists()


def test_the_chief_lets_all_go_whoever_has_gone_before(met):
    chief, gone, waiting = met
    for peer in gone.peers.values():
        peer.close()
    assert together(waiting.dismiss, chief.dismiss) == [None, None]


def test_who_waits_to_be_let_go_is_told_that_the_chief_is_gone(met):
    chief, waiting, _ = met
    for peer in chief.peers.values():
        peer.close()
    (told,) = together(waiting.dismiss)
    assert isinstance(told, TrainingError) and "Another worker is gone: the chief at" in str(told)
