"""The uses of private or version-dependent parts of Keras and TensorFlow.

Tested with Keras 3.15 and TensorFlow 2.21.
"""

import contextlib
import os

import keras
import tensorflow as tf

# For functions without Python's `if` and `for` on tensors: AutoGraph, which `tf.data` applies to
# every function, takes some tenths of a second for each that a function calls.
as_it_is = tf.autograph.experimental.do_not_convert


@contextlib.contextmanager
def dtype_policy(policy):
    """Context that sets Keras's global dtype policy and restores it afterwards.

    Args:
        policy: a `keras.DTypePolicy` or its name.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def clear_losses(layer):
    """Clears the losses that `add_loss` collected in a layer and its sublayers."""
    layer._clear_losses()


def added_losses(layer):
    """The losses that a layer and its sublayers added in its last call, without regularizers."""
    return [loss for part in layer._flatten_layers() for loss in part._get_own_losses()]


def several_workers(strategy):
    """Whether a `tf.distribute` strategy spans several processes."""
    in_several = getattr(strategy.extended, "_in_multi_worker_mode", lambda: False)
    return in_several()


def is_functional(model):
    """Whether a layer is a functional or sequential model, whose inner outputs can be read."""
    return hasattr(getattr(model, "_functional", model), "_nodes_by_depth")


def flattened(model):
    """A functional model with the layers of the functional models within it in their place.

    Layers and weights are shared. A model without others within is returned as it is.
    """
    graph = getattr(model, "_functional", model)
    if not any(map(is_functional, graph.layers)):
        return model
    (inputs,) = graph.inputs
    images = keras.Input(inputs.shape[1:], dtype=inputs.dtype, name=inputs.name)
    return keras.Model(images, passed(model, images), name=model.name)


def passed(model, x):
    """The output of a functional model for an input, by its layers alone."""
    graph = getattr(model, "_functional", model)

    def function_of(operation):
        if is_functional(operation):
            return lambda x, **_: passed(operation, x)
        return operation

    return graph._run_through_graph(x, operation_fn=function_of)


def outputs_within(model):
    """{name of a layer: its output} in a functional or sequential model, in the order of use.

    A layer that other models use too has several outputs, of which this is the one within.
    """
    return {
        node.operation.name: node.outputs[0]
        for node in nodes_within(model)
        if len(node.outputs) == 1 and not isinstance(node.operation, keras.layers.InputLayer)
    }


def inputs_within(model):
    """{name of a layer: list of its inputs} in a functional or sequential model, likewise."""
    return {node.operation.name: list(node.input_tensors) for node in nodes_within(model)}


def nodes_within(model):
    """The calls of layers in a functional or sequential model, in the order of use."""
    graph = getattr(model, "_functional", model)
    depths = sorted(graph._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in graph._nodes_by_depth[depth]]


def highest_rate(optimizer, steps=None):
    """The highest learning rate of an optimizer's schedule; None: its rate is constant.

    Args:
        optimizer: a Keras optimizer.
        steps: integer, steps of the training; None: unknown. A schedule of an unknown form is
            looked at in some of them.
    """
    schedule = inner(optimizer)._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return None
    try:
        settings = schedule.get_config()
    except NotImplementedError:
        settings = {}
    names = ("base_learning_rate", "initial_learning_rate", "warmup_target")
    given = [float(settings[name]) for name in names if settings.get(name) is not None]
    if given:
        return max(given)
    last = steps or 10_000
    with tf.init_scope():
        return max(float(schedule(last * part // 100)) for part in range(101))


@contextlib.contextmanager
def fixed_rate(optimizer, variables, rate):
    """Context in which an optimizer's steps for some variables have another learning rate.

    Args:
        optimizer: a built Keras optimizer.
        variables: some of its trainable variables.
        rate: number.
    """
    optimizer = inner(optimizer)
    fixed = {optimizer._get_variable_index(variable) for variable in variables}
    update_step = type(optimizer).update_step

    def with_rate(gradient, variable, learning_rate):
        own = optimizer._get_variable_index(variable) in fixed
        return update_step(optimizer, gradient, variable, rate if own else learning_rate)

    with replaced(optimizer, update_step=with_rate):
        yield


@contextlib.contextmanager
def replaced(thing, **methods):
    """Context in which an object has these methods in place of those of its class.

    Replicas are in it together, each in its thread: they enter before any of them takes its step,
    and the first one to leave is followed by the others without one.
    """
    thing.__dict__.update(methods)
    try:
        yield
    finally:
        for name in methods:
            thing.__dict__.pop(name, None)


@contextlib.contextmanager
def scaled_rates(optimizer, factors):
    """Context in which an optimizer's rates for some variables are multiplied, weight decay too.

    Args:
        optimizer: a built Keras optimizer.
        factors: list of pairs (number, list of some of its trainable variables).
    """
    optimizer = inner(optimizer)
    factor_of = {
        optimizer._get_variable_index(variable): factor
        for factor, variables in factors
        for variable in variables
    }
    cls, whole = type(optimizer), optimizer.weight_decay

    def with_rate(gradient, variable, learning_rate):
        factor = factor_of.get(optimizer._get_variable_index(variable), 1.0)
        return cls.update_step(optimizer, gradient, variable, learning_rate * factor)

    def decayed(variables):
        groups = {}
        for variable in variables:
            factor = factor_of.get(optimizer._get_variable_index(variable), 1.0)
            groups.setdefault(factor, []).append(variable)
        for factor, group in groups.items():
            optimizer.weight_decay = whole and whole * factor
            cls._apply_weight_decay(optimizer, group)
        optimizer.weight_decay = whole

    with replaced(optimizer, update_step=with_rate, _apply_weight_decay=decayed):
        yield


def inner(optimizer):
    """The optimizer within one that scales the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def on_gpu(batch):
    """A batch with its floating-point tensors copied to the GPU, where there is one.

    Integers stay on the processor, where TensorFlow's GPU kernels expect seeds and shapes.
    """
    if not tf.config.list_logical_devices("GPU"):
        return batch
    with tf.device("GPU:0"):
        return tf.nest.map_structure(
            lambda values: tf.identity(values) if values.dtype.is_floating else values, batch
        )


def gpu_memory():
    """Bytes of the first GPU that TensorFlow may use; starts the GPU."""
    from tensorflow.python.client import device_lib

    devices = device_lib.list_local_devices()
    return next(device.memory_limit for device in devices if device.device_type == "GPU")


def clock_of(dataset):
    """The `tfssl.data.clock.Clock` of a dataset of `tfssl.views`, or of one derived from it.

    None for any other object.
    """
    ahead = [dataset]
    while ahead:
        one = ahead.pop()
        if getattr(one, "clock", None) is not None:
            return one.clock
        inputs = getattr(one, "_inputs", None)
        ahead += inputs() if isinstance(one, tf.data.Dataset) and inputs else []
    return None


def steady(dataset):
    """The dataset with a parallel call for each core where tf.data would tune their number.

    The end of an iteration waits for the thread of that tuning, which sleeps for 10 ms, 20 ms and
    so on, up to a minute. It is woken before it can see that it is cancelled, so on busy cores it
    sleeps again: in TensorFlow 2.21 an epoch of some seconds may last twice as long.

    Args:
        dataset: a `tf.data.Dataset`. Any other object is returned as it is, and so is a dataset
            whose options say whether it is tuned.
    """
    if not isinstance(dataset, tf.data.Dataset) or dataset.options().autotune.enabled is not None:
        return dataset
    return dataset.with_options(not_tuned())


def prefetched(dataset):
    """The dataset two elements ahead, and as `steady` makes it."""
    return dataset.prefetch(2).with_options(not_tuned())


def not_tuned():
    options = tf.data.Options()
    options.autotune.enabled = False
    options.autotune.initial_parallelism = os.cpu_count() or 2
    return options


def with_callback(callbacks, first):
    """Puts a callback in front of the `callbacks` argument of `fit`, in any form."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(first)
        return callbacks
    given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    return [first, *given]


def map_in_turn(function, elements, signature):
    """`tf.map_fn` of one element after the other that leaves no trace where the function fails.

    TensorFlow's own leaves its device for cached variables in the scope of variables, after which
    `keras.remat` fails in every eager step of the process.

    Args:
        function: takes one element of `elements` and returns tensors.
        elements: a nest of tensors [n, ...].
        signature: a nest of the results' dtypes or `tf.TensorSpec`s.

    Returns:
        a nest of tensors [n, ...].
    """
    scope = tf.compat.v1.get_variable_scope()
    device = scope.caching_device
    try:
        return tf.map_fn(function, elements, fn_output_signature=signature, parallel_iterations=1)
    finally:
        if not tf.executing_eagerly():
            scope.set_caching_device(device)


def workers_of(dispatcher):
    """The number of workers that a dispatcher of a tf.data service knows."""
    return dispatcher._num_workers()


def tasks_of(worker):
    """The number of datasets that a worker of a tf.data service makes."""
    return worker._num_tasks()
