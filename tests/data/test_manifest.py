"""Tables of image files, and groups that no split cuts."""

import csv
import itertools

import numpy as np
import pytest
from PIL import Image

import tfssl
from tests.helpers import read_source
from tfssl.data import balanced, folder, manifest, tree
from tfssl.data.stored import Names
from tfssl.errors import UsageError

ROWS = [(f"images/{number}.png", ("cat", "dog", "")[number % 3], number) for number in range(24)]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """24 grey images of 5 x 4 px whose value is ten times their number."""
    directory = tmp_path_factory.mktemp("table")
    (directory / "images").mkdir()
    for number in range(24):
        image = np.full((5, 4), 10 * number, np.uint8)
        Image.fromarray(image).save(directory / "images" / f"{number}.png")
    return directory


def table(path, names, rows, separator=","):
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([names, *rows])
    return str(path)


def load(path, split="train", names=manifest.USUAL, given=(), **options):
    lines = []
    found = manifest.read(path, names, given)
    source = folder.load(path, split, table=found, report=lines.append, **options)
    return source, lines


@pytest.mark.parametrize("ending,separator", [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_images_and_labels_are_those_of_the_rows(ending, separator, directory):
    path = table(directory / f"a.{ending}", ["path", "label"], [r[:2] for r in ROWS], separator)
    source, lines = load(path)
    assert source.classes == ("cat", "dog") and source.num_examples == 24
    for name, (image, label) in read_source(source).items():
        number = int(name.removeprefix("images/").removesuffix(".png"))
        np.testing.assert_array_equal(image, np.full((5, 4, 3), np.float32(10 * number) / 255))
        assert label == (0, 1, -1)[number % 3]
    assert lines[0].startswith(f"{path} read as a table of image files: train 24; 2 classes")
    views = tfssl.views(path, tfssl.augment.supervised(4), 8, compiled=False)
    assert len(views) == 3 and "label" in next(iter(views))


def test_parquet(directory):
    pandas = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    columns = dict(zip(("path", "label", "number"), map(list, zip(*ROWS))))
    columns["label"] = [label or None for label in columns["label"]]
    path = str(directory / "a.parquet")
    pyarrow.parquet.write_table(pandas.table(columns), path)
    source, _ = load(path)
    assert source.classes == ("cat", "dog")
    assert sum(label < 0 for _, label in read_source(source).values()) == 8


def test_splits_are_those_of_a_column_and_numbers_are_sorted_by_value(directory):
    splits = itertools.cycle(["train", "train", "Testing"])
    rows = [(name, number % 12, next(splits)) for name, _, number in ROWS]
    path = table(directory / "b.csv", ["file", "class", "split"], rows)
    train, test = load(path)[0], load(path, None)[0]
    assert train.num_examples == 16 and test.num_examples == 8 and test.split == "test"
    assert train.classes == tuple(map(str, range(12)))
    for name, (_, label) in read_source(test).items():
        assert label == int(name.removeprefix("images/").removesuffix(".png")) % 12


def test_other_names_of_columns(directory):
    rows = [(f"{directory}/{name}", label, number % 2) for name, label, number in ROWS]
    path = table(directory / "c.csv", ["scan", "finding", "fold"], rows)
    names = Names("scan", "finding", "fold")
    source, _ = load(path, "1", names, given=("image", "label", "split"))
    assert source.num_examples == 12 and source.classes == ("cat", "dog")
    for missing in ("image", "label", "split"):
        wrong = names._replace(**{missing: "other"})
        with pytest.raises(UsageError, match=f"`{missing}_key` must name a column of .* scan, fin"):
            manifest.read(path, wrong, ("image", "label", "split"))


def test_slices_of_a_table_and_of_a_folder_keep_groups_together(directory):
    rows = [(name, label, f"p{number // 5}") for name, label, number in ROWS]
    path = table(directory / "d.csv", ["path", "label", "patient"], rows)
    names = manifest.USUAL._replace(group="patient")
    parts = [load(path, f"train[{part}]", names)[0] for part in (":40%", "40%:")]
    assert sum(part.num_examples for part in parts) == 24
    for part in parts:
        for name, group in zip(part.ids(), part.groups(), strict=True):
            assert group == f"p{int(name[7:-4]) // 5}"
    assert not set(parts[0].groups()) & set(parts[1].groups())

    options = dict(layout="flat", group_by=r"(\d)\.png", report=lambda line: None)
    parts = [folder.load(directory / "images", f"train[{p}]", **options) for p in (":50%", "50%:")]
    digits = [{name[-5] for name in part.ids()} for part in parts]
    assert all(digits) and not digits[0] & digits[1]
    assert [set(part.groups()) for part in parts] == digits


def test_a_pattern_that_matches_some_names_or_none(directory):
    found, lines = tree.read(directory / "images", "flat"), []
    grouped = tree.grouped(found, r"^1(\d)", lines.append)
    groups = {file.name: file.group for file in grouped.splits["train"]}
    assert groups["17.png"] == "7" and groups["1.png"] == "1.png" and groups["5.png"] == "5.png"
    assert "each of its own group: 14 of 24 names of files" in lines[0]
    with pytest.raises(UsageError, match="matches none of 24 of 24 names"):
        tree.grouped(found, "patient")
    with pytest.raises(UsageError, match="must be a regular expression"):
        tree.grouped(found, "(")


@pytest.mark.parametrize("seed", range(4))
def test_few_labels_are_of_whole_groups_and_enough(seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"p{number}" for number in range(60)], rng.integers(1, 9, 60))
    labels = rng.integers(-1, 4, len(groups))
    chosen = balanced(labels, 4, 0.2, seed, groups)
    assert np.all(np.diff(chosen) > 0) and np.all(labels[chosen] >= 0)
    there = set(groups[chosen])
    rest = np.setdiff1d(np.flatnonzero(labels >= 0), chosen)
    assert not there & set(groups[rest])
    wanted = round(0.2 * np.count_nonzero(labels >= 0) / 4)
    assert np.all(np.bincount(labels[chosen], minlength=4) >= wanted)
    assert len(chosen) < 0.5 * len(labels)
    np.testing.assert_array_equal(chosen, balanced(labels, 4, 0.2, seed, groups))
    assert len(balanced(labels, 4, 0.2, seed + 1, groups)) != len(chosen) or not np.array_equal(
        chosen, balanced(labels, 4, 0.2, seed + 1, groups)
    )
    alone = balanced(labels, 4, 0.2, seed, np.arange(len(labels)).astype(str))
    np.testing.assert_array_equal(alone, balanced(labels, 4, 0.2, seed))


def test_mistakes(directory, tmp_path):
    def said(columns, rows, **options):
        with pytest.raises(UsageError) as caught:
            manifest.read(table(tmp_path / "wrong.csv", columns, rows), **options)
        return str(caught.value)

    assert said(["name", "label"], [("a.png", "cat")]).endswith(
        "which has name, label, and none called path or file or filename or image. Received: none"
    )
    assert (
        "`label_key` must say which is meant of LABEL and Label, which differ only in case. Rec"
        in said(["path", "Label", "LABEL"], [("a.png", "cat", "dog")])
    )
    assert "row 2 must have 2 values" in said(["path", "label"], [("a.png", "cat"), ("b.png",)])
    assert "must have one label. Received: cat and dog, in row 3" in said(
        ["path", "label"], [("a.png", "cat"), ("b.png", "dog"), ("a.png", "dog")]
    )
    assert "row 1 must have a path" in said(["path", "label"], [(" ", "cat")])
    assert "must have a line of names and rows below it" in said(["path"], [])
    assert "`group_by` must name a column" in said(
        ["path"], [("a.png",)], names=manifest.USUAL._replace(group="patient")
    )
    with pytest.raises(UsageError, match="No such file"):
        manifest.read(str(tmp_path / "nothing.csv"))
    (tmp_path / "binary.csv").write_bytes(b"\x00\xff\xfe")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        manifest.read(str(tmp_path / "binary.csv"))


def test_files_that_are_missing_are_named_and_counted(directory):
    rows = [(name, label) for name, label, _ in ROWS] + [("images/gone.png", "cat")]
    path = table(directory / "e.csv", ["path", "label"], rows)
    source, lines = load(path)
    assert source.num_examples == 24
    assert any("gone.png (No such file or directory)" in line for line in lines)
    with pytest.raises(UsageError, match="more than `max_bad_fraction=0.01` allows"):
        load(path, max_bad_fraction=0.01)


def test_rows_of_one_image_count_once(directory):
    rows = [(name, label) for name, label, _ in ROWS] * 2
    source, lines = load(table(directory / "f.csv", ["path", "label"], rows))
    assert source.num_examples == 24 and "left out: 24 rows of images" in "".join(lines)


def told_of(rows, tmp_path, **names):
    """The tree of a table of these columns, with images that exist."""
    for name in rows["path"]:
        Image.new("L", (8, 8)).save(tmp_path / name)
    lines = [",".join(rows), *(",".join(row) for row in zip(*rows.values()))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    return manifest.read(str(tmp_path / "t.csv"), manifest.USUAL._replace(**names))


def labels_of(tree):
    files = sorted(tree.splits["train"], key=lambda file: file.name)
    return [tree.classes[file.label] if file.label >= 0 else None for file in files]


@pytest.mark.parametrize(
    "labels,expected",
    [
        (["1.0", "0.0", "", "-1.0"], ["1", "0", None, None]),
        (["2", "10", "-1", "nan"], ["2", "10", None, None]),
        (["cat", "None", "NULL", " dog "], ["cat", None, None, "dog"]),
        (["1.5mm", "NA", "0.5mm", ""], ["1.5mm", None, "0.5mm", None]),
        (["1", "N/A", "<NA>", "0"], ["1", None, None, "0"]),
    ],
)
def test_labels_as_programs_write_them(labels, expected, tmp_path):
    rows = {"path": ["0.png", "1.png", "2.png", "3.png"], "label": labels}
    assert labels_of(told_of(rows, tmp_path)) == expected


def test_of_several_usual_columns_the_taken_one_is_told(directory):
    path = table(
        directory / "both.csv",
        ["file", "path", "class"],
        [("images/1.png", "images/0.png", "cat"), ("images/1.png", "images/2.png", "dog")],
    )
    names = manifest.USUAL._replace(label="class")
    found = manifest.read(path, names)
    assert found.remarks == ("image: column path; `image_key=file` takes that one instead",)
    assert [file.name for file in found.splits["train"]] == ["images/0.png", "images/2.png"]
    with pytest.raises(UsageError, match="images/1.png must have one label"):
        manifest.read(path, names._replace(image="file"), ("image",))


def test_numbers_that_are_no_classes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="or texts. Received: 0.25, in row 2"):
        told_of({"path": ["0.png", "1.png"], "label": ["1.0", "0.25"]}, tmp_path)


def test_images_without_a_group_are_groups_of_their_own(tmp_path):
    rows = {"path": [f"{i}.png" for i in range(6)], "patient": ["a", "", "b", "", "a", " "]}
    found = told_of(rows, tmp_path, group="patient")
    groups = {file.name: file.group for file in found.splits["train"]}
    assert groups["0.png"] == groups["4.png"] == "a" and len(set(groups.values())) == 5
    assert "3 of 6 images have no group by `group_by`: each is one of its own" in found.remarks
    rows["patient"] = [""] * 6
    with pytest.raises(UsageError, match="`group_by=patient` must say what images belong to. Rec"):
        told_of(rows, tmp_path, group="patient")


def test_splits_are_spelled_in_several_ways_and_rows_without_one_are_left_out(tmp_path):
    splits = ["Train ", "train", "TEST", "", "Fold1"]
    rows = {"path": [f"{i}.png" for i in range(5)], "split": splits}
    found = told_of(rows, tmp_path)
    assert {name: len(files) for name, files in found.splits.items()} == {
        "train": 2,
        "test": 1,
        "Fold1": 1,
    }
    assert "left out: 1 rows without a split, first row 4" in found.remarks


def test_usual_names_of_columns_may_be_in_any_case(tmp_path):
    rows = {
        "path": [f"{i}.png" for i in range(4)],
        "Label": ["cat", "dog", "", "cat"],
        "Split": ["train", "test", "train", "test"],
    }
    found = told_of(rows, tmp_path)
    assert found.classes == ("cat", "dog") and found.remarks == ()
    assert {split: len(files) for split, files in found.splits.items()} == {"train": 2, "test": 2}
    lines = (tmp_path / "t.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join(["PATH,CLASS,sPLIT", *lines[1:]]))
    again = manifest.read(str(tmp_path / "t.csv"))
    assert again.classes == found.classes and again.splits == found.splits
    path = table(tmp_path / "both.csv", ["Path", "path"], [("0.png", "1.png")])
    found = manifest.read(path)
    assert [file.name for file in found.splits["train"]] == ["1.png"]
    assert found.remarks == ("image: column path; `image_key=Path` takes that one instead",)


def test_a_table_without_labels_says_what_it_has(tmp_path):
    rows = {"path": ["0.png", "1.png"], "Diagnosis": ["a", "b"], "patient": ["p", "q"]}
    remark = "no column of labels among path, Diagnosis, patient: `label_key` names one"
    assert told_of(rows, tmp_path).remarks == (remark,)
    del rows["Diagnosis"]
    assert told_of(rows, tmp_path, group="patient").remarks == ()


def test_groups_that_are_missing_are_no_group(tmp_path):
    rows = {"path": ["0.png", "1.png", "2.png"], "patient": ["NA", "nan", "a"]}
    found = told_of(rows, tmp_path, group="patient")
    assert len({file.group for file in found.splits["train"]}) == 3


def test_spaces_around_a_path_count_where_there_is_such_a_file(tmp_path):
    for name in (" a.png", "a.png", "b.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    path = table(tmp_path / "t.csv", ["path"], [(" a.png",), (" b.png ",), (" gone.png",)])
    files = manifest.read(path).splits["train"]
    assert {file.name for file in files} == {" a.png", "b.png", " gone.png"}
    assert {file.path for file in files if file.bytes} == {
        str(tmp_path / name) for name in (" a.png", "b.png")
    }
