"""What is told of accuracies: the table, TensorBoard, and no top-5 where it says nothing."""

import json
import types

import numpy as np
import pytest

from tests.helpers import read_scalars
from tfssl import Config
from tfssl.runner import evaluate, finetune, pretrain, results


def scored(classes):
    """The score of 8 images of which the first 6 are right."""
    labels = np.arange(8) % classes
    logits = np.eye(classes)[labels]
    logits[6:] = np.roll(logits[6:], 1, axis=1)
    return evaluate.score(logits, labels)


@pytest.mark.parametrize("classes,top_5", [(2, "-"), (5, "-"), (6, "75.00"), (10, "75.00")])
def test_the_table_has_no_top_5_of_five_classes(classes, top_5):
    """Of more, the two wrong ones are beyond the top 5: ties count against them."""
    scores = scored(classes)
    assert (scores["classes"], scores["examples"], scores["correct_top_1"]) == (classes, 8, 6)
    assert scores["correct_top_5"] == (8 if classes <= 5 else 6)
    row = evaluate.table({"finetuned": {"network": scores}}).splitlines()[-1]
    assert row.split() == ["the", "whole", "network", "75.00", top_5]


def test_a_table_of_older_records_and_of_missing_protocols():
    older = {name: value for name, value in scored(3).items() if name != "classes"}
    lines = evaluate.table(
        {"untrained": {"knn_5": older}, "pretrained": {"knn_5": scored(3), "online": older}}
    ).splitlines()
    assert [len(line) for line in lines] == [26 + 2 * 22] * 4
    assert lines[2].split()[-4:] == ["75.00", "100.00", "75.00", "-"]
    assert lines[3].split()[-4:] == ["-", "-", "75.00", "100.00"]


@pytest.mark.parametrize("classes", [3, 10])
def test_tensorboard_has_no_top_5_of_few_classes_and_result_json_keeps_it(classes, tmp_path):
    scores = scored(classes)
    result = {
        "global_step": 7,
        "eval/label_top_1_accuracy": scores["top_1"],
        "eval/label_top_5_accuracy": scores["top_5"],
        "finetuned": {"network": scores},
    }
    job = types.SimpleNamespace(config=Config(model_dir=str(tmp_path)))
    results.write_result(job, result, {"network": scores})
    assert json.loads((tmp_path / "result.json").read_text()) == result
    written = {tag: dict(points)[7] for tag, points in read_scalars(tmp_path / "eval").items()}
    expected = {"eval/label_top_1_accuracy": 0.75, "eval/network_top_1_accuracy": 0.75}
    if classes > 5:
        expected |= {"eval/label_top_5_accuracy": 0.75, "eval/network_top_5_accuracy": 0.75}
    assert written == expected


def test_a_command_to_paste_is_quoted(capsys):
    result = {"dataset": "a", "eval_dataset": "a", "eval_split": "b", "global_step": 1, "labels": 2}
    pretrain.print_result({**result, "untrained": {}, "pretrained": {}}, "runs/scan s")
    done = next(iter(finetune.DONE.values()))
    finetune.print_result({**result, done: {"network": scored(3) | {"examples": 8}}}, "runs/scan s")
    assert capsys.readouterr().out.count("tensorboard --logdir 'runs/scan s'\n") == 2
