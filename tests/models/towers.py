"""Every encoder family, small and random, and the published model that it must equal.

`TOWERS` is the contract's table: each family of the registries has an entry, and `test_towers.py`
runs on all of them.
"""

import dataclasses
import math
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import reference
from reference import masked_mean, text_batch, torch, transformers

from motionalign.models import (
    bert,
    clip,
    distilbert,
    layers,
    motion_transformer,
    mpnet,
    roberta,
    vit,
    vit_weights,
    xlm_roberta,
)
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.source import Source

WIDTH, MLP_WIDTH, DEPTH = 24, 40, 2  # of all of them: equal shapes are compiled once


class States(NamedTuple):
    """Intermediate outputs of a reference model for a tower's inputs.

    blocks: what goes into the first block, [B, N, D], then what comes out of each.
    encoded: {pooling: (tokens [B, N, D], pooled [B, D])}.
    """

    blocks: list[np.ndarray]
    encoded: dict[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Tower:
    """One encoder in the contract.

    Attributes:
      kind, family: the registry, "motion" or "text", and the key in it.
      module: the encoder's class.
      config: small sizes.
      inputs: what the module is called with: (ids, mask), or (clips, num_frames).
      save: (folder, **changes) saves a random reference model and returns it. `changes` are fields
        of `config`, or model_class.
      load: (folder, dtype=float32, **ours) gives our tower with those weights.
      states: (reference model, *inputs) gives its `States`.
      key_map: (config, source) gives the tower's key map.
      dropout: fields of `config` under which everything that the encoder can drop is dropped.
      sites: (rate, shape) of what it then drops from `inputs`, in order.
      wrong: changes of `config` that the comparison must notice.
      variants: `changes` under which the layers are compared.
      bias: (module, *inputs) gives what the blocks add to their logits.
      refused: inputs that the encoder refuses, and its message.
      pooling: the field of `config` that says what is pooled.
      reference_config, reference_inputs: what the files of `save` are loaded as, and what is
        compared with the reference, where `config` and `inputs` do not fit it or do not show all.
      pads_alike: whether the reference embeds padding as ours does.
      rtol: how far what a block computes may lie from the reference, besides 1e-5.
    """

    kind: str
    family: str
    module: type
    config: Any
    inputs: tuple
    save: Callable
    load: Callable
    states: Callable[..., States]
    key_map: Callable[..., KeyMap]
    dropout: dict[str, float]
    sites: list[tuple[float, tuple[int, ...]]]
    wrong: tuple[dict[str, Any], ...]
    variants: tuple[dict[str, Any], ...]
    refused: tuple[tuple, str]
    bias: Callable[..., jax.Array | None] = lambda model, *inputs: None
    pooling: str = "readout"
    reference_config: Any = None
    reference_inputs: tuple | None = None
    pads_alike: bool = True
    rtol: float = 1e-5

    @property
    def loaded(self):
        """The config of the files of `save`."""
        return self.reference_config or self.config

    @property
    def compared(self) -> tuple:
        """The inputs to compare with the reference."""
        return self.reference_inputs or self.inputs

    @property
    def file(self) -> types.ModuleType:
        """The file that defines the encoder."""
        return sys.modules[self.module.__module__]

    @property
    def poolings(self) -> tuple[str, ...]:
        """The values of the field `pooling`, the default first."""
        default = getattr(self.config, self.pooling)
        other = {"first": "mean", "end": "mean", "class": "mean", "mean": "class"}[default]
        return default, other

    def build(self, params=None, dtype=jnp.float32, **changes):
        """The tower with these parameters, or with random ones."""
        config = dataclasses.replace(self.config, **changes)
        return reference.build(config, self.module, params, dtype)


# ---------------------------------------------------------------------- text, Hugging Face's BERTs


def _save_bert(config_class, model_class, positions, norm_eps, **fields):
    def save(folder, activation="gelu", norm_eps=norm_eps, model_class=model_class):
        config = getattr(transformers, config_class)(
            hidden_size=WIDTH,
            num_hidden_layers=DEPTH,
            num_attention_heads=4,
            intermediate_size=MLP_WIDTH,
            vocab_size=50,
            max_position_embeddings=positions,
            hidden_act=activation,
            layer_norm_eps=norm_eps,
            **fields,
        )
        return reference.save_random(folder, model_class, config)

    return save


def _save_mpnet(folder, **changes):
    model = _save_bert("MPNetConfig", "MPNetModel", 202, 1e-5)(folder, **changes)
    with torch.no_grad():  # so large that a bucket too far shows
        torch.manual_seed(1)
        model.base_model.encoder.relative_attention_bias.weight.normal_()
    model.save_pretrained(folder)
    return model


def _save_distilbert(folder, activation="gelu", model_class="DistilBertModel"):
    config = transformers.DistilBertConfig(
        dim=WIDTH,
        n_layers=DEPTH,
        n_heads=4,
        hidden_dim=MLP_WIDTH,
        vocab_size=50,
        max_position_embeddings=20,
        activation=activation,
    )
    return reference.save_random(folder, model_class, config)


def _text_states(model, ids, mask) -> States:
    blocks = reference.hidden_states(
        model, input_ids=ids.astype(np.int64), attention_mask=mask.astype(np.int64)
    )
    last = blocks[-1]
    return States(blocks, {"first": (last, last[:, 0]), "mean": (last, masked_mean(last, mask))})


def _too_many_tokens(positions):
    ids = np.ones((1, positions + 1), np.int32)
    message = f"{positions + 1} tokens; this model has {positions} positions"
    return (ids, ids.astype(bool)), message


def _bert_like(file, module, config, **fields) -> Tower:
    """A text tower of `file`; dropout on hidden states and weights, as BERT's."""
    weights, hidden = (0.2, (3, 4, 13, 13)), (0.1, (3, 13, WIDTH))
    return Tower(
        **{
            "kind": "text",
            "family": file.__name__.rpartition(".")[2],
            "module": module,
            "config": config,
            "inputs": text_batch(50),
            "load": lambda folder, dtype=jnp.float32, **ours: reference.load(
                folder, file, module, dtype, **ours
            ),
            "states": _text_states,
            "key_map": lambda config, source: file.key_map(),
            "dropout": {"dropout": 0.1, "attention_dropout": 0.2},
            "sites": [hidden, *2 * [weights, hidden, hidden]],
            "bias": lambda model, ids, mask: layers.attention_bias(jnp.asarray(mask)),
            "refused": _too_many_tokens(config.max_positions),
            **fields,
        }
    )


_SIZES = {"width": WIDTH, "depth": DEPTH, "mlp_width": MLP_WIDTH}
_TEXT_SIZES = {"vocab_size": 50, "heads": 4, "max_positions": 20, **_SIZES}

BERT = _bert_like(
    bert,
    bert.Bert,
    bert.BertConfig(**_TEXT_SIZES),
    save=_save_bert("BertConfig", "BertModel", 20, 1e-12),
    wrong=({"activation": "gelu_new"}, {"norm_eps": 1e-6}),
    variants=(
        {"model_class": "BertForPreTraining"},
        {"model_class": "BertForQuestionAnswering"},
        {"activation": "gelu_new"},
        {"norm_eps": 1e-3},
    ),
)

DISTILBERT = _bert_like(
    distilbert,
    distilbert.DistilBert,
    distilbert.DistilBertConfig(**_TEXT_SIZES),
    save=_save_distilbert,
    wrong=({"activation": "gelu_new"}, {"norm_eps": 1e-6}),
    variants=(
        {},
        {"model_class": "DistilBertForMaskedLM"},
        {"model_class": "DistilBertForSequenceClassification", "activation": "relu"},
    ),
    sites=[
        (0.1, (3, 13, WIDTH)),
        *2 * [(0.2, (3, 4, 13, 13)), (0.1, (3, 13, WIDTH))],
    ],
)


def _batch_padded_by_one(lengths):
    """Ids from 2; 1 is padding, from which MPNet's and RoBERTa's references count positions."""
    ids, mask = text_batch(48, lengths)
    return np.where(mask, ids + 1, 1).astype(np.int32), mask


MPNET = _bert_like(
    mpnet,
    mpnet.MPNet,
    mpnet.MPNetConfig(**{**_TEXT_SIZES, "max_positions": 200}, norm_eps=1e-5),
    save=_save_mpnet,
    wrong=({"activation": "gelu_new"}, {"norm_eps": 1e-2}),
    variants=(
        {"model_class": "MPNetForMaskedLM"},
        {"activation": "gelu_new"},
        {"norm_eps": 1e-2},
    ),
    bias=lambda model, ids, mask: model.bias(jnp.asarray(mask)),
    # Relative positions beyond the last bucket's start, an odd length.
    reference_inputs=_batch_padded_by_one((151, 1, 7)),
    pads_alike=False,
)


def _roberta_like(file, module, config_class, name) -> Tower:
    """RoBERTa or XLM-R, whose classes in `transformers` start with `name`."""
    return _bert_like(
        file,
        module,
        config_class(**_TEXT_SIZES),  # of one type
        save=_save_bert(f"{name}Config", f"{name}Model", 22, 1e-5, type_vocab_size=1),
        wrong=({"activation": "gelu_new"}, {"norm_eps": 1e-2}),
        variants=(
            {},
            {"model_class": f"{name}ForMaskedLM"},
            {"model_class": f"{name}ForSequenceClassification", "activation": "gelu_new"},
            {"norm_eps": 1e-2},
        ),
        # A text of as many tokens as the model reads, the shortest, a padded one.
        reference_inputs=_batch_padded_by_one((20, 1, 7)),
        pads_alike=False,
    )


ROBERTA = _roberta_like(roberta, roberta.Roberta, roberta.RobertaConfig, "Roberta")
XLM_ROBERTA = _roberta_like(
    xlm_roberta, xlm_roberta.XLMRoberta, xlm_roberta.XLMRobertaConfig, "XLMRoberta"
)


# ------------------------------------------------------------------------------- both CLIP towers

END = 49  # of a text, in a vocabulary of 50


def save_clip(folder, model_class="CLIPModel", activation="quick_gelu", norm_eps=1e-5, end=END):
    """A random CLIP or one tower of it; the vision tower reads 64 frames of 8 parts."""
    common = {"num_hidden_layers": DEPTH, "intermediate_size": MLP_WIDTH, "hidden_size": WIDTH}
    common |= {"hidden_act": activation, "layer_norm_eps": norm_eps}
    text = {"vocab_size": 50, "num_attention_heads": 4, "max_position_embeddings": 20}
    text = text | common | {"eos_token_id": end, "bos_token_id": 48}
    vision = {"num_attention_heads": 3, "image_size": 64, "patch_size": 8} | common
    if model_class == "CLIPModel":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision)
    elif model_class == "CLIPTextModel":
        config = transformers.CLIPTextConfig(**text)
    else:
        config = transformers.CLIPVisionConfig(**vision)
    model = reference.save_random(folder, model_class, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embedding" in name:
                parameter.normal_(0, 0.5)
    model.save_pretrained(folder)
    return model


def motion(points: int) -> np.ndarray:
    """Random patches [3, 64, points, 3] float32."""
    return np.random.default_rng(0).normal(size=(3, 64, points, 3)).astype(np.float32)


def load_clip_vision(folder, dtype=jnp.float32, final_norm="fresh", **ours):
    """Our vision encoder from the weights in `folder`."""
    source = Source(folder)
    ours = {"parts": 8, "max_frames": 64, **ours}
    config = clip.vision_config_from_hf(source.config(), **ours)
    key_map = clip.vision_key_map(config, source.config(), final_norm)
    return reference.fill(config, clip.CLIPVision, source, key_map, dtype)


def clip_vision(model):
    """Hugging Face's vision encoder, of a complete model or on its own."""
    return getattr(model, "vision_model", model)


def clip_vision_states(model, patches, num_frames) -> States:
    """Hugging Face normalises only the class token; ours also normalises the patch tokens."""
    tower = clip_vision(model)
    with torch.no_grad():
        output = tower(torch.from_numpy(patches.transpose(0, 3, 1, 2)), output_hidden_states=True)
        tokens = tower.post_layernorm(output.last_hidden_state).numpy()[:, 1:]
    blocks = [state.numpy() for state in output.hidden_states]
    pooled = output.pooler_output.numpy()
    mean = _fresh_norm(blocks[-1][:, 1:].mean(1), tower.post_layernorm.eps)
    return States(blocks, {"class": (tokens, pooled), "mean": (blocks[-1][:, 1:], mean)})


def _fresh_norm(x, eps):
    return torch.nn.functional.layer_norm(torch.from_numpy(x), x.shape[-1:], eps=eps).numpy()


_CLIP_VISION = clip.CLIPVisionConfig(**_SIZES, heads=3, patch_size=8, max_frames=64)

CLIP_VISION = Tower(
    kind="motion",
    family="clip",
    module=clip.CLIPVision,
    config=_CLIP_VISION,
    inputs=(motion(40), None),
    reference_config=dataclasses.replace(_CLIP_VISION, parts=8),  # Hugging Face's are square
    reference_inputs=(motion(64), None),
    save=save_clip,
    load=load_clip_vision,
    states=clip_vision_states,
    key_map=lambda config, source: clip.vision_key_map(config, source.config()),
    dropout={"dropout": 0.1},
    sites=5 * [(0.1, (3, 41, WIDTH))],  # embedding, and two in each of two blocks
    wrong=({"activation": "gelu"}, {"norm_eps": 1e-2}),
    variants=(
        {},
        {"model_class": "CLIPVisionModel"},
        {"model_class": "CLIPVisionModel", "activation": "gelu"},
        {"norm_eps": 1e-2},
    ),
    refused=((motion(40)[:, :56], None), "every clip must be padded to max_frames=64"),
    pooling="pool",
)


def captions() -> tuple[np.ndarray, np.ndarray]:
    """Odd and short texts with end tokens; as in CLIP, the end token is also the padding."""
    ids, mask = text_batch(48, (13, 2, 7))
    for row, length in zip(ids, mask.sum(1)):
        row[length - 1 :] = END
    return ids, mask


def load_clip_text(folder, dtype=jnp.float32, **ours):
    """Our text encoder from the weights in `folder`."""
    return reference.load(folder, clip, clip.CLIPText, dtype, **ours)


def clip_text_states(model, ids, mask) -> States:
    """Hugging Face's text encoder, of a complete model or on its own."""
    tower = getattr(model, "text_model", model)
    with torch.no_grad():
        output = tower(
            torch.from_numpy(ids).long(), torch.from_numpy(mask).long(), output_hidden_states=True
        )
    last = output.last_hidden_state.numpy()
    blocks = [state.numpy() for state in output.hidden_states]
    pooled = output.pooler_output.numpy()
    return States(blocks, {"end": (last, pooled), "mean": (last, masked_mean(last, mask))})


CLIP_TEXT = Tower(
    kind="text",
    family="clip",
    module=clip.CLIPText,
    config=clip.CLIPTextConfig(**_TEXT_SIZES, eos_id=END),
    inputs=captions(),
    save=save_clip,
    load=load_clip_text,
    states=clip_text_states,
    key_map=lambda config, source: clip.key_map(),
    dropout={"dropout": 0.1},
    sites=5 * [(0.1, (3, 13, WIDTH))],
    wrong=({"activation": "gelu"}, {"norm_eps": 1e-2}),
    variants=(
        {},
        {"model_class": "CLIPTextModel"},
        {"model_class": "CLIPTextModel", "activation": "gelu"},
        {"norm_eps": 1e-2},
    ),
    bias=lambda model, ids, mask: model.bias(jnp.asarray(mask)),
    refused=_too_many_tokens(20),
)


# -------------------------------------------------------------------------------------------- ViT


def save_vit(
    folder, activation="gelu", norm_eps=1e-12, model_class="ViTModel", image_size=(64, 40)
):
    """A random ViT of Hugging Face's; its image is 64 frames of 5 parts."""
    config = transformers.ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=3,
        intermediate_size=MLP_WIDTH,
        patch_size=8,
        image_size=image_size,
        hidden_act=activation,
        layer_norm_eps=norm_eps,
    )
    return reference.save_random(folder, model_class, config)


def load_vit(folder, dtype=jnp.float32, final_norm="fresh", heads=None, **ours):
    """Our ViT of a folder or file in any layout."""
    source = Source(folder)
    config = vit_weights.config_from(source, heads, **{"max_frames": 60, **ours})
    key_map = vit_weights.key_map(config, source, final_norm)
    return reference.fill(config, vit.ViT, source, key_map, dtype)


def vit_states(model, patches, num_frames) -> States:
    """Frames are the image's rows and points its columns."""
    blocks = reference.hidden_states(model, pixel_values=patches.transpose(0, 3, 1, 2))
    with torch.no_grad():
        last = model.base_model.layernorm(torch.from_numpy(blocks[-1])).numpy()
    # Mean pooling: patch tokens only, before a norm that starts at 1 and 0.
    mean = _fresh_norm(blocks[-1][:, 1:].mean(1), model.config.layer_norm_eps)
    return States(blocks, {"class": (last[:, 1:], last[:, 0]), "mean": (blocks[-1][:, 1:], mean)})


VIT = Tower(
    kind="motion",
    family="vit",
    module=vit.ViT,
    # 60 frames: 8 rows of tokens, the last one not full.
    config=vit.ViTConfig(**_SIZES, heads=3, patch_size=8, max_frames=60, norm_eps=1e-12),
    inputs=(motion(40), None),
    save=save_vit,
    load=load_vit,
    states=vit_states,
    key_map=vit_weights.key_map,
    dropout={"dropout": 0.1},
    sites=5 * [(0.1, (3, 41, WIDTH))],  # embedding, and two in each of two blocks
    wrong=({"activation": "gelu_new"}, {"norm_eps": 1e-3}),
    variants=(
        {"model_class": "ViTForMaskedImageModeling"},
        {"model_class": "ViTForImageClassification", "activation": "gelu_pytorch_tanh"},
        {"norm_eps": 1e-2},
    ),
    refused=((motion(40)[:, :56], None), "every clip must be padded to max_frames=64"),
    pooling="pool",
)


# ------------------------------------------------------------------------ transformers over frames


class Frames(torch.nn.Module):
    """A transformer over frames from PyTorch's layers, like GaitFormer and ACTOR."""

    def __init__(self, norm: str, activation: str = "gelu"):
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(
            WIDTH, 4, MLP_WIDTH, activation=activation, batch_first=True, norm_first=norm == "pre"
        )
        self.encoder = torch.nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)
        with torch.no_grad():  # norms and biases away from 1 and 0
            for parameter in self.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        self.embed = torch.nn.Linear(15, WIDTH)
        if norm == "pre":
            self.positions = torch.nn.Parameter(torch.randn(13, WIDTH))
        else:
            angles = torch.arange(13)[:, None] * torch.exp(
                torch.arange(0, WIDTH, 2) * (-math.log(10000.0) / WIDTH)
            )
            table = torch.zeros(13, WIDTH)
            table[:, 0::2], table[:, 1::2] = torch.sin(angles), torch.cos(angles)
            self.register_buffer("positions", table)

    def states(self, joints) -> list[np.ndarray]:
        """The input of the first block, then the output of each block."""
        with torch.no_grad():
            states = [self.embed(torch.from_numpy(joints).flatten(2)) + self.positions]
            for layer in self.encoder.layers:
                states.append(layer(states[-1]))
        return [state.numpy() for state in states]


def _save_frames(norm: str):
    """With the names of GaitFormer's published model ("pre") or of Walk and Text's ("post")."""

    def save(folder, activation="gelu"):
        from safetensors.torch import save_file

        torch.manual_seed(0)
        model = Frames(norm, activation).eval()
        encoder, embed = "encoder.", "skeleton_encoding"
        if norm == "pre":
            others = {"positional_embedding": model.positions.detach()[None].contiguous()}
        else:
            encoder, embed = "seqTransEncoder.", "skelEmbedding"
            others = {"muQuery": torch.randn(1, WIDTH), "sigmaQuery": torch.randn(1, WIDTH)}
            others["sequence_pos_encoder.pe"] = model.positions[:, None].contiguous()
        tensors = {encoder + key: value for key, value in model.encoder.state_dict().items()}
        tensors |= {f"{embed}.{key}": value for key, value in model.embed.state_dict().items()}
        folder.mkdir(exist_ok=True)
        save_file(tensors | others, folder / "model.safetensors")
        return model

    return save


def _frames(norm: str, positions: str, key_map: Callable[[], KeyMap], sites: list) -> Tower:
    module = motion_transformer.MotionTransformer
    config = motion_transformer.MotionTransformerConfig(
        **_SIZES, heads=4, joints=5, channels=3, norm=norm, positions=positions, frames=13
    )

    def load(folder, dtype=jnp.float32, **ours):
        found = dataclasses.replace(config, **ours)
        return reference.fill(found, module, Source(folder), key_map(), dtype)

    def states(model, joints, num_frames):
        blocks = model.states(joints)
        last = blocks[-1]
        return States(blocks, {"first": (last, last[:, 0]), "mean": (last, last.mean(1))})

    joints = np.random.default_rng(0).normal(size=(3, 14, 5, 3)).astype(np.float32)
    hidden, inner = (0.1, (3, 13, WIDTH)), (0.1, (3, 13, MLP_WIDTH))
    return Tower(
        kind="motion",
        family="motion_transformer",
        module=module,
        config=config,
        inputs=(joints[:, :13], None),
        save=_save_frames(norm),
        load=load,
        states=states,
        key_map=lambda config, source: key_map(),
        dropout={"dropout": 0.1},
        sites=[*sites, *2 * [(0.1, (3, 4, 13, 13)), hidden, inner, hidden]],
        wrong=({"activation": "gelu_new"}, {"norm_eps": 1e-2}),
        variants=({},),
        rtol=1e-7,
        refused=((joints, None), r"\(3, 14, 5, 3\); this model takes \[clips, 13, 5, 3\]"),
    )


GAITFORMER = _frames("pre", "learned", motion_transformer.gaitformer_key_map, [])
ACTOR = _frames("post", "sinusoidal", motion_transformer.walktext_key_map, [(0.1, (3, 13, WIDTH))])


TOWERS = {
    "vit": VIT,
    "clip-vision": CLIP_VISION,
    "gaitformer": GAITFORMER,
    "actor": ACTOR,
    "bert": BERT,
    "distilbert": DISTILBERT,
    "mpnet": MPNET,
    "clip-text": CLIP_TEXT,
    "roberta": ROBERTA,
    "xlm-roberta": XLM_ROBERTA,
}
