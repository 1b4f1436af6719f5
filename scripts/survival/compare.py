"""All that two directories of runs hold, compared: files, records, weights, every point."""

import json
import os
import re
import zipfile

VOLATILE = ("train_seconds", "images_per_second")  # in records: there, and above 0
# Records that say how far a run is.
CHANGING = ("newest.json", "time.json", "verdict.json", "neighbours.npy")
REPORT, ITS_END = "report.html", b"</html>\n"  # it tells times
SPEED = "train/images_per_second"  # in TensorBoard
EVENTS, STATE = "TensorBoard", "checkpoints"
LEFTOVER = re.compile(r".*?(unfinished|damaged_|\.tmp)[^/]*")


def differences(one, other, wall=None):
    """What differs between two finished runs, in words; empty where nothing does.

    Args:
        wall: seconds that all processes of the second took together: what its records say of time
            is held against them; None: any time will do.
    """
    left = {match[0] for match in map(LEFTOVER.match, files(other)) if match}
    found = [f"left behind: {path}" for path in sorted(left)]
    there, here = contents(one), contents(other)
    found += [
        f"{name}: in one alone"
        for name in sorted(there.keys() ^ here.keys())
        if not LEFTOVER.match(name)
    ]
    for name in sorted(there.keys() & here.keys()):
        found += differing(name, there[name], here[name], wall)
    return found


def differing(name, there, here, wall=None):
    """What differs between two contents of one name, in a list of at most two."""
    import numpy as np

    found = []
    if there.keys() != here.keys():
        found.append(f"{name}: {sorted(map(str, there.keys() ^ here.keys()))[:3]} in one alone")
    both = there.keys() & here.keys()
    wrong = [
        key
        for key in both
        if not (
            plausible(key, here[key], wall)
            if is_volatile(key)
            else np.array_equal(there[key], here[key])
        )
    ]
    if wrong:
        found.append(f"{name}: {len(wrong)} of {len(both)}, such as {min(wrong, key=str)}")
    return found


def is_volatile(key):
    return isinstance(key, str) and key.split(".")[-1] in VOLATILE


def plausible(key, value, wall):
    """Whether a time or a speed can be true: it is above 0, a time no longer than all took."""
    limit = wall if wall is not None and key.endswith("seconds") else float("inf")
    return isinstance(value, (int, float)) and 0 < value <= limit


def torn(directory, straight, before):
    """Files that a killed process has left neither whole nor as they were, in words.

    Args:
        directory: of the run that was killed.
        straight: of the same run, finished.
        before: as it was before the first start; None: there was nothing.
    """
    found = []
    for path in sorted(files(directory) & files(straight)):
        if is_state(path) or is_events(path):
            continue
        wanted = [
            content(root, path)
            for root in (straight, before)
            if root and os.path.exists(os.path.join(root, path))
        ]
        try:
            here = content(directory, path)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            found.append(f"torn: {path} ({str(error).splitlines()[0]})")
            continue
        if os.path.basename(path) not in CHANGING and all(
            differing(path, there, here) for there in wanted
        ):
            found.append(f"torn: {path} is neither as before nor as at the end")
    return found


def contents(root):
    """{what: {key: value}} of all that a directory holds.

    Checkpoints are their variables, TensorBoard's files those of a directory together.
    """
    found = {}
    for path in files(root):
        if is_events(path):
            folder = os.path.dirname(path)
            found.setdefault(os.path.join(folder, EVENTS), None)
        elif is_state(path):
            found.setdefault(os.path.dirname(path), None)
        else:
            found[path] = content(root, path)
    for name, value in found.items():
        if value is None:
            path = os.path.join(root, name)
            found[name] = (
                points(os.path.dirname(path), root)
                if os.path.basename(name) == EVENTS
                else variables(path)
            )
    return found


def files(root):
    """Relative paths of all files below a directory."""
    return {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
    }


def is_events(path):
    return os.path.basename(path).startswith("events.out.tfevents")


def is_state(path):
    return os.path.basename(os.path.dirname(os.path.dirname(path))) == STATE


def content(root, path):
    """{key: value} of a file, without the name of the directory that it is in.

    Raises:
        ValueError, OSError, EOFError, zipfile.BadZipFile: it is not whole.
    """
    import numpy as np

    kind = os.path.splitext(path)[1]
    file = os.path.join(root, path)
    if "variables" in path.split(os.sep)[:-1] or kind == ".pb":
        return saved_model(file, kind)
    if kind == ".keras":
        return archive(file)
    if kind == ".npz":
        with np.load(file) as arrays:
            return {name: arrays[name] for name in arrays.files}
    if kind == ".npy":
        return {"values": np.load(file)}
    with open(file, "rb") as opened:
        text = opened.read().replace(os.fsencode(root), b"DIRECTORY")
    if os.path.basename(path) == REPORT:
        if not text.endswith(ITS_END):
            raise ValueError("it is cut off")
        return {"whole": True}
    return flat(json.loads(text)) if kind == ".json" else {"content": text}


def saved_model(path, kind):
    """{variable: value} of the index of a SavedModel; of its other files that they are there.

    Graphs, and the list of all variables, are written in an order that is each process's own.
    """
    import tensorflow as tf

    if kind != ".index":
        return {"there": os.path.getsize(path) > 0}
    reader = tf.train.load_checkpoint(path.removesuffix(kind))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith(("_CHECKPOINTABLE", "_all_variables/"))
    }


def flat(value, name=""):
    """{key.key: value} of what JSON holds."""
    if not isinstance(value, dict) or not value:
        return {name: json.dumps(value) if not is_volatile(name) else value}
    return {
        key: leaf
        for inner, part in value.items()
        for key, leaf in flat(part, f"{name}.{inner}" if name else inner).items()
    }


def archive(path):
    """{member: content} of a .keras file, without dates and the numbers of Python's objects."""
    with zipfile.ZipFile(path) as opened:
        found = {name: opened.read(name) for name in opened.namelist()}
    found["metadata.json"] = json.loads(found["metadata.json"])["keras_version"]
    found["config.json"] = re.sub(rb'"shared_object_id": \d+', b"", found["config.json"])
    return found


def variables(path):
    """{name: value} of a checkpoint's variables, and its manifest without the digests of files."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(os.path.join(path, "state"))
    found = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith("_CHECKPOINTABLE")
    }
    manifest = content(path, "manifest.json")
    return found | {
        f"manifest {name}": value
        for name, value in manifest.items()
        if not name.startswith("files.")
    }


def points(directory, root):
    """{(tag, step): value} of a directory's TensorBoard files: scalars, histograms, pictures.

    Of texts the name of `root` is left out.

    Where one is said twice and differently, {(tag, step, "contradicted"): how often} too.
    """
    import numpy as np
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(
        directory, size_guidance={"tensors": 0}, purge_orphaned_data=False
    ).Reload()
    found = {}
    for tag in events.Tags()["tensors"]:
        for event in events.Tensors(tag) if tag != SPEED else ():
            value, key = tf.make_ndarray(event.tensor_proto), (tag, event.step)
            if value.dtype == object:
                value = np.array(
                    [text.replace(os.fsencode(root), b"DIRECTORY") for text in value.ravel()]
                )
            if not np.array_equal(found.setdefault(key, value), value):
                found[*key, "contradicted"] = found.get((*key, "contradicted"), 0) + 1
    return found
