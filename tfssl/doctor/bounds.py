"""The largest errors that pass, and why. They hold on every device, however it rounds.

GPUs multiply matrices of float32 in TF32, which keeps 11 bits of every factor: a product of random
terms loses 2e-4 if they are rounded, 8e-4 if they are cut off. So where there is a product, float32
is no sharper than that. The errors below are of such a GPU as a CPU imitates it, and of bfloat16,
whose 8 bits lose 1.4e-3; a bound for float32 tells the two apart where the check is of one layer.
"""

# Without a product of matrices: sums, square roots and exponents of float32, 1e-6 here. The bound
# allows for functions that GPUs approximate, and for E[x^2] - E[x]^2 as a variance.
EXACT = 1e-4
# A product of matrices, or a convolution: 7.7e-4 in TF32, 1.4e-3 in bfloat16.
PRODUCT = 1.1e-3
# Outputs and gradients in bfloat16, 1.7e-3; the gradient of a bias is a sum that may be rounded at
# every term, 4.4e-3 on a CPU.
BFLOAT16 = 1e-2
# Gradients of kernels on a processor that does not compute in bfloat16, whose sums are rounded more
# often: 2.0e-2 with AVX2. TensorFlow converts there, and the precision that is chosen is float32.
CONVERTED = 4e-2
# NT-Xent divides the errors of cosines by a temperature of 0.1 before they are exponents: 1.5e-3 in
# TF32, 4e-3 in bfloat16.
CONTRAST = 3e-3
# Two ways to the gradients of two normalized layers, both on the device. They differ where another
# algorithm is chosen for another batch size: by 1.6e-2 if only one of them is in TF32.
TWO_WAYS = 3e-2
# The 1 - 0.999^t of Adam loses the first digits of a power that GPUs approximate.
POWER = 1e-3

# Random numbers: 24 bits of an integer, scaled to a range in two roundings.
DRAW = 1e-6
# The crop is two products of matrices in a row, 1.4e-3 in TF32; the grayscale is one. A step of
# 8-bit images is 4e-3.
PIXEL_PRODUCT = 2e-3
# The crop, and colours that may multiply its errors by 1.8 twice: 1.5e-3 in TF32.
RECIPE = 4e-3

# One step of a network. The gradient of 20 normalized layers is less sharp than that of one:
# rounding turns ReLUs on or off that are near 0, so its error goes by the root of that of the
# numbers. Relative to ||update||, it was 0.04 to 0.07 in TF32, 0.2 to 0.3 in bfloat16, and 0.2 to
# 0.35 for triplet, whose negatives change; 0.45 is a cosine of 0.9. The loss, and the moving
# averages and targets, were at most a third of their bounds.
STEP = {
    "float32": {"loss": 2e-3, "update": 0.3, "moved": 2.5e-3},
    "mixed_bfloat16": {"loss": 1e-2, "update": 0.5, "moved": 1e-2},
    "mixed_float16": {"loss": 2e-3, "update": 0.4, "moved": 2.5e-3},
}
# Factors for methods whose loss is of projections normalized over the batch, which magnifies the
# rounding of what varies little in it. In bfloat16 on a processor, their losses differed by 0.001
# to 0.028, targets by up to 0.02, and NNCLR's update, whose neighbours change, by 0.54.
NORMALIZED = {"loss": 5.0, "update": 1.4, "moved": 5.0}
# And for triplet, where rounding changes which negatives are chosen: its loss differed by 0.018 in
# bfloat16 with AMX, and by 0.005 where XLA compiled it.
CHOOSING = {"loss": 5.0}
