"""Weights & Biases and MLflow: they receive every scalar that TensorBoard receives."""

import contextlib
import contextvars
import itertools
import json
import os

from tfssl import files

FILE = "trackers.json"  # {tracker: id of the run there}, which goes on with the run here
PROJECT = "tfssl"
AT_ONCE = 100  # parameters in a call of MLflow, which takes no more

ACTIVE = contextvars.ContextVar("trackers", default=())


class Tracker:
    """A run of a tracking service, opened at the first scalar.

    What the service cannot take is told once, and the training goes on.

    Args:
        directory: of the run of tfssl, which remembers the run of the service.
        settings: {name: value} of the run.
    """

    NAME = ""

    def __init__(self, directory, settings):
        self.directory, self.settings, self.run, self.failed = directory, settings, None, False

    def scalars(self, step, values):
        """Sends {tag: number} of a step."""
        if self.failed:
            return
        with self.forgiven():
            self.run = self.run or self.open()
            self.send(step, {name: float(value) for name, value in values.items()})

    def close(self):
        """Ends the run of the service."""
        if self.run:
            with self.forgiven():
                self.end()
            self.run = None

    @contextlib.contextmanager
    def forgiven(self):
        """A context that reports the first error, after which nothing is sent."""
        try:
            yield
        except Exception as error:  # of networks, accounts and versions: services raise their own
            self.failed = True
            text = " ".join(str(error).split()).rstrip(".")
            print(f"\nWARNING: {self.NAME} receives nothing: {text}. The run goes on.", flush=True)

    def remembered(self):
        """{tracker: id} of earlier processes of the run."""
        with contextlib.suppress(OSError, ValueError), open(self.path, encoding="utf-8") as file:
            return {str(name): value for name, value in dict(json.load(file)).items()}
        return {}

    @property
    def path(self):
        return os.path.join(self.directory, FILE)

    @property
    def title(self):
        """The name of the run there."""
        return os.path.basename(os.path.abspath(self.directory))

    def remember(self, identity):
        files.write_json(self.directory, FILE, {**self.remembered(), self.NAME: identity})

    def open(self):
        raise NotImplementedError

    def send(self, step, values):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError


class WandB(Tracker):
    """Weights & Biases, by its own variables WANDB_MODE, WANDB_PROJECT and others."""

    NAME = "wandb"

    def open(self):
        import wandb

        before = self.remembered().get(self.NAME)
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self.title,
            dir=self.directory,
            config=self.settings,
            id=before,
            resume="allow" if before else None,
        )
        run.define_metric("*", step_metric="step")  # else a step after a restored one is dropped
        self.remember(run.id)
        return run

    def send(self, step, values):
        self.run.log({"step": step, **values})

    def end(self):
        self.run.finish()


class MLflow(Tracker):
    """MLflow, by its own variables MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and others."""

    NAME = "mlflow"

    def open(self):
        import mlflow

        before = self.remembered().get(self.NAME)
        if not before and not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & set(os.environ):
            mlflow.set_experiment(PROJECT)
        run = mlflow.start_run(before, run_name=self.title)
        if not before:
            given = iter({k: v for k, v in self.settings.items() if v is not None}.items())
            while some := dict(itertools.islice(given, AT_ONCE)):
                mlflow.log_params(some)
            self.remember(run.info.run_id)
        return run

    def send(self, step, values):
        import mlflow

        mlflow.log_metrics(values, step=step)

    def end(self):
        import mlflow

        mlflow.end_run()


TRACKERS = {tracker.NAME: tracker for tracker in (WandB, MLflow)}


@contextlib.contextmanager
def tracking(names, directory, settings):
    """A context in which scalars of a `Board` go to tracking services too.

    Args:
        names: of TRACKERS.
        directory: of the run.
        settings: {name: value} of the run.
    """
    active = [TRACKERS[name](directory, settings) for name in names]
    token = ACTIVE.set(tuple(active))
    try:
        yield
    finally:
        ACTIVE.reset(token)
        for tracker in active:
            tracker.close()
