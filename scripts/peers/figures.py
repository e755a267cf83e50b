"""What the figures come to: medians over rounds, the best peer of a line, and whether a goal is reached. No input, no output."""

import statistics
from dataclasses import dataclass

GEMMA = "gemma-3-270m"  # a Store's model
# Of each peer's form of the weights to their values in float32, by model and by what the peer's name begins with;
# docs/quantisation.md and docs/benchmarks/gemma.md say over which text, and how to measure it.
KL = {
    "": {
        "Sluice": 0.0035,
        "Sluice row8": 0.0079,
        "llama.cpp Q4_1": 0.0029,
        "llama.cpp Q4_0": 0.291,
        "openvino-genai": 0.275,
        "onnxruntime-genai": 0.414,
        "transformers": 0.0,
    },
    GEMMA: {
        "Sluice": 0.0025,
        "llama.cpp Q4_K_M": 0.0051,
        "llama.cpp Q4_0": 0.4749,
        "openvino-genai int8": 0.0071,
        "openvino-genai int4": 0.5842,
        "onnxruntime-genai": 0.5801,
    },
}
TTFT_P95 = 1000.0  # ms: what goodput is compared at


def model_of(stage):
    """Returns the model of a stage, as a Store has it."""
    return GEMMA if stage == "gemma" else ""


def kl(peer, model=""):
    """Returns the divergence of a peer's weights, or None."""
    begins = max((name for name in KL[model] if peer.startswith(name)), key=len, default=None)
    return KL[model].get(begins)


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def rounds_of(results, workload, peer, key, stage="rounds"):
    """Returns a peer's figures of a workload by round."""
    found = {}
    for r in results:
        if (r["stage"], r["workload"], r["peer"]) == (stage, workload, peer) and r.get(key) is not None:
            found[r["round"]] = r[key]
    return found


def best_level(results, peer):
    """Returns the open loop's result with the greatest goodput among those whose p95 time to first token is short enough."""
    mine = [r for r in results if r["stage"] == "open" and r["peer"] == peer and r["ttft_p95_ms"] <= TTFT_P95]
    return max(mine, key=lambda r: r["goodput_per_s"], default=None)


def ours(name):
    return name.startswith("Sluice")


# The ways of Sluice that goals are judged by: as it comes, without speculation, and that in the form for many requests.
WAYS = {"Sluice": "Sluice", "without speculation": "Sluice, no speculation", "`row8`, without speculation": "Sluice row8, no speculation"}


@dataclass(frozen=True)
class Goal:
    """A line of the project's goals: ratio is how many times the best peer's figure Sluice's is to be, or less of it if less."""

    work: str
    workload: str
    key: str
    unit: str
    ratio: float
    stage: str = "rounds"
    less: bool = False

    @property
    def asked(self):
        return f"{'≤' if self.less else '≥'} {self.ratio:g} ×"

    def reached(self, ratio):
        return ratio <= self.ratio if self.less else ratio >= self.ratio

    def judge(self, results):
        """Returns the best peer, its median, and of each of Sluice's ways the median and the median of the rounds' ratios."""
        names = {r["peer"] for r in results if r["stage"] == self.stage and (self.stage == "open" or r["workload"] == self.workload)}
        of = {name: self.of(results, name) for name in names}
        peers = {name: median(rounds.values()) for name, rounds in of.items() if not ours(name) and rounds}
        if not peers:
            return None, None, []
        best = (min if self.less else max)(peers, key=lambda name: peers[name])
        found = []
        for name in WAYS.values():
            mine = of.get(name, {})
            found.append((median(mine.values()), median([mine[n] / of[best][n] for n in mine.keys() & of[best].keys()])))
        return best, peers[best], found

    def of(self, results, name):
        if self.stage == "open":
            level = best_level(results, name)
            return {1: level[self.key]} if level else {}
        return rounds_of(results, self.workload, name, self.key, self.stage)


GOALS = [
    Goal("decode, batch 1", "1 stream", "decode_tokens_per_s", "tokens/s", 1.5),
    Goal("8 concurrent streams", "8 streams", "tokens_per_s", "tokens/s", 1.6),
    Goal("16 concurrent streams", "16 streams", "tokens_per_s", "tokens/s", 1.8),
    Goal("open loop, mixed lengths, goodput at a p95 of 1 s to the first token", "", "goodput_per_s", "requests/s", 2, stage="open"),
    Goal("prefill of 512", "prefill of 512", "prompt_tokens_per_s", "tokens/s", 1.3),
    Goal("prefill, 16 prompts of 128 at once", "prefill of 16 × 128", "prompt_tokens_per_s", "tokens/s", 1.1),
    Goal("decode at context 1,024, batch 1", "context 1024, 1 stream", "decode_tokens_per_s", "tokens/s", 1.5),
    Goal("decode at context 1,024, batch 8", "context 1024, 8 streams", "decode_tokens_per_s", "tokens/s", 1.5),
    Goal("16 clients against Flask and transformers, throughput", "16 clients", "tokens_per_s", "tokens/s", 25, stage="clients"),
    Goal("16 clients against Flask and transformers, p95 of the whole answer", "16 clients", "e2e_p95_ms", "ms", 0.1, stage="clients", less=True),
    Goal("peak memory, 16 streams of 1,024 tokens", "16 streams of 1024 tokens", "rss_mb", "MB", 1, stage="memory", less=True),
]
GEMMA_GOALS = [
    Goal("decode, batch 1", "1 stream", "decode_tokens_per_s", "tokens/s", 1.5, stage="gemma"),
    Goal("8 concurrent streams", "8 streams", "tokens_per_s", "tokens/s", 1.6, stage="gemma"),
    Goal("16 concurrent streams", "16 streams", "tokens_per_s", "tokens/s", 1.8, stage="gemma"),
    Goal("prefill of 512", "prefill of 512", "prompt_tokens_per_s", "tokens/s", 1.3, stage="gemma"),
]
