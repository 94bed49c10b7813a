"""Triton kernels of the half of a gradient step that has no gradient; `dac.agent.fused` lays out what they read.

Each takes a tile of rows (a next state's action each) through a whole network, whose activations never leave the chip:
a layer's output is a tuple of W / CHUNK tensors (ROWS, CHUNK), and its kernel streams in as tiles (CHUNK, CHUNK).
Layers are W wide, padded with zeros, which mish and a product keep zero; action components are padded to COMPONENTS.
Axes: M networks, R runs, H critics, S steps of the sampler, L layers between the first and the last.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _mish(x):
    """x n / (n + 2) with n = e^x (e^x + 2), which is x tanh(softplus(x))."""
    e = tl.exp(tl.minimum(x, 20.0))
    n = e * (e + 2.0)
    return x * (n / (n + 2.0))


@triton.jit
def _first_layer(
    x, action_kernel, state_part, states, inside, time_part,
    W: tl.constexpr, CHUNK: tl.constexpr, COMPONENTS: tl.constexpr, PRODUCTS: tl.constexpr,
):  # fmt: skip
    """Chunks of mish(state part + time part + x @ action kernel): (ROWS, COMPONENTS) to W / CHUNK of (ROWS, CHUNK)."""
    components = tl.arange(0, COMPONENTS)
    hidden = ()
    for j in tl.static_range(W // CHUNK):
        columns = j * CHUNK + tl.arange(0, CHUNK)
        part = tl.load(state_part + states[:, None] * W + columns[None, :], mask=inside[:, None], other=0.0)
        if time_part is not None:
            part += tl.load(time_part + columns)[None, :]
        weights = tl.load(action_kernel + components[:, None] * W + columns[None, :])
        hidden = hidden + (_mish(tl.dot(x, weights, part, input_precision=PRODUCTS)),)
    return hidden


@triton.jit
def _inner_layer(
    hidden, kernel, bias, W: tl.constexpr, CHUNK: tl.constexpr, PRODUCTS: tl.constexpr
):  # fmt: skip
    """Chunks of mish(hidden @ kernel + bias), each the sum of one product per chunk of the input."""
    inputs = tl.arange(0, CHUNK)
    outputs = ()
    for j in tl.static_range(W // CHUNK):
        columns = j * CHUNK + tl.arange(0, CHUNK)
        total = tl.zeros_like(hidden[0]) + tl.load(bias + columns)[None, :]
        for k in tl.static_range(W // CHUNK):
            weights = tl.load(kernel + (k * CHUNK + inputs)[:, None] * W + columns[None, :])
            total = tl.dot(hidden[k], weights, total, input_precision=PRODUCTS)
        outputs = outputs + (_mish(total),)
    return outputs


@triton.jit
def sample_kernel(
    prior, z, state_part, time_part, action_kernel, inner_kernels, inner_biases, last_kernel, last_bias,
    coefficients, actions,
    prior_stride, z_run_stride, z_step_stride, rows, states, samples, size, runs, steps, noisy_steps,
    LAYERS: tl.constexpr, W: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr, COMPONENTS: tl.constexpr,
    CLIP: tl.constexpr, PRODUCTS: tl.constexpr,
):  # fmt: skip
    """The reverse process of one run's tile of rows, all of its steps: grid (tiles, R).

    Reads prior (R, rows, A), z (R, noisy steps, rows, A), the first layer's state part (R, states, W) and time part
    (R, S, W), action kernel (R, COMPONENTS, W), inner kernels (L, R, W, W) and biases (L, R, W), last kernel
    (R, W, COMPONENTS) and bias (R, COMPONENTS), and coefficients (S, 5), `dac.agent.diffusion.ReverseStep`. Writes
    actions (R, rows, A). `rows` is states * samples, `size` A.
    """
    run = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    components = tl.arange(0, COMPONENTS)
    inside = row < rows
    cell = inside[:, None] & (components < size)[None, :]
    place = row[:, None] * size + components[None, :]
    x = tl.load(prior + run * prior_stride + place, mask=cell, other=0.0)
    for step in range(steps):
        numbers = coefficients + 5 * step
        hidden = _first_layer(
            x, action_kernel + run * COMPONENTS * W, state_part + run * states * W, row // samples, inside,
            time_part + (run * steps + step) * W, W, CHUNK, COMPONENTS, PRODUCTS,
        )  # fmt: skip
        for layer in range(LAYERS):
            network = layer * runs + run
            hidden = _inner_layer(
                hidden, inner_kernels + network * W * W, inner_biases + network * W, W, CHUNK, PRODUCTS
            )
        eps = tl.zeros_like(x) + tl.load(last_bias + run * COMPONENTS + components)[None, :]
        for k in tl.static_range(W // CHUNK):
            inputs = run * W + k * CHUNK + tl.arange(0, CHUNK)
            weights = tl.load(last_kernel + inputs[:, None] * COMPONENTS + components[None, :])
            eps = tl.dot(hidden[k], weights, eps, input_precision=PRODUCTS)
        clean = (x - tl.load(numbers) * eps) / tl.load(numbers + 1)
        if CLIP:
            clean = tl.clamp(clean, -1.0, 1.0, propagate_nan=tl.PropagateNan.ALL)  # a run that diverges shows it
        noise = tl.load(
            z + run * z_run_stride + step * z_step_stride + place, mask=cell & (step < noisy_steps), other=0.0
        )
        x = clean * tl.load(numbers + 2) + x * tl.load(numbers + 3) + noise * tl.load(numbers + 4)
    tl.store(actions + run * rows * size + place, x, mask=cell)


@triton.jit
def value_kernel(
    actions, state_part, action_kernel, inner_kernels, inner_biases, last_kernel, last_bias, values,
    rows, states, samples, size, members, networks,
    LAYERS: tl.constexpr, W: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr, COMPONENTS: tl.constexpr,
    PRODUCTS: tl.constexpr,
):  # fmt: skip
    """One critic's values of a tile of rows: grid (tiles, M), M = R * H.

    Reads actions (R, rows, A), state part (M, states, W), action kernel (M, COMPONENTS, W), inner kernels (L, M, W, W)
    and biases (L, M, W), last kernel (M, W) and bias (M,). Writes values (M, rows).
    """
    critic = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    components = tl.arange(0, COMPONENTS)
    inside = row < rows
    place = (critic // members * rows + row[:, None]) * size + components[None, :]
    x = tl.load(actions + place, mask=inside[:, None] & (components < size)[None, :], other=0.0)
    hidden = _first_layer(
        x, action_kernel + critic * COMPONENTS * W, state_part + critic * states * W, row // samples, inside, None,
        W, CHUNK, COMPONENTS, PRODUCTS,
    )  # fmt: skip
    for layer in range(LAYERS):
        network = layer * networks + critic
        hidden = _inner_layer(hidden, inner_kernels + network * W * W, inner_biases + network * W, W, CHUNK, PRODUCTS)
    total = tl.zeros([ROWS], tl.float32) + tl.load(last_bias + critic)
    for k in tl.static_range(W // CHUNK):
        weights = tl.load(last_kernel + critic * W + k * CHUNK + tl.arange(0, CHUNK))
        total += tl.sum(hidden[k] * weights[None, :], 1)
    tl.store(values + critic * rows + row, total, mask=inside)


@triton.jit
def _over_actions(
    values, inside, taken, samples, MAX_BACKUP: tl.constexpr
):  # fmt: skip
    """One critic's value of each state of a tile (TILE, SAMPLES) to (TILE,): mean or maximum over the actions."""
    found = tl.load(values, mask=inside[:, None] & taken[None, :], other=0.0)
    total = tl.sum(found, 1)
    if MAX_BACKUP:
        return tl.max(tl.where(taken[None, :], found, float("-inf")), 1) + 0.0 * total  # NaN, where one of them is
    return total / samples


@triton.jit
def target_kernel(
    values, rewards, dones, targets, states, samples, members, coefficient, discount,
    SAMPLES: tl.constexpr, TILE: tl.constexpr, MAX_BACKUP: tl.constexpr, Q_TARGET: tl.constexpr,
):  # fmt: skip
    """y = r + gamma (1 - done) v of a tile of one run's states: grid (tiles, R).

    Reads values (R, H, states, samples), rewards and dones (R, states). Writes targets (R, states). Over the ensemble
    it passes twice, so that the deviation is of the mean that is known; SAMPLES is `samples`, padded.
    """
    run = tl.program_id(1).to(tl.int64)
    state = tl.program_id(0) * TILE + tl.arange(0, TILE)
    sample = tl.arange(0, SAMPLES)
    inside, taken = state < states, sample < samples
    tile = values + run * members * states * samples + state[:, None] * samples + sample[None, :]
    total, least, most = tl.zeros([TILE], tl.float32), tl.zeros([TILE], tl.float32), tl.zeros([TILE], tl.float32)
    for member in range(members):
        value = _over_actions(tile + member * states * samples, inside, taken, samples, MAX_BACKUP)
        total += value
        least = tl.where(member == 0, value, tl.minimum(least, value, propagate_nan=tl.PropagateNan.ALL))
        most = tl.where(member == 0, value, tl.maximum(most, value, propagate_nan=tl.PropagateNan.ALL))
    mean = total / members
    if Q_TARGET == "lcb":
        square = tl.zeros([TILE], tl.float32)
        for member in range(members):
            off = _over_actions(tile + member * states * samples, inside, taken, samples, MAX_BACKUP) - mean
            square += off * off
        combined = mean - coefficient * tl.sqrt(square / members)
    elif Q_TARGET == "min":
        combined = least
    else:
        combined = coefficient * least + (1.0 - coefficient) * most
    place = run * states + state
    reward = tl.load(rewards + place, mask=inside, other=0.0)
    done = tl.load(dones + place, mask=inside, other=0.0)
    tl.store(targets + place, reward + discount * (1.0 - done) * combined, mask=inside)
