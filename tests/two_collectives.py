"""A program of two processes with a collective in a branch and another one beside it.

    python -m tests.two_collectives --compilation_cache=DIR --coordinator=HOST:PORT ...

JAX is started as launch.py starts it, so that a test can run the program repeatedly with one folder
of compiled programs. The collective beside the branch waits for a large array and comes first in
the program; the one in the branch waits for a few small products. They differ in size, so a process
that runs them in the other order makes both abort.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from motionalign import launch, sharding

ROWS, WIDTH = 2048, 4096


def main() -> None:
    launch.parse_flags(sys.argv)
    launch._start_jax()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    mesh = sharding.make_mesh()

    def gather(own: jax.Array) -> jax.Array:
        return jax.lax.all_gather(own, "data", tiled=True)

    def both(large, small, at_least):
        waves = jnp.sin(large)
        for _ in range(6):
            small = jnp.tanh(small @ small)
        branch = jax.lax.cond(
            at_least > 0, lambda x: gather(x[:, :2]), lambda x: jnp.zeros((16, 2)), small
        )
        return waves, gather(waves), branch  # outputs, so that no buffer is used twice

    rows, everywhere = P("data"), P()
    program = jax.jit(
        jax.shard_map(
            both,
            mesh=mesh,
            in_specs=(rows, rows, everywhere),
            out_specs=(rows, everywhere, everywhere),
            check_vma=False,
        )
    )
    rng = np.random.default_rng(0)
    large = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    layouts = [NamedSharding(mesh, spec) for spec in (rows, rows, everywhere)]
    inputs = [
        sharding.put_global(array, layout)
        for array, layout in zip((large, large[:16, :8], np.ones((), np.int32)), layouts)
    ]
    for _ in range(5):
        _, waves, branch = (np.asarray(each.addressable_data(0)) for each in program(*inputs))
        np.testing.assert_allclose(waves, np.sin(large), atol=1e-5)
        expected = large[:16, :8].reshape(2, 8, 8)
        for _ in range(6):
            expected = np.tanh(expected @ expected)
        np.testing.assert_allclose(branch, expected.reshape(16, 8)[:, :2], atol=1e-4)
    print("right")


if __name__ == "__main__":
    main()
