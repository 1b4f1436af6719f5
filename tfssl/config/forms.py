"""Forms in which images are stored, and the paths that stand for them in --dataset."""

FORMS = {  # name: endings of files
    "npy": (".npy",),
    "npz": (".npz",),
    "h5": (".h5", ".hdf5"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "tfrecord": (".tfrecord", ".tfrecords", ".tfrecord.gz", ".tfrecords.gz"),
}
FOLDER = "folder"


def of_path(text):
    """The form that a text names as the path of a file or a folder; None: it is no such path."""
    small = text.lower()
    for form, endings in FORMS.items():
        if small.endswith(endings):
            return form
    if "://" in text:
        return "tfrecord"  # the one form that is read from other file systems
    if text.startswith(("/", "./", "../", "~")) or text in (".", "..") or text.endswith("/"):
        return FOLDER
    return None
