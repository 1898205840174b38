"""Training, evaluation and export of recurrent neural network language models.

Reading order: errors, tokenizer, bpe, vocabulary, corpus, model, window, network, candidates, loss, schedule, checkpoint,
trainer, options, scoring, onnx_file, onnx_recurrent, onnx_window, storage, folder, card. Other programs' models are
converted in `convert`.
"""
