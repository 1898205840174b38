"""lm-evaluation-harness, with `local-completions` and the tokenizer of the server, on texts of this repository."""

import json

import pytest
from conftest import MODEL, client

client("lm_eval")
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.evaluator import simple_evaluate  # noqa: E402
from lm_eval.models.openai_completions import LocalCompletionsAPI  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

CONTEXT = "She was sitting by the"
TEXT = "It was a dark and stormy night, and the wind was rising. The old man looked at the sea."


@pytest.fixture(scope="module")
def harness(address):
    return LocalCompletionsAPI(base_url=f"{address}/v1/completions", model=MODEL, tokenizer_backend="remote", max_gen_toks=8,
                               max_retries=1)


def instances(kind, *arguments):
    return [Instance(request_type=kind, doc={}, arguments=each, idx=index) for index, each in enumerate(arguments)]


def test_a_log_likelihood_is_that_of_score(harness, own):
    continuations = [" window", " piano", " open window"]
    found = harness.loglikelihood(instances("loglikelihood", *((CONTEXT, text) for text in continuations)))
    scores = own("score", {"context": CONTEXT, "texts": continuations})["results"]
    assert [logprob for logprob, _ in found] == pytest.approx([score["logprob"] for score in scores], rel=1e-12)
    best = own("next", {"text": CONTEXT, "top_k": 1})["distribution"][0]["text"]
    ((_, is_greedy),) = harness.loglikelihood(instances("loglikelihood", (CONTEXT, best)))
    assert is_greedy
    assert not found[1][1]


def test_a_rolling_log_likelihood_is_that_of_score(harness, own):
    (found,) = harness.loglikelihood_rolling(instances("loglikelihood_rolling", (TEXT,)))
    assert found == pytest.approx(own("score", {"text": TEXT})["results"][0]["logprob"], rel=1e-12)


def test_a_greedy_text_is_that_of_generate(harness, own):
    until = {"until": ["."], "max_gen_toks": 8, "do_sample": False}
    (found,) = harness.generate_until(instances("generate_until", (CONTEXT, until)))
    body = {"text": CONTEXT, "max_tokens": 8, "temperature": 0, "stop": ["."]}
    assert found == own("generate", body)["choices"][0]["text"]


def test_a_task_of_a_local_file(address, own, tmp_path):
    texts = [TEXT, "The captain looked at the coachman, and said nothing."]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    task = {"task": "local_texts", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test", "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "word_perplexity"}]}
    results = simple_evaluate(
        model="local-completions", tasks=[task], task_manager=TaskManager(include_defaults=False), bootstrap_iters=0,
        model_args={"base_url": f"{address}/v1/completions", "model": MODEL, "tokenizer_backend": "remote"})
    perplexity = results["results"]["local_texts"]["word_perplexity,none"]
    assert perplexity == pytest.approx(own("score", {"texts": texts})["total"]["word_perplexity"], rel=1e-9)
