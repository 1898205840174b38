"""Training, evaluation and export of recurrent neural network language models.

Reading order: errors, tokenizer, bpe, vocabulary, corpus, model, candidates, loss, schedule, checkpoint, trainer, options,
scoring, folder.
"""
