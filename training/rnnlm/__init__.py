"""Training, evaluation and export of recurrent neural network language models.

Reading order: errors, tokenizer, corpus, model, window, network, candidates, loss, schedule, checkpoint,
trainer, options, scoring, onnx_window, folder, card.
"""
