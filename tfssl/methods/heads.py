"""Heads that several methods make where none are given."""

from tfssl import layers


def with_predictor(model, projector, predictor, *, hidden_dim=None, **style):
    """The heads of a method that predicts projections: {"projector", "predictor"}.

    Args:
        model: the `SelfSupervised` that they belong to.
        projector: the `keras.Layer` given for it; None: an `mlp` whose output is normalized.
        predictor: likewise, z -> prediction of the same dimension; None: an `mlp` of two layers.
        hidden_dim: units of the hidden layer of that predictor; None: a quarter of its output.
        **style: further arguments of the `mlp` of the projector.
    """
    projector = projector or layers.mlp(
        model.dim,
        normalize_output=True,
        normalization=layers.synchronized,
        seed=model.seed + 1,
        **style,
    )
    projector = model.head(projector, model.dim, "projector")
    width = model.dims["projector"]
    predictor = predictor or layers.mlp(
        width,
        hidden_dim=hidden_dim or max(1, width // 4),
        out_dim=width,
        normalization=layers.synchronized,
        seed=model.seed + 101,
        name="predictor",
    )
    predictor = model.head(predictor, width, "predictor", out_dim=width)
    return {"projector": projector, "predictor": predictor}
