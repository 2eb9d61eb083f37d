"""Accelerators that programs are compiled for, and how fast they are."""

import contextlib
import dataclasses
import os
import re
from typing import Any

import jax

# An H100 SXM as XLA describes it to itself (stream_executor's GpuTargetConfigProto). Sizes of
# memories and numbers of units: NVIDIA, "NVIDIA H100 Tensor Core GPU Architecture" (2022), tables 1
# and 3; limits of blocks and grids: CUDA C++ Programming Guide, compute capability 9.0.
_H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  l2_cache_size: 52428800
  memory_bandwidth: 3352320000000
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""

# What libtpu otherwise asks the machine's metadata server for; and that it may be loaded although
# another process has it, since no device is used.
_TPU_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of device, with its makers' figures.

    Attributes:
      platform: "cuda", "tpu" or "cpu".
      shape: regex of the topologies.
      memory: bytes; this and the speeds are None if no maker states them.
      flops: dense bfloat16 operations a second with float32 sums.
      float32_flops: the same of float32 products as JAX makes them by default: on NVIDIA's tensor
        cores in TF32, on a TPU in one pass of bfloat16.
      bandwidth: of the memory, bytes a second.
      exchange: bytes a second that a device sends to others, in one direction.
      clock: cycles a second of a TPU; None if not known.
      package: what provides its compiler, as pip installs it.
      cores: how a TPU's chip is configured; None: as its compiler does by default.
    """

    platform: str
    shape: str
    memory: int | None
    flops: float | None
    float32_flops: float | None
    bandwidth: float | None
    exchange: float | None
    clock: float | None
    package: str
    cores: str | None = None


_GPU, _TPU = "jax[cuda12]", "jax[tpu]"

# H100 SXM: NVIDIA's data sheet, without sparsity; NVLink has 900 GB/s in both directions together.
# TPU: Google Cloud's pages on system architecture; the bandwidth between chips is taken as that of
# both directions together (ours). Clocks follow from the operations a second and the matrix units,
# four of 128 x 128 on each of a v5e's one core and a v4's and v5p's two ("How to Scale Your Model",
# Austin et al., 2025).
KINDS = {
    "h100": Kind("cuda", r"[1-8]", 84_942_979_072, 989e12, 495e12, 3.35e12, 450e9, None, _GPU),
    "v4": Kind(
        "tpu", r"\d+x\d+x\d+", 32 * 2**30, 275e12, 275e12, 1.2e12, 150e9, 1.05e9, _TPU, "megacore"
    ),
    "v5e": Kind("tpu", r"\d+x\d+", 16 * 2**30, 197e12, 197e12, 0.819e12, 100e9, 1.5e9, _TPU),
    "v5p": Kind("tpu", r"\d+x\d+x\d+", 95 * 2**30, 459e12, 459e12, 2.765e12, 300e9, 1.75e9, _TPU),
    "v6e": Kind("tpu", r"\d+x\d+", 32 * 2**30, 918e12, 918e12, 1.64e12, 224e9, None, _TPU),
    # This machine, to see what a step is made of: any number of virtual devices.
    "cpu": Kind("cpu", r"[1-9]\d*", None, None, None, None, None, None, "jax"),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """Accelerators to compile for: a kind and a topology, written `h100:8` or `v5e:2x2`."""

    kind: str
    topology: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Reads `KIND:TOPOLOGY`.

        Raises:
          ValueError: it is not of this form.
        """
        kind, _, topology = text.partition(":")
        if kind not in KINDS or not re.fullmatch(KINDS[kind].shape, topology):
            raise ValueError(
                f"target {text!r} is not a kind of accelerator and a topology; examples: h100:1, "
                f"h100:8, v5e:2x2, v5e:16x16, v5p:2x2x1; kinds: {', '.join(KINDS)}"
            )
        return cls(kind, topology)

    def __str__(self) -> str:
        return f"{self.kind}:{self.topology}"

    @property
    def about(self) -> Kind:
        """The figures of the kind."""
        return KINDS[self.kind]

    @property
    def compiler_options(self) -> dict[str, Any]:
        """Options of `Lowered.compile`; without those for GPUs, it looks for one to time kernels.

        Products are then cuBLAS's, without the choice among kernels that a run makes on its GPU.
        """
        if self.about.platform == "cuda":
            return {"xla_gpu_autotune_level": "0", "xla_gpu_enable_triton_gemm": False}
        return {}

    def devices(self) -> list[Any]:
        """The devices, for `sharding.mesh_of`; they can be compiled for, and nothing else.

        Raises:
          ValueError: the kind's compiler is not installed, or JAX has started before.
        """
        kind = self.about
        # The process itself runs on the CPU; compilers would otherwise look for their devices.
        jax.config.update("jax_platforms", "cpu")
        from jax.experimental import topologies

        try:
            if kind.platform == "cpu":
                return self._virtual()
            if kind.platform == "tpu":
                for name, value in _TPU_ENVIRONMENT.items():
                    os.environ.setdefault(name, value)
                options = {"chip_config_name": kind.cores} if kind.cores else {}
                topology = topologies.get_topology_desc(str(self), "tpu", **options)
            else:
                topology = topologies.get_topology_desc(
                    "h100", "cuda", target_config=_H100, topology=f"1x1x{self.topology}"
                )
        except (NotImplementedError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"no compiler for {self} was found, or it does not know this topology ({reason}). "
                f"It comes with the extra aot-{kind.platform} or `pip install "
                f"'{kind.package}=={jax.__version__}'`, in an environment of its own"
            ) from error
        return list(topology.devices)

    def _virtual(self) -> list[Any]:
        """As many devices of this machine's CPU."""
        number = int(self.topology)
        if number > 1:
            with contextlib.suppress(RuntimeError):  # JAX has been used before: it has what it has
                jax.config.update("jax_num_cpu_devices", number)
        if len(jax.devices()) < number:
            raise ValueError(
                f"target {self} needs {number} devices, and JAX has started with "
                f"{len(jax.devices())} in this process"
            )
        return jax.devices()[:number]
