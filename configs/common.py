"""Every field a run has, with the values that the config files start from."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def base() -> ConfigDict:
    """The default run: ViT-B/16 and DistilBERT into 256 dimensions, trained in float32."""
    c = ConfigDict()
    c.seed = 0
    # What a clip is told by: its "captions", or its class: an action of the dataset's "labels", or
    # its set of "attributes".
    c.task = "captions"
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
    c.data.texts = "words"  # of labels and attributes: "words", their names, or "descriptions"
    # Encoders over joints: "conseq" takes every `step`-th frame, "random_conseq" a random step,
    # "random" any frames in their order.
    c.data.sampling = "conseq"
    c.data.step = 1
    c.data.augment = ConfigDict()  # of joints, in training; see motionalign/augment.py
    c.data.augment.crop = 0  # frames; 0 = off
    c.data.augment.paces = (1.0,)  # one of these is drawn
    c.data.augment.squeeze = 0.0  # largest part of x that is taken away
    c.data.augment.mirror = 0.0  # probability
    c.data.augment.reverse = 0.0  # probability
    c.data.augment.joint_noise = 0.0  # deviation, in the units of the joints
    c.data.augment.point_noise = 0.0
    c.data.workers = 2  # threads that read and tokenise ahead
    c.data.cache_gb = 4.0  # decoded clips kept in memory

    c.model = ConfigDict()
    c.model.motion = ConfigDict()
    # Over motion patches "vit", or "clip", the vision tower of CLIP; over joints "gaitformer" or
    # "actor", which look at `max_frames`, `pool` "first" or "mean", and not at what is of patches.
    c.model.motion.family = "vit"
    c.model.motion.input = "joints"  # of gaitformer and actor; or "rotations", where there are any
    c.model.motion.root = True  # likewise: the first frame's root is put at the origin
    c.model.motion.size = "B"  # Ti, S, B, L (clip: B, L; gaitformer, actor: B), or "custom" with:
    c.model.motion.width = placeholder(int)
    c.model.motion.depth = placeholder(int)
    c.model.motion.heads = placeholder(int)
    c.model.motion.mlp_width = placeholder(int)  # where unset 4 × width, of gaitformer, actor 2 ×
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
    # Or "bert", "mpnet", "clip"; or "frozen": no encoder in training, but the vectors that
    # `data_prep embed` made of every text. embed_dim is then theirs: leave it unset.
    c.model.text.family = "distilbert"
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
    # Or, of frozen texts, "mse" or "triplet"; or "classify", which needs no texts: labels by
    # softmax, attributes by a sigmoid each, from a linear classifier.
    c.loss.kind = "contrastive"
    c.loss.margin = 10.0  # of the triplets
    # Leave out negatives whose texts say nearly the same, and those of the clip's own class.
    c.loss.mask_negatives = False
    c.loss.mask_threshold = 0.60  # cosine of the texts' vectors above which they do

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
    chosen = {}
    for word in filter(None, (arg or "").split(",")):
        name = next((name for name, words in options.items() if word in words), None)
        if name is None:
            valid = "; ".join(f"{name}: {', '.join(words)}" for name, words in options.items())
            raise ValueError(f"unknown config argument {word!r}; valid: {valid or 'none'}")
        if name in chosen:
            raise ValueError(f"config argument has two for {name}: {chosen[name]!r} and {word!r}")
        chosen[name] = word
    return {name: words[0] for name, words in options.items()} | chosen
