"""The formats of --mode=export."""

import json
import os

import numpy as np

from tfssl import files
from tfssl.errors import UsageError
from tfssl.storage import export

NAMES = {
    "keras": "encoder.keras",
    "saved_model": "encoder_saved_model",
    "onnx": "encoder.onnx",
    "npz": "encoder.npz",
}


def write_saved_model(encoder, path, about):
    with files.whole(path) as unfinished:
        encoder.export(unfinished, format="tf_saved_model", verbose=False)
        with open(os.path.join(unfinished, export.ABOUT), "w") as file:
            json.dump(about, file, indent=1)


def write_onnx(encoder, path, about):
    try:
        import onnx
        import tf2onnx  # noqa: F401 - Keras's export needs it
    except ImportError:
        raise UsageError("--format=onnx needs the onnx extra: pip install 'tfssl[onnx]'.") from None
    height, width = (side or 64 for side in encoder.input_shape[1:3])
    channels = encoder.input_shape[-1]
    encoder(np.zeros((1, height, width, channels), np.float32))  # Keras exports only called models
    with files.whole(path) as unfinished:
        encoder.export(unfinished, format="onnx", verbose=False)
        model = onnx.load(unfinished)
        onnx.helper.set_model_props(model, {"tfssl": json.dumps(about)})
        onnx.save(model, unfinished)


def write_npz(encoder, path, about):
    arrays = {variable.path: np.asarray(variable) for variable in encoder.variables}
    files.write_whole(path, lambda file: np.savez(file, about=json.dumps(about), **arrays))


WRITERS = {
    "keras": export.write,
    "saved_model": write_saved_model,
    "onnx": write_onnx,
    "npz": write_npz,
}
