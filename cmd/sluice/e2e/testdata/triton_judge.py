"""What Triton's own client sees of a Sluice server: its argument is the gRPC address. It says nothing if all is well."""

import queue
import sys

import numpy
import tritonclient.grpc as triton

MODEL = "smollm2-135m-instruct"
client = triton.InferenceServerClient(sys.argv[1])

assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL)
assert not client.is_model_ready("another")
assert client.get_server_metadata().name == "sluice"
assert client.get_model_metadata("default", as_json=True)["name"] == MODEL
assert [m.name for m in client.get_model_repository_index().models] == [MODEL]


def tensors(prompt, stream=False):
    text = triton.InferInput("text_input", [1], "BYTES")
    text.set_data_from_numpy(numpy.array([prompt.encode()], dtype=numpy.object_))
    flag = triton.InferInput("stream", [1], "BOOL")
    flag.set_data_from_numpy(numpy.array([stream]))
    exclude = triton.InferInput("exclude_input_in_output", [1], "BOOL")
    exclude.set_data_from_numpy(numpy.array([True]))
    return [text, flag, exclude]


parameters = {"max_tokens": 8, "temperature": 0}
prompt = "The capital of France is"
result = client.infer(MODEL, tensors(prompt), parameters=parameters, request_id="mine")
whole = result.as_numpy("text_output")[0].decode()
assert whole.startswith(" Paris") and result.get_response().id == "mine", whole

for bad in ({"temperature": 3}, {"unheard_of": 1}):
    try:
        client.infer(MODEL, tensors(prompt), parameters=bad)
    except triton.InferenceServerException as error:
        assert "INVALID_ARGUMENT" in error.status() and next(iter(bad)) in error.message(), error
    else:
        raise AssertionError(bad)

answers = queue.Queue()
client.start_stream(callback=lambda result, error: answers.put((result, error)))
for name in ("a", "b"):
    client.async_stream_infer(
        MODEL, tensors(prompt, stream=True), parameters=parameters, request_id=name, enable_empty_final_response=True
    )
client.async_stream_infer("another", tensors(prompt, stream=True), request_id="c")
texts, pieces, ended = {"a": "", "b": ""}, 0, set()
while ended != {"a", "b", "c"}:
    result, error = answers.get(timeout=60)
    if error is not None:
        assert "not served" in str(error), error
        ended.add("c")
        continue
    response = result.get_response()
    if response.parameters["triton_final_response"].bool_param:
        ended.add(response.id)
    else:
        texts[response.id] += result.as_numpy("text_output")[0].decode()
        pieces += 1
client.stop_stream()
assert texts == {"a": whole, "b": whole} and pieces > 4, (texts, pieces)

# A stream that is left is ended by the server; the test asks it.
client.start_stream(callback=lambda result, error: answers.put((result, error)))
client.async_stream_infer(MODEL, tensors(prompt, stream=True), parameters={"max_tokens": 4000, "ignore_eos": True})
answers.get(timeout=60)
client.stop_stream(cancel_requests=True)
client.close()
