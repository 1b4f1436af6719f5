"""What a folder of images means: layouts, links, names, and trees that mean two things."""

import os
import pathlib

import pytest

from tests.helpers import decode_all, encode_image, load_folder, random_picture, write_image
from tfssl.data import folder, tree
from tfssl.errors import UsageError
from tfssl.text import printable


def files(directory, *names):
    """Files that are images by their names alone, each of its own size."""
    for number, name in enumerate(names):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (number + 1))


def read(directory, *names, **options):
    """{split: {(name, class)}} of what is read of these files."""
    files(directory, *names)
    found = tree.read(str(directory), **options)
    return {
        split: {
            (file.name, found.classes[file.label] if file.label >= 0 else None) for file in there
        }
        for split, there in found.splits.items()
    }


@pytest.mark.parametrize(
    "names,options,expected",
    [
        (["a.png", "b.jpg"], {}, {"train": {("a.png", None), ("b.jpg", None)}}),
        (
            ["cat/a.png", "dog/b.png", "dog/old/c.png"],
            {},
            {"train": {("cat/a.png", "cat"), ("dog/b.png", "dog"), ("dog/old/c.png", "dog")}},
        ),
        (
            ["Train/cat/a.png", "TEST/cat/b.png"],
            {},
            {"train": {("Train/cat/a.png", "cat")}, "test": {("TEST/cat/b.png", "cat")}},
        ),
        (
            ["training/cat/a.png", "testing/cat/b.png"],
            {},
            {"train": {("training/cat/a.png", "cat")}, "test": {("testing/cat/b.png", "cat")}},
        ),
        (
            ["train/cat/a.png", "fold1/cat/b.png"],
            {},
            {"train": {("train/cat/a.png", "cat")}, "fold1": {("fold1/cat/b.png", "cat")}},
        ),
        (
            ["one/cat/a.png", "two/cat/b.png"],
            {"wanted": "two"},
            {"one": {("one/cat/a.png", "cat")}, "two": {("two/cat/b.png", "cat")}},
        ),
        (
            ["one/cat/a.png", "two/cat/b.png"],
            {"layout": "classes"},
            {"train": {("one/cat/a.png", "one"), ("two/cat/b.png", "two")}},
        ),
        (
            ["valid/a.png", "invalid/b.png"],
            {"layout": "classes"},
            {"train": {("valid/a.png", "valid"), ("invalid/b.png", "invalid")}},
        ),
        (
            ["valid/a.png", "invalid/b.png"],
            {"layout": "flat"},
            {"train": {("valid/a.png", None), ("invalid/b.png", None)}},
        ),
        (
            ["train/a.png", "bus/b.png"],
            {"layout": "splits"},
            {"train": {("train/a.png", None)}, "bus": {("bus/b.png", None)}},
        ),
        (
            [
                "cat/a.png",
                "dog/b.png",
                "@eaDir/cat/a.png",
                "__MACOSX/x.png",
                ".git/y.png",
                "cat/.z.png",
            ],
            {},
            {"train": {("cat/a.png", "cat"), ("dog/b.png", "dog")}},
        ),
    ],
    ids=lambda v: "+".join(v) if isinstance(v, list) else "",
)
def test_trees_that_mean_one_thing(names, options, expected, tmp_path):
    assert read(tmp_path, *names, **options) == expected


@pytest.mark.parametrize(
    "names,said",
    [
        (
            ["cat/home/a.png", "dog/home/b.png"],
            "cat/home/* could be the class home of a split cat, or a part of the class cat. "
            "`folder_layout=splits` or `folder_layout=classes` says which",
        ),
        (
            ["valid/a.png", "invalid/b.png"],
            "valid is a usual name of a split and invalid is not. `folder_layout=classes` "
            "takes each",
        ),
        (
            ["train/a.png", "bus/b.png", "car/c.png"],
            "train is a usual name of a split and bus is not",
        ),
        (["a.png", "cat/b.png"], "there are images beside the folder cat. `folder_layout=flat`"),
        (["train/a.png", "train/cat/b.png"], "train has images beside folders of images"),
        (["train/cat/a.png", "Train/cat/b.png"], "has the split train twice: Train and train"),
        (
            ["train/cat/a.png", "test/Cat/b.png"],
            "the classes Cat and cat, which differ only in case",
        ),
        (
            ["caf\u00e9/a.png", "cafe\u0301/b.png"],
            "which differ only in case or Unicode normalization",
        ),
        (["notes.txt"], "holds no images"),
        (
            ["photos/train/cat/a.png", "photos/test/cat/b.png"],
            "has its splits one folder further down: `data_dir=",
        ),
    ],
    ids=lambda v: "+".join(v) if isinstance(v, list) else "",
)
def test_trees_that_mean_two_things_are_refused_with_the_way_out(names, said, tmp_path):
    with pytest.raises(UsageError) as refusal:
        read(tmp_path, *names)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_how_it_was_read_is_one_line(tmp_path):
    files(tmp_path, "Train/cat/a.png", "Train/dog/b.png", "val/cat/c.png")
    line = tree.summary("photos", tree.read(str(tmp_path)))
    assert line == "photos read as DIR/<split>/<class>/*: train 2, val 1; 2 classes: cat, dog"


def test_a_link_back_is_left_out(tmp_path):
    for label in ("cat", "dog"):
        for i in range(3):
            write_image(tmp_path / "train" / label / f"{i}.png", seed=10 * len(label) + i)
    os.symlink("..", tmp_path / "train" / "cat" / "up")
    os.symlink(tmp_path, tmp_path / "train" / "dog" / "top")
    source, said = load_folder(tmp_path, "train")
    assert sorted(source.ids()) == [f"train/{c}/{i}.png" for c in ("cat", "dog") for i in range(3)]
    assert len([line for line in said if "links to an enclosing folder" in line]) == 2
    with pytest.raises(UsageError, match="Begin another one"):
        load_folder(tmp_path, "train", rules=1)


def test_links_elsewhere_are_followed_and_count_once(tmp_path):
    write_image(tmp_path / "store" / "0.png", seed=1)
    write_image(tmp_path / "photos" / "cat" / "1.png", seed=2)
    write_image(tmp_path / "photos" / "dog" / "2.png", seed=3)
    os.symlink(tmp_path / "store", tmp_path / "photos" / "cat" / "more")
    os.symlink(tmp_path / "store" / "0.png", tmp_path / "photos" / "cat" / "again.png")
    source, said = load_folder(tmp_path / "photos", "train")
    assert source.num_examples == 3
    assert said == ["left out: 1 links to other images of train"]
    os.symlink(tmp_path / "store", tmp_path / "photos" / "dog" / "more")
    with pytest.raises(UsageError, match="are one file in two classes"):
        load_folder(tmp_path / "photos", "train")


def test_folders_may_lie_deep(tmp_path):
    """Deeper than a function can call itself."""
    directory = str(tmp_path)
    for _ in range(600):
        directory += "/d"
        os.mkdir(directory)
    (pathlib.Path(directory) / "a.png").write_bytes(b"x")
    assert sum(map(len, tree.read(str(tmp_path), "classes").splits.values())) == 1


def test_splits_may_be_called_anything(tmp_path):
    for split in ("fold-1", "my photos"):
        for label in ("cat", "dog"):
            write_image(tmp_path / split / label / "a.png", seed=len(split + label))
    for split in ("fold-1", "my photos", "fold-1[:1]"):
        assert load_folder(tmp_path, split)[0].split == split


def test_only_regular_files_are_read(tmp_path):
    write_image(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("/dev/zero", tmp_path / "zero.png")
    os.symlink("nowhere", tmp_path / "broken.png")
    os.symlink("two.png", tmp_path / "one.png")
    os.symlink("one.png", tmp_path / "two.png")
    source, said = load_folder(tmp_path, "train")
    assert source.ids() == ["a.png"]
    assert sum("is no regular file" in line for line in said) == 5


def test_a_folder_that_cannot_be_read_is_not_a_class_less(tmp_path, monkeypatch):
    files(tmp_path, "cat/a.png", "dog/b.png")
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(UsageError, match=r"dog cannot be read \(Permission denied\)"):
        tree.read(str(tmp_path))


def test_unknown_extensions_are_judged_by_content(tmp_path):
    for i in range(9):
        write_image(tmp_path / f"{i}.jfif", encode_image(random_picture(i), "JPEG"))
    write_image(tmp_path / "a.JPG.backup", encode_image(random_picture(9), "PNG"))
    write_image(tmp_path / "no_extension", encode_image(random_picture(10), "WEBP"))
    write_image(tmp_path / "labels.csv", b"file,label\n")
    write_image(tmp_path / "caf\u00e9.md", "été".encode())
    source, said = load_folder(tmp_path, "train")
    assert source.num_examples == 11 and said == ["left out: 2 texts"]
    write_image(tmp_path / "drawing.svg", b'<?xml version="1.0"?><svg width="9" height="9"></svg>')
    _, said = load_folder(tmp_path, "train")
    assert f"unreadable, left out: {tmp_path}/drawing.svg (not an image)" in said
    (tmp_path / "drawing.svg").unlink()
    for i in range(3):
        write_image(tmp_path / f"{i}.heic", b"\0\0\0\x18ftypheic\xff\xfe")
    with pytest.raises(UsageError, match=r"3 of 14 files .* more than `max_bad_fraction=0.1`"):
        load_folder(tmp_path, "train")
    source, said = load_folder(tmp_path, "train", max_bad_fraction=0.5)
    assert source.num_examples == 11 and sum("(not an image)" in line for line in said) == 3


def test_names_that_are_not_utf_8_are_files_like_any_other(tmp_path):
    for label in ("cat", b"caf\xe9"):
        directory = os.path.join(os.fsencode(tmp_path), os.fsencode(label))
        os.mkdir(directory)
        for i in range(2):
            name = os.path.join(directory, b"caf\xe9%d.png" % i)
            with open(name, "wb") as file:
                file.write(encode_image(random_picture(i + 5 * len(label)), "PNG"))
    source, _ = load_folder(tmp_path, "train")
    assert source.classes == ("caf\\xe9", "cat")
    assert sorted(source.ids()) == [
        f"{c}/caf\\xe9{i}.png" for c in ("caf\\xe9", "cat") for i in range(2)
    ]
    assert sorted(label for _, label in decode_all(source)) == [0, 0, 1, 1]
    assert source.identity["classes"] == {"caf\\xe9": 2, "cat": 2}


@pytest.mark.parametrize(
    "name,shown",
    [
        ("plain.png", "plain.png"),
        ("two\nlines\r.png", "two\\nlines\\r.png"),
        ("\x1b[31mred.png", "\\x1b[31mred.png"),
        (b"caf\xe9.png", "caf\\xe9.png"),
        ("\u202etxt.png", "\\u202etxt.png"),
    ],
)
def test_names_are_shown_on_one_line_without_effects(name, shown):
    assert printable(name) == shown


def test_names_are_shown_in_what_the_terminal_can_encode(monkeypatch):
    class Terminal:
        encoding = "cp1252"

    monkeypatch.setattr("sys.stdout", Terminal())
    assert printable("caf\u00e9 \u732b.png") == "caf\u00e9 \\u732b.png"


def test_a_damaged_file_with_a_hostile_name_is_named_safely(tmp_path):
    write_image(tmp_path / "good.png")
    write_image(tmp_path / "\x1b]0;title\x07\nbad.png", b"")
    _, said = load_folder(tmp_path, "train", max_bad_fraction=0.5)
    assert "\\x1b]0;title\\x07\\nbad.png" in said[0]
    assert all(line.isprintable() for line in said)


def test_identity_is_of_names_sizes_and_classes(tmp_path):
    names = ["train/cat/a.png", "train/dog/b.png", "test/cat/c.png"]
    one, copy, other = tmp_path / "one", tmp_path / "copy", tmp_path / "other"
    for directory in (one, copy, other):
        files(directory, *names)
    (other / "train/cat/a.png").write_bytes(b"longer")
    same = folder.identify(str(one), "train")
    assert (
        same == folder.identify(f"{copy}/.", "train[:50%]") != folder.identify(str(other), "train")
    )
    assert (same["images"], same["classes"]) == (2, {"cat": 1, "dog": 1})
    os.rename(copy / "train/cat", copy / "train/fox")
    assert folder.identify(str(copy), "train")["classes"] == {"dog": 1, "fox": 1}


def test_a_class_that_a_split_lacks_is_named(tmp_path):
    files(
        tmp_path,
        "train/cat/a.png",
        "train/dog/b.png",
        "test/cat/c.png",
        "test/fox/d.png",
        "unlabelled/e.png",
    )
    assert sorted(tree.read(str(tmp_path)).remarks) == [
        "test has no image of dog",
        "train has no image of fox",
    ]


def test_images_of_two_classes_at_once_are_counted(tmp_path):
    write_image(tmp_path / "cat" / "a.png", seed=1)
    write_image(tmp_path / "dog" / "b.png", seed=1)
    write_image(tmp_path / "dog" / "c.png", seed=2)
    _, said = load_folder(tmp_path, "train")
    assert said == ["train: 2 of 3 images are in another class too, as identical files"]
