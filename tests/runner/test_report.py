"""`--mode=report` and the page at the end of a training."""

import pathlib

import pytest

import tfssl
from tests.helpers import finetune_shapes, run_given, tiny_config
from tests.pages import checked
from tfssl import UsageError
from tfssl.runner import page, parser


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained") / "run"
    tfssl.run(tiny_config(directory, report=True, information_scalars=True))
    return directory


def sections(path):
    return {one["id"] for one in checked(pathlib.Path(path).read_text()).of("section")}


ALL = {"verdict", "accuracy", "curves", "views", "neighbours", "map", "confusion", "special"}
ALL |= {"spectrum", "settings"}


def test_a_pretraining_ends_with_its_page(trained):
    assert sections(trained / "report.html") == ALL
    text = (trained / "report.html").read_text()
    assert "simclr on shapes train[:64], step 4" in text
    assert "--learning_rate" in text and "--batch_size" not in text
    assert len(text) < 5_000_000


def test_the_page_is_written_again_the_same(trained):
    before = (trained / "report.html").read_bytes()
    (trained / "report.html").unlink()
    path = run_given(mode="report", model_dir=str(trained))
    assert path == str(trained / "report.html")
    assert (trained / "report.html").read_bytes() == before


def test_a_finished_run_gets_the_page_that_it_lacks(trained, tmp_path, capsys):
    (trained / "report.html").unlink()
    tfssl.run(tiny_config(trained, information_scalars=True, report=False))
    assert not (trained / "report.html").exists()
    tfssl.run(tiny_config(trained, information_scalars=True, report=True))
    assert sections(trained / "report.html") == ALL
    tuned = tmp_path / "tuned"
    finetune_shapes(trained, tuned)
    assert not (tuned / "report.html").exists()
    finetune_shapes(trained, tuned, report=True)
    assert (tuned / "report.html").exists()
    assert capsys.readouterr().out.count("nothing left to do") == 3


def test_a_finetuned_run_has_one_too(trained, tmp_path):
    finetune_shapes(trained, tmp_path / "tuned", report=True)
    assert sections(tmp_path / "tuned" / "report.html") == ALL - {"verdict", "views"}


def test_runs_side_by_side(trained, tmp_path):
    other = tmp_path / "other"
    tfssl.run(tiny_config(other, temperature=0.3, train_steps=2))
    path = run_given(mode="report", model_dir=str(trained), compare=str(other))
    assert path == str(trained / "compare.html")
    assert sections(path) == {"verdict", "accuracy", "curves", "settings"}
    assert "--temperature" in pathlib.Path(path).read_text()
    elsewhere = str(tmp_path / "page.html")
    settings = dict(mode="report", model_dir=str(trained), output=elsewhere)
    assert run_given(**settings) == elsewhere
    with pytest.raises(UsageError, match="--output must not exist yet. Received: .*page.html"):
        run_given(**settings)


def test_mistakes(trained, tmp_path):
    with pytest.raises(UsageError, match="--model_dir and --compare must name directories of runs"):
        run_given(mode="report", model_dir=str(trained), compare=str(tmp_path))
    with pytest.raises(UsageError, match="--model_dir must be the directory of a run"):
        run_given(mode="report", model_dir=str(tmp_path))


@pytest.mark.parametrize(
    "steps,kept", [([10, 20, 21], 2), ([10, 20, 26], 3), ([10, 11], 2), ([], 0)]
)
def test_a_last_point_of_few_steps_is_left_out(steps, kept):
    points = [(step, 1.0) for step in steps]
    assert page.full(points) == points[:kept]


def test_words_after_report_are_runs():
    config, _ = parser.parse(["tfssl", "report", "a", "b", "c", "--output=x"])
    assert (config.model_dir, config.compare, config.output) == ("a", "b,c", "x")
    config, _ = parser.parse(["tfssl", "report", "a"])
    assert (config.model_dir, config.compare) == ("a", None)


@pytest.mark.slow
def test_a_page_that_cannot_be_written_does_not_end_a_run(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(page, "FILE", "no/such/directory.html")
    result = tfssl.run(tiny_config(tmp_path, report=True, train_steps=1))
    assert result["global_step"] == 1 and "no no/such/directory.html: " in capsys.readouterr().out
