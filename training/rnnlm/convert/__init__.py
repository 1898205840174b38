"""Model folders out of what other programs trained.

Reading order: source (what is found, and how it is recognised), network and tensors (what it becomes), windows and masking (how it
reads), then the sources: torch_models (with torch_norms and torch_starts) and torch_char_models over torch_files and pickles, keras_models
(with keras_norms) over keras_files, textgenrnn, char_rnn over tensor_bundle and slice_tables (both over leveldb_table), britz over
npz_files, dlfs2; last vocabularies and card.
"""

from __future__ import annotations

from ..errors import InputError
from . import britz, char_rnn, dlfs2, keras_models, textgenrnn, torch_char_models, torch_models
from .source import Reader, Source

# In the order in which they are asked whether a source is theirs.
READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        torch_models.AWD_LSTM,
        torch_models.ICEFALL,
        torch_models.ESPNET,
        torch_char_models.SPRO,
        torch_char_models.UDACITY,
        torch_models.WORD_LANGUAGE_MODEL,
        keras_models.READER,
        textgenrnn.READER,
        char_rnn.READER,
        char_rnn.ML5_READER,
        britz.READER,
        dlfs2.READER,
    )
}


def reader_of(source: Source, name: str) -> Reader:
    """The reader of that name, or, for `auto`, the one that recognises the source."""
    if name == "auto":
        return next(reader for reader in READERS.values() if reader.form == source.form and reader.recognises(source))
    reader = READERS[name]
    if reader.form != source.form:
        raise InputError(f"`{source.path}` is {source.form.value}, but {name} reads {reader.form.value}")
    return reader
