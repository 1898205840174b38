"""The service that a user would write: FastAPI in front of ONNX Runtime, the most likely next tokens after a prompt.

Runs: FOLDER=... uvicorn service:app
"""

import os
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from worker import OnnxRuntime

folder = Path(os.environ["FOLDER"])
engine = OnnxRuntime(folder, "f32")
words = (folder / "vocab.txt").read_text().split("\n")
app = FastAPI()


class Request(BaseModel):
    tokens: list[int]
    top_k: int = 10


class Token(BaseModel):
    id: int
    token: str
    prob: float
    logprob: float
    rank: int


class Answer(BaseModel):
    distribution: list[Token]


@app.post("/v1/next")
def next_token(request: Request) -> Answer:
    ids = np.array(request.tokens, np.int64)[:, None]
    logits, _ = engine.run(ids, engine.zeros(1))
    logits = logits[0].astype(np.float64)
    logits -= logits.max()
    logprobs = logits - np.log(np.exp(logits).sum())
    top = np.argpartition(-logprobs, request.top_k)[: request.top_k]
    top = top[np.argsort(-logprobs[top])]
    tokens = [
        Token(id=int(id), token=words[id], prob=float(np.exp(logprobs[id])), logprob=float(logprobs[id]), rank=rank)
        for rank, id in enumerate(top, 1)
    ]
    return Answer(distribution=tokens)
