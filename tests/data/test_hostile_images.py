"""Folders and files that would hang a reader, take all memory, or quietly shift the labels."""

import errno
import io
import os
import resource
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.helpers import encode_image, load_folder, random_picture, write_image
from tfssl import files
from tfssl.data import images, tree
from tfssl.errors import UsageError

MOST = 10**6  # pixels


def refusal(directory, **options):
    """The one sentence with which a folder is refused."""
    with pytest.raises(UsageError) as refused:
        tree.read(str(directory), **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def as_nobody(function):
    """What a function returns in a child process without privileges, as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os.write(writer, str(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as said:
        return said.read()


def message(directory):
    try:
        return tree.read(str(directory)).classes
    except UsageError as error:
        return error


@pytest.fixture
def open_to_all(tmp_path):
    """A temporary folder that every user may enter."""
    place = tmp_path
    while place.parent != place and os.stat(place).st_uid == os.getuid() and len(place.parts) > 2:
        place.chmod(0o755)
        place = place.parent
    return tmp_path


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111], ids=oct)
@pytest.mark.parametrize("where", ["train", "train/a"])
def test_a_folder_that_may_not_be_listed_or_entered_is_named(where, mode, open_to_all):
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"):
        write_image(open_to_all / name)
    (open_to_all / where).chmod(mode)
    said = as_nobody(lambda: message(open_to_all))
    (open_to_all / where).chmod(0o755)
    assert f"{open_to_all / where}" in said and "cannot be read (Permission denied)" in said


def test_the_folder_itself_may_not_be_read(open_to_all):
    write_image(open_to_all / "own/a/1.png")
    (open_to_all / "own").chmod(0o000)
    said = [as_nobody(lambda: message(open_to_all / name)) for name in ("own", "own/a", "none")]
    (open_to_all / "own").chmod(0o755)
    assert "own cannot be read (Permission denied)" in said[0]
    assert said[1].endswith(f"Received: {open_to_all / 'own/a'} (Permission denied)")
    assert said[2].endswith(f"Received: {open_to_all / 'none'} (No such file or directory)")


def test_a_link_to_a_class_that_may_not_be_looked_at_is_no_class_less(open_to_all):
    for name in ("data/a/1.png", "data/b/1.png", "private/c/1.png"):
        write_image(open_to_all / name)
    os.symlink(open_to_all / "private/c", open_to_all / "data/c")
    assert as_nobody(lambda: message(open_to_all / "data")) == "('a', 'b', 'c')"
    (open_to_all / "private").chmod(0o000)
    said = as_nobody(lambda: message(open_to_all / "data"))
    (open_to_all / "private").chmod(0o755)
    assert "data/c cannot be read (Permission denied)" in said


@pytest.mark.parametrize("target", ["nowhere", "c"])
def test_a_link_beside_classes_that_leads_nowhere_is_refused(target, tmp_path):
    write_image(tmp_path / "a/1.png")
    write_image(tmp_path / "b/1.png")
    os.symlink(target, tmp_path / "c")
    assert "c cannot be read (" in refusal(tmp_path)
    (tmp_path / "c").rename(tmp_path / "a/latest")  # among images it can be no class
    assert tree.read(str(tmp_path)).classes == ("a", "b")


def test_a_file_that_goes_between_listing_and_looking_is_named(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    monkeypatch.setattr(tree, "kind_of", lambda path: os.unlink(path) or "image")
    assert "png cannot be read (No such file or directory)" in refusal(tmp_path)


def test_links_that_cross_endlessly_are_followed_once(tmp_path):
    """Twelve folders, each with links to all: 12! ways through them, none of them a circle."""
    names = [f"n{i}" for i in range(12)]
    for name in names:
        write_image(tmp_path / "all" / name / f"{name}.png")
        for other in names:
            os.symlink(f"../{other}", tmp_path / "all" / name / other)
    found = tree.read(str(tmp_path), layout="flat").splits["train"]
    assert (
        sorted({os.path.basename(file.name) for file in found})
        == sorted(f"{name}.png" for name in names)
        and len(found) == 12
    )


def test_a_class_that_is_a_link_to_another_is_refused(tmp_path):
    write_image(tmp_path / "cat/1.png")
    write_image(tmp_path / "dog/2.png")
    os.symlink("cat", tmp_path / "puma")
    assert "are one file in two classes" in refusal(tmp_path)


@pytest.mark.parametrize(
    "open_it",
    [files.opened, files.text, images.kind_of, lambda path: images.examine(path, MOST).problem],
)
def test_a_pipe_that_came_in_place_of_a_file_hangs_nothing(open_it, tmp_path, monkeypatch):
    """The first look still finds a file; nobody ever writes to the pipe."""
    path, regular = tmp_path / "a", tmp_path / "regular"
    regular.write_bytes(b"x")
    os.mkfifo(path)
    stat = os.stat
    monkeypatch.setattr(
        os, "stat", lambda name, **options: stat(regular if name == path else name, **options)
    )
    said = []
    thread = threading.Thread(target=lambda: said.append(outcome(open_it, path)), daemon=True)
    thread.start()
    thread.join(10)
    assert said and said[0] in ("no regular file", "other")


def outcome(function, *args):
    try:
        return function(*args)
    except OSError as error:
        return error.strerror


def test_what_is_no_regular_file_says_so(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "pipe", "no regular file"),
        ("/dev/zero", "no regular file"),
        (tmp_path, "Is a directory"),
        ("a\0b", "embedded null byte"),
        (tmp_path / "none", "No such file or directory"),
    ):
        assert outcome(files.opened, path) == said
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(OSError) as refused:
        files.read(tmp_path / "large", 10)
    assert refused.value.errno == errno.EFBIG
    assert files.read(tmp_path / "large", 11) == b"x" * 11
    with os.fdopen(os.memfd_create("given"), "wb+") as given:  # as a shell's <(...) is
        given.write(b"--seed=1")
        given.flush()
        given.seek(0)
        assert files.text(f"/dev/fd/{given.fileno()}") == "--seed=1"


def png(width, height, data=b""):
    """A PNG that says that it has such a size."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def gif(width, height, frames=1):
    """A GIF of a small screen, whose frames say that they are larger."""
    small = encode_image(random_picture(), "GIF")
    start = small.index(b"\x2c", 13 + 3 * (2 << small[10] % 8))
    head, body = small[:start], small[start:-1]
    large = body[:5] + struct.pack("<HH", width, height) + body[9:]
    return head + body + frames * large + b";"


def bmp(width, height):
    content = encode_image(random_picture(), "BMP")
    return content[:18] + struct.pack("<ii", width, height) + content[26:]


def tiff(width, height):
    content = encode_image(random_picture(), "TIFF")
    for tag, old, new in ((256, 30, width), (257, 20, height)):
        content = content.replace(
            struct.pack("<HHII", tag, 4, 1, old), struct.pack("<HHII", tag, 4, 1, new)
        )
    return content


def webp(width, height):
    several = io.BytesIO()
    random_picture().save(several, "WEBP", save_all=True, append_images=[random_picture(1)])
    content, place = several.getvalue(), several.getvalue().index(b"VP8X") + 12
    return (
        content[:place]
        + b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
        + content[place + 6 :]
    )


def jpeg(width, height):
    content = encode_image(random_picture(), "JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def scans(count):
    content = encode_image(random_picture(), "JPEG", progressive=True)
    place = content.rindex(images.JPEG_SCAN)
    return content[:-2] + count * content[place:-2] + content[-2:]


BOMBS = {
    "png": png(100_000, 100_000),
    "webp": webp(16_000, 16_000),
    "gif": gif(60_000, 60_000),
    "frames": gif(999, 999, frames=1000),
    "bmp": bmp(100_000, 100_000),
    "upside down": bmp(100_000, -100_000),
    "smallest height": bmp(30, -(2**31)),
    "tiff": tiff(100_000, 100_000),
    "jpeg": jpeg(60_000, 60_000),
    "scans": scans(2000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_says_that_it_is_huge_is_not_decoded(name, tmp_path):
    (tmp_path / "a").write_bytes(BOMBS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem = images.examine(tmp_path / "a", MOST).problem
    assert problem and "\n" not in problem
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_frames_and_scans_of_usual_images_are_no_bombs(tmp_path):
    several = io.BytesIO()
    random_picture().save(
        several, "GIF", save_all=True, append_images=[random_picture(seed) for seed in range(1, 6)]
    )
    for content in (several.getvalue(), encode_image(random_picture(), "JPEG", progressive=True)):
        (tmp_path / "a").write_bytes(content)
        assert images.examine(tmp_path / "a", 20 * 30) == images.examine(tmp_path / "a", MOST)
        assert not images.examine(tmp_path / "a", 20 * 30).problem
    assert list(images.gif_frames(several.getvalue())) == 6 * [(30, 20)]


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    with open(tmp_path / "sparse.png", "wb") as file:
        file.truncate(2**40)
    write_image(tmp_path / "a.png")
    source, said = load_folder(tmp_path, "train", max_bad_fraction=0.5, max_pixels=MOST)
    assert source.ids() == ["a.png"] and "more than 16 MB, which no image" in said[0]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_cut_anywhere_it_is_left_out_or_whole(kind, tmp_path):
    """No length raises, and none that is taken is of another size."""
    whole, path = encode_image(random_picture(), kind), tmp_path / "a"
    for length in np.unique(np.linspace(0, len(whole) - 1, 60).astype(int)):
        path.write_bytes(whole[:length])
        found = images.examine(path, MOST)
        assert found.problem or found.size == (20, 30), length


def test_the_pictures_above_are_what_they_claim():
    """Else the bombs would be refused for another reason than theirs."""
    for content, kind in (
        (png(30, 20, 20 * (b"\0" + 90 * b"x")), "PNG"),
        (gif(30, 20), "GIF"),
        (bmp(30, 20), "BMP"),
        (tiff(30, 20), "TIFF"),
        (jpeg(30, 20), "JPEG"),
        (webp(30, 20), "WEBP"),
    ):
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.size) == (kind, (30, 20))
            image.load()
