"""Sentences that are hard to tokenise, and vocabularies in the files before tokenizer.json."""

import json
import random
import unicodedata

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")

WORDS = {
    "English": "a person walks slowly forward then turns left, Jumps! don't stop 3x 12.5 m (twice)",
    "German": "Läuft eine Person rückwärts Überschlag schließlich STRAẞE groß fällt Füße öffnet",
    "French": "une personne s'élance à côté naïve garçon œuvre l'été déjà ÉCRIT « vite »",
    "Vietnamese": "một người đàn ông đi bộ về phía trước rồi ngồi xuống Đứng nhảy lên",
    "Chinese": "一个人向前走 然后挥手。 跳舞 3次",
    "Japanese": "人が歩く ジャンプする ﾊﾝｶｸ てを振る、",
    "Korean": "사람이 걷는다 손을 흔든다",
    "Arabic": "شخص يمشي إلى الأمام",
    "Greek": "ένας άνθρωπος περπατάει ΣΊΣΥΦΟΣ",
    "symbols": "😀 👨‍👩‍👧 👍🏽 🇩🇪 ❤️ ½ ﬁne ① ™ … — “so” €5 x² ℌ Å",
}
SPACES = (" ", " ", " ", " ", " ", "  ", "\t", "\n", "\u00a0", "\u3000", "\u2009", " \r\n")
FORMS = ("NFC", "NFC", "NFC", "NFD", "NFKC", "NFKD")
ODD = ("", " ", "\t\n", "\u00a0", "a", "ß", "e\u0301", "a\u0323\u0302", "\u200b", "🤸", "日", "!?")


def sentences(count: int = 500) -> list[str]:
    """The same ones at every call: words of several languages, mixed, in all forms of Unicode."""
    rng = random.Random(0)
    words = {language: text.split() for language, text in WORDS.items()}
    found = list(ODD)
    while len(found) < count:
        languages = rng.choices(list(words), k=rng.choice((1, 1, 2, 3)))
        parts = [rng.choice(words[rng.choice(languages)]) for _ in range(rng.randint(1, 14))]
        text = "".join(part + rng.choice(SPACES) for part in parts)
        text = rng.choice((str, str, str.lower, str.upper, str.title))(text)
        text = unicodedata.normalize(rng.choice(FORMS), text)
        found.append(text if rng.random() < 0.3 else text.strip())
    return found


def write_json(path, values) -> None:
    """Writes an object as JSON."""
    path.write_text(json.dumps(values), "utf-8")


def wordpiece(folder, lower: bool, special=BERT_TOKENS, strip_accents=None) -> None:
    """Writes a vocab.txt of WordPiece: whole words, beginnings, ends and characters."""
    normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=strip_accents)
    splitter = pre_tokenizers.BertPreTokenizer()
    tokens = dict.fromkeys(special)
    for text in sentences(200):
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            tokens |= dict.fromkeys((word[:3], f"##{word[3:]}" if word[3:] else word))
            tokens |= dict.fromkeys([word] if len(word) % 2 else [])
            tokens |= dict.fromkeys([*word[:1], *(f"##{c}" for c in word[1:])])
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), "utf-8")


def byte_level(folder, special=ROBERTA_TOKENS, size: int = 700):
    """Writes vocab.json and merges.txt of byte-level BPE."""
    learner = tokenizers.ByteLevelBPETokenizer()
    learner.train_from_iterator(
        sentences(200), vocab_size=size, special_tokens=list(special), show_progress=False
    )
    learner.save_model(str(folder))


def clip_bpe(folder, size: int = 700) -> None:
    """Writes vocab.json and merges.txt as CLIP has them, with </w> at the ends of words."""
    learner = tokenizers.Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(sentences(200), trainer)
    learner.model.save(str(folder))


def sentencepiece(folder, size: int = 300) -> None:
    """Writes a sentencepiece.bpe.model as XLM-R has: of the unigram kind, in spite of its name."""
    import sentencepiece

    lines = [line for text in sentences(200) for line in text.splitlines() if line.strip()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=size,
        character_coverage=0.98,
        minloglevel=2,
    )
