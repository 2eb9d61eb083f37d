"""The base config, and the parser for the argument of config files."""

from ml_collections import ConfigDict

from motionalign.tasks.schema import schema


def base() -> ConfigDict:
    """The default run: ViT-B/16 and DistilBERT into 256 dimensions, trained in float32.

    motionalign/config.py documents every field and its valid values.
    """
    return schema().base()


def parse_arg(arg: str | None, **options: tuple[str, ...]) -> dict[str, str]:
    """Parses the part of `--config=FILE:ARG` after the colon, words separated by commas.

    `options` maps the name of each option to its valid words, the default first. The words of `arg`
    may come in any order: `parse_arg("Ti", size=("B", "Ti"), recipe=("code", "paper"))` returns
    {"size": "Ti", "recipe": "code"}.
    """
    chosen = {}
    for word in filter(None, (arg or "").split(",")):
        name = next((name for name, words in options.items() if word in words), None)
        if name is None:
            valid = "; ".join(f"{name}: {', '.join(words)}" for name, words in options.items())
            raise ValueError(f"unknown config argument {word!r}; valid: {valid or 'none'}")
        if name in chosen:
            raise ValueError(
                f"config argument has two values for {name}: {chosen[name]!r} and {word!r}"
            )
        chosen[name] = word
    return {name: words[0] for name, words in options.items()} | chosen
