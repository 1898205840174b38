#!/usr/bin/env python3
"""Makes n-best lists with a noise model, rescores them, and prints the word error rate before and after.

    python3 benches/rescoring.py --model models/classics VALID tests/data/classics-test.txt

There is no recogniser here and no sound. Each word of a line is confused with words of the model's vocabulary that differ from it by
one letter. The word itself has the score 0 and each confusable one -MARGIN, all with normal noise of deviation SIGMA, as if they were
log-likelihoods; a word of at most three letters may also be missed. The n-best list has the sequences with the highest sums. Lines of
each text are drawn with a seed; those of VALID tune the weight and the word penalty, those of the other text are only measured, once. The weighing is
that of `rnnlm-server rescore`, which also prints the last column. Only the standard library is needed.
"""

import argparse
import heapq
import json
import pathlib
import random
import re
import subprocess
import tempfile

WORD = re.compile(r"[a-z]+")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WEIGHTS = [x / 20 for x in range(0, 41)]
PENALTIES = [x / 2 for x in range(-2, 9)]


def near(word, vocabulary):
    """The words of the vocabulary at an edit distance of one letter."""
    splits = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    edits = {a + b[1:] for a, b in splits if b}
    edits |= {a + c + b[1:] for a, b in splits if b for c in LETTERS}
    edits |= {a + c + b for a, b in splits for c in LETTERS}
    return sorted((edits & vocabulary) - {word})


def slot(word, vocabulary, args, draw):
    """What may be heard for a word, with scores, best first. What is no lower-case word is always heard."""
    if not WORD.fullmatch(word):
        return [(0.0, word)]
    heard = [(draw.gauss(0, args.sigma), word)]
    others = near(word, vocabulary)
    if len(word) <= 3:
        others.append("")
    heard += [(draw.gauss(0, args.sigma) - args.margin, other) for other in others]
    return sorted(heard, key=lambda pair: -pair[0])


def best(slots, count):
    """The sequences with the highest sums, one choice a slot: those of a prefix extended slot by slot."""
    found = [(0.0, ())]
    for choices in slots:
        longer = ((score + more, words + (word,)) for score, words in found for more, word in choices)
        found = heapq.nlargest(count, longer, key=lambda pair: pair[0])
    return [(score, " ".join(word for word in words if word)) for score, words in found]


def errors(reference, text):
    """Levenshtein distance between lists of words."""
    row = list(range(len(text) + 1))
    for i, expected in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, found in enumerate(text, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (expected != found))
    return row[-1]


class Utterance:
    def __init__(self, name, words, hypotheses):
        self.name = name
        self.words = words
        self.hypotheses = hypotheses
        self.errors = [errors(words, text.split()) for _, text in hypotheses]

    def line_of(self, index):
        score, text = self.hypotheses[index]
        return f"{self.name}-{index + 1} {score:.4f} {text}\n"

    def chosen(self, weight, penalty, logprobs):
        """The errors of the hypothesis with the highest total."""
        totals = [
            float(f"{score:.4f}") + weight * logprob + penalty * len(text.split())
            for (score, text), logprob in zip(self.hypotheses, logprobs)
        ]
        return self.errors[totals.index(max(totals))]


def heard(path, vocabulary, args):
    """Lines of a text, each with its n-best list."""
    draw = random.Random(args.seed)
    lines = [line for line in path.read_text("utf-8").splitlines() if 5 <= len(line.split()) <= 40]
    utterances = []
    for index, line in enumerate(draw.sample(lines, args.lines)):
        words = line.split()
        slots = [slot(word, vocabulary, args, draw) for word in words]
        utterances.append(Utterance(f"utt-{index:04}", words, best(slots, args.nbest)))
    return utterances


def run(args, model, path, *options):
    command = [args.program, "rescore", "--model", str(model), str(path), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rate(count, utterances):
    return 100 * count / sum(len(utterance.words) for utterance in utterances)


def measure(args, model, files, valid, test):
    logprobs = {}
    for line in run(args, model, files["valid"], "--json").splitlines():
        answer = json.loads(line)
        ranked = sorted(answer["hypotheses"], key=lambda hypothesis: hypothesis["index"])
        logprobs[answer["id"]] = [hypothesis["lm_logprob"] for hypothesis in ranked]

    def total(utterances, weight, penalty):
        return sum(one.chosen(weight, penalty, logprobs[one.name]) for one in utterances)

    grid = [(weight, penalty) for weight in WEIGHTS for penalty in PENALTIES]
    tuned = min((total(valid, weight, penalty), weight, abs(penalty), penalty) for weight, penalty in grid)
    _, weight, _, penalty = tuned
    printed = run(args, model, files["test"], f"--lm-weight={weight}", f"--word-penalty={penalty}")
    first = {}
    for line in printed.splitlines():
        key, _, _, *words = line.split(" ")
        first.setdefault(key.rsplit("-", 1)[0], words)
    found = sum(errors(one.words, first[one.name]) for one in test)
    print(f"{model.name:16} {weight:9} {penalty:12} {rate(tuned[0], valid):9.2f} {rate(found, test):8.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("valid", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--program", default="target/release/rnnlm-server")
    parser.add_argument("--lines", type=int, default=200, help="of each text (default: %(default)s)")
    parser.add_argument("--nbest", type=int, default=20)
    parser.add_argument("--margin", type=float, default=3.0)
    parser.add_argument("--sigma", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    entries = (args.model[0] / "vocab.txt").read_text("utf-8").split("\n")
    vocabulary = {word for word in entries if WORD.fullmatch(word)}
    valid, test = (heard(path, vocabulary, args) for path in (args.valid, args.text))

    for name, part in [("valid", valid), ("test", test)]:
        print(f"{name}: {len(part)} lines, {sum(len(one.words) for one in part)} words")
    print(f"{'':16} {'lm_weight':>9} {'word_penalty':>12} {'valid WER':>9} {'test WER':>8}")
    for name, pick in [("first hypothesis", lambda counts: counts[0]), ("best of each list", min)]:
        counts = [rate(sum(pick(one.errors) for one in part), part) for part in (valid, test)]
        print(f"{name:39} {counts[0]:9.2f} {counts[1]:8.2f}")
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, part in [("valid", valid), ("test", test)]:
            files[name] = pathlib.Path(folder) / name
            listed = (one.line_of(index) for one in part for index in range(len(one.hypotheses)))
            files[name].write_text("".join(listed), "utf-8")
        for model in args.model:
            measure(args, model, files, valid, test)


if __name__ == "__main__":
    main()
