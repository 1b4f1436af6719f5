"""scripts/sweep.py: what it lists, what it refuses, and that killed workers cost nothing."""

import collections
import csv
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

import flags
from tests.helpers import ROOT, TINY_FLAGS

SHORT = [*TINY_FLAGS, "--noeval_baseline", "--nolinear_probe"]
SETTINGS = {
    "batch_size": "train_batch_size",
    "resnet_depth": "resnet_depth",
    "temperature": "temperature",
    "color_jitter_strength": "color_jitter_strength",
}


@pytest.fixture
def sweep(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("sweep")


def listed(sweep, capsys, *line):
    """The Configs of what --dry_run lists, each read from the command as printed."""
    assert sweep.main([*line, "--dry_run"]) == 0
    head, *commands = capsys.readouterr().out.splitlines()
    assert head.startswith(f"# {len(commands)} runs")
    words = [shlex.split(command) for command in commands]
    assert all(start == ["python", "run.py"] for start in (w[:2] for w in words))
    return [flags.parse(w[1:])[0] for w in words]


def printed(table):
    """The settings of the rows of a table of the thesis."""
    with open(ROOT / "results" / "thesis" / f"{table}.csv") as file:
        rows = list(csv.DictReader(file))
    return [{SETTINGS[name]: float(row[name]) for name in row if name in SETTINGS} for row in rows]


@pytest.mark.parametrize(
    "name,table,count",
    [
        ("table3", "table03", 32),
        ("table6", "table06", 20),
        ("table8", "table08", 16),
        ("table12", "table12", 6),
        ("table14", "table14", 4),
        ("table16", "table16", 4),
        ("figure23", "figure23", 7),
        ("figure23_text", None, 7),
    ],
)
def test_the_thesis_is_listed_run_by_run(name, table, count, sweep, capsys):
    """Of Table 6 the grid that the text names, of which 14 settings were run, and one beside it."""
    configs = listed(sweep, capsys, f"--flagfile=flags/thesis/{name}.flags")
    assert len(configs) == len({config.model_dir for config in configs}) == count
    assert {config.train_epochs for config in configs} == {1000 if "byol" in str(configs) else 100}
    if table:
        rows = printed(table)
        ours = [{key: getattr(config, key) for key in rows[0]} for config in configs]
        beside = [row for row in rows if row not in ours]
        if table == "table06":
            assert beside == [
                dict(train_batch_size=64, temperature=0.75, color_jitter_strength=0.25)
            ]
        else:
            assert ours == rows


def test_the_grids_are_those_that_the_sections_state(sweep):
    """10.1.1, 10.1.2 and 10.1.3; the last has ResNet-50 at the one batch size that fits."""

    def sides(name):
        _, grid = sweep.read([f"--flagfile=flags/thesis/{name}.flags"])
        made = [grid.config(point) for point in grid.points]
        return {knob: {getattr(config, knob) for config in made} for knob in SETTINGS.values()}, {
            (config.resnet_depth, config.train_batch_size) for config in made
        }

    jitter, batches = (0.65, 0.75), {16, 32, 64, 128, 256}
    found, _ = sides("table3")
    assert found == dict(
        resnet_depth={18},
        train_batch_size={512, 1024},
        temperature={0.25, 0.5, 0.75, 1.0},
        color_jitter_strength={0.25, 0.5, 0.75, 1.0},
    )
    found, _ = sides("table6")
    assert found == dict(
        resnet_depth={50},
        train_batch_size=batches,
        temperature={0.5, 0.75},
        color_jitter_strength=set(jitter),
    )
    found, sizes = sides("table8")
    assert sizes == {(18, 256), (18, 512), (18, 1024), (50, 256)}
    assert found["temperature"] == {0.25, 0.5} and found["color_jitter_strength"] == set(jitter)
    assert sides("figure23")[0]["temperature"] == {0.75}
    assert sides("figure23_text")[0]["temperature"] == {0.25}


SWEEPS = sorted(
    path
    for folder in ("thesis", "cpu")
    for path in (ROOT / "flags" / folder).glob("*.flags")
    if "--grid" in path.read_text()
)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_sweep_lists_and_every_experiment_has_a_small_twin(path, sweep, capsys):
    assert listed(sweep, capsys, f"--flagfile={path.relative_to(ROOT)}")
    if path.name not in ("losses.flags", "cpc.flags"):  # which ask what the thesis did not
        twin = path.name.replace("_text", "")  # another reading of the same experiment
        assert (ROOT / "flags" / "cpu" / twin).exists()
        assert (ROOT / "flags" / "thesis" / twin).exists()
    assert path.parent.name == "thesis" or "minutes on two cores" in path.read_text()


def test_the_small_tables_of_simclr_share_the_base_setting(sweep):
    """So that one run of it serves in all of them."""
    found = []
    for name in ("table3", "table6", "table8", "figure23", "losses"):
        _, grid = sweep.read([f"--flagfile=flags/cpu/{name}.flags"])
        found.append([grid.config(point) for point in grid.points])
    shared = [config for config in found[0] if all(config in other for other in found)]
    assert [config.seed for config in shared] == [0, 1]


def test_axes_are_multiplied_go_together_are_replaced_and_skipped(sweep, tmp_path):
    file = tmp_path / "a.flags"
    file.write_text("--grid=seed=0,1\n--grid=resnet_depth,temperature=18:0.5,50:0.25\n--use_blur\n")

    def points(*more):
        options, found = sweep.read([f"--flagfile={file}", *more])
        return [tuple(point.values()) for point in found.points]

    assert points() == [(0, 18, 0.5), (0, 50, 0.25), (1, 18, 0.5), (1, 50, 0.25)]
    assert points("--grid=seed=7") == [(7, 18, 0.5), (7, 50, 0.25)]
    assert points("--skip=seed=1,resnet_depth=18") == [(0, 18, 0.5), (0, 50, 0.25), (1, 50, 0.25)]


@pytest.mark.parametrize(
    "line,said",
    [
        ("", "--grid must say what varies"),
        ("--grid=temperature", "--grid must be NAME=VALUE"),
        (
            "--grid=temprature=1",
            "--grid must name flags of run.py (python run.py --help). Received: temprature",
        ),
        ("--grid=temperature=0.5,-1", "--temperature must be a number above 0. Received: -1.0"),
        ("--grid=temperature=warm", "--temperature must be of type float. Received: warm"),
        (
            "--grid=seed=1,2 --objective=knn_99",
            "--objective must be one of online, linear, knn_20, "
            "knn_200, view_retrieval, which these flags have. Received: knn_99",
        ),
        ("--grid=temperature=0.5,0.50", "Received twice: --temperature=0.5"),
        ("--grid=temperature=1,2 --temperature=3", "--temperature must be given once"),
        ("--grid=seed,temperature=1", "2 values separated by colons"),
        ("--grid=model_dir=a", "--model_dir"),
        ("--grid=mode=knn", "--mode"),
        ("--grid=seed=1,2 --mode=knn", "--mode must be pretrain, finetune"),
        ("--grid=seed=1 --skip=seed=1", "--skip must leave something"),
        ("--grid=seed=1 --skip=temperature=1", "--skip must name what the grid varies: seed"),
        ("--grid=seed=1 --sampler=tpe", "--trials must be"),
        ("--grid=seed=1 --trials=4", "--trials is for --sampler=tpe"),
        ("--grid=seed=1 --sampler=best", "--sampler"),
        ("--grid=seed=1 --gpus=a", "--gpus"),
        ("--range=temperature=1,0.5 --sampler=tpe --trials=1", "--range must be"),
        ("--grid=seed=1 --nonsense=3", "nonsense"),
        ("--flagfile=nowhere.flags", "nowhere.flags"),
        ("--grid=seed=1 --sweep_dir=run.py/x", "--sweep_dir must be a directory"),
        (
            "--grid=seed=1 --storage=nothing --sweep_dir=TMP",
            "--storage must be an Optuna storage URL",
        ),
    ],
)
def test_refusals_are_one_sentence(line, said, sweep, capsys, tmp_path):
    if "dir=" in line:
        pytest.importorskip("optuna")
    assert sweep.main(line.replace("TMP", str(tmp_path)).split()) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and not shown.out


def test_run_says_whose_flag_a_grid_is(sweep):
    with pytest.raises(flags.UsageError, match="scripts/sweep.py"):
        flags.parse(["run.py", "--flagfile=flags/thesis/table3.flags"])


def test_help_and_refusals_wait_for_neither_optuna_nor_tensorflow():
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import sweep\n"
        "assert sweep.main(['--grid=temperature=0']) == 2\n"
        "assert sweep.main(['--flagfile=flags/thesis/table3.flags', '--dry_run']) == 0\n"
        "sys.exit(bool({'tensorflow', 'optuna', 'keras'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def start(directory, *line):
    return subprocess.Popen(
        [sys.executable, "scripts/sweep.py", *SHORT, *line, f"--sweep_dir={directory}"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for(condition, seconds=120):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.2)


def trials(directory):
    optuna = pytest.importorskip("optuna")
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(directory / "journal.log"))
    )
    (study,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=study, storage=storage).trials


def lines(log):
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.slow
def test_killed_workers_are_replaced_and_no_trial_is_completed_twice(tmp_path):
    """Eight trials and two workers. The one is killed alone, the other together with its training;
    the same command, started again for both, finishes the sweep.
    """
    pytest.importorskip("optuna")
    directory = tmp_path / "sweep"
    line = [
        "--grid=temperature=0.25,0.5",
        "--grid=seed=0,1,2,3",
        "--train_steps=3",
        "--checkpoint_steps=1",
    ]
    workers = [start(directory, *line) for _ in range(2)]
    logs = directory / "logs"
    wait_for(lambda: len(list(logs.glob("*.log"))) >= 2)
    wait_for(
        lambda: all("steps of 16 images" in (logs / f"00{i}.log").read_text() for i in range(2))
    )
    workers[0].kill()
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(workers[1].pid)],
        text=True,
        capture_output=True,
        check=True,
    ).stdout.split()
    workers[1].kill()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    workers += [start(directory, *line) for _ in range(2)]
    said = [worker.communicate(timeout=600)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL, -signal.SIGKILL, 0, 0]
    assert sum(text.count("takes over") for text in said) == 2
    found = trials(directory)
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 8
    assert len({tuple(trial.params.values()) for trial in found}) == 8
    runs = sorted(path.parent for path in directory.glob("*/result.json"))
    assert len(runs) == 8
    for run in runs:  # an evaluation writes one file
        assert len(list((run / "eval").iterdir())) == 1
    starts = collections.Counter(
        sum("steps of 16 images" in text for text in lines(log)) for log in logs.glob("*.log")
    )
    assert starts[1] >= 6 and not starts.keys() - {1, 2}


@pytest.mark.slow
def test_a_failed_trial_is_retried_once_and_told_and_the_others_go_on(tmp_path):
    """A learning rate at which the loss is no number."""
    pytest.importorskip("optuna")
    worker = start(
        tmp_path, "--grid=learning_rate=1e30,0.1", "--optimizer=momentum", "--train_steps=4"
    )
    said = worker.communicate(timeout=300)[0]
    assert worker.returncode == 1
    assert said.count("starts again trial 0") == 1
    assert "failed: trial 0: run.py exited with 1" in said
    assert [trial.state.name for trial in trials(tmp_path)] == ["FAIL", "COMPLETE"]


@pytest.mark.slow
def test_tpe_searches_ranges_in_any_storage_on_two_slots(tmp_path):
    optuna = pytest.importorskip("optuna")
    url = f"sqlite:///{tmp_path}/sweep.db"
    worker = start(
        tmp_path / "sweep",
        "--sampler=tpe",
        "--trials=3",
        "--grid=use_blur=true,false",
        "--range=learning_rate=0.1,10,log",
        f"--storage={url}",
        "--gpus=0,0",
        "--objective=knn_5",
        "--prune",
        "--prune_every=16",
        "--train_steps=4",
    )
    said = worker.communicate(timeout=300)[0]
    assert worker.returncode == 0, said
    (study,) = optuna.get_all_study_names(url)
    found = optuna.load_study(study_name=study, storage=url).trials
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 3
    assert all(0.1 <= trial.params["learning_rate"] <= 10 for trial in found)
    assert "trial 1 on GPU 0" in said


def test_a_training_holds_the_lock_of_its_trial_and_sees_its_gpu_alone(sweep, tmp_path):
    """So that a worker's death does not let a second training into the directory of the first."""
    log, path = tmp_path / "log", tmp_path / "lock"
    command = [
        sys.executable,
        "-c",
        "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)",
    ]
    running = sweep.Running(None, {}, sweep.try_lock(path), "", log, command, gpu="3")
    running.lock.close()  # as when the worker dies
    wait_for(lambda: log.read_text())
    assert log.read_text() == "3\n" and sweep.try_lock(path) is None
    running.stop()
    running.process.wait()
    lock = sweep.try_lock(path)
    assert lock and sweep.try_lock(path) is None
    lock.close()


@pytest.fixture
def worker_of(sweep, monkeypatch):
    """A function that makes a Worker of a command line, as `sweep.main` does."""
    optuna = pytest.importorskip("optuna")
    monkeypatch.setattr(sweep, "optuna", optuna, raising=False)
    monkeypatch.setattr(sweep, "State", optuna.trial.TrialState, raising=False)
    return lambda directory, *line: sweep.Worker(*sweep.read([*line]), str(directory))


def test_the_directory_of_another_sweep_is_refused(worker_of, sweep, tmp_path):
    worker_of(tmp_path, "--grid=seed=0,1")
    for line in (["--grid=seed=0,1,2"], ["--grid=seed=0,1", "--temperature=0.5"]):
        with pytest.raises(flags.UsageError, match="which holds one of other flags or another"):
            worker_of(tmp_path, *line)
    assert worker_of(tmp_path, "--grid=seed=0,1").total == 2


def test_a_training_that_begins_while_a_stop_is_asked_for_is_stopped_too(
    worker_of, sweep, tmp_path, monkeypatch
):
    worker, suggest = worker_of(tmp_path, "--grid=seed=0,1"), sweep.suggest
    monkeypatch.setattr(
        sweep, "command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"]
    )

    def interrupted(*arguments):
        worker.asked = signal.SIGTERM
        return suggest(*arguments)

    monkeypatch.setattr(sweep, "suggest", interrupted)
    assert worker.claim(None)
    assert worker.running[0].process.wait(timeout=20) == -signal.SIGTERM


def test_what_is_below_the_median_is_stopped(worker_of, sweep, tmp_path, monkeypatch):
    """Trials with twice the batch are compared after equal images, not equal steps."""
    monkeypatch.setattr(sweep, "PRUNE_LOOK", 0.0)
    worker = worker_of(
        tmp_path,
        "--grid=train_batch_size=100,200",
        "--grid=seed=0,1,2",
        "--prune",
        "--prune_every=1000",
    )
    curve = {}
    monkeypatch.setattr(sweep.runs, "scalars", lambda _: {"train/supervised_acc": curve})

    class Training:
        directory, looked, pruned, stopped = "", 0.0, False, False

        def stop(self):
            self.stopped = True

    def begin():
        running = Training()
        running.trial = worker.study.ask()
        running.point = sweep.suggest(running.trial, worker.sweep)
        return running

    for value in (0.4, 0.5, 0.6, 0.7):
        running = begin()
        curve = {step: value for step in range(5, 41, 5)}
        worker.report(running)
        looks = running.trial._get_latest_trial().intermediate_values
        assert (
            list(looks) == [1, 2, 3, 4]
            if running.point["train_batch_size"] == 100
            else [*range(1, 9)]
        )
        worker.tell(running, sweep.State.COMPLETE, value)
    for value, stops in ((0.5, True), (0.6, False)):
        running = begin()
        curve = {5: value}
        worker.prune(running)
        assert running.pruned is running.stopped is stops


@pytest.mark.slow
def test_a_stopped_worker_saves_and_the_same_command_goes_on(tmp_path):
    pytest.importorskip("optuna")
    line = ["--grid=seed=0", "--train_steps=2000", "--checkpoint_steps=1000"]
    worker = start(tmp_path, *line)
    wait_for(lambda: any("steps  loss" in text for text in lines(tmp_path / "logs" / "000.log")))
    worker.send_signal(signal.SIGINT)
    assert "the same command continues" in worker.communicate(timeout=60)[0]
    assert worker.returncode == 130
    (trial,) = trials(tmp_path)
    assert trial.state.name == "RUNNING"
    (run,) = tmp_path.glob("000*")
    assert list((run / "checkpoints").glob("step_*"))


RECORD = b'{"op_code":%d,"worker_id":"w"}\n'
WHOLE = b"".join(RECORD % number for number in range(3))


@pytest.mark.parametrize(
    "tail,said,left,aside",
    [
        (b"", None, WHOLE, None),
        (b'{"op_code":5,"tri', "cut off", WHOLE, b'{"op_code":5,"tri\n'),
        (b'{"op_code":5,"tri\n', "cut off", WHOLE, b'{"op_code":5,"tri\n'),
        (b"\0" * 40, "cut off", WHOLE, b"\0" * 40 + b"\n"),
        (b'{"op_co' + b"\0" * 40, "cut off", WHOLE, b'{"op_co' + b"\0" * 40 + b"\n"),
        (b"17\n", "cut off", WHOLE, b"17\n"),
        (RECORD[:-1] % 7, "lacked the end of its line", WHOLE + RECORD % 7, None),
    ],
)
def test_a_journal_is_mended_at_its_end(tail, said, left, aside, sweep, tmp_path):
    journal = importlib.import_module("journal")
    path = tmp_path / "journal.log"
    path.write_bytes(WHOLE + tail)
    done = journal.mend(str(path))
    assert (said in done and done.count("\n") == 0) if said else done is None
    assert path.read_bytes() == left and journal.mend(str(path)) is None
    kept = tmp_path / "journal.log.dropped"
    assert (kept.read_bytes() if kept.exists() else None) == aside


def test_a_sweep_goes_on_wherever_its_journal_was_cut_off(worker_of, sweep, tmp_path):
    """Cut at every length, no trial is lost whose end was written whole."""
    worker = worker_of(tmp_path / "whole", "--grid=seed=0,1")
    for number in range(2):
        trial = worker.study.ask()
        trial.set_user_attr("place", worker.place)
        sweep.suggest(trial, worker.sweep)
        worker.study.tell(trial, 0.5 + number / 10)
    content = (tmp_path / "whole" / "journal.log").read_bytes()
    ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
    lines = content.splitlines()
    done = [number for number, line in enumerate(lines) if b'"values":[0.' in line]
    assert len(done) == 2
    for cut in sorted({*ends, *(end + 1 for end in ends), *(end - 3 for end in ends)}):
        directory = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", directory)
        (directory / "journal.log").write_bytes(content[:cut])
        found = worker_of(directory, "--grid=seed=0,1").trials(sweep.State.COMPLETE)
        assert [trial.value for trial in found] == [0.5, 0.6][
            : sum(ends[number] <= cut for number in done)
        ], cut


@pytest.mark.parametrize(
    "damage,said",
    [
        (
            lambda d: (d / "journal.log").write_bytes(
                (d / "journal.log").read_bytes().replace(b"{", b"", 1)
            ),
            "damaged in line 1",
        ),
        (lambda d: directory_instead(d / "journal.log"), "journal.log must be the journal"),
        (lambda d: (d / "journal.log").write_bytes(WHOLE), "must be a journal of Optuna's"),
        (lambda d: (d / "sweep.json").write_text(""), "sweep.json is damaged"),
        (lambda d: (d / "sweep.json").write_text('{"flags": {'), "sweep.json is damaged"),
        (lambda d: (d / "sweep.json").write_text("[]"), "sweep.json is damaged"),
        (lambda d: directory_instead(d / "lock"), "--sweep_dir must be a directory that can"),
        (lambda d: (d / "locks" / "000").mkdir(), "locks/000 in --sweep_dir must be a file"),
        (lambda d: (d / "logs" / "000.log").mkdir(), "logs/000.log in --sweep_dir must be a file"),
    ],
)
def test_damage_to_a_sweep_is_one_sentence(damage, said, worker_of, sweep, tmp_path, capsys):
    worker = worker_of(tmp_path, "--grid=seed=0")
    for number in range(2):
        worker.study.set_user_attr("some", number)
    damage(tmp_path)
    assert sweep.main(["--grid=seed=0", f"--sweep_dir={tmp_path}"]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1, shown.err


def directory_instead(path):
    path.unlink()
    path.mkdir()


def test_a_sweep_without_its_record_makes_it_again_and_takes_its_trials_over(worker_of, tmp_path):
    worker = worker_of(tmp_path, "--grid=seed=0")
    worker.study.ask().set_user_attr("place", worker.place)
    (tmp_path / "sweep.json").unlink()
    again = worker_of(tmp_path, "--grid=seed=0")
    assert again.place != worker.place and again.is_here(*again.trials())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "3",
        '{"pretrained": 1}',
        '{"pretrained": {"online": {}}}',
        '{"pretrained": {"online": {"top_1": "0.5"}}}',
        '{"pretrained": {"online": {"top_1": NaN}}}',
        '{"pretrained": {"online": {"top_1": 50}}}',
    ],
)
def test_a_result_that_is_none_fails_its_trial(content, sweep, tmp_path):
    running = sweep.Running.__new__(sweep.Running)
    running.directory = str(tmp_path)
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(sweep.Refused, match="result.json"):
        running.scores()


@pytest.mark.parametrize(
    "judged,expected",
    [
        ({"points": [{"view_retrieval": 0.1}, {"view_retrieval": 0.7}]}, {"view_retrieval": 0.7}),
        ({"points": [{"view_retrieval": "nan"}]}, {}),
        ({"points": []}, {}),
        ([], {}),
    ],
)
def test_the_objective_without_labels_is_that_of_the_last_point(judged, expected, sweep, tmp_path):
    running = sweep.Running.__new__(sweep.Running)
    running.directory = str(tmp_path)
    (tmp_path / "verdict.json").write_text(json.dumps(judged))
    if expected:  # of images without labels there is no result
        assert running.scores() == expected
    else:
        with pytest.raises(sweep.Refused, match="it left no result.json"):
            running.scores()
    (tmp_path / "result.json").write_text('{"pretrained": {"online": {"top_1": 0.5}}}')
    assert list(running.scores().items()) == [("online", 0.5), *expected.items()]


def test_flagfiles_that_are_none_are_refused(sweep, tmp_path, capsys):
    for name, text in (
        ("self", b"--flagfile=DIR/self\n"),
        ("one", b"--flagfile=DIR/two\n"),
        ("two", b"--flagfile=DIR/one\n"),
        ("binary", b"\xff\xfe\0--seed=1\n"),
    ):
        (tmp_path / name).write_bytes(text.replace(b"DIR", os.fsencode(tmp_path)))
    for word, said in (
        ("self", "must not include itself"),
        ("one", "must not include itself"),
        ("binary", "not text in UTF-8"),
        ("", "Is a directory"),
        ("a\0b", "null byte"),
    ):
        assert sweep.main([f"--flagfile={tmp_path / word}"]) == 2
        shown = capsys.readouterr().err
        assert said in shown and shown.count("\n") == 1
