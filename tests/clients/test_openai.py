"""OpenAI's own package, sync and async."""

import asyncio
import json
import urllib.request

import pytest
from conftest import MODEL, REPOSITORY, client
from server import serving

openai = client("openai")

PROMPT = "She was sitting by the"


@pytest.fixture(scope="module")
def completions(address):
    return openai.OpenAI(base_url=f"{address}/v1", max_retries=0).completions


def test_models_are_listed(address):
    models = openai.OpenAI(base_url=f"{address}/v1").models
    assert MODEL in [model.id for model in models.list()]
    assert models.retrieve(MODEL).object == "model"


def test_a_completion_is_a_generation(completions, own):
    options = {"max_tokens": 12, "seed": 7, "n": 2, "temperature": 0.8, "top_p": 0.9,
               "presence_penalty": 0.5, "frequency_penalty": 0.25}
    completion = completions.create(model=MODEL, prompt=PROMPT, logprobs=2, **options)
    expected = own("generate", {"text": PROMPT, "top_logprobs": 2, **options})
    assert [choice.text for choice in completion.choices] == [choice["text"] for choice in expected["choices"]]
    assert completion.usage.total_tokens == expected["usage"]["total_tokens"]
    for choice, other in zip(completion.choices, expected["choices"], strict=True):
        tokens = other["token_logprobs"]
        assert choice.finish_reason == "length"
        assert choice.logprobs.token_logprobs == [token["logprob"] for token in tokens]
        assert choice.logprobs.tokens == [token["text"] for token in tokens]
        for top, token in zip(choice.logprobs.top_logprobs, tokens, strict=True):
            assert top[token["text"]] == token["logprob"]


def test_an_echoed_prompt_is_scored(completions, own):
    completion = completions.create(model=MODEL, prompt=PROMPT, max_tokens=0, echo=True, logprobs=1)
    (choice,) = completion.choices
    scored = own("score", {"text": PROMPT, "token_logprobs": True})["results"][0]["token_logprobs"]
    assert choice.text == PROMPT
    assert choice.logprobs.token_logprobs == [token["logprob"] for token in scored]
    ends = [*choice.logprobs.text_offset[1:], len(PROMPT)]
    assert "".join(PROMPT[at:end] for at, end in zip(choice.logprobs.text_offset, ends, strict=True)) == PROMPT


def test_ids_and_lists_are_prompts(completions, own):
    ids = own("tokenize", {"text": PROMPT})["tokens"]
    options = {"model": MODEL, "max_tokens": 4, "seed": 3}
    alone = completions.create(prompt=PROMPT, **options).choices[0].text
    assert completions.create(prompt=ids, **options).choices[0].text == alone
    several = completions.create(prompt=[ids, ids[:2]], n=2, **options)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    assert several.choices[0].text == alone


def test_a_text_ends_at_a_stop_string(completions):
    options = {"model": MODEL, "prompt": PROMPT, "max_tokens": 20, "temperature": 0}
    whole = completions.create(**options).choices[0].text
    stop = whole.split()[3]
    (choice,) = completions.create(stop=[stop], **options).choices
    assert choice.finish_reason == "stop"
    assert choice.text == whole[: whole.index(stop)]


def test_a_bias_makes_a_token_certain(completions, own):
    (token,) = own("tokenize", {"text": "piano"})["tokens"]
    completion = completions.create(model=MODEL, prompt=PROMPT, max_tokens=1, logit_bias={str(token): 100})
    assert completion.choices[0].text.strip() == "piano"


def test_a_stream_has_the_text_and_its_usage(completions):
    options = {"model": MODEL, "prompt": [PROMPT, "The old man"], "max_tokens": 10, "seed": 5, "n": 2}
    whole = completions.create(**options)
    texts = [""] * 4
    usage = None
    for chunk in completions.create(stream=True, stream_options={"include_usage": True}, **options):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert usage == whole.usage


def test_the_async_client_gets_the_same(address, completions):
    options = {"model": MODEL, "prompt": PROMPT, "max_tokens": 6, "seed": 5}

    async def complete():
        async with openai.AsyncOpenAI(base_url=f"{address}/v1") as asynchronous:
            whole = await asynchronous.completions.create(**options)
            stream = await asynchronous.completions.create(stream=True, **options)
            return whole.choices[0].text, "".join([chunk.choices[0].text async for chunk in stream])

    text = completions.create(**options).choices[0].text
    assert asyncio.run(complete()) == (text, text)


def test_extensions_go_into_the_extra_body(completions, own):
    own("sessions", {"id": "openai", "text": PROMPT})
    moved = completions.create(model=MODEL, prompt=" window", max_tokens=2, temperature=0,
                               extra_body={"session_id": "openai", "expected_position": 5, "top_k": 5})
    assert moved.session == {"id": "openai", "position": 8}
    with pytest.raises(openai.APIStatusError) as caught:
        completions.create(model=MODEL, prompt="", extra_body={"session_id": "openai", "expected_position": 5})
    assert caught.value.status_code == 412


def test_failures_are_exceptions_of_the_package(completions):
    with pytest.raises(openai.BadRequestError) as caught:
        completions.create(model=MODEL, prompt=PROMPT, max_tokens=10**6)
    assert (caught.value.param, caught.value.code) == ("max_tokens", "invalid_value")
    with pytest.raises(openai.BadRequestError):
        completions.create(model=MODEL, prompt=PROMPT, suffix="end", stream=True)
    with pytest.raises(openai.NotFoundError):
        completions.create(model="gpt", prompt=PROMPT)


def test_a_failure_in_the_middle_of_a_stream_is_an_exception(failing):
    """The package raises at the `error`, and reads no further. What follows it is for programs that wait for the end."""
    options = {"model": "failing", "prompt": "a", "max_tokens": 16, "stream": True}
    texts = []

    async def read_async():
        async with openai.AsyncOpenAI(base_url=f"{failing}/v1", max_retries=0) as asynchronous:
            async for chunk in await asynchronous.completions.create(**options):
                texts.append(chunk.choices[0].text)

    def read():
        for chunk in openai.OpenAI(base_url=f"{failing}/v1", max_retries=0).completions.create(**options):
            texts.append(chunk.choices[0].text)

    for reading in (read, lambda: asyncio.run(read_async())):
        texts.clear()
        with pytest.raises(openai.APIError) as caught:
            reading()
        assert (caught.value.code, len(texts)) == ("internal", 4)

    request = urllib.request.Request(f"{failing}/v1/completions", json.dumps(options).encode(), {"content-type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        *chunks, failure, end, rest = answer.read().decode().split("\n\n")
    assert (len(chunks), end, rest) == (4, "data: [DONE]", "")
    assert json.loads(failure.removeprefix("data: "))["error"]["code"] == "internal"


def test_fields_that_mean_nothing_here_are_named(completions):
    answer = completions.with_raw_response.create(model=MODEL, prompt=PROMPT, max_tokens=1, user="me")
    assert answer.headers["x-ignored-fields"] == "user"


def test_a_key_is_sent_and_what_is_wrong_with_it_is_told(binary, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alice:one\nbob:two\n")
    options = ["--api-keys", str(keys), "--key-requests-per-second", "0.01", "--key-requests-burst", "1"]
    with serving(binary, REPOSITORY / "models/shakespeare-rnn", *options) as address:
        def complete(key: str) -> object:
            server = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
            return server.completions.create(model="shakespeare-rnn", prompt="KING", max_tokens=2)

        assert complete("one").usage.completion_tokens == 2
        with pytest.raises(openai.AuthenticationError) as refused:
            complete("three")
        assert refused.value.code == "unauthorized"
        with pytest.raises(openai.RateLimitError) as refused:
            complete("one")
        assert refused.value.code == "rate_limited"
        assert refused.value.response.headers["retry-after"] == "100"
        complete("two")
