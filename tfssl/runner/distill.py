"""`--mode=distill`: trains a student on the logits of a teacher, then evaluates it.

The teacher's logits are computed once for the evaluation crop of every image, and stored in the
directory of the run, which then no longer needs the teacher.
"""

import dataclasses
import os

import numpy as np

from tfssl import data, files
from tfssl.config import ARCHITECTURE
from tfssl.errors import UsageError
from tfssl.files import sha256
from tfssl.runner import device, evaluate, finetune, sources
from tfssl.runner.finetune import TEACHER
from tfssl.runner.results import equal, finished
from tfssl.storage import export, networks, rundir, runs

LOGITS = "teacher_logits.npy"
REQUIRED = ("classes", "eval_size", "eval_crop_proportion", "step")  # in a teacher's description


def distill(config, given, flagfile, distribution=None):
    """Trains from the run's newest checkpoint, --checkpoint or scratch; then evaluates.

    Args, Returns, Raises: as `finetune.finetune`; a `UsageError` also if there is no teacher, or
    its classes differ from those of the data.
    """
    job, found, origin = finetune.prepared(config, given, distribution)
    teacher = teacher_of(job)
    return finished(
        job, finetune.print_result, finetune.evaluation_settings, finetune.restored
    ) or (finetune.train_and_evaluate(job, found, origin, flagfile, teacher))


def teacher_of(job):
    """The `Teacher` of a `Job`.

    Raises:
        UsageError: there is none, or there are no labels although it is not to learn from it alone.
    """
    config = job.config
    if config.distill_alpha < 1 and not job.train_source.num_classes:
        raise UsageError(
            f"--distill_alpha below 1 needs labels in --train_split ({sources.labels_by(config)}). "
            f"Received: {config.distill_alpha}"
        )
    return Teacher.find(job)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """The teacher of a run.

    Attributes:
        file: its classifier.keras; None: it is missing, but its logits are stored.
        record: content of teacher.json: "path", "sha256", "classes"; "answered", the settings that
            its logits depend on; and the description in the file.
    """

    file: str
    record: dict

    @classmethod
    def find(cls, job):
        """Finds the teacher of --teacher, or of the run in --model_dir.

        Raises:
            UsageError: there is none, or the run began with another one.
        """
        config = job.config
        there = rundir.read_json(config.model_dir, TEACHER)
        file = finetune.teacher_file(config)
        if not os.path.exists(file):
            if there and os.path.exists(os.path.join(config.model_dir, LOGITS)):
                return cls(None, there)
            raise UsageError(
                "--teacher must be the directory of a finetuned run, or its "
                f"{export.CLASSIFIER}. Received: {config.teacher}, where "
                f"{file} does not exist"
            )
        about = export.read_about(file)
        if not about or not {*REQUIRED, *ARCHITECTURE} <= about.keys():
            raise UsageError(
                f"--teacher={config.teacher} does not describe its classes: it is "
                "not a classifier.keras of this version of tfssl."
            )
        record = {
            "path": config.teacher,
            "sha256": sha256(file),
            "classes": about["classes"],
            "answered": answered(job, about),
            **about,
        }
        if there and there["sha256"] != record["sha256"] and runs.recorded(config.model_dir):
            raise UsageError(
                f"--teacher={config.teacher} is not the one that the run in "
                f"--model_dir={config.model_dir} was begun with. Give another "
                "--model_dir."
            )
        for source in (job.train_source, job.eval_source):
            if source and source.num_classes not in (0, about["classes"]):
                raise UsageError(
                    f"--teacher={config.teacher} has {about['classes']} classes. "
                    f"Received: {source.name} {source.split}, which has "
                    f"{source.num_classes}"
                )
        for source in finetune.labelled_sources(job):
            finetune.check_names(
                source,
                about["classes"],
                about.get("class_names", ()),
                f"--teacher={config.teacher}",
            )
        return cls(file, record)

    @property
    def described(self):
        record = self.record
        return f"teacher {record['path']}: {networks.network(record)}, step {record['step']}"

    def ask(self, job):
        """Computes and stores its logits for all training images, unless they are stored."""
        directory = job.config.model_dir
        there = rundir.read_json(directory, TEACHER)
        same = (
            there
            and there["sha256"] == self.record["sha256"]
            and equal(self.record["answered"], there["answered"])
        )
        path = os.path.join(directory, LOGITS)
        if os.path.exists(path) and (same or self.file is None):
            return
        size = tuple(self.record["answered"]["image_size"])
        classify = evaluate.batch_function(
            export.load_classifier(self.file, self.record["answered"]["precision"]), size
        )
        as_evaluated = job.config.replace(
            eval_crop_proportion=self.record["answered"]["crop_proportion"]
        )
        logits, _ = evaluate.represent(
            as_evaluated, classify, job.train_source, size, "teacher", what="logits"
        )
        files.write_whole(path, lambda file: np.save(file, logits))
        files.write_json(directory, TEACHER, self.record)

    def train(self, job, model, checkpoints, start):
        """Trains on its logits from a step to the end; see `finetune.train`."""
        logits = read(
            os.path.join(job.config.model_dir, LOGITS),
            (job.train_source.num_examples, self.record["classes"]),
        )
        labels = np.full(len(logits), -1)
        if job.config.distill_alpha < 1:
            known = slice(None) if job.label_indices is None else job.label_indices
            labels[known] = data.labels_of(job.train_source)[known]
        model.teach(logits, labels)
        numbered = dataclasses.replace(job, train_source=data.numbered(job.train_source))
        finetune.train(numbered, model, checkpoints, start)


def answered(job, about):
    """The settings that the logits depend on besides the teacher, JSON-serializable."""
    size = tuple(about["eval_size"])
    return {
        "dataset": job.train_source.name,
        "split": job.train_source.split,
        "images": job.train_source.num_examples,
        "image_size": list(size),
        "data": data.digest(job.train_source.identity),
        "crop_proportion": about["eval_crop_proportion"],
        "precision": device.resolve_precision(job.config.precision, device.width_of(about)),
    }


def read(path, shape):
    """Reads the teacher's logits; raises UsageError if they are damaged."""
    try:
        with files.opened(path) as file:
            logits = np.load(file, allow_pickle=False)
    except Exception:  # a damaged file can raise any kind of error, even MemoryError
        logits = None
    if getattr(logits, "shape", None) != shape or not np.isfinite(logits).all():
        raise UsageError(f"{path} is damaged. Without it, the same command makes it again.")
    return logits
