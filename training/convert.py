"""Converts what another program trained into a model folder that the server loads: `convert.py model.pt models/mine --vocab data/wikitext-2`."""

from __future__ import annotations

import argparse
import pathlib
import sys

from rnnlm import errors, folder, weights_file
from rnnlm.command import command
from rnnlm.convert import READERS, reader_of, vocabularies, windows
from rnnlm.convert.card import Card
from rnnlm.convert.source import Converted, Form, Hints, Reader, Source, open_source
from rnnlm.convert.vocabularies import TEXT_RULES, Vocabulary
from rnnlm.errors import InputError
from rnnlm.tokenizer import ENTRY_KINDS, Tokenizer, read_rule


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    folder.refuse_existing(args.folder)
    source = open_source(args.source)
    reader = reader_of(source, args.reader)
    converted = reader.read(source, hints(args, reader))
    window = windows.window_of(converted.reading, windows.Request(args.window, args.pad))
    tokenizer = chosen_tokenizer(args, reader, source, converted)
    network = converted.network
    if len(tokenizer.vocabulary) != network.vocab_size:
        raise InputError(f"the vocabulary has {len(tokenizer.vocabulary):,} entries, the checkpoint {network.vocab_size:,}")
    if window and not 0 <= window.pad < network.vocab_size:
        raise InputError(f"--pad is {window.pad}; the vocabulary has ids from 0 to {network.vocab_size - 1}")
    network = windows.applied(network, converted.reading, window)
    card = Card(
        name=args.folder.name,
        what=reader.what,
        source=args.source.name,
        dtype=args.dtype,
        kind=tokenizer.rule.kind,
        command=command("convert.py", sys.argv[1:] if arguments is None else arguments),
        notes=(*converted.notes, *windows.notes(converted.reading, window)),
    )
    weights = network.file(args.dtype, window, tokenizer.vocabulary[window.pad] if window else None)
    folder.write(args.folder, folder.Parts(weights, tokenizer, card.text(network)))
    print(f"{args.source}: {reader.what}, {network.cell} {' + '.join(map(str, network.hidden_sizes))}, vocabulary {network.vocab_size:,}")
    for note in card.notes:
        print(f"note: {note}")
    print(f"{args.folder}: tokenizer kind `{tokenizer.rule.kind}`, initial tokens {tokenizer.rule.initial_tokens}")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=pathlib.Path, help="checkpoint: a file or a folder")
    parser.add_argument("folder", type=pathlib.Path, help="new model folder")
    parser.add_argument("--from", dest="reader", choices=("auto", *READERS), default="auto", help="the program that wrote the checkpoint; auto recognises it by its content (%(default)s)")
    vocabulary = parser.add_mutually_exclusive_group()
    vocabulary.add_argument("--vocab", type=pathlib.Path, help="vocabulary: text, JSON, pickle, or the folder of the training text; by default the one that lies with the checkpoint or in it")
    vocabulary.add_argument("--vocab-from-text", type=pathlib.Path, metavar="FILE", help="the text that a character model was trained on: its characters are the vocabulary")
    parser.add_argument("--rule", choices=TEXT_RULES, default="sorted-set", help="how the program numbered the characters of --vocab-from-text (%(default)s)")
    parser.add_argument("--lowercase", action="store_true", help="the program lowercased the text of --vocab-from-text; the server will do so too")
    rule = parser.add_mutually_exclusive_group()
    rule.add_argument("--vocabulary", metavar="KIND", help=f"how text is split: {', '.join(ENTRY_KINDS)}; by default what fits the entries")
    rule.add_argument("--tokenizer", type=pathlib.Path, help="JSON file with the manifest's tokenizer keys and `initial_tokens`, instead of --vocabulary")
    parser.add_argument("--cell", choices=("rnn_tanh", "rnn_relu"), help="activation of a plain RNN, where the checkpoint does not say it")
    parser.add_argument("--norms", type=names, default=(), metavar="LIST", help="PyTorch: modules that normalise, one before each layer and one before the output layer, separated by commas; `none` where there is none; by default norm.0, norm.1, ... where they exist")
    parser.add_argument("--norm-epsilon", type=float, metavar="X", help="PyTorch: what the normalisations of a state_dict add to a variance; by default 0.00001")
    parser.add_argument("--start", type=names, default=(), metavar="H[,C]", help="PyTorch: tensors of a learned initial state; by default h0 and c0 where they exist")
    parser.add_argument("--window", type=windows.parse_window, metavar="N|none", help="tokens that each prediction reads from a zero state, or none to carry the state on; by default what the checkpoint says")
    parser.add_argument("--pad", type=int, metavar="ID", help="id that stands before the first token of a window; by default 0")
    parser.add_argument("--dtype", choices=weights_file.DTYPES, default="f32", help="type in which weights are stored; a network that reads a window takes f32 or f16 (%(default)s)")
    args = parser.parse_args(arguments)
    if args.lowercase and not args.vocab_from_text:
        parser.error("--lowercase says how the text of --vocab-from-text was read: add it, or give the rule with --tokenizer")
    return args


def names(text: str) -> tuple[str, ...]:
    """A list of names, separated by commas."""
    found = tuple(text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"`{text}` has an empty name between its commas")
    return found


def hints(args: argparse.Namespace, reader: Reader) -> Hints:
    """What the options say of the network. Checkpoints of other programs than PyTorch say themselves what normalises them."""
    given = [option for option, value in (("--norms", args.norms), ("--norm-epsilon", args.norm_epsilon), ("--start", args.start)) if value]
    if given and reader.form is not Form.TORCH:
        raise InputError(f"{given[0]} describes a checkpoint of PyTorch; `{args.source}` is {reader.form.value}, which says itself what it is made of")
    return Hints(args.cell, args.norms, args.norm_epsilon, args.start)


def chosen_tokenizer(args: argparse.Namespace, reader: Reader, source: Source, converted: Converted) -> Tokenizer:
    """The vocabulary that was named, or that comes with the checkpoint, and the rule that was named or is usual for it."""
    vocabulary = chosen_vocabulary(args, reader, source, converted)
    rule = read_rule(args.tokenizer) if args.tokenizer else vocabulary.usual_rule(args.vocabulary)
    if rule.kind not in ENTRY_KINDS:
        raise InputError(f"tokenizer kind `{rule.kind}` in `{args.tokenizer}` cannot use a list of entries; kinds that can are {', '.join(ENTRY_KINDS)}")
    return Tokenizer(rule, vocabulary.entries)


def chosen_vocabulary(args: argparse.Namespace, reader: Reader, source: Source, converted: Converted) -> Vocabulary:
    if args.vocab_from_text:
        return vocabularies.from_text(args.vocab_from_text, args.rule, args.lowercase)
    path = args.vocab or reader.vocabulary(source)
    if path is not None:
        return vocabularies.read(path)
    if converted.vocabulary is not None:
        return converted.vocabulary
    raise InputError(
        f"the vocabulary of `{args.source}` does not come with it: name it with --vocab (text with an entry a line, JSON, pickle, or a data folder), "
        "or with --vocab-from-text name the text that a character model was trained on"
    )


if __name__ == "__main__":
    errors.run(main)
