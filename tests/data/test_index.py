"""What was found in files is kept, and read again where the files changed."""

import json
import os
import sqlite3

import pytest

from tests.helpers import decode_all, encode_image, load_folder, old, random_picture, write_image
from tfssl.data import folder, images, index
from tfssl.data.index import Index


@pytest.fixture
def examined(tmp_path, monkeypatch):
    """Names of the files that were examined, as they are; with a cache of its own."""
    monkeypatch.setenv("TFSSL_CACHE_DIR", str(tmp_path / "cache"))
    names, examine = [], images.examine

    def noted(path, **options):
        names.append(os.path.basename(path))
        return examine(path, **options)

    monkeypatch.setattr(images, "examine", noted)
    return names


@pytest.fixture
def photos(tmp_path):
    """Six images that have been there for a while."""
    for i in range(6):
        old(write_image(tmp_path / "photos" / f"{i}.png", seed=i))
    return tmp_path / "photos"


def test_files_that_are_as_they_were_are_not_read_again(photos, examined):
    first, _ = load_folder(photos, "train")
    assert len(examined) == 6
    second, _ = load_folder(photos, "train")
    assert len(examined) == 6
    assert first.digests() == second.digests() and first.image_shape == second.image_shape
    assert [i.tolist() for i, _ in decode_all(first)] == [i.tolist() for i, _ in decode_all(second)]


def test_what_changed_is_read_again(photos, examined):
    load_folder(photos, "train")
    examined.clear()
    old(write_image(photos / "2.png", seed=20), 50)  # another time, the same name
    old(write_image(photos / "new.png", seed=7))
    content = (photos / "3.png").read_bytes()
    (photos / "3.png").write_bytes(content + b"more")  # another size, the same time
    os.utime(photos / "3.png", ns=(0, os.stat(photos / "4.png").st_mtime_ns))
    times = os.stat(photos / "4.png")
    content = bytearray((photos / "4.png").read_bytes())
    content[-1] ^= 1
    (photos / "4.png").write_bytes(content)  # the same size, and the time put back
    os.utime(photos / "4.png", ns=(0, times.st_mtime_ns))
    (photos / "5.png").unlink()
    source, _ = load_folder(photos, "train")
    assert sorted(examined) == ["2.png", "3.png", "4.png", "new.png"]
    assert source.num_examples == 6


def test_a_file_that_was_just_written_may_change_within_its_time(photos, examined):
    write_image(photos / "young.png", seed=9)
    load_folder(photos, "train")
    load_folder(photos, "train")
    assert examined.count("young.png") == 2


def test_unreadable_files_are_tried_again(photos, examined):
    (photos / "1.png").write_bytes(b"")
    old(photos / "1.png")
    load_folder(photos, "train", max_bad_fraction=0.5)
    load_folder(photos, "train", max_bad_fraction=0.5)
    assert examined.count("1.png") == 2


def test_an_index_that_is_damaged_or_wrong_is_not_believed(photos, examined):
    load_folder(photos, "train")
    path = Index(str(photos), 2).path
    with sqlite3.connect(path) as connection:
        (name,) = connection.execute("SELECT name FROM files").fetchone()
        for text in (
            "nonsense",
            "[]",
            json.dumps([[-1, 5], *images.Found()[1:]]),
            json.dumps([["a", "b"], *images.Found()[1:]]),
            json.dumps({"a": 1}),
        ):
            connection.execute("UPDATE files SET found = ? WHERE name = ?", (text, name))
            connection.commit()
            examined.clear()
            assert load_folder(photos, "train")[0].image_shape == (20, 30)
            assert examined == [os.fsdecode(name)]
    connection.close()
    with open(path, "wb") as file:
        file.write(b"not a database" * 100)
    examined.clear()
    load_folder(photos, "train")
    load_folder(photos, "train")
    load_folder(photos, "train")
    assert 6 <= len(examined) <= 12  # made anew once the damaged one is gone


def test_without_a_place_for_it_all_files_are_read(photos, examined, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFSSL_CACHE_DIR", str(tmp_path / "file" / "cache"))
    load_folder(photos, "train")
    load_folder(photos, "train")
    assert len(examined) == 12


def test_the_cache_is_where_it_was_said(monkeypatch):
    monkeypatch.setenv("TFSSL_CACHE_DIR", "/some/where")
    assert index.cache_directory() == "/some/where"
    monkeypatch.delenv("TFSSL_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert index.cache_directory() == "/caches/tfssl"


def test_two_readings_do_not_mix(photos, examined):
    old(write_image(photos / "turned.jpg", seed=8))
    tags = images.Image.Exif()
    tags[images.ORIENTATION] = 6
    (photos / "turned.jpg").write_bytes(encode_image(random_picture(), "JPEG", exif=tags))
    old(photos / "turned.jpg")
    shapes = [
        dict(zip(source.ids(), (i.shape for i, _ in decode_all(source))))["turned.jpg"]
        for source in (load_folder(photos, "train", rules=rules)[0] for rules in (2, 1, 2))
    ]
    assert shapes == [(30, 20, 3), (20, 30, 3), (30, 20, 3)]


def test_what_was_read_before_an_interruption_is_kept(photos, examined, monkeypatch):
    monkeypatch.setattr(folder, "PERIOD", 2)
    examine = images.examine

    def interrupted(path, **options):
        if len(examined) == 4:
            raise KeyboardInterrupt
        return examine(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(images, "examine", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_folder(photos, "train")
    seen = len(examined)
    load_folder(photos, "train")
    assert seen == 4 and len(examined) == 6
