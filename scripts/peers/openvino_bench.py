"""Speed of openvino-genai's continuous batching on given prompts, from a GGUF or an OpenVINO folder.

    pip install openvino-genai==VERSION
    python scripts/peers/openvino_bench.py MODEL.gguf --prompts FILE [--batch 1 8] [--answer 128] [--runs 5]
    python scripts/peers/openvino_bench.py MODEL.gguf --jobs        # what bench.py does: jobs.py says how they come

FILE holds requests as `sluice bench --print-requests` prints them. All requests of a batch are added at once, or each when it
is due in an open loop, and stepped in this process, which has no server to pay for.
"""

import time

import jobs
import numpy as np
import openvino
import openvino_genai as genai


class Stream:
    """A request on its way."""

    def __init__(self, handle, length, due):
        self.handle, self.length, self.due = handle, length, due
        self.first = self.end = None
        self.tokens = 0

    def read(self):
        """Takes what has come and returns how many tokens it was."""
        came = 0
        while self.handle.can_read():  # of a finished request, what is left can still be read
            came += sum(len(output.generated_ids) for output in self.handle.read().values())
        if came:
            self.first = self.first or jobs.now()
            self.tokens += came
            if self.tokens >= self.length:
                self.end = jobs.now()
        return came


class Pipeline:
    def __init__(self, path, threads, sequences):
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = 1  # GB
        scheduler.max_num_seqs = sequences
        scheduler.enable_prefix_caching = False  # no two prompts are alike
        self.pipeline = genai.ContinuousBatchingPipeline(path, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads})
        self.count = 0

    def add(self, ids, answer, due):
        config = genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = answer
        config.ignore_eos = True
        config.do_sample = False
        self.count += 1
        tensor = openvino.Tensor(np.array([ids], np.int64))
        return Stream(self.pipeline.add_request(self.count, tensor, config), answer, due)

    def batch(self, requests, answer):
        """Runs requests that all begin now."""
        start = jobs.now()
        streams = [self.add(r["ids"], answer, start) for r in requests]
        full, before, decoding, decoded = False, start, 0.0, 0
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
            came, at = sum(s.read() for s in streams), jobs.now()
            if full:  # all decoded before this step, and none had ended
                decoding, decoded = decoding + at - before, decoded + came
            full, before = all(s.first and not s.end for s in streams), at
        assert all(s.tokens == answer for s in streams), [s.tokens for s in streams]
        size = sum(len(r["ids"]) for r in requests)
        return jobs.Run(len(requests), size, answer, start, [s.first for s in streams], jobs.now(), decoding, decoded)

    def open(self, requests, dues):
        """Runs requests that arrive at their times, in seconds from now, and returns the streams and how long it took."""
        start, streams, waiting = jobs.now(), [], list(zip(dues, requests, strict=True))[::-1]
        running = []
        while waiting or running:
            while waiting and start + waiting[-1][0] <= jobs.now():
                due, request = waiting.pop()
                running.append(self.add(request["ids"], request["max_tokens"], start + due))
                streams.append(running[-1])
            if not running:
                time.sleep(max(start + waiting[-1][0] - jobs.now(), 0))
                continue
            self.pipeline.step()
            for stream in running:
                stream.read()
            running = [s for s in running if not s.end]
        return streams, jobs.now() - start


def main():
    args = jobs.parse(__doc__)
    pipeline = Pipeline(args.model, args.threads, args.sequences)
    jobs.serve(args, pipeline.batch, pipeline.open)


if __name__ == "__main__":
    main()
