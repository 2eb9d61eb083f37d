"""Every field a run has, with the values that the config files start from."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def base() -> ConfigDict:
    """The default run: ViT-B/16 and DistilBERT into 256 dimensions, trained in float32."""
    c = ConfigDict()
    c.seed = 0
    c.epochs = 50
    c.dtype = "float32"  # of the computation, or "bfloat16"; parameters are float32
    c.checkpoint_steps = 500  # besides one an epoch; 0 = only those
    c.log_steps = 10

    c.data = ConfigDict()
    c.data.data_dir = "data"
    c.data.datasets = "humanml3d"  # or a mixture by weight: "humanml3d:2,kit_ml:1"
    c.data.train_split = "train"
    c.data.val_split = "val"  # selects the best checkpoint; the test split never does
    c.data.test_split = "test"
    c.data.batch_size = 128  # global: over all devices of all processes
    c.data.eval_batch_size = 64
    c.data.frame_bucket = 32  # padding="mask": batches are padded to a multiple of this
    # padding="mask": the clips of so many batches are sorted by length, then cut into batches.
    # More is faster; 1 leaves batches random, and padded to their longest clip.
    c.data.length_window = 4
    c.data.text_bucket = 16
    c.data.workers = 2  # threads that read and tokenise ahead
    c.data.cache_gb = 4.0  # decoded clips kept in memory

    c.model = ConfigDict()
    c.model.motion = ConfigDict()
    c.model.motion.family = "vit"  # or "clip", the vision tower of CLIP
    c.model.motion.size = "B"  # Ti, S, B, L (clip: B, L), or "custom" with the next four
    c.model.motion.width = placeholder(int)
    c.model.motion.depth = placeholder(int)
    c.model.motion.heads = placeholder(int)
    c.model.motion.mlp_width = placeholder(int)  # 4 × width where unset
    c.model.motion.patch_size = 16
    c.model.motion.max_frames = 224
    c.model.motion.pool = "mean"  # or "class"
    c.model.motion.padding = "attend"  # as published; "mask" sees real frames only and is faster
    c.model.motion.dropout = 0.0
    # A folder, file or Hub id: Hugging Face's layout, timm's, or Google's .npz. Unset, "": scratch.
    c.model.motion.weights = placeholder(str)
    # With pool="mean": "fresh", as published, or "load" the weights' norm, of the class token.
    c.model.motion.final_norm = "fresh"
    c.model.text = ConfigDict()
    c.model.text.family = "distilbert"  # or "bert", "mpnet", "clip"
    c.model.text.weights = placeholder(str)  # "" on the command line takes them away again
    c.model.text.readout = "first"  # or "mean"; clip: "end" or "mean"
    c.model.text.dropout = 0.1
    c.model.text.max_tokens = 128
    # Sizes of a text encoder from scratch; pretrained weights bring their own.
    c.model.text.width = placeholder(int)
    c.model.text.depth = placeholder(int)
    c.model.text.heads = placeholder(int)
    c.model.text.mlp_width = placeholder(int)
    c.model.text.vocab_size = placeholder(int)
    c.model.embed_dim = 256
    c.model.head_dropout = 0.5
    c.model.temperature = 0.07
    c.model.learn_temperature = False
    # A trained model to go on from: a run's folder, a shared one, a Hub id; see finetune.py.
    c.model.weights = placeholder(str)

    c.loss = ConfigDict()
    c.loss.mask_negatives = False  # leave out negatives whose captions say nearly the same
    c.loss.mask_threshold = 0.60  # cosine of the caption vectors above which they do

    c.optim = ConfigDict()
    # Each parameter belongs to exactly one group; lr 0 freezes a group. layer_decay: what a tower's
    # rate is multiplied by from each layer to the one before; 1 = the same everywhere.
    c.optim.groups = ConfigDict()
    c.optim.groups.motion_encoder = _group("motion_encoder/.*", 1e-4)
    c.optim.groups.text_encoder = _group("text_encoder/.*", 1e-5)
    c.optim.groups.heads = _group("(motion|text)_head/.*", 1e-4)
    c.optim.groups.temperature = _group("logit_scale", 0.0)
    c.optim.schedule = "cosine"  # or "constant"
    c.optim.cosine_runs = 1.0  # length of the half cosine, in runs; 2 stops half-way down
    c.optim.warmup_steps = 0
    c.optim.b1 = 0.9
    c.optim.b2 = 0.999
    c.optim.eps = 1e-8
    c.optim.weight_decay = 0.0  # decoupled, on kernels and embeddings
    c.optim.clip_norm = 0.0  # of the global gradient; 0 = off

    c.mesh = ConfigDict()
    c.mesh.data = -1  # devices the batch is split over; -1 = all that `model` leaves
    c.mesh.model = 1  # devices that attention heads and MLPs are split over

    c.eval = ConfigDict()
    c.eval.checkpoint = "best"  # or "last"
    c.eval.protocols = ("all", "all_threshold", "dissimilar", "small_batches")
    c.eval.threshold = 0.90  # cosine of caption vectors above which another caption is right too
    c.eval.num_queries = 12  # on the page of examples
    return c


def _group(match: str, lr: float) -> ConfigDict:
    return ConfigDict({"match": match, "lr": lr, "layer_decay": 1.0})


def parse_arg(arg: str | None, **options: tuple[str, ...]) -> dict[str, str]:
    """Reads the part of `--config=FILE:ARG` after the colon: words separated by commas.

    `options` names each choice with its valid words, the default first, in any order:
    `parse_arg("Ti", size=("B", "Ti"), recipe=("code", "paper"))` is {size: Ti, recipe: code}.
    """
    chosen = {name: words[0] for name, words in options.items()}
    for word in filter(None, (arg or "").split(",")):
        name = next((name for name, words in options.items() if word in words), None)
        if name is None:
            valid = "; ".join(f"{name}: {', '.join(words)}" for name, words in options.items())
            raise ValueError(f"unknown config argument {word!r}; valid: {valid or 'none'}")
        chosen[name] = word
    return chosen
