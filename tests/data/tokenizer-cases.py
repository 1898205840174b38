"""Writes tokenizer-cases.json: the ids that the training code gives to texts on which it and the server could differ.

    python tests/data/tokenizer-cases.py

The tests of the server read the file and expect the same ids.
"""

import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent
TRAINING = HERE.parents[1] / "training"
sys.path.insert(0, str(TRAINING))

from rnnlm.tokenizer import Rule, Tokenizer, build_vocabulary, read_rule  # noqa: E402

# All kinds of white space, combining marks, letters whose lower case is longer or depends on their neighbours, quotes, and
# characters beyond the first plane.
PIECES = [
    *"abcsty IOΣσİßǅ'’‘\"“”_.,-—…!?()09٣½²",
    *"\n\r\t\x0b\x1c\x1f\x85\xa0\u1680\u2003\u2028\u200b\u202f\u3000\ufeff",
    *"e\u0301 \u0301 \u0903 \u20dd 漢字 한 ก็ 😀 👨\u200d👩 𝔘 𐐀 \u00ad".split(" "),
    *"'s 'll 't 'S o'clock O'Clock ma'am O'BRIEN d'Artagnan <unk> <eos> -- --- ---- ... . . . \"' ('  don't the ".split(" "),
    " ",
    " ",
    " ",
]

RULES = [
    read_rule(TRAINING / "tokenizers" / "classics.json"),
    Rule(kind="word", unk="<unk>", eos="<eos>", newline="<eos>", lowercase=True, replace={"’": "'", "ab": "B ", "a": "", "--": "İ—"}),
    Rule(kind="word", unk="<unk>", pattern=r"[a-z]+|\p{N}|\s"),
    Rule(kind="whitespace", unk="<unk>", eos="<eos>", newline="<eos>", lowercase=True),
    Rule(kind="whitespace", unk="<unk>", replace={"\r\n": " ¶ ", "\n": " ¶ "}),
    Rule(kind="char", unk="<unk>"),
    Rule(kind="char", unk="<unk>", newline="<eos>", lowercase=True),
]


def cases(rule: Rule, rng: random.Random) -> dict[str, object]:
    texts = ["".join(rng.choices(PIECES, k=rng.randint(0, 40))) for _ in range(60)]
    # Half of the words are unknown, so that several unknown words in a row are distinguished from one.
    entries = [entry for text in texts for entry in Tokenizer(rule, rule.special_tokens()).splitter.split(text)]
    vocabulary = build_vocabulary(rule, entries, len(rule.special_tokens()) + len(set(entries)) // 2)
    ids = [Tokenizer(rule, vocabulary).encode(text) for text in texts]
    return {"rule": rule.to_json(), "vocabulary": vocabulary, "texts": texts, "ids": ids}


if __name__ == "__main__":
    rng = random.Random(2)
    lines = ",\n".join(json.dumps(cases(rule, rng)) for rule in RULES)
    (HERE / "tokenizer-cases.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
