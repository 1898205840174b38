"""LangChain's and LiteLLM's providers of OpenAI's completions."""

from conftest import MODEL, client

PROMPT = "She was sitting by the"


def test_langchain_completes_and_streams(address, own):
    langchain = client("langchain_openai")
    model = langchain.OpenAI(model=MODEL, base_url=f"{address}/v1", max_tokens=8, temperature=0, seed=1)
    expected = own("generate", {"text": PROMPT, "max_tokens": 8, "temperature": 0})["choices"][0]["text"]
    assert model.invoke(PROMPT) == expected
    assert "".join(model.stream(PROMPT)) == expected
    assert model.batch([PROMPT, PROMPT]) == [expected, expected]


def test_litellm_completes_and_streams(address, own):
    litellm = client("litellm")
    options = {"model": f"text-completion-openai/{MODEL}", "prompt": PROMPT, "api_base": f"{address}/v1",
               "api_key": "none", "max_tokens": 8, "temperature": 0}
    expected = own("generate", {"text": PROMPT, "max_tokens": 8, "temperature": 0})["choices"][0]["text"]
    assert litellm.text_completion(**options).choices[0].text == expected
    chunks = litellm.text_completion(stream=True, **options)
    assert "".join(choice.text or "" for chunk in chunks for choice in chunk.choices) == expected
