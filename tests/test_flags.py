"""The command line: parsing, Google's spelling, flagfiles, help."""

import dataclasses
import pathlib
import re

import pytest

import flags
from tfssl.config import GOOGLE_DEFAULTS, METHODS, MODES, Config
from tfssl.errors import UsageError
from tfssl.runner import plugins

ROOT = pathlib.Path(__file__).parent.parent
CIFAR_COMMAND = (
    "--train_mode=pretrain --train_batch_size=512 --train_epochs=1000 --learning_rate=1.0 "
    "--weight_decay=1e-4 --temperature=0.5 --dataset=cifar10 --image_size=32 --eval_split=test "
    "--resnet_depth=18 --use_blur=False --color_jitter_strength=0.5 "
    "--model_dir=/tmp/simclr_test --use_tpu=False"
)
IMAGENET_COMMAND = (
    "--train_mode=pretrain --train_batch_size=4096 --train_epochs=100 --temperature=0.1 "
    "--learning_rate=0.075 --learning_rate_scaling=sqrt --weight_decay=1e-4 "
    "--dataset=imagenet2012 --image_size=224 --eval_split=validation --data_dir=DATA "
    "--model_dir=MODEL --use_tpu=True --tpu_name=TPU --train_summary_steps=0"
)


def parse(line):
    return flags.parse(["run.py", *line.split()])


def test_no_flags_is_the_default_config():
    assert parse("") == (Config(), set())


def test_the_mission_line():
    config, given = parse("--mode=pretrain --resnet_depth=50 --use_blur")
    assert config == Config(resnet_depth=50, use_blur=True)
    assert given == {"mode", "resnet_depth", "use_blur"}


def test_what_a_command_line_gives_is_what_was_asked_for():
    config, given = parse("--method=simclr --temperature=0.25 --nouse_blur")
    assert config == Config() and config.asked == given == {"method", "temperature", "use_blur"}
    assert config.replace(method="byol") == Config(method="byol", use_blur=False, temperature=0.25)


def test_googles_defaults_stay_when_something_else_is_replaced():
    config, given = parse("--train_mode=pretrain --learning_rate=0.5")
    assert given == {"train_mode", "learning_rate"}
    moved = config.replace(model_dir="run")
    assert (moved.resnet_depth, moved.use_blur, moved.learning_rate) == (50, True, 0.5)
    assert moved.replace(model_dir=None) == config


def test_googles_cifar_command_means_what_it_means_there():
    config, _ = parse(CIFAR_COMMAND)
    assert (config.task, config.trains, config.evaluates) == ("pretrain", True, False)
    assert (config.train_batch_size, config.train_epochs, config.learning_rate) == (512, 1000, 1.0)
    assert (config.resnet_depth, config.use_blur, config.temperature) == (18, False, 0.5)
    assert (config.optimizer, config.warmup_epochs, config.num_proj_layers) == ("lars", 10, 3)
    assert config.learning_rate_scaling == "linear" and config.use_tpu is False


def test_googles_imagenet_command_takes_googles_defaults_for_what_it_leaves_out():
    config, _ = parse(IMAGENET_COMMAND)
    assert (config.resnet_depth, config.use_blur, config.color_jitter_strength) == (50, True, 1.0)
    assert (config.learning_rate_scaling, config.learning_rate) == ("sqrt", 0.075)
    assert (config.use_tpu, config.tpu_name, config.train_summary_steps) == (True, "TPU", 0)


FINETUNE_COMMAND = (
    "--mode=train_then_eval --train_mode=finetune --fine_tune_after_block=4 "
    "--zero_init_logits_layer=True --global_bn=False --optimizer=momentum --learning_rate=0.1 "
    "--weight_decay=0.0 --train_epochs=100 --train_batch_size=512 --warmup_epochs=0 "
    "--dataset=cifar10 --image_size=32 --eval_split=test --resnet_depth=18 --checkpoint=CKPT "
    "--model_dir=DIR --use_tpu=False"
)


def test_googles_finetuning_command_means_what_it_means_there():
    config, _ = parse(FINETUNE_COMMAND)
    assert (config.task, config.trains, config.evaluates) == ("finetune", True, True)
    assert (config.fine_tune_after_block, config.zero_init_logits_layer) == (4, True)
    assert (config.optimizer, config.learning_rate, config.checkpoint) == ("momentum", 0.1, "CKPT")
    short, _ = parse("--train_mode=finetune --checkpoint=CKPT")
    assert (short.optimizer, short.train_epochs, short.train_batch_size) == ("lars", 100, 512)


@pytest.mark.parametrize("mode", ["train", "train_then_eval"])
def test_it_is_train_mode_that_speaks_google(mode):
    """--mode=train alone is "train, do not evaluate" of whatever the other flags say."""
    theirs, ours = parse(f"--mode={mode} --train_mode=pretrain")[0], parse(f"--mode={mode}")[0]
    assert theirs.resnet_depth == GOOGLE_DEFAULTS["resnet_depth"] == 50
    assert ours == Config(mode=mode)


@pytest.mark.parametrize(
    "line,task",
    [
        ("--train_mode=distill --teacher=RUN", "distill"),
        ("--method=byol --train_mode=finetune --checkpoint=RUN", "finetune"),
        ("--method=byol --train_mode=pretrain", "pretrain"),
    ],
)
def test_train_mode_alone_means_train(line, task):
    config, _ = parse(line)
    assert (config.mode, config.task) == ("train", task)


@pytest.mark.parametrize(
    "line",
    [
        "",
        CIFAR_COMMAND,
        IMAGENET_COMMAND,
        "--knn_k= --nolinear_probe --cache_dataset=False",
        "--train_split=train[:10%] --width_multiplier=0.25",
    ],
)
def test_a_dumped_flagfile_gives_the_same_config(line, tmp_path):
    config, _ = parse(line)
    file = tmp_path / "flags.flags"
    file.write_text(flags.dump(config, "a header\nof two lines"))
    assert parse(f"--flagfile={file}")[0] == config


def test_later_flags_override_a_flagfile(tmp_path):
    file = tmp_path / "a.flags"
    file.write_text("# comment\n--use_blur\n--temperature=0.5\n")
    config, _ = parse(f"--flagfile={file} --nouse_blur")
    assert (config.use_blur, config.temperature) == (False, 0.5)


FILES = sorted([*ROOT.glob("flags/**/*.flags"), *ROOT.glob("results/*/*.flags")])


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_flagfile_parses_and_says_what_it_is(file):
    """Those of sweeps are read in tests/test_sweep.py."""
    text = file.read_text()
    assert text.startswith("#")
    if "sweep.py" not in text:
        assert parse(f"--flagfile={file}")[1]


@pytest.mark.parametrize(
    "line,said",
    [
        ("--temprature=1", "temprature"),
        ("--mode=fly", "pretrain"),
        ("--train_batch_size=many", "train_batch_size"),
        ("--flagfile=nowhere.flags", "nowhere.flags"),
        ("positional", "positional"),
        ("--resnet_depth=19", "18, 34, 50"),
    ],
)
def test_refusals_are_one_sentence(line, said):
    with pytest.raises(UsageError) as refusal:
        parse(line)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "line,said",
    [
        ("--use_blur=maybe", "--use_blur must be true or false. Received: maybe"),
        ("--seed=1.5", "--seed must be an integer. Received: 1.5"),
        ("--temperature=warm", "--temperature must be a number. Received: warm"),
        ("--mode=fly", "--mode must be one of pretrain, "),
        (f"--seed={'9' * 5000}", "--seed must be an integer. Received: 999"),
        ("--temperature=1e400", "--temperature must be a finite number. Received: inf"),
    ],
)
def test_what_cannot_be_read_is_told_in_our_words(line, said):
    with pytest.raises(UsageError) as refusal:
        parse(line)
    assert str(refusal.value).startswith(said) and len(str(refusal.value)) <= 1000


@pytest.mark.parametrize("flag", ["--help", "--helpshort", "--helpfull", "-h"])
def test_help_is_asked_for(flag):
    assert parse(flag) is None and parse(f"--method=byol {flag}") is None


def test_helpfull_has_every_flag_once_with_all_of_its_text():
    text = flags.help_text(["run.py", "--helpfull"])
    together = "".join(text.split())
    for field in dataclasses.fields(Config):
        assert text.count(f"\n  --{field.name}=") == 1, field.name
        assert "".join(field.metadata["help"].split()) in together, field.name


@pytest.mark.parametrize("flag", ["--help", "--helpshort", "-h"])
def test_help_has_the_common_flags_on_two_screens_and_names_helpfull(flag):
    text = flags.help_text(["run.py", flag])
    listed = re.findall(r"^  --(\w+)=", text, re.M)
    assert listed == [f.name for f in dataclasses.fields(Config) if f.metadata["common"]]
    assert 20 <= len(listed) <= 30
    lines = text.splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= 100 and "--helpfull" in lines[-1]
    assert str(len(dataclasses.fields(Config))) in lines[-1]


@pytest.mark.parametrize("name", [name for name, mode in MODES.items() if mode.flags])
def test_help_of_a_mode_has_its_own_flags(name):
    mode, text = MODES[name], flags.help_text(["tfssl", name, "--help"])
    assert text == flags.help_text(["tfssl", f"--mode={name}", "-h"])
    lines = text.splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= 100 and "--helpfull" in lines[-1]
    assert lines[0].startswith(f"usage: tfssl {name} ")
    assert f"  tfssl {name} {mode.example}" in lines
    named = re.findall(r"^  --(\w+)", text, re.M)
    assert named == list(mode.flags) and set(named) <= set(Config.__dataclass_fields__)
    assert text != flags.help_text(["tfssl", "--help"])


@pytest.mark.parametrize("name", [name for name, mode in MODES.items() if mode.example])
def test_the_example_of_a_mode_parses(name):
    config, given = parse(f"{name} {MODES[name].example}")
    assert config.mode == name and given


def test_a_mode_that_is_given_twice_must_be_the_same():
    with pytest.raises(UsageError, match="plan and --mode=finetune contradict each other"):
        parse("plan --mode=finetune --checkpoint=runs/x")
    assert parse("plan --mode=plan")[0].mode == "plan"


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull"])
def test_help_may_come_before_the_mode(flag):
    assert flags.help_text(["tfssl", flag, "knn"]) == flags.help_text(["tfssl", "knn", flag])
    for words in (f"{flag} nosuch", f"nosuch {flag}", f"knn nosuch {flag}"):
        with pytest.raises(UsageError, match="before them a mode .*Received: nosuch$"):
            parse(words)


def test_help_of_pretraining_is_the_common_one():
    assert flags.help_text(["tfssl", "pretrain", "-h"]) == flags.help_text(["tfssl", "-h"])


@pytest.mark.parametrize("flag", ["--help", "--helpfull"])
def test_help_has_the_defaults_of_a_method_next_to_the_standard_ones(flag):
    text = " ".join(flags.help_text(["run.py", "--method=byol", flag]).split())
    assert "simclr: 0.25; byol: 1.0" in text and "simclr: False; byol: True" in text
    assert "pretrain: simclr: 1.0; byol: see" in text
    assert "byol: 1.0" not in " ".join(flags.help_text(["run.py", flag]).split())


def test_help_has_the_options_of_the_method_alone():
    plain, swav = (
        flags.help_text(["run.py", *words, "--help"]) for words in ([], ["--method=swav"])
    )
    assert "Options of" not in plain and "--num_prototypes" not in plain
    assert re.search(r"^  --num_prototypes +Number of .*\[3000\]", swav, re.M)
    of_swav = swav.partition("Options of --method=swav\n")[2]
    for shared in ("num_views", "local_views", "local_size", "memory_size"):
        assert f"  --{shared}=" in of_swav and f"--{shared}=" not in plain
    assert re.search(r"--local_views=int +.*?\[.*swav: 6", of_swav, re.S)
    assert "--off_diagonal" not in swav and max(map(len, swav.splitlines())) <= 100


def test_helpfull_has_the_options_of_every_method():
    text = flags.help_text(["run.py", "--helpfull"])
    for method, facts in METHODS.items():
        for field in dataclasses.fields(facts.options) if facts.options else ():
            assert f"--{field.name}" in text.partition(f"Options of --method={method}\n")[2]


@pytest.mark.parametrize(
    "line,said",
    [
        ("--method=swav --num_prototypes=1", "--num_prototypes must be an integer of at least 2. "),
        ("--method=swav --epsilon=none", "--epsilon must be of type float. Received: none"),
        (
            "--method=simclr --num_prototypes=9",
            "--num_prototypes concerns --method=swav and --method=dino. Received: 9",
        ),
        ("--method=byol --num_views=3", "--num_views must be 2 for --method=byol. Received: 3"),
        ("--method=dino --num_views=1", "--num_views must be at least 2 for --method=dino"),
        ("--method=dim --num_views=2", "--num_views must be 1 for --method=dim"),
        ("--local_views=2", "--local_views concerns --method=swav and --method=dino. Received: 2"),
        (
            "--method=swav --local_size=20 --image_size=16",
            "--local_size must not exceed --image_size. Received: 20 and 16",
        ),
        ("--local_size=8", "--local_size has no effect without --local_views. Received: 8"),
        (
            "--method=swav --local_crop_area_min=0.5 --local_crop_area_max=0.2",
            "--local_crop_area_min must not exceed --local_crop_area_max. Received: 0.5 and 0.2",
        ),
        ("--pred_hidden_dim=8", "--pred_hidden_dim concerns --method=simsiam, "),
        ("--method=dim --estimator=mine", "--estimator must be jsd or infonce. Received: mine"),
    ],
)
def test_what_does_not_suit_a_method_is_refused(line, said):
    with pytest.raises(UsageError, match="^" + re.escape(said)):
        parse(line)


@pytest.mark.parametrize(
    "words,value", [("--symmetric", True), ("--nosymmetric", False), ("--symmetric=1", True)]
)
def test_an_option_that_is_a_truth_value_is_a_flag_like_others(words, value):
    config, _ = parse(f"--method=mocov2 {words} --bn_groups=2")
    assert config.method_options == f"symmetric={value},bn_groups=2"
    assert plugins.values_of(config) == {"symmetric": value, "bn_groups": 2}


def test_options_of_a_method_are_recorded_and_read_again(tmp_path):
    config, _ = parse("--method=vicreg --variance=12.5 --covariance=2")
    assert config.method_options == "variance=12.5,covariance=2"
    (tmp_path / "flags").write_text(flags.dump(config))
    assert parse(f"--flagfile={tmp_path / 'flags'}")[0] == config


@pytest.mark.parametrize(
    "text,first",
    [
        ("Layers of the ResNet.", "Layers of the ResNet"),
        ("One, such as 2.5 by You et al. 2017. Two.", "One, such as 2.5 by You et al. 2017"),
        ("cifar10, ...", "cifar10, ..."),
        ("What to do. pretrain: learn", "What to do"),
    ],
)
def test_the_first_sentence_of_a_text(text, first):
    assert flags.first_sentence(text) == first
