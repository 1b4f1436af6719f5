"""TFRecord files: their records in order, and those at any places.

A path may be an address of a file system that TensorFlow reads, such as gs:// or hdfs://.

A record is framed by its length, 8 bytes, the checksum of these, 4 bytes, its content, and the
checksum of that, 4 bytes.
"""

import contextlib
import errno
import os
import struct

import tensorflow as tf

from tfssl import files
from tfssl.compat import as_it_is, steady
from tfssl.data.index import Index
from tfssl.data.source import reason
from tfssl.data.tree import File, status_of
from tfssl.errors import UsageError
from tfssl.text import printable

GZIP = b"\x1f\x8b"
PLACE = ("file", "start", "bytes")  # of a record, among what is known of an example
LENGTH, BEFORE, FRAME = struct.Struct("<Q"), 12, 16  # bytes before a record, and around it


@contextlib.contextmanager
def opened(path):
    """Context of a file that is open for reading bytes, and its size.

    Raises:
        OSError: it cannot be read.
    """
    if not files.remote(path):
        with files.opened(path) as file:
            yield file, os.fstat(file.fileno()).st_size
        return
    with local_errors(path), tf.io.gfile.GFile(path, "rb") as file:
        yield file, file.size()


@contextlib.contextmanager
def local_errors(path):
    """Context in which errors of a file system of TensorFlow are OSErrors."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, reason(error), path) from None


def listed(path):
    """The names in a directory, in order; None if the path is that of a file.

    Raises:
        OSError: there is neither.
    """
    if not files.remote(path):
        os.stat(path)
        return sorted(os.listdir(path)) if os.path.isdir(path) else None
    with local_errors(path):
        if tf.io.gfile.isdir(path):
            return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(path))
        tf.io.gfile.stat(path)
        return None


def status(path):
    """(bytes, time of modification, time of change) of a file."""
    if not files.remote(path):
        return status_of(path)
    with local_errors(path):
        found = tf.io.gfile.stat(path)
    return found.length, found.mtime_nsec, found.mtime_nsec


def compressed(path):
    """Whether a file is compressed by gzip."""
    with opened(path) as (file, _):
        return file.read(2) == GZIP


def dataset_of(shard, start=0):
    """The serialized records of files, in order, from a byte on."""
    form = "GZIP" if compressed(shard[0]) else ""
    if not start:
        return tf.data.TFRecordDataset(list(shard), form)
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=list(shard), compression_type=form, buffer_size=2**18, byte_offsets=[start]
    )
    made = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
    options = tf.data.Options()  # TensorFlow 2.21 loses the place where it rewrites the graph
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return made.with_options(options)


def records_of(path):
    """Yields (place of its content, serialized record or None) of each record of a file.

    Its place in a compressed file is -1. A record is None where its checksum is wrong, but not that
    of its length, so that there is a next one.

    Raises:
        UsageError: the file is damaged otherwise.
    """
    packed, start = compressed(path), 0
    while True:
        try:
            for record in steady(dataset_of((path,), start)).as_numpy_iterator():
                yield (-1 if packed else start + BEFORE), record
                start += FRAME + len(record)
            return
        except tf.errors.OpError as error:
            following = None if packed else next_record(path, start)
            if following is None:
                raise damaged(path, reason(error)) from None
        yield start + BEFORE, None
        start = following


def next_record(path, start):
    """The place after a record whose content is damaged; None if it does not end in the file."""
    with opened(path) as (file, size):
        return end_of(file, start, size)


def end_of(file, start, size):
    """The place after the record that begins at `start`; None if it does not end in the file."""
    file.seek(start)
    header = file.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    end = start + FRAME + LENGTH.unpack(header)[0]
    return end if end <= size else None


def places_of(path):
    """The place of the content of each record of a file and the number of its bytes, in pairs.

    Reads lengths only, whose checksums are not compared.

    Raises:
        UsageError: the last record is cut off.
    """
    found, start = [], 0
    with opened(path) as (file, size):
        while start < size:
            end = end_of(file, start, size)
            if end is None:
                raise damaged(path, "the last record is cut off")
            found.append([start + BEFORE, end - start - FRAME])
            start = end
    return found


def fetcher(shard, finish):
    """The `Source.fetch` of examples that have the "file", "start" and "bytes" of a record.

    It is graph code alone, so that other hosts can run it. Checksums are compared.

    Args:
        shard: paths of files, of which "file" is the number of one.
        finish: (serialized records [n], examples) -> examples with their images.
    """
    with tf.init_scope(), tf.device("CPU:0"):
        paths = tf.constant([os.fsencode(path) for path in shard])

    @as_it_is
    def read(place):
        number, start, length = place
        path = tf.gather(paths, number)
        records = tf.raw_ops.TFRecordDatasetV2(
            filenames=[path],
            compression_type="",
            buffer_size=length + FRAME,
            byte_offsets=[start - BEFORE],
        )
        records = tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string))
        nothing = tf.data.Dataset.from_tensors("")
        record = records.take(1).concatenate(nothing).take(1).get_single_element()
        whole = tf.strings.length(record) == tf.cast(length, tf.int32)
        message = tf.strings.join([path, " is shorter than it was"])
        with tf.control_dependencies([tf.debugging.Assert(whole, [message])]):
            return tf.identity(record)

    @as_it_is
    def fetch(examples):
        if "file" not in examples:  # they were read in their order
            return examples
        places = tuple(examples[name] for name in PLACE)
        content = tf.map_fn(read, places, fn_output_signature=tf.TensorSpec([], tf.string))
        return finish(content, examples)

    return fetch


def found_in(shard, rules, examine, missing=(), parse=list):
    """Yields (`tree.File`, what is found in it) of files; what the index knows is not found anew.

    Args:
        shard: paths of files in one directory.
        rules, missing, parse: as for `Index`.
        examine: (path, bytes examined before, bytes to examine in all) -> what is found in a file,
            of JSON types.
    """
    root = os.path.dirname(shard[0]) or "."
    of_files = [File(path, os.path.basename(path), -1, *status(path)) for path in shard]
    index = Index(root, rules, missing, parse)
    known = index.known(of_files)
    done, size = 0, sum(file.bytes for file in of_files if file.name not in known)
    for file in of_files:
        found = known.get(file.name)
        if found is None:
            found = examine(file.path, done, size)
            index.add([(file, found)])
            done += file.bytes
        yield file, found


def damaged(path, why):
    return UsageError(f"`data_dir`: {printable(path)} is no whole TFRecord file ({why}).")
