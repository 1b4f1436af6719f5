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


@tfssl.register("siamese", options=Options)
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
    "--encoder=tiny",
    "--color_jitter_strength=0",
    "--grayscale_p=0",
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


@pytest.mark.slow
def test_siamese_from_outside_trains_resumes_and_is_evaluated(plugin, tmp_path, monkeypatch):
    mine = [f"--plugin={plugin}", "--method=siamese", "--units=8", f"--model_dir={tmp_path}/run"]
    result = run(*TINY, *mine)
    assert result["global_step"] == 2 and result["pretrained"]["knn_3"]["examples"] == 20
    recorded = json.loads((tmp_path / "run" / "flags.json").read_text())
    assert (recorded["method"], recorded["method_options"]) == ("siamese", "units=8")
    assert list(json.loads((tmp_path / "run" / "data.json").read_text())["plugins"]) == ["mine.py"]
    again = run("--mode=eval", f"--model_dir={tmp_path}/run", f"--plugin={plugin}")
    assert again["pretrained"]["knn_3"] == result["pretrained"]["knn_3"]
    with pytest.raises(UsageError, match="--method_options=units=4 .there units=8"):
        run(*TINY, *mine[:2], "--units=4", mine[3])


@pytest.mark.slow
def test_a_run_of_a_plugin_needs_it_again_and_unchanged(plugin, tmp_path):
    mine = [f"--plugin={plugin}", "--method=siamese", f"--model_dir={tmp_path}/run"]
    run(*TINY, *mine, "--mode=train")
    (tmp_path / "mine.py").write_text(SIMSIAM + "\n# changed\n")
    registry.MODULES.clear()
    with pytest.raises(UsageError, match="mine.py is not the file that the run in"):
        run(*TINY, *mine, "--mode=train")
    registry.ENTRIES["method"].clear()
    METHODS.pop("siamese")
    with pytest.raises(
        UsageError, match="is a run of --method=siamese, which a plug-in adds: give"
    ):
        run("--mode=eval", f"--model_dir={tmp_path}/run")
    with pytest.raises(UsageError, match="is of --method=siamese, which is not a method of tfssl"):
        run("--mode=export", f"--checkpoint={tmp_path}/run", "--format=npz")


@pytest.mark.parametrize(
    "words,said",
    [
        (["--method=siamese", "--units=many"], "--units must be of type int. Received: many"),
        (["--method=siamese", "--units=1"], "An option of --method=siamese is refused: units must"),
        (["--method=siamese", "--stop=perhaps"], "--stop must be true or false. Received: perhaps"),
        (["--units=8"], "--units concerns --method=siamese. Received: 8 with --method=simclr"),
        (["--method_options=size=8", "--method=siamese"], "must be options of --method=siamese"),
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
    with pytest.raises(UsageError, match="'siamese' is taken: another method of .*mine.py has it"):
        flags.parse(["run.py", f"--plugin={plugin},{tmp_path}/other.py"])


@pytest.mark.slow
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
        *TINY[7:9],
        f"--model_dir={tmp_path}/tuned",
    )
    assert tuned["finetuned"]["network"]["examples"] == 20
    assert "all after its map is 1/2 of the image: " in capsys.readouterr().out
    record = json.loads((tmp_path / "tuned" / "flags.json").read_text())
    assert record["encoder"] == encoder and record["image_size"] == "20x24"


def test_a_record_runs_no_code(encoder, tmp_path):
    run(*TINY, f"--encoder={encoder}", f"--model_dir={tmp_path}/run", "--mode=train")
    registry.PERMITTED.clear()
    with pytest.raises(UsageError, match="is code, which is run only if the command names it"):
        run("--mode=eval", f"--model_dir={tmp_path}/run")
    assert run("--mode=eval", f"--model_dir={tmp_path}/run", f"--encoder={encoder}")


def test_an_encoder_of_a_fixed_size_says_which(tmp_path):
    (tmp_path / "net.py").write_text(ENCODER.replace("Input(input_shape)", "Input((24, 24, 3))"))
    with pytest.raises(UsageError, match="takes images .*24.*Received: images .*16"):
        run(*TINY, f"--encoder={tmp_path}/net.py:build", f"--model_dir={tmp_path}/run")
    assert not list((tmp_path / "run").glob("*"))


@pytest.mark.parametrize(
    "words,said",
    [
        (["--encoder=nothing"], "--encoder must be resnet, vit_tiny, .*a registered name"),
        (["--encoder=keras.applications.Nothing"], "must be a model of keras.applications"),
        (["--encoder={}", "--encoder_size=32"], "--image_size must be 32x32, the size that --enco"),
        (
            ["--encoder={}", "--input_range=1,0"],
            "--input_range must be auto, imagenet, or LOW,HIGH",
        ),
        (["--encoder={}x"], "--encoder must be a function in .*net.py. Received: buildx"),
    ],
)
def test_encoders_that_cannot_be_had_are_refused(encoder, tmp_path, words, said):
    words = [word.format(encoder) for word in words]
    with pytest.raises(UsageError, match=said):
        run(*TINY, *words, f"--model_dir={tmp_path}/run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
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


@pytest.mark.parametrize("kind", ["method", "encoder", "source", "recipe", "protocol"])
def test_only_classes_and_functions_can_be_registered(kind):
    with pytest.raises(ValueError, match="A class or a function must be .* as 'a'. Received: 3"):
        tfssl.register("a", kind=kind)(3)
    assert registry.find(kind, "a") is None


EVERYTHING = """
import numpy as np
import tensorflow as tf
import tfssl


@tfssl.register("blobs", kind="source")
def blobs(split):
    generator = np.random.default_rng({"train": 0, "test": 1}[split])
    labels = np.arange({"train": 40, "test": 20}[split]) % 2
    bright = 0.25 + 0.5 * labels[:, None, None]
    return np.float32(bright + generator.uniform(-0.1, 0.1, [len(labels), 16, 16])), labels


@tfssl.register("halves", kind="recipe")
def halves(size, channels):
    return tfssl.augment.supervised(size), tfssl.augment.view(lambda images: 0.5 * images)


@tfssl.register("centroid", kind="protocol")
class Centroid:
    name = "centroid"

    def scores(self, train_h, train_labels, test_h, num_classes):
        means = [train_h[train_labels == c].mean(0) for c in range(num_classes)]
        return -np.linalg.norm(test_h[:, None] - np.stack(means), axis=-1)
"""
PLAIN = [word for word in TINY if not word.startswith(("--color", "--gray"))]
OWN = ["--dataset=blobs", "--train_split=train[:32]", "--eval_split=test"]


@pytest.fixture
def everything(tmp_path):
    (tmp_path / "all.py").write_text(EVERYTHING)
    return f"--plugin={tmp_path}/all.py"


def test_a_source_a_recipe_and_a_protocol_of_a_plugin(everything, tmp_path):
    mine = [everything, *OWN, "--views=halves", "--protocols=centroid"]
    result = run(*PLAIN, *mine, "--train_steps=2", f"--model_dir={tmp_path}/run")
    scores = result["pretrained"]["centroid"]
    assert scores["examples"] == 20 and scores["classes"] == 2
    encoder = tfssl.load_encoder(tmp_path / "run")
    images, labels = (np.asarray(v) for v in registry.find("source", "blobs").value("train"))
    test, test_labels = registry.find("source", "blobs").value("test")
    h, test_h = (encoder(np.repeat(x[..., None], 3, -1)).numpy() for x in (images[:32], test))
    found = registry.find("protocol", "centroid").value().scores(h, labels[:32], test_h, 2)
    assert scores["correct_top_1"] == (found.argmax(1) == test_labels).sum()
    said = json.loads((tmp_path / "run" / "data.json").read_text())["train"]
    assert said["kind"] == "registered" and len(said["content"]) == 64


@pytest.mark.slow
def test_views_take_the_name_of_a_source(everything):
    flags.parse(["run.py", everything])
    views = tfssl.views("blobs", tfssl.augment.simclr(16, channels=1), 8, split="train[:24]")
    (first, *_) = [batch for batch in views]
    assert len(views) == 3 and first["views"][0].shape == (8, 16, 16, 1)
    with pytest.raises(ValueError, match="`split` must be one of train, or a slice of it, for"):
        tfssl.views("blobs", tfssl.augment.simclr(16, channels=1), 8, split="train[8]")


@pytest.mark.parametrize(
    "words,said",
    [
        (
            ["--views=other"],
            "--views must be one of standard, .* drawing, halves, or FILE.py:function.",
        ),
        (["--views=halves", "--flip_p=0.1"], "--flip_p has no effect with --views=halves"),
        (["--protocols=other"], "--protocols must be names .* registers .centroid.. Received: oth"),
        (["--eval_split=other"], "--dataset=blobs cannot be used: its split other fails with Key"),
        (["--train_split=train[:0]"], "--train_split must hold at least one example"),
    ],
)
def test_what_a_plugin_has_not_is_refused_before_anything_is_written(
    everything, tmp_path, words, said
):
    with pytest.raises(UsageError, match=said):
        run(*PLAIN, everything, *OWN, *words, f"--model_dir={tmp_path}/run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "recipe,said",
    [
        (
            "lambda i, s: 300.0 * i",
            "must make finite views in .0, 1.. Received: view 1 with values in .0",
        ),
        ("lambda i, s: i / 0.0", "must make finite views"),
        ("lambda i, s: i[:, :5, :7]", r"must make views \[4, 16, 16, 3\] .* shape \[4, 5, 7, 3\]"),
        ("lambda i, s: i @ i", "cannot be applied to images of 16x16 px: InvalidArgumentError"),
    ],
)
def test_a_recipe_that_does_not_suit_is_refused(tmp_path, recipe, said):
    (tmp_path / "r.py").write_text(
        "import tfssl\n"
        "tfssl.register('odd', kind='recipe')("
        f"lambda size, channels: tfssl.augment.view({recipe}))"
    )
    words = [f"--plugin={tmp_path}/r.py", "--views=odd", f"--model_dir={tmp_path}/run"]
    with pytest.raises(UsageError, match="--views=odd " + said):
        run(*PLAIN, *words)
    assert not (tmp_path / "run").exists()


def test_a_class_without_a_loss_is_no_method(tmp_path):
    (tmp_path / "m.py").write_text(
        "import tfssl\n@tfssl.register('lossless')\nclass A(tfssl.SelfSupervised): pass"
    )
    words = [f"--plugin={tmp_path}/m.py", "--method=lossless", f"--model_dir={tmp_path}/run"]
    with pytest.raises(UsageError, match="--method=lossless must be a subclass .* loss_on_views"):
        run(*TINY, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["gone.keras", "gone.py:build"])
def test_an_encoder_of_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(UsageError, match="--encoder must name an existing file. Received: gone"):
        run(*TINY, f"--encoder={name}", f"--model_dir={tmp_path}/run")


@pytest.mark.parametrize(
    "code,said",
    [
        ("return np.full([len(test_h), 1], 0.0)", r"must return scores \[20, 2\] without NaN"),
        ("return 1 / 0", "--protocols=centroid fails: ZeroDivisionError"),
    ],
)
def test_a_protocol_that_fails_says_which(tmp_path, code, said):
    (tmp_path / "all.py").write_text(
        EVERYTHING.replace("        means =", f"        {code}\n        means =")
    )
    from tfssl.runner import protocols

    with pytest.raises(UsageError, match=said.replace("20", "8") + ".*tried on random repr"):
        run(
            *PLAIN,
            f"--plugin={tmp_path}/all.py",
            *OWN,
            "--protocols=centroid",
            f"--model_dir={tmp_path}/r",
        )
    assert not (tmp_path / "r").exists()
    flags.parse(["run.py", f"--plugin={tmp_path}/all.py"])
    (made,) = protocols.registered(tfssl.Config(protocols="centroid")).values()
    with pytest.raises(tfssl.TrainingError, match=said):
        protocols.scores("centroid", made, np.ones([4, 3]), np.arange(4) % 2, np.ones([20, 3]), 2)
