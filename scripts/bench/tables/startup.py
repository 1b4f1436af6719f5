"""From the command to its answer, and to the first step of a training"""

import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
UNIT = None
ALIVE = False
COMMANDS = {
    "--help": (["--help"], None),
    "a rejected flag": (["--temperature=-1"], None),
    "first step, ResNet-18, 32 px": (
        [
            "--dataset=shapes",
            "--resnet_depth=18",
            "--stem=cifar",
            "--train_batch_size=128",
            "--train_steps=100",
            "--noeval_baseline",
            "--mode=train",
        ],
        " 1/100 steps",
    ),
}
VARIANTS = dict.fromkeys(COMMANDS)


def build(name, settings):
    flags, until = COMMANDS[name]

    def call():
        with tempfile.TemporaryDirectory() as directory:
            more = [f"--model_dir={directory}/run"] if until else []
            with subprocess.Popen(
                [sys.executable, os.path.join(ROOT, "run.py"), *flags, *more],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as process:
                seen = b""
                while chunk := process.stdout.read1(4096):
                    seen += chunk
                    if until and until.encode() in seen:
                        process.kill()
                        break
                if until and until.encode() not in seen:
                    raise RuntimeError(seen.decode()[-500:])

    return call, 0, 0


def targets(rows):
    return [
        (
            f"{name} in less than {limit} s: {rows[name]['ms'] / 1e3:.2f} s",
            rows[name]["ms"] < 1e3 * limit,
        )
        for name, limit in (
            ("--help", 0.8),
            ("a rejected flag", 0.8),
            ("first step, ResNet-18, 32 px", 20),
        )
    ]
