"""Training, evaluation and export of recurrent neural network language models.

Reading order: errors, tokenizer, bpe, vocabulary, corpus, coverage, architecture, cells, model, window, windowed, network, candidates,
loss, schedule, checkpoint, training_log, scoring, trainer, bounds, options; then the files: onnx_file, onnx_recurrent, onnx_window,
onnx_windowed, weights_file, storage, folder, command, card; and back from them: onnx_graph, reading. Other programs' models are
converted in `convert`, which needs no PyTorch, and nothing here that does.
"""
