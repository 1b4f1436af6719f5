"""Which commands are killed: every kind of training, and all that comes after one."""

import dataclasses
import os
import shlex
import shutil

from survival import processes

# Tiny, so that most of the time is not in the steps: a checkpoint every 3 of 11 steps, of which 2
# are kept, points every 5, and of both a remainder at the end.
TINY = (
    "--dataset=shapes --train_split=train[:64] --eval_split=test[:40] --image_size=16 "
    "--width_multiplier=0.0625 --train_batch_size=16 --train_steps=11 --checkpoint_steps=3 "
    "--keep_checkpoint_max=2 --train_summary_steps=5 --knn_k=5 --precision=float32 "
    "--nocompile_augmentation"
).split()
SHORT = "--noeval_baseline --nolinear_probe"
LINEAR = "--linear_batch_size=16 --linear_epochs=3"  # 12 steps


@dataclasses.dataclass(frozen=True)
class Trial:
    """A command that is killed.

    Attributes:
        name: for people.
        flags: of run.py; {directory} is where it works, {run} a pretrained and {tuned} a finetuned
            run, both finished.
        copy: which of these the directory begins as a copy of; "" for none.
        share: of all kills, beside those of the others.
        refuses: whether the command, done once, is refused the second time.
        own: whether the flags are all that there are to be, and TINY is not among them.
    """

    name: str
    flags: str
    copy: str = ""
    share: int = 2
    refuses: bool = False
    own: bool = False

    def words(self, directory, bases):
        words = [word.format(directory=directory, **bases) for word in shlex.split(self.flags)]
        if "{directory}" not in self.flags:
            words.append(f"--model_dir={directory}")
        return words if self.own else [*TINY, *words]

    def prepare(self, directory, bases):
        """Makes the directory as it is before the first start."""
        shutil.rmtree(directory, ignore_errors=True)
        if self.copy:
            shutil.copytree(bases[self.copy], directory)
        else:
            os.makedirs(directory)

    def work(self, directory, bases):
        return processes.run_py(self.words(directory, bases))


def exported(form, name):
    return Trial(
        f"export {form}",
        f"--mode=export --checkpoint={{run}} --format={form} --output={{directory}}/{name}",
        share=1,
        refuses=True,
        own=True,
    )


TRIALS = {
    trial.name: trial
    for trial in (
        Trial("simclr", "--eval_baseline", share=5),
        Trial("streamed", f"--cache_dataset=false {SHORT}"),
        Trial("memory", f"--memory_size=100 {SHORT}"),
        Trial("byol", f"--method=byol --proj_hidden_dim=16 {SHORT}", share=3),
        Trial("cpc", f"--method=cpc --optimizer=adam --image_size=32 {SHORT}"),
        Trial("finetune", "--mode=finetune --checkpoint={run}", share=3),
        Trial("distill", "--mode=distill --teacher={tuned}", share=3),
        Trial(
            "linear_eval",
            f"--mode=linear_eval {LINEAR} --model_dir={{directory}}",
            copy="run",
            share=3,
        ),
        Trial("eval", "--mode=eval --eval_baseline --knn_k=3 --model_dir={directory}", copy="run"),
        Trial("knn", "--mode=knn --knn_k=3 --model_dir={directory}", copy="run", share=1),
        Trial(
            "embed", "--mode=embed --embed_points=30 --model_dir={directory}", copy="run", share=1
        ),
        Trial(
            "predict",
            "--mode=predict --checkpoint={tuned} --output={directory}/predictions.csv",
            share=1,
            refuses=True,
        ),
        exported("keras", "encoder.keras"),
        exported("npz", "encoder.npz"),
        exported("saved_model", "saved"),
    )
}


BASES = {"run": Trial("run", SHORT), "tuned": Trial("tuned", "--mode=finetune --checkpoint={run}")}


def bases(directory, trials):
    """{name: path} of the finished runs that trials begin with; made where they are not there.

    Raises:
        RuntimeError: one failed.
    """
    made = {name: os.path.join(directory, name) for name in BASES}
    needed = [
        name
        for name, base in BASES.items()
        if any(name == trial.copy or f"{{{name}}}" in trial.flags for trial in trials)
    ]
    for name in ["run"] * ("tuned" in needed) + needed:
        if os.path.exists(os.path.join(made[name], "result.json")):
            continue
        started = processes.Start(
            BASES[name].work(made[name], made), made[name], f"{made[name]}.log"
        )
        started.wait()
        if started.code:
            raise RuntimeError(f"the run to begin with failed: {started.said()}")
    return made


def newest(directory):
    """The step of the newest checkpoint of a run, 0 where there is none."""
    path = os.path.join(directory, "checkpoints")
    names = os.listdir(path) if os.path.isdir(path) else ()
    return max((int(name[5:]) for name in names if name.startswith("step_")), default=0)


def saving(directory):
    """Whether a process that died here was in the middle of saving."""
    path = os.path.join(directory, "checkpoints")
    return os.path.isdir(path) and any(name.startswith("unfinished") for name in os.listdir(path))
