"""`--mode=select`: which images of a split to label first."""

import base64
import csv
import html
import importlib.util
import io
import itertools
import os

import numpy as np
from PIL import Image
from scipy.special import softmax

from tfssl import data, evaluation, files, selection
from tfssl.errors import UsageError
from tfssl.runner import cost, edge, embed, evaluate, frozen
from tfssl.storage import rundir
from tfssl.storage.pretrained import described

TABLE = "to_label.csv"
SHOWN = 500  # images on the page, at most


def select(config, given):
    """Selects images of --train_split without a label.

    To `select/<by>-<count>-<dataset>-<split>/` in --model_dir: label_list.txt, the numbers of the
    images that have a label and of those selected, for --label_list; selected.csv, in the order in
    which to label them: number, file and group; selected.html, a page with the images; and, where
    images are files, to_label.csv, a table of those selected and those with a label, for --dataset.

    Args, Raises: see `frozen.encoder`; and UsageError: there are too few images without a label,
        or no labels for --by=uncertain.

    Returns:
        The path of the directory.
    """
    job, encoder, origin = frozen.encoder(config, given)
    config, source = job.config, job.train_source
    labelled = already(config, source)
    check(config, source, labelled)
    rundir.make(config.model_dir)
    print(
        f"{config.by} images by {described(origin)}, of {source.name} {source.split}: "
        f"{source.num_examples:,} images, {len(labelled):,} of them with a label",
        flush=True,
    )
    encode = evaluate.encoder_function(config, encoder, job.eval_size)
    cost.announce("select", cost.of_encoding(config, encode, source, job.eval_size))
    h, labels = evaluate.represent(config, encode, source, job.eval_size, "select")
    groups = source.groups() if source.groups else None
    chosen = chosen_by(config, source, h, labels, labelled, groups)
    name = f"{config.by}-{config.count}-{source.name}-{source.split}"
    directory = os.path.join(config.model_dir, "select", embed.slug(name))
    rundir.make(directory)
    write(directory, job, chosen, labelled, labels, groups)
    table = f", {TABLE} to be filled in" if source.paths else ""
    print(
        f"{directory}: label_list.txt, selected.csv, selected.html{table}: {len(chosen):,} images"
    )
    return directory


def already(config, source):
    """The images that have a label, int [n]: of --label_list, or of those where others have none.

    Where all images have a label, none counts: it is as if they were unlabelled.
    """
    if config.label_list:
        with edge.naming_flags():
            return data.read_list(config.label_list, source.num_examples)
    if not source.num_classes or source.num_labelled == source.num_examples:
        return np.array([], int)
    return np.flatnonzero(data.labels_of(source) >= 0)


def check(config, source, labelled):
    """Raises UsageError if what is wanted is not there."""
    left = source.num_examples - len(labelled)
    if config.count > left:
        raise UsageError(
            f"--count must be at most {left:,}, the images of --train_split without a label. "
            f"Received: {config.count}"
        )
    if config.by == "typical" and importlib.util.find_spec("sklearn") is None:
        raise UsageError("--by=typical needs scikit-learn: pip install 'tfssl[pictures]'")
    if config.by != "uncertain":
        return
    known = data.labels_of(source)[labelled] if source.num_classes else np.array([])
    if len(np.unique(known[known >= 0])) < 2:
        raise UsageError(
            "--by=uncertain needs images with labels of two classes or more, of which it makes a "
            "classifier: --label_list names them. Received: "
            f"{len(known):,} images with a label"
        )


def chosen_by(config, source, h, labels, labelled, groups):
    """The indices of the images selected, the first first."""
    options = {"labelled": labelled, "groups": groups}
    if config.by == "random":
        return selection.uniform(len(h), config.count, **options, seed=config.seed)
    if config.by == "coverage":
        return selection.coverage(h, config.count, **options)
    if config.by == "typical":
        return selection.typical(h, config.count, **options, seed=config.seed)
    known = labelled[labels[labelled] >= 0]
    scores = evaluation.Linear().scores(h[known], labels[known], h, source.num_classes)
    return selection.uncertain(softmax(scores, axis=1), config.count, **options)


def write(directory, job, chosen, labelled, labels, groups):
    """Writes the files."""
    config, source = job.config, job.train_source
    names = source.ids()
    what = (
        f"{source.name} {source.split}: {len(chosen):,} images by --by={config.by}, and "
        f"{len(labelled):,} that have a label"
    )
    lines = [f"{number}  # {names[number]}" for number in sorted({*labelled, *chosen})]
    files.write_text(
        os.path.join(directory, "label_list.txt"), "\n".join([f"# {what}", *lines, ""])
    )
    more = {} if groups is None else {"group": groups}
    columns = {"number": range(source.num_examples), "file": names, **more}
    files.write_text(os.path.join(directory, "selected.csv"), table_of(columns, chosen))
    if source.paths:
        columns = {"path": source.paths(), "label": known(source, labelled, labels), **more}
        table = table_of(columns, [*chosen, *labelled])
        keep(directory, TABLE, table)
        files.write_text(os.path.join(directory, TABLE), table)
    shown = chosen[:SHOWN]
    order = np.sort(shown)
    pictures = dict(zip(order.tolist(), embed.thumbnails(job, order)))
    cells = [cell(pictures[number], number, names[number]) for number in shown.tolist()]
    files.write_text(os.path.join(directory, "selected.html"), page(what, cells))


def known(source, labelled, labels):
    """The names of the classes of the images that have a label, "" of the others."""
    found = [""] * source.num_examples
    for number in labelled[labels[labelled] >= 0]:
        found[number] = source.classes[labels[number]]
    return found


def table_of(columns, numbers):
    """Some rows of columns, {name: values of all images}, as CSV."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows([values[number] for values in columns.values()] for number in numbers)
    return text.getvalue()


def keep(directory, name, text):
    """Renames a file that is there with another content: somebody may have filled it in."""
    path = os.path.join(directory, name)
    if not os.path.exists(path) or files.read(path) == text.encode():
        return
    stem, ending = os.path.splitext(path)
    free = (f"{stem}.{number}{ending}" for number in itertools.count(1))
    aside = next(path for path in free if not os.path.lexists(path))
    os.rename(path, aside)
    print(f"{aside}: the {name} that was there, which differs")


def cell(picture, number, name):
    """An image of the page, with its number and name."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    code = base64.b64encode(content.getvalue()).decode()
    text = html.escape(f"{number}: {name}")
    return (
        f'<figure><img src="data:image/png;base64,{code}" alt="{text}" title="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def page(what, cells):
    """A page that needs no other file."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(what)}</title>
<style>
:root {{ color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }}
body {{ margin: 1rem; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); gap: 8px; }}
figure {{ margin: 0; }}
img {{ width: 100%; image-rendering: pixelated; border-radius: 4px; display: block; }}
figcaption {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 11px; }}
</style>
<h1 style="font-size: 1.1rem">{html.escape(what)}</h1>
<main>
{chr(10).join(cells)}
</main>
</html>
"""
