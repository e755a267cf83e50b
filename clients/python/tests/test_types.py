"""The package's annotations hold, in themselves and for its callers."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

PROJECT = Path(__file__).resolve().parents[1]

CALLER = """
from sluice_client import AsyncClient, Client

with Client() as client:
    text: str = client.generate("x", max_tokens=3, messages=None).text
    for delta in client.stream(messages=[{"role": "user", "content": "x"}]):
        reveal_type(delta.text)
    raw: bytes = client.tokenize("x")[0].bytes
    client.generate("x", max_token=3)


async def main() -> None:
    async with AsyncClient() as client:
        text: str = (await client.generate("x", max_tokens=3)).text
        async with client.stream("x") as stream:
            async for delta in stream:
                reveal_type(delta.text)
        likelihood: float = (await client.score("x", ["y"]))[0].log_likelihood
        await client.generate("x", max_token=3)
"""


def test_annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = tmp_path / "caller.py"
    caller.write_text(CALLER)
    monkeypatch.chdir(PROJECT)
    cache = f"--cache-dir={tmp_path / 'cache'}"
    out, err, status = api.run([cache, "-p", "sluice_client"])
    assert (status, err) == (0, ""), out
    out, err, status = api.run([cache, str(caller)])
    complaints = [line.partition(": ")[2] for line in out.splitlines()]
    complaints = [line for line in complaints if not line.startswith("note: \"generate\"")]
    misspelt = 'error: Unexpected keyword argument "max_token" for "generate" of "{}"; did you mean "max_tokens"?  [call-arg]'
    revealed = 'note: Revealed type is "str"'
    assert complaints[:-1] == [revealed, misspelt.format("Client"), revealed, misspelt.format("AsyncClient")], out
