"""timm's VisionTransformer, without the torchvision that importing timm asks for.

timm uses torchvision for image transforms and convolutional networks. Its builds must fit torch's,
CUDA version and all, or importing it breaks transformers too; a ViT needs nothing of it.
"""

import importlib.abc
import importlib.machinery
import sys
import types

import pytest

torch = pytest.importorskip("torch")


class _AnyName(type):
    """A class that has every attribute."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class _AnyModule(types.ModuleType):
    """A module in which every name is a class."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _AnyModule(spec.name)

    def exec_module(self, module):
        pass


def _vision_transformer():
    finder = _Finder()
    before = {name: module for name, module in sys.modules.items() if "torchvision" in name}
    sys.meta_path.insert(0, finder)
    try:
        return pytest.importorskip("timm.models.vision_transformer").VisionTransformer
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules.update(before)


VisionTransformer = _vision_transformer()


def random_vit(**sizes):
    """A small random ViT in evaluation mode; norms and biases away from 1 and 0."""
    torch.manual_seed(0)
    sizes = {"embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_ratio": 5 / 3, **sizes}
    model = VisionTransformer(num_classes=0, patch_size=8, **sizes).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in ("cls_token", "pos_embed"):
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    return model


def hidden_states(model, patches) -> list:
    """The input of the first block, the output of each block, then the pooled feature."""
    with torch.no_grad():
        x = model.patch_embed(torch.from_numpy(patches.transpose(0, 3, 1, 2)))
        states = [model._pos_embed(x)]
        for block in model.blocks:
            states.append(block(states[-1]))
        pooled = model.forward_head(model.norm(states[-1]))
    return [state.numpy() for state in (*states, pooled)]


def tokens(model, patches):
    """The patch tokens after the norms before pooling."""
    with torch.no_grad():
        return model.forward_features(torch.from_numpy(patches.transpose(0, 3, 1, 2)))[
            :, 1:
        ].numpy()
