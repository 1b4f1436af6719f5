"""What should come out, in NumPy and float64: losses, layers and optimizers with their gradients.

Written for few lines, not for speed. All arguments are arrays; `flow` is the gradient with respect
to the output.
"""

import numpy as np

# Losses -----------------------------------------------------------------------------------------


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def through_unit(z, flow):
    """The gradient with respect to z of a function of unit(z), whose gradient is `flow`."""
    u = unit(z)
    tangent = flow - u * np.sum(u * flow, axis=1, keepdims=True)
    return tangent / np.linalg.norm(z, axis=1, keepdims=True)


def log_sum_exp(logits):
    high = logits.max(axis=1, keepdims=True)
    return high[:, 0] + np.log(np.exp(logits - high).sum(axis=1))


def nt_xent(z1, z2, temperature):
    """SimCLR, Eq. (1), of cosines: loss, and its gradients for z1 and z2."""
    n = len(z1)
    z = np.concatenate([z1, z2])
    u = unit(z)
    logits = u @ u.T / temperature
    np.fill_diagonal(logits, -np.inf)
    positive = np.roll(np.arange(2 * n), n)
    totals = log_sum_exp(logits)
    loss = np.mean(totals - logits[np.arange(2 * n), positive])
    slope = np.exp(logits - totals[:, None])
    slope[np.arange(2 * n), positive] -= 1.0
    slope /= 2 * n * temperature
    flow = through_unit(z, (slope + slope.T) @ u)
    return {"loss": loss, "to_z1": flow[:n], "to_z2": flow[n:]}


def regression(prediction, projection):
    """BYOL, Eq. (2): loss, and its gradient for the prediction."""
    n, p, z = len(prediction), unit(prediction), unit(projection)
    return {
        "loss": np.mean(np.sum((p - z) ** 2, axis=1)),
        "to_prediction": through_unit(prediction, 2 * (p - z) / n),
    }


def n_pair(anchors, positives):
    """Sohn 2016, Eq. (7): loss, and its gradients for both."""
    n = len(anchors)
    scores = anchors @ positives.T
    totals = log_sum_exp(scores)
    slope = (np.exp(scores - totals[:, None]) - np.eye(n)) / n
    return {
        "loss": np.mean(totals - np.diag(scores)),
        "to_anchors": slope @ positives,
        "to_positives": slope.T @ anchors,
    }


def triplet(anchor, positive, negative, margin):
    """FaceNet, Eq. (3): loss, and its gradients for all three."""
    hinge = ((anchor - positive) ** 2 - (anchor - negative) ** 2).sum(axis=1) + margin
    active = (hinge > 0)[:, None] * 2.0 / len(anchor)
    return {
        "loss": np.mean(np.maximum(hinge, 0)),
        "to_anchor": active * (negative - positive),
        "to_positive": active * (positive - anchor),
        "to_negative": active * (anchor - negative),
    }


def softmax(logits):
    return np.exp(logits - log_sum_exp(logits)[:, None])


def distillation(student, teacher, temperature):
    """SimCLRv2, Eq. (2): loss, and its gradient for the student."""
    p = softmax(teacher / temperature)
    log_q = student / temperature - log_sum_exp(student / temperature)[:, None]
    return {
        "loss": -np.mean(np.sum(p * log_q, axis=1)),
        "to_student": (np.exp(log_q) - p) / (len(student) * temperature),
    }


# Layers -----------------------------------------------------------------------------------------


def batch_norm(x, gamma, beta, flow, epsilon):
    """Ioffe & Szegedy 2015, section 3, over all axes but the last: outputs, gradients, moments."""
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axis=axes), x.var(axis=axes)
    inverse = 1 / np.sqrt(variance + epsilon)
    normal = (x - mean) * inverse
    to_normal = flow * gamma
    to_x = inverse * (
        to_normal - to_normal.mean(axis=axes) - normal * (to_normal * normal).mean(axis=axes)
    )
    return {
        "outputs": normal * gamma + beta,
        "to_inputs": to_x,
        "to_gamma": (flow * normal).sum(axis=axes),
        "to_beta": flow.sum(axis=axes),
        "mean": mean,
        "variance": variance,
    }


def convolution(images, kernel, flow, stride, padding):
    """A convolution of images [B, h, w, C] with `padding` zeros on every side, and its gradients.

    Args:
        kernel: [k, k, C, D].
        flow: [B, H, W, D].
    """
    size, (height, width) = len(kernel), flow.shape[1:3]
    padded = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    outputs, to_padded = np.zeros(flow.shape), np.zeros(padded.shape)
    to_kernel = np.zeros(kernel.shape)
    for row in range(size):
        for column in range(size):
            rows = slice(row, row + stride * (height - 1) + 1, stride)
            columns = slice(column, column + stride * (width - 1) + 1, stride)
            seen = padded[:, rows, columns]
            outputs += seen @ kernel[row, column]
            to_kernel[row, column] = np.einsum("bhwc,bhwd->cd", seen, flow)
            to_padded[:, rows, columns] += flow @ kernel[row, column].T
    inside = slice(padding, -padding or None)
    return {
        "outputs": outputs,
        "to_inputs": to_padded[:, inside, inside],
        "to_kernel": to_kernel,
    }


def dense(x, kernel, bias, flow):
    return {
        "outputs": x @ kernel + bias,
        "to_inputs": flow @ kernel.T,
        "to_kernel": x.T @ flow,
        "to_bias": flow.sum(axis=0),
    }


# Optimizers -------------------------------------------------------------------------------------
# Each takes the weights, the gradients of the steps and their learning rates, and returns the
# change of the weights after every step, [steps, ...].


def lars(w, gradients, rates, momentum, weight_decay, eeta, form, adapted=True):
    start, buffer, changes = w, 0.0, []
    for gradient, rate in zip(gradients, rates):
        if adapted:
            gradient = gradient + weight_decay * w
            gradient = gradient * eeta * np.linalg.norm(w) / np.linalg.norm(gradient)
        buffer = momentum * buffer + (rate if form == "classic" else 1.0) * gradient
        w = w - (1.0 if form == "classic" else rate) * buffer
        changes.append(w - start)
    return np.stack(changes)


def momentum(w, gradients, rates, factor):
    """Nesterov's form, as the method of that name of the command line takes it."""
    start, velocity, changes = w, 0.0, []
    for gradient, rate in zip(gradients, rates):
        velocity = factor * velocity - rate * gradient
        w = w + factor * velocity - rate * gradient
        changes.append(w - start)
    return np.stack(changes)


def adam(w, gradients, rates, beta_1, beta_2, epsilon):
    """Kingma & Ba 2015, in the order of the end of their section 2, as Keras has it."""
    start, m, v, changes = w, 0.0, 0.0, []
    for step, (gradient, rate) in enumerate(zip(gradients, rates), start=1):
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        scaled = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        w = w - scaled * m / (np.sqrt(v) + epsilon)
        changes.append(w - start)
    return np.stack(changes)
