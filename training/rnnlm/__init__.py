"""Training, evaluation and export of recurrent neural network language models.

Reading order: errors, tokenizer, corpus, model, candidates, loss, schedule, checkpoint, trainer, options,
scoring, folder. Other programs' models are converted in `convert`.
"""
