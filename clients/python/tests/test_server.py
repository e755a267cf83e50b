"""The wrapper against the real server."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import grpc
import pytest

from sluice_client import (
    Cancelled,
    Client,
    DeadlineExceeded,
    FinishReason,
    InvalidArgument,
    Message,
    NotFound,
    build_request,
)
from sluice_client.v1.inference_pb2 import EXPLAIN_UNIT_WORD, POOLING_LAST
from sluice_client.v1.models_pb2 import MODEL_STATE_READY

PROMPTS = [
    "The capital of France is",
    "Translate to Chinese: 你好，世界。今天天气很好，我们去公园吧。",
    "Repeat these emoji: 😀🎉👩‍👩‍👧‍👦🇨🇭 😀🎉👩‍👩‍👧‍👦🇨🇭 😀",
]
QUESTION: list[Message] = [{"role": "user", "content": "Name three rivers."}]
MODEL = "smollm2-135m-instruct"
ENDLESS = {2: -100.0}
"""The bias that keeps the model from ending a text."""


def test_generate(client: Client) -> None:
    answer = client.generate(PROMPTS[0], max_tokens=12, temperature=0, return_token_ids=True)
    assert "Paris" in answer.text
    assert answer.model == MODEL and answer.id
    assert answer.usage.prompt_tokens == client.count_tokens(PROMPTS[0])
    assert answer.usage.completion_tokens == len(answer.outputs[0].token_ids) <= 12
    assert answer.outputs[0].finish_reason in (FinishReason.LENGTH, FinishReason.STOP)
    assert answer.timings.time_to_first_token.total_seconds() > 0


@pytest.mark.parametrize("prompt", PROMPTS)
def test_joined_stream_equals_unary(client: Client, prompt: str) -> None:
    request = build_request(prompt, max_tokens=48, temperature=0, ignore_eos=True)
    whole = client.generate(request=request)
    with client.stream(request=request) as stream:
        texts = [delta.text for delta in stream]
    assert "".join(texts) == whole.text
    assert len(texts) > 1 and all(texts)
    assert stream.usage and stream.usage.prompt_tokens == whole.usage.prompt_tokens
    assert stream.usage.completion_tokens == whole.usage.completion_tokens
    assert stream.model == MODEL and stream.id
    assert [f.finish_reason for f in stream.finished] == [FinishReason.LENGTH]


def test_sampled_stream_equals_unary(client: Client) -> None:
    request = build_request(messages=QUESTION, max_tokens=48, temperature=0.9, top_p=0.9, seed=7)
    assert client.stream(request=request).read() == client.generate(request=request).text


def test_drawn_seed_is_returned(client: Client) -> None:
    first = client.generate(messages=QUESTION, max_tokens=24, temperature=1.0)
    again = client.generate(messages=QUESTION, max_tokens=24, temperature=1.0, seed=first.outputs[0].seed)
    assert again.text == first.text


def test_stop(client: Client) -> None:
    answer = client.generate("One, two, three, four,", max_tokens=40, temperature=0, stop=["seven"])
    assert answer.outputs[0].finish_reason is FinishReason.STOP_SEQUENCE
    assert answer.outputs[0].stop_sequence == "seven"
    assert "seven" not in answer.text


def test_logprobs(client: Client) -> None:
    request = build_request(
        PROMPTS[0], max_tokens=4, temperature=0, logprobs=2, prompt_logprobs=0, return_token_ids=True, echo=True
    )
    answer = client.generate(request=request)
    output = answer.outputs[0]
    assert answer.text.startswith(PROMPTS[0])
    assert [p.chosen.token_id for p in output.logprobs] == list(output.token_ids)
    assert all(p.chosen == p.top[0] and len(p.top) == 2 and p.chosen.logprob < 0 for p in output.logprobs)
    assert b"".join(p.chosen.token for p in answer.prompt_logprobs) == PROMPTS[0].encode()
    with client.stream(request=request) as stream:
        deltas = list(stream)
    assert "".join(d.text for d in deltas) == answer.text
    assert tuple(p for d in deltas for p in d.logprobs) == output.logprobs
    assert tuple(stream.prompt_logprobs) == answer.prompt_logprobs


def test_constraints(client: Client) -> None:
    schema = {"type": "object", "properties": {"name": {"const": "Ada"}}, "required": ["name"], "additionalProperties": False}
    answer = client.generate("A girl, as JSON:", json_schema=schema, max_tokens=60, temperature=0)
    assert json.loads(answer.text) == {"name": "Ada"}
    assert client.generate("Yes or no?", choices=["yes", "no"], temperature=0).text in ("yes", "no")


def test_exclusions(client: Client) -> None:
    def ids(**options: object) -> tuple[int, ...]:
        answer = client.generate(
            PROMPTS[0], max_tokens=12, temperature=0, return_token_ids=True, **options  # type: ignore[arg-type]
        )
        return answer.outputs[0].token_ids

    first = ids()[0]
    assert first not in ids(logit_bias={first: -100})
    assert first not in ids(bad_words=["Paris"])
    assert set(ids(allowed_token_ids=[30, 28], min_tokens=12)) <= {28, 30}
    assert len(set(ids(no_repeat_ngram_size=1, typical_p=0.9))) == len(ids(no_repeat_ngram_size=1, typical_p=0.9))
    assert client.generate(PROMPTS[0], max_tokens=1, truncate_prompt_tokens=2).usage.prompt_tokens == 2


def test_several_outputs(client: Client) -> None:
    request = build_request(PROMPTS[0], max_tokens=8, temperature=1, seed=3, n=3)
    answer = client.generate(request=request)
    assert [(o.index, o.seed) for o in answer.outputs] == [(0, 3), (1, 4), (2, 5)]
    with client.stream(request=request) as stream:
        deltas = list(stream)
    for output in answer.outputs:
        assert "".join(d.text for d in deltas if d.index == output.index) == output.text
        assert output.text == client.generate(PROMPTS[0], max_tokens=8, temperature=1, seed=output.seed).text
    assert len(stream.finished) == 3


def test_score(client: Client) -> None:
    paris, london = client.score(PROMPTS[0], [" Paris", " London"], logprobs=2)
    assert paris.is_greedy and not london.is_greedy
    assert paris.log_likelihood > london.log_likelihood
    assert [(s.tokens, len(s.logprobs), len(s.logprobs[0].top)) for s in (paris, london)] == [(1, 1, 2)] * 2
    assert london.log_likelihood == pytest.approx(london.logprobs[0].chosen.logprob)
    (turn,) = client.score(messages=QUESTION, continuations=["The Rhine."])
    assert turn.tokens > 1 and turn.log_likelihood < 0 and not turn.logprobs
    with pytest.raises(InvalidArgument) as caught:
        client.score(PROMPTS[0], [" Paris", ""])
    assert [v.field for v in caught.value.field_violations] == ["continuations[1]"]
    with pytest.raises(TypeError, match="exactly one"):
        client.score(continuations=["x"])


def test_embed(client: Client) -> None:
    texts = ["The cat sleeps.", "A rocket flies to the moon, and nobody is in it."]
    vectors = client.embed(texts)
    size = client.model().embedding_size
    assert [len(v) for v in vectors] == [size, size]
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=1e-5)
    # Company does not show: alone, and as its tokens, a text has the same vector to the bit.
    ids = [t.id for t in client.tokenize(texts[1])]
    assert client.embed(texts[1]) == [vectors[1]] == client.embed([ids])
    (last,) = client.embed([texts[0]], pooling=POOLING_LAST, normalize=False, dimensions=8)
    assert len(last) == 8 and last != vectors[0][:8]
    with pytest.raises(InvalidArgument) as caught:
        client.embed(["x", ""])
    assert [v.field for v in caught.value.field_violations] == ["inputs[1].text"]


def test_explain(client: Client) -> None:
    prompt = "I like tea. Paris is in France. The capital of France is"
    explanation = client.explain(prompt, answer=" Paris")
    assert [prompt[a.start : a.end] for a in explanation.attributions] == ["I like tea. ", "Paris is in France. ", "The capital of France is"]
    assert explanation.answer_tokens == 1
    (score,) = client.score(prompt, [" Paris"])
    assert explanation.log_likelihood == pytest.approx(score.log_likelihood, abs=1e-3)
    # An effect is what scoring the rest, without the segment, gives less.
    (without,) = client.score(prompt.removeprefix("I like tea. "), [" Paris"])
    assert explanation.attributions[0].effect == pytest.approx(score.log_likelihood - without.log_likelihood, abs=1e-3)
    words = client.explain("Two words", answer=" more", unit=EXPLAIN_UNIT_WORD)
    assert [(a.start, a.end) for a in words.attributions] == [(0, 4), (4, 9)]
    turns = client.explain(messages=[*QUESTION, {"role": "assistant", "content": "Rhine."}, *QUESTION], answer="Rhône.")
    assert [a.message for a in turns.attributions] == [0, 1, 2]
    with pytest.raises(InvalidArgument) as caught:
        client.explain(prompt, answer="")
    assert [v.field for v in caught.value.field_violations] == ["answer"]


def test_tokens(client: Client) -> None:
    text = "你好 👩‍👩‍👧‍👦!"
    tokens = client.tokenize(text, add_special_tokens=False)
    assert b"".join(t.bytes for t in tokens) == text.encode()
    ids = [t.id for t in tokens]
    assert client.detokenize(ids) == text
    assert client.generate(tokens=ids, max_tokens=1).usage.prompt_tokens == len(ids)
    assert client.count_tokens(messages=QUESTION) > client.count_tokens(QUESTION[0]["content"])


def test_models(client: Client) -> None:
    model = client.models()[0]
    assert (model.name, model.state, model.chat) == (MODEL, MODEL_STATE_READY, True)
    assert client.model() == client.model(MODEL)


def test_bad_fields(client: Client) -> None:
    with pytest.raises(InvalidArgument) as caught:
        client.generate("x", top_p=1.5, temperature=float("nan"), min_p=-0.1)
    fields = {v.field for v in caught.value.field_violations}
    assert fields == {"sampling.top_p", "sampling.temperature", "sampling.min_p"}
    assert all(v.description for v in caught.value.field_violations)


def test_refused_stream_has_no_event(client: Client) -> None:
    with pytest.raises(InvalidArgument) as caught, client.stream("") as stream:
        next(stream)
    assert [v.field for v in caught.value.field_violations] == ["prompt"]
    assert stream.id == ""


def test_unknown_model(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        client.generate("x", model="gpt-9")
    assert caught.value.resource == "gpt-9"


def running(client: Client) -> int:
    return sum(replica.running for replica in client.model().replicas)


def wait_until_idle(client: Client) -> None:
    deadline = time.monotonic() + 20
    while running(client) > 0:
        assert time.monotonic() < deadline, "the request still runs"
        time.sleep(0.01)


def test_leaving_the_block_frees_the_slot(client: Client) -> None:
    with client.stream(PROMPTS[0], max_tokens=2000, ignore_eos=True) as stream:
        next(stream)
        assert running(client) == 1
    wait_until_idle(client)
    assert stream.usage is None


def test_cancel_mid_stream(client: Client) -> None:
    stream = client.stream(PROMPTS[0], max_tokens=2000, ignore_eos=True)
    next(stream)
    canceller = threading.Thread(target=stream.cancel)
    canceller.start()
    with pytest.raises(Cancelled):
        for _ in stream:
            pass
    canceller.join()
    wait_until_idle(client)


def test_deadline(client: Client) -> None:
    # With ignore_eos the server would know that it takes too long, and refuse it.
    with pytest.raises(DeadlineExceeded) as caught:
        client.generate(PROMPTS[0], max_tokens=2000, logit_bias=ENDLESS, timeout=0.3)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(DeadlineExceeded), client.stream(
        PROMPTS[0], max_tokens=2000, logit_bias=ENDLESS, timeout=0.3
    ) as stream:
        for _ in stream:
            pass
    wait_until_idle(client)


def test_parallel_streams(client: Client) -> None:
    request = build_request(PROMPTS[0], max_tokens=16, temperature=0)
    want = client.generate(request=request).text
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(client.stream(request=request).read())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [want] * 8


def test_readme(server_addr: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's first example runs as it is, but for the address."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert example is not None and "127.0.0.1:50051" in example[1]
    exec(example[1].replace("127.0.0.1:50051", server_addr), {})
    assert re.search(r"\n\d+ tokens, (stop|length)\n$", capsys.readouterr().out)
