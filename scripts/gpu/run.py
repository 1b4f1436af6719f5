"""Checks and times one GPU: python scripts/gpu/run.py --out=OUT --data_dir=DATA [--minutes=10]

Stages, in order of importance: machine (what there is; what is missing is said before anything
runs), doctor (tfssl.doctor's checks), headline (the thesis's SimCLR on CIFAR-10, 100 epochs), steps
(training steps beside PyTorch's, in turns) and table3 (as many further runs as there is time for).
Each writes OUT/NAME.json and OUT/logs/NAME.log. The same command again does what is missing: stages
that were left out, failed or cut off. OUT/report.md and OUT/curves.png are written at the end, also
after Ctrl-C. --toy rehearses all of it without a GPU, at toy size.

Exit code 0: nothing failed, even if there was no time for everything; 1: a stage failed or was cut
off; 2: something is missing, and nothing has run; 130 and 143: stopped by a signal.
"""

import argparse
import contextlib
import glob
import itertools
import json
import os
import re
import shlex
import signal
import sys
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import report  # noqa: E402
import stages  # noqa: E402

STAGES = ("machine", "doctor", "headline", "steps", "table3")
XLA_FLAGS = "--xla_gpu_autotune_level=2 --xla_gpu_per_fusion_autotune_cache_dir={out}/autotune"
REPORT = 25.0  # seconds that are kept for the report
ROOM = {False: 3.0, True: 0.2}  # GiB of disk that checkpoints and logs may take, by --toy
POINT = {"train_batch_size": 1024, "temperature": 0.25, "color_jitter_strength": 0.75}
SIZES = ((18, 1024), (50, 256), (18, 256), (50, 1024), (18, 4096))
FIRST_STEP = r"pretrain \[.*?\] [1-9]\d*/\d+ steps"
PRETRAIN = [
    "--mode=pretrain",
    f"--flagfile={ROOT}/flags/thesis/simclr.flags",
    "--resnet_depth=18",
    "--nouse_blur",
    "--blockwise_loss_from=0",
]
FULL = ["--train_summary_steps=100", "--checkpoint_epochs=10", "--eval_batch_size=1000"]
TOY = [
    *("--dataset=shapes", "--train_split=train[:256]", "--eval_split=test[:100]"),
    *("--image_size=16", "--width_multiplier=0.125", "--train_epochs=2", "--warmup_epochs=0"),
    *("--train_summary_steps=2", "--checkpoint_epochs=1"),
]
TOY_POINT = {"train_batch_size": 32}
TOY_SIZE = (18, 16)


class Refused(Exception):
    """Why nothing can be done, in one sentence."""


class Stopped(BaseException):
    """A signal came."""


def parsed(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0])
    parser.add_argument("--out", required=True, help="directory of the results")
    parser.add_argument("--data_dir", help="directory of CIFAR-10, as tensorflow-datasets has it")
    parser.add_argument("--minutes", type=float, default=10.0, help="of everything together")
    parser.add_argument("--torch_python", default="python3", help="a Python that imports PyTorch")
    parser.add_argument("--stages", default=",".join(STAGES), help="which, and in which order")
    parser.add_argument(
        "--xla_flags",
        default=XLA_FLAGS,
        help="appended to XLA_FLAGS, unless these say something of autotune (default: %(default)s)",
    )
    parser.add_argument("--toy", action="store_true", help="a rehearsal without a GPU")
    options = parser.parse_args(words)
    options.out = os.path.abspath(options.out)
    options.data_dir = options.data_dir and os.path.abspath(options.data_dir)
    options.stages = options.stages.split(",")
    return options


def check(options):
    """Raises Refused for what can be seen without importing anything."""
    unknown = [name for name in options.stages if name not in STAGES]
    if unknown:
        raise Refused(f"--stages must be of {', '.join(STAGES)}. Received: {unknown[0]}")
    if not 1 <= options.minutes < 24 * 60:
        raise Refused(f"--minutes must be 1 or more, at most a day. Received: {options.minutes:g}")
    if not (options.data_dir or options.toy):
        raise Refused("--data_dir must say where CIFAR-10 is")
    known = os.path.join(glob.escape(options.data_dir or ""), "cifar10", "*", "dataset_info.json")
    if options.data_dir and not glob.glob(known):
        raise Refused(
            "--data_dir must hold CIFAR-10 as tensorflow-datasets writes it: there is no "
            f"cifar10/*/dataset_info.json. Received: {options.data_dir}"
        )
    if re.search(r"\s", options.out):
        raise Refused(f"--out must be without blanks, for XLA_FLAGS. Received: {options.out}")
    try:
        os.makedirs(os.path.join(options.out, "logs"), exist_ok=True)
        os.makedirs(os.path.join(options.out, "autotune"), exist_ok=True)
        disk = os.statvfs(options.out)
    except OSError as error:
        raise Refused(f"--out={options.out} cannot be written: {error.strerror}") from None
    free, needed = disk.f_bavail * disk.f_frsize / 2**30, ROOM[options.toy]
    if free < needed:
        raise Refused(f"--out={options.out} has {free:.1f} GiB of disk left, and needs {needed}")


def environment(options, flags):
    """The environment of every process."""
    env = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    env["PYTHONUNBUFFERED"] = "1"
    given = env.get("XLA_FLAGS", "")
    if flags and "autotune" not in given:
        env["XLA_FLAGS"] = f"{given} {flags.replace('{out}', options.out)}".strip()
    return env


def script(name, *words):
    return [sys.executable, os.path.join(HERE, f"{name}.py"), *words]


def result_of(options, name):
    return os.path.join(options.out, f"{name}.json")


def examined(options, clock):
    """The environment for the other stages, after the machine was looked at.

    Raises:
        Refused: it lacks something.
    """
    words = [f"--torch_python={options.torch_python}", *["--toy"] * options.toy]
    words += [f"--data_dir={options.data_dir}"] * bool(options.data_dir)
    path, log = result_of(options, "machine"), os.path.join(options.out, "logs", "machine.log")
    task = stages.Task("machine", script("machine", path, *words), path)
    why = None
    for flags in dict.fromkeys([options.xla_flags, ""]):
        env = environment(options, flags)
        clock.say("machine: begins")
        with contextlib.suppress(OSError):
            os.remove(path)
        ended = stages.run(task, min(150.0, clock.left - REPORT), log, env, clock)
        why = why or ended.failed
        if stages.complete(path) and not ended.failed:
            about = stages.read(path)
            if flags != options.xla_flags:
                about["xla_flags_left_out"] = f"{options.xla_flags}: {why}"
                stages.write(path, about)
                clock.say(f"machine: works without --xla_flags only: {why}")
            clock.say(f"machine: {about['device']} ({ended.seconds:.0f} s)")
            missing = about["torch"].get("missing")
            if missing:
                clock.say(f"machine: PyTorch's columns are left out: {missing}")
            return env
        if ended.cut or "exit code 2:" in ended.failed:  # it is not the flags
            break
    raise Refused(why.removeprefix("ended with exit code 2: "))


def doctor(options):
    path = result_of(options, "doctor")
    words = ["--first=8"] if options.toy else []
    return [stages.Task("doctor", script("numerics", path, *words), path, least=30, most=180)]


def pretraining(options, name, point):
    """A Task of run.py, continued where it was cut off."""
    directory = os.path.join(options.out, name)
    point = {**point, **(TOY_POINT if options.toy else {})}
    flags = [f"--{key}={value}" for key, value in point.items()]
    flags = [*PRETRAIN, *flags, *(TOY if options.toy else FULL)]
    flags += [f"--data_dir={options.data_dir}"] * (not options.toy)
    command = [sys.executable, os.path.join(ROOT, "run.py"), *flags, f"--model_dir={directory}"]
    path = result_of(options, name)
    shown = [word.replace(f"{ROOT}/", "") for word in flags if not word.startswith("--data_dir=")]

    def finish(ended):
        earlier, times = stages.read(path), stages.read(os.path.join(directory, "time.json"))
        result = {} if ended.failed else stages.read(os.path.join(directory, "result.json"))
        first = earlier.get("first_step_s")
        about = {
            "command": shlex.join(["run.py", *shown]),
            "point": point,
            "calls": earlier.get("calls", 0) + 1,
            "wall_s": earlier.get("wall_s", 0.0) + ended.seconds,
            "first_step_s": ended.marked if first is None else first,
            "train_seconds": times.get("train_seconds"),
            "images_per_second": times.get("images_per_second"),
        }
        if not (result or ended.failed):
            return {**about, "failed": "it ended without a result.json"}
        known = ("global_step", "device", "precision", "versions")
        about |= {key: result[key] for key in known if key in result}
        return about | ({"accuracy": result["pretrained"]} if result else {})

    task = stages.Task(name, command, path, mark=FIRST_STEP, grace=20.0, finish=finish)
    task.least = 20.0 if options.toy else 60.0
    return task


def headline(options):
    return [pretraining(options, "headline", POINT)]


def steps(options):
    torch = stages.read(result_of(options, "machine")).get("torch", {})
    python = [] if "missing" in torch else [f"--torch_python={options.torch_python}"]
    logs = os.path.join(options.out, "logs")
    toy = ["--size=16", "--width=0.125", "--rounds=3", "--turn=0.3"] if options.toy else []
    made = []
    for depth, batch in [TOY_SIZE] if options.toy else SIZES:
        path = result_of(options, f"steps-{depth}-{batch}")
        words = [f"--depth={depth}", f"--batch={batch}", f"--logs={logs}", *toy, *python]
        command = script("turns", path, *words, "--seconds={seconds}")
        made.append(stages.Task(f"steps-{depth}-{batch}", command, path, least=75, most=300))
    return made


def grid():
    """The points of Table 3 without the headline's, those of its batch size first."""
    with open(os.path.join(ROOT, "flags", "thesis", "table3.flags")) as file:
        axes = re.findall(r"^--grid=(\w+)=(\S+)$", file.read(), re.M)
    values = [[(name, json.loads(value)) for value in text.split(",")] for name, text in axes]
    points = [dict(row) for row in itertools.product(*values)]
    return sorted(
        (point for point in points if point != POINT),
        key=lambda point: point["train_batch_size"] != POINT["train_batch_size"],
    )


def table3(options):
    """One Task for each point that fits as a whole, going by how long the headline took."""
    took = stages.read(result_of(options, "headline"))
    seconds = took["wall_s"] if "accuracy" in took else float("inf")
    made = []
    for point in grid()[: 1 if options.toy else None]:
        task = pretraining(options, "table3-" + "-".join(map(str, point.values())), point)
        task.least = 1.05 * seconds
        made.append(task)
    return made


TASKS = {"doctor": doctor, "headline": headline, "steps": steps, "table3": table3}


def perform(options, clock, undone):
    """Carries out the stages; {task: sentence} of what is not done goes into `undone`.

    Returns:
        whether something failed.
    """
    env, failed = examined(options, clock), False
    for stage in options.stages:
        for task in TASKS[stage](options) if stage != "machine" else ():
            if stage == "table3" and task.least == float("inf"):
                undone[stage] = "the headline's duration is not known yet"
                clock.say(f"{stage}: not begun: {undone[stage]}")
                break
            undone[task.name] = "stopped by a signal"
            log = os.path.join(options.out, "logs", f"{task.name}.log")
            why = stages.carry_out(task, clock, REPORT, log, env)
            del undone[task.name]
            if why:
                undone[task.name] = why
                failed = failed or not why.startswith("not begun")
            if why and stage == "table3":
                undone[stage] = "the further runs of the grid: there was no time for them"
                break
    return failed


def conclude(options, clock, undone):
    """Writes the report and the curves."""
    with open(os.path.join(options.out, "report.md"), "w") as file:
        file.write(report.text(options.out, undone))
    if glob.glob(os.path.join(glob.escape(options.out), "headline", "events.out.tfevents.*")):
        task = stages.Task("curves", script("report", options.out), "", grace=1.0)
        log = os.path.join(options.out, "logs", "curves.log")
        env = environment(options, "")
        ended = stages.run(task, max(clock.left - 2.0, 5.0), log, env, clock)
        if ended.failed:
            clock.say(f"curves.png was not drawn: {ended.failed}")
    with open(os.path.join(options.out, "report.md")) as file:
        print("\n" + file.read(), end="", flush=True)


def main(words):
    options, undone, code = parsed(words), {}, 0
    clock = stages.Clock(options.minutes)

    def stop(number, frame):
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        check(options)
        code = int(perform(options, clock, undone))
    except Refused as refused:
        print(f"run.py: {refused}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        number = stopped.args[0]
        code = 128 + number
        clock.say(f"stopped by {signal.Signals(number).name}")
    except Exception:  # what was measured before is reported all the same
        traceback.print_exc()
        code = 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    conclude(options, clock, undone)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
