"""transformers behind Flask, as articles show it: a global model, one request at a time, the answer when it is whole.

    python scripts/peers/flask_server.py MODEL.gguf --port 8000 [--threads 2]

It speaks as much of OpenAI's protocol as `sluice bench` needs. The answer is one event, since such a server does not
stream: its time to first token is that of the whole answer.
"""

import argparse
import json
import os
import threading

import torch
from flask import Flask, Response, request
from transformers import AutoModelForCausalLM, AutoTokenizer


def make_app(model, tokenizer):
    app = Flask(__name__)
    one_at_a_time = threading.Lock()

    @app.get("/v1/models")
    def models():
        return {"data": [{"id": "transformers"}]}

    @app.post("/v1/completions")
    def completions():
        body = request.get_json()
        prompt, limit = body["prompt"], body["max_tokens"]
        ids = torch.tensor([prompt if isinstance(prompt, list) else tokenizer.encode(prompt)])
        with one_at_a_time, torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=limit,
                min_new_tokens=limit if body.get("ignore_eos") else 0,
                do_sample=False,
                pad_token_id=0,
            )
        answer = out[0, ids.shape[1] :]
        chunk = {
            "choices": [{"text": tokenizer.decode(answer) or " ", "finish_reason": "length"}],
            "usage": {"prompt_tokens": ids.shape[1], "completion_tokens": len(answer)},
        }
        return Response(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", mimetype="text/event-stream")

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    folder, name = os.path.split(os.path.abspath(args.gguf))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    make_app(model, tokenizer).run("127.0.0.1", args.port, threaded=True)


if __name__ == "__main__":
    main()
