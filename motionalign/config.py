"""motionalign.config."""

import functools
import math

from motionalign import optim
from motionalign.checkpoints.run import SERIES
from motionalign.data import augment
from motionalign.data.texts import KINDS, TASKS
from motionalign.report import tables
from motionalign.tasks import objectives


def check_config(config) -> None:
    """Finds, before hours of training, the values that would only fail after them."""
    choices = (
        ("dtype", config.dtype, ("float32", "bfloat16")),
        ("optim.schedule", config.optim.schedule, optim.SCHEDULES),
        ("eval.checkpoint", config.eval.checkpoint, tuple(SERIES)),
        ("task", config.task, TASKS),
        ("data.texts", config.data.texts, KINDS[:2]),
        ("data.sampling", config.data.sampling, augment.SAMPLINGS),
        ("loss.kind", config.loss.kind, objectives.KINDS),
        *(("eval.protocols", name, tables.PROTOCOLS) for name in config.eval.protocols),
    )
    for field, value, valid in choices:
        if value not in valid:
            raise ValueError(f"config.{field} is {value!r}; valid: {', '.join(valid)}")
    positive = ("epochs", "log_steps", "data.batch_size", "data.eval_batch_size", "data.workers")
    positive += ("data.frame_bucket", "data.text_bucket", "data.step", "model.embed_dim")
    for field in positive:
        value = functools.reduce(getattr, field.split("."), config)
        if value is not None and value < 1:
            raise ValueError(f"config.{field} is {value}; it must be at least 1")
    shares = ("model.head_dropout", "model.motion.dropout", "model.text.dropout")
    ranges = (  # field, smallest, and what it stays below
        *((field, 0.0, 1.0) for field in (*shares, "optim.b1", "optim.b2")),
        *((f"optim.{name}", 0.0, math.inf) for name in ("weight_decay", "clip_norm")),
        ("loss.mask_threshold", -1.0, math.inf),
        ("optim.warmup_steps", 0, math.inf),
        ("checkpoint_steps", 0, math.inf),
    )
    for field, smallest, limit in ranges:
        value = functools.reduce(getattr, field.split("."), config)
        if value is not None and not smallest <= value < limit:
            below = "" if limit == math.inf else f" and below {limit:g}"
            raise ValueError(f"config.{field} is {value}; expected at least {smallest:g}{below}")
    for field in ("model.temperature", "optim.cosine_runs", "optim.eps", "loss.margin"):
        value = functools.reduce(getattr, field.split("."), config)
        if not 0 < value < math.inf:
            raise ValueError(f"config.{field} is {value}; expected above 0")
    augment.Augmentation(**config.data.augment.to_dict())
    kind, frozen = config.loss.kind, config.model.text.family == "frozen"
    if kind == "classify" and config.task == "captions":
        raise ValueError(
            "config.loss.kind='classify' needs classes: set config.task to labels or attributes"
        )
    if kind == "classify" and config.model.weights:
        raise ValueError(
            "config.model.weights is a model without a classifier; config.loss.kind='classify' "
            "trains one from scratch: leave config.model.weights unset"
        )
    if kind in ("mse", "triplet") and not frozen:
        raise ValueError(
            f"config.loss.kind={kind!r} draws motions to texts that stay where they are: set "
            "config.model.text.family='frozen'"
        )
    if config.model.embed_dim is None and not frozen and kind != "classify":
        raise ValueError("config.model.embed_dim is unset; give the width of the common space")
    group = optim.group_of("logit_scale", config.optim.groups)
    if config.model.learn_temperature and not config.optim.groups[group].lr > 0:
        raise ValueError(
            "config.model.learn_temperature needs a learning rate: set "
            f"config.optim.groups.{group}.lr, to 1e-3 for example"
        )
