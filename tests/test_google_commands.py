"""Every command of google-research/simclr's READMEs, and every flag of its runners (383d414)."""

import dataclasses
import shlex
import string

import pytest

import flags
from tfssl.config import Config
from tfssl.errors import UsageError
from tfssl.runner import program, workers

CIFAR_PRETRAIN = r"""
python run.py --train_mode=pretrain \
  --train_batch_size=512 --train_epochs=1000 \
  --learning_rate=1.0 --weight_decay=1e-4 --temperature=0.5 \
  --dataset=cifar10 --image_size=32 --eval_split=test --resnet_depth=18 \
  --use_blur=False --color_jitter_strength=0.5 \
  --model_dir=/tmp/simclr_test --use_tpu=False"""
IMAGENET_PRETRAIN = r"""
python run.py --train_mode=pretrain \
  --train_batch_size=4096 --train_epochs=100 --temperature=0.1 \
  --learning_rate=0.075 --learning_rate_scaling=sqrt --weight_decay=1e-4 \
  --dataset=imagenet2012 --image_size=224 --eval_split=validation \
  --data_dir=$DATA_DIR --model_dir=$MODEL_DIR \
  --use_tpu=True --tpu_name=$TPU_NAME --train_summary_steps=0"""
CIFAR_HEAD = r"""
python run.py --mode=train_then_eval --train_mode=finetune \
  --fine_tune_after_block=4 --zero_init_logits_layer=True \
  --variable_schema='(?!global_step|(?:.*/|^)Momentum|head)' \
  --global_bn=False --optimizer=momentum --learning_rate=0.1 --weight_decay=0.0 \
  --train_epochs=100 --train_batch_size=512 --warmup_epochs=0 \
  --dataset=cifar10 --image_size=32 --eval_split=test --resnet_depth=18 \
  --checkpoint=/tmp/simclr_test --model_dir=/tmp/simclr_test_ft --use_tpu=False"""
IMAGENET_HEAD = r"""
python run.py --mode=train_then_eval --train_mode=finetune \
  --fine_tune_after_block=4 --zero_init_logits_layer=True \
  --variable_schema='(?!global_step|(?:.*/|^)Momentum|head)' \
  --global_bn=False --optimizer=momentum --learning_rate=0.1 --weight_decay=1e-6 \
  --train_epochs=90 --train_batch_size=4096 --warmup_epochs=0 \
  --dataset=imagenet2012 --image_size=224 --eval_split=validation \
  --data_dir=$DATA_DIR --model_dir=$MODEL_DIR --checkpoint=$CHKPT_DIR \
  --use_tpu=True --tpu_name=$TPU_NAME --train_summary_steps=0"""
ONE_PERCENT = r"""
python run.py --mode=train_then_eval --train_mode=finetune \
  --fine_tune_after_block=-1 --zero_init_logits_layer=True \
  --variable_schema='(?!global_step|(?:.*/|^)Momentum|head_supervised)' \
  --global_bn=True --optimizer=lars --learning_rate=0.005 \
  --learning_rate_scaling=sqrt --weight_decay=0 \
  --train_epochs=60 --train_batch_size=1024 --warmup_epochs=0 \
  --dataset=imagenet2012_subset/1pct --image_size=224 --eval_split=validation \
  --data_dir=$DATA_DIR --model_dir=$MODEL_DIR --checkpoint=$CHKPT_DIR \
  --use_tpu=True --tpu_name=$TPU_NAME --train_summary_steps=0 \
  --num_proj_layers=3 --ft_proj_selector=1"""
# The commands of tf2/README.md are the first two of these, letter by letter.
COMMANDS = {
    "pretraining, CIFAR-10": (
        CIFAR_PRETRAIN,
        dict(
            mode="train",
            train_mode="pretrain",
            train_batch_size=512,
            train_epochs=1000.0,
            learning_rate=1.0,
            weight_decay=1e-4,
            temperature=0.5,
            dataset="cifar10",
            image_size="32",
            eval_split="test",
            resnet_depth=18,
            use_blur=False,
            color_jitter_strength=0.5,
            model_dir="/tmp/simclr_test",
            use_tpu=False,
            optimizer="lars",
            warmup_epochs=10.0,
        ),
    ),
    "pretraining, ImageNet": (
        IMAGENET_PRETRAIN,
        dict(
            mode="train",
            train_batch_size=4096,
            learning_rate=0.075,
            learning_rate_scaling="sqrt",
            weight_decay=1e-4,
            data_dir="DATA",
            model_dir="MODEL",
            use_tpu=True,
            tpu_name="TPU",
            train_summary_steps=0,
            use_blur=True,
            color_jitter_strength=1.0,
            resnet_depth=50,
        ),
    ),
    "linear head, CIFAR-10": (
        CIFAR_HEAD,
        dict(
            mode="train_then_eval",
            train_mode="finetune",
            fine_tune_after_block=4,
            zero_init_logits_layer=True,
            variable_schema="(?!global_step|(?:.*/|^)Momentum|head)",
            global_bn=False,
            optimizer="momentum",
            learning_rate=0.1,
            weight_decay=0.0,
            train_epochs=100.0,
            train_batch_size=512,
            warmup_epochs=0.0,
            checkpoint="/tmp/simclr_test",
            ft_proj_selector=0,
        ),
    ),
    "linear head, ImageNet": (
        IMAGENET_HEAD,
        dict(
            fine_tune_after_block=4,
            weight_decay=1e-6,
            train_epochs=90.0,
            train_batch_size=4096,
            checkpoint="CHKPT",
            global_bn=False,
            ft_proj_selector=0,
        ),
    ),
    "1 % of the labels": (
        ONE_PERCENT,
        dict(
            fine_tune_after_block=-1,
            learning_rate_scaling="sqrt",
            optimizer="lars",
            learning_rate=0.005,
            weight_decay=0.0,
            train_epochs=60.0,
            train_batch_size=1024,
            dataset="imagenet2012_subset/1pct",
            num_proj_layers=3,
            ft_proj_selector=1,
        ),
    ),
}
HERE = {"DATA_DIR": "DATA", "MODEL_DIR": "MODEL", "CHKPT_DIR": "CHKPT", "TPU_NAME": "TPU"}
BUCKET = {**HERE, "DATA_DIR": "gs://b/data", "MODEL_DIR": "gs://b/model"}


def parse(command, variables=HERE):
    """What a command of a shell is, with its variables filled in."""
    words = words_of(string.Template(command).substitute(variables))
    assert words[:2] == ["python", "run.py"]
    return flags.parse(words[1:])


def words_of(command):
    return shlex.split(command.replace("\\\n", " "))


@pytest.mark.parametrize("command,means", COMMANDS.values(), ids=COMMANDS)
def test_every_command_means_here_what_it_means_there(command, means):
    config, given = parse(command)
    assert {name: getattr(config, name) for name in means} == means
    assert {word.split("=")[0][2:] for word in words_of(command)[2:]} == given


@pytest.mark.parametrize("command", [c for c, _ in COMMANDS.values() if "$" in c])
def test_a_bucket_as_the_directory_of_a_run_is_refused_in_one_sentence(command):
    with pytest.raises(UsageError, match="--model_dir must be a path on this machine") as refusal:
        parse(command, BUCKET)
    assert "gs://b/model" in str(refusal.value) and "\n" not in str(refusal.value)
    assert parse(command, {**BUCKET, "MODEL_DIR": "run"})[0].data_dir == "gs://b/data"


@pytest.mark.parametrize(
    "settings",
    [
        dict(model_dir="GS://b/run"),
        dict(mode="finetune", checkpoint="gs://b/run"),
        dict(mode="knn", checkpoint="s3://b/run"),
        dict(mode="distill", teacher="gs://b/run"),
        dict(mode="export", output="gs://b/encoder.keras"),
        dict(mode="finetune", checkpoint="run", label_list="gs://b/list"),
        dict(dataset="folder", data_dir="gs://b/photos"),
        dict(dataset="csv", data_dir="gs://b/photos.csv"),
        dict(probe_dataset="folder", probe_data_dir="https://host/photos"),
    ],
    ids=str,
)
def test_what_is_read_with_the_files_of_this_machine_must_be_on_it(settings):
    name = list(settings)[-1]
    with pytest.raises(UsageError, match=f"--{name} must be a path on this machine"):
        Config(**settings)


EXCEPT = "(?!global_step|(?:.*/|^)Momentum|"


@pytest.mark.parametrize(
    "schema,selector,said",
    [
        (EXCEPT + "head)", 0, None),
        (EXCEPT + "head_supervised)", 0, None),  # the projector is loaded there and read by nothing
        (EXCEPT + "head_supervised)", 1, None),
        (EXCEPT + "head_supervised)", -1, None),
        ("base_model/(?!.*Momentum)", 0, None),
        (EXCEPT + "head)", 1, "must load the projector"),
        (EXCEPT + "head_supervised|base_model/conv2d/)", 0, "must load the encoder"),
        (EXCEPT + "head_contrastive)", 0, "must leave out the classifier"),
        ("(?!global_step|head_supervised)", 0, "must leave out the optimizer's momentum"),
        ("(?!.*Momentum|head_supervised)", 0, "must leave out the step"),
        ("?!global_step", 0, "must be a regular expression"),  # their default: it is none
    ],
)
def test_a_variable_schema_is_accepted_where_it_means_what_is_loaded(schema, selector, said):
    settings = dict(
        mode="finetune", checkpoint="run", ft_proj_selector=selector, variable_schema=schema
    )
    if said is None:
        assert Config(**settings).variable_schema == schema
        return
    with pytest.raises(UsageError, match=f"--variable_schema {said}") as refusal:
        Config(**settings)
    assert schema in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [dict(mode="finetune", checkpoint="none"), dict(), dict(mode="eval", model_dir="run")],
    ids=str,
)
def test_where_nothing_is_loaded_a_variable_schema_is_told_to_have_no_effect(settings, capsys):
    config = Config(**settings, variable_schema="?!global_step")
    program.print_compatibility(config, {"variable_schema"})
    assert "without effect here: --variable_schema" in capsys.readouterr().out


MEANT, TOLD = "accepted with its meaning", "accepted and told to be without effect"
# Every flag of run.py and tf2/run.py, a value of its type there, and what becomes of it here.
THEIRS = {
    "learning_rate": ("0.3", MEANT),
    "learning_rate_scaling": ("sqrt", MEANT),
    "warmup_epochs": ("10", MEANT),
    "weight_decay": ("1e-4", MEANT),
    "batch_norm_decay": ("0.9", MEANT),
    "train_batch_size": ("512", MEANT),
    "train_split": ("train", MEANT),
    "train_epochs": ("100", MEANT),
    "train_steps": ("7", MEANT),
    "eval_steps": ("3", MEANT),
    "eval_batch_size": ("256", MEANT),
    "train_summary_steps": ("100", MEANT),
    "checkpoint_epochs": ("1", MEANT),
    "checkpoint_steps": ("5", MEANT),
    "eval_split": ("validation", MEANT),
    "dataset": ("imagenet2012", MEANT),
    "cache_dataset": ("False", MEANT),
    "mode": ("train_then_eval", MEANT),
    "train_mode": ("finetune", MEANT),
    "lineareval_while_pretraining": ("True", MEANT),
    "checkpoint": ("run", MEANT),
    "variable_schema": (EXCEPT + "head)", MEANT),
    "zero_init_logits_layer": ("True", MEANT),
    "fine_tune_after_block": ("4", MEANT),
    "master": ("grpc://host:8470", TOLD),
    "model_dir": ("run", MEANT),
    "data_dir": ("gs://b/data", MEANT),
    "use_tpu": ("False", MEANT),
    "tpu_name": ("tpu", TOLD),
    "tpu_zone": ("zone", TOLD),
    "gcp_project": ("project", TOLD),
    "optimizer": ("adam", MEANT),
    "momentum": ("0.9", MEANT),
    "eval_name": ("again", MEANT),
    "keep_checkpoint_max": ("5", MEANT),
    "keep_hub_module_max": ("3", TOLD),
    "temperature": ("0.1", MEANT),
    "hidden_norm": ("True", MEANT),
    "proj_head_mode": ("linear", MEANT),
    "proj_out_dim": ("128", MEANT),
    "num_proj_layers": ("3", MEANT),
    "ft_proj_selector": ("0", MEANT),
    "global_bn": ("True", MEANT),
    "width_multiplier": ("2", MEANT),
    "resnet_depth": ("50", MEANT),
    "sk_ratio": ("0.0625", MEANT),
    "se_ratio": ("0.25", MEANT),
    "image_size": ("224", MEANT),
    "color_jitter_strength": ("1.0", MEANT),
    "use_blur": ("True", MEANT),
}
LINE = ["run.py", "--mode=train_then_eval", "--train_mode=finetune", "--checkpoint=run"]


@pytest.mark.parametrize("name", THEIRS)
def test_every_flag_of_theirs_is_accepted_and_told_where_it_does_nothing(name, capsys):
    value, becomes = THEIRS[name]
    config, given = flags.parse([*LINE, f"--{name}={value}"])
    own = getattr(config, name)
    kind = type(own)
    expected = value == "True" if kind is bool else kind(value)
    assert own == expected and name in given
    program.print_compatibility(config, given)
    told = capsys.readouterr().out
    assert (f"without effect here: --{name}" in told) == (becomes == TOLD)


@pytest.mark.parametrize("name", ["tpu_name", "tpu_zone", "gcp_project", "master"])
def test_what_concerns_a_tpu_has_its_effect_on_one(name, capsys):
    config, given = flags.parse(
        ["run.py", "--train_mode=pretrain", "--use_tpu=True", f"--{name}=there"]
    )
    program.print_compatibility(config, given)
    assert "without effect" not in capsys.readouterr().out
    config, given = flags.parse(
        ["run.py", "--train_mode=pretrain", "--use_tpu=True", "--mode=eval", f"--{name}=there"]
    )
    program.print_compatibility(config, given)
    assert f"without effect here: --use_tpu, --{name}" in capsys.readouterr().out


def test_a_tpu_is_looked_for_where_the_flags_say(monkeypatch):
    asked = []

    def resolver(*args, **where):
        asked.append((*args, where))
        raise ValueError("no such TPU")

    monkeypatch.setattr(workers.tf.distribute.cluster_resolver, "TPUClusterResolver", resolver)
    for settings in (
        dict(tpu_name="pod", tpu_zone="z", gcp_project="p", master="grpc://h"),
        dict(master="grpc://h"),
        dict(),
    ):
        with pytest.raises(UsageError, match="no such TPU"):
            workers.distribution(Config(use_tpu=True, **settings))
    nowhere = {"zone": None, "project": None}
    assert asked == [
        ("pod", {"zone": "z", "project": "p"}),
        ("grpc://h", nowhere),
        ("local", nowhere),
    ]


def test_the_defaults_that_are_taken_and_those_that_are_not_are_told(capsys):
    program.print_compatibility(
        *flags.parse(["run.py", "--train_mode=pretrain", "--use_tpu=False"])
    )
    taken, left = capsys.readouterr().out.splitlines()
    assert "--resnet_depth=50" in taken and "--learning_rate=0.3" in taken
    assert left.endswith("--image_size=224 --eval_split=validation")
    program.print_compatibility(*flags.parse(LINE))
    told = capsys.readouterr().out
    assert "--optimizer=lars" in told and "--resnet_depth" not in told  # which the weights say
    program.print_compatibility(*flags.parse([*LINE, "--mode=eval", "--model_dir=run"]))
    assert capsys.readouterr().out == ""  # the run says what its settings are


def test_a_record_from_before_a_flag_still_loads():
    record = Config().to_dict()
    del record["variable_schema"]
    assert Config(**record) == Config()
    assert "variable_schema" in {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize(
    "flag,without",
    [
        (
            "temperature",
            {"byol", "triplet", "simsiam", "barlow_twins", "vicreg", "sigreg", "emp_ssl"},
        ),
        ("hidden_norm", {"byol", "simsiam", "vicreg", "swav", "dcl", "cpc"}),
        ("base_target_decay", {"simclr", "simsiam", "vicreg"}),
    ],
)
def test_settings_that_a_method_does_not_take_are_told(flag, without, capsys):
    value = {"temperature": "0.37", "hidden_norm": "False", "base_target_decay": "0.5"}[flag]
    for method in sorted(without | {"simclr", "byol"}):
        config, given = flags.parse(["run.py", f"--method={method}", f"--{flag}={value}"])
        program.print_compatibility(config, given)
        told = f"without effect here: --{flag}" in capsys.readouterr().out
        assert told == (method in without), method
