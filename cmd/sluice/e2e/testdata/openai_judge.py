"""What the official OpenAI client sees of a Sluice server: its argument is the base URL. It says nothing if all is well."""

import array
import asyncio
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none-is-needed-here", max_retries=0)
prompt = "The capital of France is"

assert [m.id for m in client.models.list()] == ["smollm2-135m-instruct", "default"]
assert client.models.retrieve("default").object == "model"

whole = client.completions.create(model="default", prompt=prompt, temperature=0, max_tokens=8, logprobs=2)
assert whole.choices[0].text.startswith(" Paris"), whole
assert whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 8, whole
assert "".join(whole.choices[0].logprobs.tokens) == whole.choices[0].text, whole
chunks = list(client.completions.create(model="default", prompt=prompt, temperature=0, max_tokens=8, stream=True))
assert "".join(c.choices[0].text for c in chunks) == whole.choices[0].text, chunks
stopped = client.completions.create(model="default", prompt=prompt, temperature=0, max_tokens=8, stop=["."])
assert stopped.choices[0].text == " Paris" and stopped.choices[0].finish_reason == "stop", stopped

messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}]
ask = dict(model="default", messages=messages, seed=7, max_completion_tokens=12, n=2, logprobs=True, top_logprobs=3)
whole = client.chat.completions.create(**ask)
assert [c.index for c in whole.choices] == [0, 1] and whole.usage.total_tokens > 12, whole
assert len(whole.choices[0].logprobs.content[0].top_logprobs) == 3, whole
texts = {0: "", 1: ""}
used = None
for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
    used = chunk.usage or used
    for choice in chunk.choices:
        texts[choice.index] += choice.delta.content or ""
assert [texts[0], texts[1]] == [c.message.content for c in whole.choices], (texts, whole)
assert used.completion_tokens == whole.usage.completion_tokens, used
# An answer can be sent back as it came.
again = [*messages, whole.choices[0].message, {"role": "user", "content": "Another one."}]
assert client.chat.completions.create(model="default", messages=again, max_tokens=4).choices[0].message.role == "assistant"
with client.chat.completions.stream(model="default", messages=messages, max_tokens=4) as stream:
    assert any(event.type == "content.delta" for event in stream)
# Vectors are the same whether they come as base64, which the client asks for by itself, or as numbers.
texts = ["The cat sleeps.", "A rocket flies to the moon."]
vectors = client.embeddings.create(model="default", input=texts)
plain = client.embeddings.create(model="default", input=texts, encoding_format="float")
floats = [[array.array("f", e.embedding) for e in answer.data] for answer in (vectors, plain)]
assert floats[0] == floats[1] and vectors.usage.total_tokens > 4, vectors.usage
assert [e.index for e in vectors.data] == [0, 1] and abs(sum(x * x for x in vectors.data[0].embedding) - 1) < 1e-5, vectors
alone = client.embeddings.create(model="default", input=texts[1], dimensions=64)
assert len(alone.data) == 1 and len(alone.data[0].embedding) == 64, alone
try:
    client.embeddings.create(model="default", input=["x", ""])
    raise AssertionError("an empty input was not refused")
except openai.BadRequestError as error:
    assert error.param == "input[1].text", error


def refused(kind, param, **request):
    try:
        client.completions.create(**({"model": "default", "prompt": "x"} | request))
    except kind as error:
        assert error.param == param and error.message, error
        return
    raise AssertionError(f"{request} was not refused")


refused(openai.BadRequestError, "temperature", temperature=3)
refused(openai.NotFoundError, "model", model="another")
refused(openai.BadRequestError, "suffix", suffix="x")


async def cancelled():
    """A stream that is left is ended by the server; the test asks it."""
    client = openai.AsyncOpenAI(base_url=sys.argv[1], api_key="none-is-needed-here", max_retries=0)
    stream = await client.completions.create(
        model="default", prompt=prompt, max_tokens=4000, stream=True, extra_body={"ignore_eos": True}
    )
    async for _ in stream:
        break
    await stream.close()


asyncio.run(cancelled())
