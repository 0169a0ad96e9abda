"""Random numbers that depend on where they are used, not on how many were drawn before.

Philox 4x32 with 10 rounds: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import warp as wp

_FIRST, _SECOND = wp.constant(wp.uint32(0xD2511F53)), wp.constant(wp.uint32(0xCD9E8D57))
_FIRST_KEY, _SECOND_KEY = wp.constant(wp.uint32(0x9E3779B9)), wp.constant(wp.uint32(0xBB67AE85))


@wp.func
def _high(a: wp.uint32, b: wp.uint32) -> wp.uint32:
    """The upper half of a product of 64 bits."""
    return wp.uint32((wp.uint64(a) * wp.uint64(b)) >> wp.uint64(32))


@wp.func
def philox(counter: wp.vec4ui, key: wp.vec2ui) -> wp.vec4ui:
    """128 random bits for a counter under a key."""
    c = counter
    k = key
    for _ in range(10):
        first = _FIRST * c[0]
        second = _SECOND * c[2]
        high = _high(_FIRST, c[0])
        other = _high(_SECOND, c[2])
        c = wp.vec4ui(other ^ c[1] ^ k[0], second, high ^ c[3] ^ k[1], first)
        k = wp.vec2ui(k[0] + _FIRST_KEY, k[1] + _SECOND_KEY)
    return c


@wp.func
def fill_uniform(seed: int, environment: int, episode: int, numbers: wp.array(dtype=float)):
    """Numbers in [0, 1) for the start of one episode of one environment."""
    key = wp.vec2ui(wp.uint32(seed), wp.uint32(0))
    for block in range((numbers.shape[0] + 3) / 4):
        bits = philox(
            wp.vec4ui(wp.uint32(environment), wp.uint32(episode), wp.uint32(block), wp.uint32(0)),
            key,
        )
        for i in range(4):
            at = 4 * block + i
            if at < numbers.shape[0]:
                # 24 bits: what a float32 below 1 holds exactly.
                numbers[at] = float(bits[i] >> wp.uint32(8)) * (1.0 / 16777216.0)
