"""Published checkpoints converted in tests: the command's arguments, and what comes out."""

import jax
from flax import nnx


def motionpatches_arguments(golden, tokenizer, statistics, out, **changed):
    flags = {
        "mean": statistics / "Mean_raw.npy",
        "std": statistics / "Std_raw.npy",
        "tokenizer": tokenizer,
        "motion_heads": 4,
        "text_config": golden / "motionpatches_clip_text_config.json",
        **changed,
    }
    source = flags.pop("source", golden / "motionpatches_clip.pt")
    given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    return ["motionpatches", str(source), str(out), *given]


def run(module, *args):
    graphdef, params = nnx.split(module)
    return jax.jit(lambda params, *args: nnx.merge(graphdef, params)(*args))(params, *args)


def bound(model):
    return model.encoder.network.bind(model.params)


def state_dict(path):
    """As the file has it, nested dictionaries joined by dots."""
    import torch

    content = torch.load(path, weights_only=True)
    return {
        (f"{name}.{key}" if isinstance(value, dict) else name): tensor
        for name, value in content.items()
        for key, tensor in (value.items() if isinstance(value, dict) else [("", value)])
    }


def assert_same_state_dict(folder, expected):
    import torch
    from safetensors.torch import load_file

    exported = load_file(folder / "model.safetensors")
    assert exported.keys() == expected.keys()
    for key, tensor in expected.items():
        assert exported[key].dtype == tensor.dtype, key
        assert torch.equal(exported[key], tensor), key


def randomise(module):
    """Fills all parameters so that each matters, biases and norms too, as in published models."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.add_(0.2 * noise)
            else:
                parameter.copy_(1.2 * noise / parameter.shape[-1] ** 0.5)
    return module.eval()


def shapes_of(module):
    """{name: shape} of a module's tensors, such as one that was built on the device "meta"."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
