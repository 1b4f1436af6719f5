"""`--data_service`: trainings whose batches other processes make, and these processes."""

import re
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

import tfssl
from tests.helpers import (
    ROOT,
    batch_service,
    run_given,
    run_until_killed,
    spared,
    tiny_config,
    write_classes,
)
from tfssl import Config
from tfssl.data import service
from tfssl.errors import UsageError
from tfssl.runner import data_service, parser


def weights(directory):
    return tfssl.load_encoder(directory / "encoder.keras").get_weights()


@pytest.mark.parametrize("settings", [{}, spared(dict(distribute="mirrored", replicas=2))])
def test_a_training_ends_as_without_the_service(settings, tmp_path, monkeypatch):
    settings = dict(train_steps=4, eval_split="none", **settings)
    tfssl.run(tiny_config(tmp_path / "alone", **settings))
    monkeypatch.setattr(service.Reader, "make", None)  # all have to come
    monkeypatch.setattr(service, "PATIENCE", 300.0)
    with batch_service(workers=1) as address:
        tfssl.run(tiny_config(tmp_path / "served", data_service=address, **settings))
    for one, other in zip(weights(tmp_path / "alone"), weights(tmp_path / "served")):
        np.testing.assert_array_equal(one, other)


def test_one_begun_without_it_goes_on_with_it(tmp_path):
    settings = dict(train_steps=6, checkpoint_steps=2, eval_split="none")
    tfssl.run(tiny_config(tmp_path / "whole", **settings))
    begun = tiny_config(tmp_path / "begun", **settings)
    run_until_killed(lambda: tfssl.run(begun), at_step=5)
    with batch_service(workers=1) as address:
        tfssl.run(begun.replace(data_service=address))
    for one, other in zip(weights(tmp_path / "whole"), weights(tmp_path / "begun")):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("address", ["node1", "node1:", ":5050", "node1:0", "node1:70000", "a b:5"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match="--data_service must be HOST:PORT, such as node1:5050"):
        parser.parse(["run.py", f"--data_service={address}"])


def test_a_dispatcher_that_is_not_there_is_named_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "ANSWER", 0.0)
    with pytest.raises(UsageError, match="--data_service=localhost:1 must be HOST:PORT of a disp"):
        tfssl.run(tiny_config(tmp_path / "run", data_service="localhost:1"))


def test_images_that_are_read_in_their_order_are_refused(tmp_path):
    write_classes(tmp_path / "photos", ["a", "b"])
    streamed = dict(dataset="folder", data_dir=str(tmp_path / "photos"), shuffle="blocks")
    streamed |= dict(train_split="train", eval_split="none", train_batch_size=4)
    with batch_service(workers=0) as address:
        with pytest.raises(UsageError, match="--data_service needs --shuffle=whole"):
            tfssl.run(tiny_config(tmp_path / "run", data_service=address, **streamed))


@pytest.mark.parametrize("mode", ["data_dispatcher", "data_worker"])
def test_the_processes_need_the_address(mode):
    with pytest.raises(UsageError, match=f"--mode={mode} needs --data_service=HOST:PORT"):
        Config(mode=mode)
    with pytest.raises(UsageError, match="--worker_address is for --mode=data_worker"):
        Config(mode="data_dispatcher", data_service="node1:5050", worker_address="here")


def test_a_port_in_use_is_refused():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        for mode, of in (
            ("data_dispatcher", dict(data_service=f"localhost:{port}")),
            ("data_worker", dict(data_service="node1:5050", worker_address=f"here:{port}")),
        ):
            with pytest.raises(UsageError, match="must have a port that is free on this machine"):
                run_given(mode=mode, **of)


def test_the_name_of_a_worker_is_one_that_the_others_know():
    def own(**settings):
        return data_service.own_address(Config(mode="data_worker", **settings))

    assert own(data_service="localhost:5050") == ("localhost", 0)
    assert own(data_service="node1:5050") == (socket.gethostname(), 0)
    assert own(data_service="node1:5050", worker_address="10.0.0.3") == ("10.0.0.3", 0)
    assert own(data_service="node1:5050", worker_address="node2:6060") == ("node2", 6060)


def test_a_worker_waits_for_the_dispatcher(monkeypatch, capsys):
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(data_service, "SOON", 0.05)
    thread = threading.Thread(target=data_service.await_dispatcher, args=(f"localhost:{port}",))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    with socket.create_server(("localhost", port)):
        thread.join(20)
    assert not thread.is_alive()
    assert capsys.readouterr().out.count(f"waits for the dispatcher at localhost:{port}") == 1


@pytest.mark.slow
@pytest.mark.ci
def test_both_say_what_they_know_and_stop_at_a_signal():
    with socket.create_server(("localhost", 0)) as server:
        address = f"--data_service=localhost:{server.getsockname()[1]}"
    words = [sys.executable, "run.py"]
    options = dict(cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    dispatcher = subprocess.Popen([*words, "data_dispatcher", address], **options)
    processes = [dispatcher]
    try:
        said = [dispatcher.stdout.readline() for _ in range(2)]
        assert f"reach it at {address}, without authentication" in said[0]
        assert re.search(r"\d\d:\d\d 0 workers$", said[1])
        worker = subprocess.Popen([*words, "data_worker", address], **options)
        processes.insert(0, worker)
        assert "1 worker\n" in dispatcher.stdout.readline()
        while "makes batches for the trainings at" not in worker.stdout.readline():
            assert worker.poll() is None
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        assert process.wait(60) == 143
        assert "stopped by SIGTERM" in process.stderr.read()
        process.stdout.close()
        process.stderr.close()
