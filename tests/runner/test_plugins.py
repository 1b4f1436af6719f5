"""Methods and encoders from outside the project, on the command line."""

import json
import textwrap

import keras
import numpy as np
import pytest

import flags
import tfssl
from tfssl import UsageError, registry
from tfssl.config import METHODS
from tfssl.runner import program

SIMSIAM = """
import dataclasses
import tfssl
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Options:
    units: int = dataclasses.field(default=16, metadata={"help": "Units of the heads."})
    stop: bool = dataclasses.field(default=True, metadata={"help": "Stop the gradient."})

    def __post_init__(self):
        if self.units < 2:
            raise ValueError("units must be 2 or more")


@tfssl.register("simsiam", options=Options)
class SimSiam(tfssl.SelfSupervised):
    SCALARS = ("similarity_loss",)

    def __init__(self, encoder, projector=None, predictor=None, units=16, stop=True, **options):
        heads = {"projector": projector, "predictor": predictor}
        super().__init__(encoder, heads=heads, **options)
        self.units, self.stop = units, stop

    def make_heads(self, projector, predictor):
        projector = projector or tfssl.layers.projector(self.dim, out_dim=self.units)
        make = tfssl.layers.byol_head
        predictor = predictor or make(self.units, out_dim=self.units, hidden_dim=4)
        return {
            "projector": self.head(projector, self.dim, "projector"),
            "predictor": self.head(predictor, self.units, "predictor"),
        }

    def loss_on_views(self, views, labels=None, training=True):
        h = [self.encode(view, training) for view in views]
        z = [self.projector(one, training=training) for one in h]
        p = [self.predictor(one, training=training) for one in z]
        t = [tf.stop_gradient(one) if self.stop else one for one in z]
        distance = tfssl.losses.regression_loss
        loss = 0.25 * (distance(p[0], t[1]) + distance(p[1], t[0])) - 1
        return tfssl.Outputs(loss, {"similarity_loss": loss}, h, z)
"""
ENCODER = """
import keras


def build(input_shape):
    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(6, 3, strides=2),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Conv2D(12, 3, strides=2),
    ])
"""
TINY = [
    "--dataset=shapes",
    "--train_split=train[:40]",
    "--eval_split=test[:20]",
    "--image_size=16",
    "--resnet_depth=18",
    "--width_multiplier=0.0625",
    "--train_batch_size=8",
    "--train_steps=2",
    "--train_summary_steps=1",
    "--knn_k=3",
    "--nolinear_probe",
    "--noeval_baseline",
    "--nocompile_augmentation",
    "--optimizer=adam",
    "--learning_rate=0.001",
]


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "mine.py").write_text(SIMSIAM)
    return str(tmp_path / "mine.py")


@pytest.fixture
def encoder(tmp_path):
    (tmp_path / "net.py").write_text(ENCODER)
    return f"{tmp_path}/net.py:build"


def run(*words):
    config, given = flags.parse(["run.py", *words])
    return program.run(config, given, flagfile=flags.dump)


def test_simsiam_from_outside_trains_resumes_and_is_evaluated(plugin, tmp_path, monkeypatch):
    mine = [f"--plugin={plugin}", "--method=simsiam", "--units=8", f"--model_dir={tmp_path}/run"]
    result = run(*TINY, *mine)
    assert result["global_step"] == 2 and result["pretrained"]["knn_3"]["examples"] == 20
    recorded = json.loads((tmp_path / "run" / "flags.json").read_text())
    assert (recorded["method"], recorded["method_options"]) == ("simsiam", "units=8")
    assert list(json.loads((tmp_path / "run" / "data.json").read_text())["plugins"]) == ["mine.py"]
    again = run("--mode=eval", f"--model_dir={tmp_path}/run", f"--plugin={plugin}")
    assert again["pretrained"]["knn_3"] == result["pretrained"]["knn_3"]
    with pytest.raises(UsageError, match="--method_options=units=4 .there units=8"):
        run(*TINY, *mine[:2], "--units=4", mine[3])


def test_a_run_of_a_plugin_needs_it_again_and_unchanged(plugin, tmp_path):
    mine = [f"--plugin={plugin}", "--method=simsiam", f"--model_dir={tmp_path}/run"]
    run(*TINY, *mine, "--mode=train")
    (tmp_path / "mine.py").write_text(SIMSIAM + "\n# changed\n")
    registry.MODULES.clear()
    with pytest.raises(UsageError, match="--plugin=mine.py is not the file that the run in"):
        run(*TINY, *mine, "--mode=train")
    registry.ENTRIES["method"].clear()
    METHODS.pop("simsiam")
    with pytest.raises(
        UsageError, match="is a run of --method=simsiam, which a plug-in adds: give"
    ):
        run("--mode=eval", f"--model_dir={tmp_path}/run")


@pytest.mark.parametrize(
    "words,said",
    [
        (["--method=simsiam", "--units=many"], "--units must be of type int. Received: many"),
        (["--method=simsiam", "--units=1"], "An option of --method=simsiam is refused: units must"),
        (["--method=simsiam", "--stop=perhaps"], "--stop must be of type bool. Received: perhaps"),
        (
            ["--units=8"],
            "--method_options must be options of --method=simclr .none.. Received: uni",
        ),
        (["--method_options=size=8", "--method=simsiam"], "must be options of --method=simsiam"),
    ],
)
def test_options_are_checked_before_anything_is_done(plugin, words, said):
    with pytest.raises(UsageError, match=said):
        flags.parse(["run.py", f"--plugin={plugin}", *words])


@pytest.mark.parametrize(
    "text,said",
    [
        (None, "--plugin must be Python files, separated by commas. Received: .*No such file"),
        ("1 / 0", "cannot be used: .* fails: ZeroDivisionError: division by zero"),
        (
            "import tfssl\n@tfssl.register('simclr')\nclass A: pass",
            "`name` 'simclr' is taken: tfssl has a method of that name",
        ),
        (SIMSIAM.replace("units: int", "seed: int"), "--seed is a flag of tfssl: an option must"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, text, said):
    if text is not None:
        (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UsageError, match=said):
        flags.parse(["run.py", f"--plugin={tmp_path}/bad.py"])


def test_help_lists_the_options(plugin):
    argv = ["run.py", f"--plugin={plugin}", "--help"]
    assert flags.parse(argv) is None
    assert "--units" in flags.help_text(argv) and "Units of the heads. [16]" in flags.help_text(
        argv
    )


def test_two_files_cannot_share_a_name(plugin, tmp_path):
    (tmp_path / "other.py").write_text(SIMSIAM)
    with pytest.raises(UsageError, match="'simsiam' is taken: another method of .*mine.py has it"):
        flags.parse(["run.py", f"--plugin={plugin},{tmp_path}/other.py"])


def test_an_encoder_of_a_file_trains_is_finetuned_larger_and_classifies(encoder, tmp_path, capsys):
    run(*TINY, f"--encoder={encoder}", f"--model_dir={tmp_path}/run")
    exported = keras.models.load_model(tmp_path / "run" / "encoder.keras")
    images = np.random.default_rng(0).random((2, 24, 20, 3), np.float32)
    inner = next(layer for layer in exported.layers if isinstance(layer, keras.Sequential))
    by_hand = np.asarray(inner(255 * images)).mean((1, 2))  # which expects 0-255, as it says
    np.testing.assert_allclose(exported(images), by_hand, rtol=1e-4, atol=1e-5)
    tuned = run(
        "--mode=finetune",
        "--fine_tune_after_block=0",
        f"--checkpoint={tmp_path}/run",
        f"--encoder={encoder}",
        *TINY[:3],
        "--image_size=20x24",
        *TINY[6:8],
        f"--model_dir={tmp_path}/tuned",
    )
    assert tuned["finetuned"]["network"]["examples"] == 20
    assert "all after its map is 1/2 of the image: " in capsys.readouterr().out
    record = json.loads((tmp_path / "tuned" / "flags.json").read_text())
    assert record["encoder"] == encoder and record["image_size"] == "20x24"


def test_a_record_runs_no_code(encoder, tmp_path):
    run(*TINY, f"--encoder={encoder}", f"--model_dir={tmp_path}/run", "--mode=train")
    registry.PERMITTED.clear()
    with pytest.raises(UsageError, match="is code, which is run where it is asked for alone"):
        run("--mode=eval", f"--model_dir={tmp_path}/run")
    assert run("--mode=eval", f"--model_dir={tmp_path}/run", f"--encoder={encoder}")


@pytest.mark.parametrize(
    "words,said",
    [
        (["--encoder=nothing"], "--encoder=nothing: `encoder` must be resnet, a registered name"),
        (["--encoder=keras.applications.Nothing"], "must be a model of keras.applications"),
        (["--encoder={}", "--encoder_size=32"], "--image_size must be 32x32, the size that --enco"),
        (["--encoder={}", "--input_range=1,0"], "--input_range must be auto, or LOW,HIGH"),
        (["--encoder={}x"], "`encoder` must be a function in .*net.py. Received: buildx"),
    ],
)
def test_encoders_that_cannot_be_had_are_refused(encoder, tmp_path, words, said):
    words = [word.format(encoder) for word in words]
    with pytest.raises(UsageError, match=said):
        run(*TINY, *words, f"--model_dir={tmp_path}/run")
    assert not (tmp_path / "run").exists()


def test_a_registered_encoder_has_its_name(tmp_path):
    (tmp_path / "named.py").write_text(
        "import tfssl\n"
        + ENCODER.replace("def build", '@tfssl.register("net", kind="encoder")\ndef build')
    )
    mine = [f"--plugin={tmp_path}/named.py", "--encoder=net"]
    assert run(*TINY, *mine, f"--model_dir={tmp_path}/run")["global_step"] == 2


def test_in_a_notebook_a_cell_that_runs_again_replaces():
    def cell(text):
        names = {"__name__": "__main__"}
        exec(textwrap.dedent(text), names)
        return names

    text = """
        import tfssl
        @tfssl.register("mine")
        class Mine(tfssl.SelfSupervised):
            SCALARS = ("loss_of_mine",)
    """
    first, second = cell(text), cell(text)
    assert registry.find("method", "mine").value is second["Mine"] is not first["Mine"]


@pytest.mark.parametrize(
    "arguments,said",
    [
        (dict(name="a b"), "`name` must be of letters, digits and underscores"),
        (dict(name="a", kind="thing"), "`kind` must be one of method, encoder"),
        (dict(name="a", options=3), "`options` must be a dataclass"),
    ],
)
def test_what_cannot_be_registered(arguments, said):
    with pytest.raises(ValueError, match=said):
        tfssl.register(**arguments)
