"""Makes a model folder that the server loads out of what another program trained: `convert.py model.pt models/mine --vocab data/wikitext-2`."""

from __future__ import annotations

import argparse
import pathlib
import sys

from rnnlm import errors, folder, storage
from rnnlm.card import command
from rnnlm.convert import READERS, reader_of, vocabularies
from rnnlm.convert.card import Card
from rnnlm.convert.source import Reader, Source, open_source
from rnnlm.convert.vocabularies import Vocabulary
from rnnlm.errors import InputError
from rnnlm.tokenizer import ENTRY_KINDS, Tokenizer, read_rule


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, help="checkpoint: a file or a folder")
    parser.add_argument("folder", type=pathlib.Path, help="new model folder")
    parser.add_argument("--from", dest="reader", choices=("auto", *READERS), default="auto", help="what made it; told by its content")
    parser.add_argument("--vocab", type=pathlib.Path, help="vocabulary: text, JSON, pickle, or the folder of the text it was trained on; else what lies with the checkpoint")
    rule = parser.add_mutually_exclusive_group()
    rule.add_argument("--vocabulary", metavar="KIND", help=f"how text is split: {', '.join(ENTRY_KINDS)}; else by what the entries look like")
    rule.add_argument("--tokenizer", type=pathlib.Path, help="JSON file with the manifest's tokenizer keys and `initial_tokens`, in place of --vocabulary")
    parser.add_argument("--cell", choices=("rnn_tanh", "rnn_relu"), help="activation of a plain RNN, where the checkpoint does not say it")
    parser.add_argument("--dtype", choices=storage.DTYPES, default="f32", help="type that weights are stored in")
    args = parser.parse_args(arguments)
    folder.refuse_existing(args.folder)
    source = open_source(args.source)
    reader = reader_of(source, args.reader)
    converted = reader.read(source, args.cell)
    network = converted.network
    tokenizer = chosen_tokenizer(args, reader, source)
    if len(tokenizer.vocabulary) != network.vocab_size:
        raise InputError(f"the vocabulary has {len(tokenizer.vocabulary):,} entries, the checkpoint {network.vocab_size:,}")
    card = Card(
        name=args.folder.name,
        what=reader.what,
        source=args.source.name,
        dtype=args.dtype,
        kind=tokenizer.rule.kind,
        command=command("convert.py", sys.argv[1:] if arguments is None else arguments),
        notes=converted.notes,
    )
    weights = storage.safetensors_file(network.shape(), network.weights(storage.DTYPES[args.dtype]))
    folder.write(args.folder, folder.Parts(weights, tokenizer, card.text(network)))
    shape = network.shape()
    print(f"{args.source}: {reader.what}, {shape['cell']} {' + '.join(map(str, shape['hidden_sizes']))}, vocabulary {network.vocab_size:,}")
    for note in converted.notes:
        print(f"note: {note}")
    print(f"{args.folder}: tokenizer kind `{tokenizer.rule.kind}`, initial tokens {tokenizer.rule.initial_tokens}")


def chosen_tokenizer(args: argparse.Namespace, reader: Reader, source: Source) -> Tokenizer:
    """The vocabulary that was named or lies with the checkpoint, and the rule that was named or is usual for it."""
    path = args.vocab or reader.vocabulary(source)
    if path is None:
        raise InputError(f"the vocabulary of `{args.source}` is not with it: name it with --vocab (text with an entry a line, JSON, pickle, or a data folder)")
    vocabulary: Vocabulary = vocabularies.read(path)
    rule = read_rule(args.tokenizer) if args.tokenizer else vocabulary.usual_rule(args.vocabulary)
    if rule.kind not in ENTRY_KINDS:
        raise InputError(f"tokenizer kind `{rule.kind}` in `{args.tokenizer}` cannot be made of a list of entries, expected one of {', '.join(ENTRY_KINDS)}")
    return Tokenizer(rule, vocabulary.entries)


if __name__ == "__main__":
    errors.run(main)
