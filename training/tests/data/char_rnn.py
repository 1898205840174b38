"""Writes the checkpoints of char-rnn that the tests read, with TensorFlow's own cells, and the probabilities that they yield.

    python training/tests/data/char_rnn.py          # needs tensorflow 2.21 and no other of this repository's packages

The graph is that of a char-rnn: an embedding, two cells, a softmax, and Adam's moments. Its variables get numbers of the size that
trained ones have, so that a gate in the wrong place shows. `char-rnn-v1` is the LSTM again in TensorFlow's first format.
"""

import json
import pathlib

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.keras.layers.legacy_rnn import rnn_cell_impl as cells

VOCAB, HIDDEN, LAYERS = 9, 5, 2
IDS = [3, 1, 4, 1, 5, 8, 2, 6, 5, 3, 0, 7]

CELLS = {"lstm": cells.BasicLSTMCell, "gru": cells.GRUCell, "rnn": cells.BasicRNNCell}


def main():
    tf.disable_eager_execution()
    for seed, name in enumerate(CELLS):
        with tf.Graph().as_default(), tf.Session() as session:
            write(session, name, np.random.default_rng(seed))


def write(session, name, numbers):
    with tf.variable_scope("rnnlm"):
        softmax_w = tf.get_variable("softmax_w", [HIDDEN, VOCAB])
        softmax_b = tf.get_variable("softmax_b", [VOCAB])
    embedding = tf.get_variable("embedding", [VOCAB, HIDDEN])
    cell = cells.MultiRNNCell([CELLS[name](HIDDEN) for _ in range(LAYERS)])
    state = cell.zero_state(1, tf.float32)
    outputs = []
    with tf.variable_scope("rnnlm"):
        for token in IDS:
            output, state = cell(tf.nn.embedding_lookup(embedding, [token]), state)
            outputs.append(output)
    logits = tf.matmul(tf.concat(outputs, 0), softmax_w) + softmax_b
    tf.train.AdamOptimizer(tf.Variable(0.001, trainable=False)).minimize(tf.reduce_mean(logits))
    session.run(tf.global_variables_initializer())
    for variable in tf.trainable_variables():
        variable.load(numbers.normal(0.0, 0.7, variable.shape.as_list()).astype("f"), session)
    folder = pathlib.Path(__file__).with_name(f"char-rnn-{name}")
    folder.mkdir(exist_ok=True)
    # In place of the file that TensorFlow writes, which has this machine's folders.
    tf.train.Saver().save(session, str(folder / "model.ckpt"), global_step=7, write_meta_graph=False, latest_filename="unwanted")
    (folder / "unwanted").unlink()
    (folder / "checkpoint").write_text('model_checkpoint_path: "/somewhere/else/model.ckpt-7"\n')
    if name == "lstm":
        write_first_format(session)
    probs = session.run(tf.nn.softmax(logits))
    rows = ",\n".join(json.dumps([round(float(value), 9) for value in row]) for row in probs)
    (folder / "probs.json").write_text(f'{{"ids": {IDS}, "probs": [\n{rows}\n]}}\n')


def write_first_format(session):
    folder = pathlib.Path(__file__).with_name("char-rnn-v1")
    folder.mkdir(exist_ok=True)
    saver = tf.train.Saver(write_version=tf.train.SaverDef.V1)
    saver.save(session, str(folder / "model.ckpt"), global_step=7, write_meta_graph=False, latest_filename="unwanted")
    (folder / "unwanted").unlink()
    (folder / "checkpoint").write_text('model_checkpoint_path: "/somewhere/else/model.ckpt-7"\n')


if __name__ == "__main__":
    main()
