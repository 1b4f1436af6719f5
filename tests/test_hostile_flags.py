"""Flagfiles that are none, and what absl would say in its own words."""

import os

import pytest

import flags
from tfssl.config import BUILT_IN
from tfssl.data.source import read_list
from tfssl.errors import UsageError


def refusal(*words):
    with pytest.raises(UsageError) as refused:
        flags.parse(["run.py", *words])
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "word,said",
    [
        ("--use_blur=maybe", "--use_blur must be true or false. Received: maybe"),
        ("--use_blur=", "--use_blur must be true or false. Received: nothing"),
        ("--temperature=x", "--temperature must be a number. Received: x"),
        ("--seed=1.5", "--seed must be an integer. Received: 1.5"),
        ("--seed=a: b\n", "--seed must be an integer. Received: a: b\\n"),
        ("--seed", "--seed must be an integer. Received: nothing"),
        ("--method=x", f"--method must be one of {', '.join(BUILT_IN)}. Received: x"),
        ("--nouse_blur=true", "--nouse_blur takes no value. Received: true"),
        ("--temprature=1", "--temprature is an unknown flag. Did you mean --temperature?"),
        ("--\x1b[1m=1", "--\\x1b[1m is an unknown flag. --helpfull lists all."),
        ("--flagfile", "--flagfile must be a file of flags. Received: nothing"),
        ("--flagfile=/", "--flagfile must be a file of flags. Received: / (Is a directory)"),
        ("--flagfile=/dev/zero", "Received: /dev/zero (no regular file)"),
    ],
)
def test_a_refusal_says_flag_expected_and_received(word, said):
    assert refusal(word).endswith(said)


@pytest.mark.parametrize(
    "content,said",
    [
        (b"\xff\xfe--seed", "(not text in UTF-8)"),
        (b"--seed=1\0", "(not text in UTF-8)"),
        (b"seed=1", "Received: seed=1"),
        (b"--flagfile=again", "--flagfile=again includes itself."),
        (b"  --flagfile=./other\n", "includes itself, by "),
    ],
    ids=str,
)
def test_a_flagfile_that_is_none(content, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "again").write_bytes(content)
    (tmp_path / "other").write_text("--flagfile=again")
    assert said in refusal("--flagfile=again")


def test_a_pipe_is_no_flagfile_and_one_of_the_shell_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "(no regular file)" in refusal(f"--flagfile={tmp_path / 'pipe'}")
    reader, writer = os.pipe()
    os.write(writer, b"--seed=7\n# remark\n// another\n\n --use_blur ")
    os.close(writer)
    config, given = flags.parse(["run.py", f"--flagfile=/dev/fd/{reader}"])
    os.close(reader)
    assert config.seed == 7 and given == {"seed", "use_blur"}


def test_flagfiles_that_include_each_other_without_end(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}").write_text(2 * f"--flagfile={tmp_path}/{number + 1}\n")
    (tmp_path / "40").write_text("--seed=1")
    assert "is one of more than 200 flagfiles" in refusal(f"--flagfile={tmp_path}/0")
    twice = [f"--flagfile={tmp_path}/39", "--seed=2", "--flagfile", f"{tmp_path}/40"]
    assert flags.parse(["run.py", *twice])[0].seed == 1  # the later one wins
    assert flags.parse(["run.py", *twice, "--flagfile=", "--seed=3"])[0].seed == 3


@pytest.mark.parametrize(
    "content,said",
    [
        (5000 * b"9", "with the line 9999999999999999999999999999999999999999"),
        (b"-1", "with the line -1"),
        (b"1\n1", "1 of 2 are repeated"),
        (b"1\0", "(not text in UTF-8)"),
        (b"\xff\xfe1", "(not text in UTF-8)"),
        (b"\x1b[31m", "with the line \\x1b[31m"),
        (b"10", "with the line 10"),
        (b"#1", "no number"),
    ],
    ids=lambda v: str(v)[:12],
)
def test_a_label_list_that_is_none(content, said, tmp_path):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_list(str(tmp_path / "list"), 10)
    assert said in str(refused.value)


def test_a_label_list_that_is_unusual(tmp_path):
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbf0009\r\n" + 5000 * b"0" + b"\n1 # one")
    assert read_list(str(tmp_path / "list"), 10).tolist() == [0, 1, 9]
    for path in (tmp_path, "/dev/zero", "a\0b"):
        with pytest.raises(UsageError, match="Is a directory|no regular file|null byte"):
            read_list(str(path), 10)
