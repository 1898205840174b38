"""Byte pair encoding over UTF-8 bytes (Sennrich et al. 2016; Radford et al. 2019), by the library whose file the server reads.

Every text can be encoded, because every byte has a token: nothing is unknown. Knows no files and no tensors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from .errors import InputError
from .tokenizer import WHITE_SPACE, Rewriter, Rule, Tokenizer

# Which characters may share a token. Explicit ranges instead of `\p{L}` and `\s`: in Python the library uses another regular-expression
# engine than in the server, with other Unicode tables, and a character that only one of them counts as a letter would be encoded
# differently in training than when served. A letter is whatever is nothing else, so that marks and joiners stay in their words.
_DIGIT = "0-9"
_MARK = "!-/:-@\\[-`{-~\xa1-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u2010-\u2027\u2030-\u205e\u3001-\u3003\u3008-\u301f"
_SPACE = WHITE_SPACE.encode("ascii").decode("unicode_escape")
_PARTS = (
    f"['\u2019](?:[sdmt]|ll|ve|re)(?![^{_SPACE}{_DIGIT}{_MARK}])",
    f" ?[^{_SPACE}{_DIGIT}{_MARK}]+",
    f" ?[{_DIGIT}]+",
    f" ?[{_MARK}]+",
    f"[{_SPACE}]+(?![^{_SPACE}])",
    f"[{_SPACE}]+",
)
PATTERN = "|".join(_PARTS)

BYTES = 256
LINES_PER_BATCH = 4096


class BytePairTokenizer(Tokenizer):
    """The tokenizer of a `tokenizer.json`."""

    def __init__(self, rule: Rule, file_text: str) -> None:
        try:
            self._pairs = tokenizers.Tokenizer.from_str(file_text)
        except Exception as error:  # the library raises nothing narrower
            raise InputError(f"not a Hugging Face tokenizer: {error}") from error
        ids = self._pairs.get_vocab()
        if sorted(ids.values()) != list(range(len(ids))):
            raise InputError(f"the tokenizer's {len(ids)} ids have gaps; expected all from 0 to {len(ids) - 1}")
        super().__init__(rule, sorted(ids, key=ids.__getitem__))
        self._file_text = file_text

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self._encode(Rewriter(self.rule).lines(text)))

    def _encode(self, lines: list[str]) -> Iterator[int]:
        for start in range(0, len(lines), LINES_PER_BATCH):
            encodings = self._pairs.encode_batch_fast(lines[start : start + LINES_PER_BATCH], add_special_tokens=False)
            for number, encoding in enumerate(encodings, start):
                if number > 0:
                    yield self.ids[self.rule.newline]
                yield from encoding.ids

    def first_entry(self, text: str) -> str | None:
        """The entry of a text's first token; "" where there is none."""
        return next((self.vocabulary[token_id] for token_id in self.encode(text)), "")

    def stored(self) -> str:
        """The file's text."""
        return self._file_text

    def file_text(self) -> str:
        """The content of `tokenizer.json`."""
        return self._file_text


def learn(rule: Rule, text: str, size_max: int) -> BytePairTokenizer:
    """Learns pairs from a text: at most `size_max` entries, the special ones first, then the bytes, then pairs in the order found."""
    special = rule.special_tokens()
    if size_max < len(special) + BYTES:
        raise InputError(f"a vocabulary of {size_max} is too small for byte pairs; expected at least {len(special) + BYTES}, for the bytes and the special tokens")
    pairs = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(tokenizers.Regex(PATTERN), "isolated")
    pairs.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    pairs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size_max - len(special), initial_alphabet=alphabet, min_frequency=2, show_progress=sys.stderr.isatty())
    pairs.train_from_iterator(Rewriter(rule).lines(text), trainer)
    return BytePairTokenizer(rule, _with_special_tokens(json.loads(pairs.to_str()), special))


def _with_special_tokens(values: dict[str, object], special: list[str]) -> str:
    """The file with `special` before its entries.

    They are not the library's added tokens, which it would also find where a text happens to spell one: no text yields these.
    """
    entries = sorted(values["model"]["vocab"], key=values["model"]["vocab"].__getitem__)
    if taken := set(special) & set(entries):
        raise InputError(f"the special token `{min(taken)}` is a token of the text too; expected a name that no text holds, such as `<eos>`")
    values["model"]["vocab"] = {entry: token_id for token_id, entry in enumerate(special + entries)}
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"
