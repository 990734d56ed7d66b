"""The usual script, for comparison: transformers and PEFT, one chat after another.

Run as a program: `python -m benchmarks.rival_chats MODEL CHATS N_TOKENS`, where CHATS is a file of
JSON lines `{"adapter": folder, "messages": [...]}`. It says "ready", and for every line on standard
input it answers all chats once and prints the tokens per second.

The best settings found: all adapters loaded beforehand; the key-value cache; torch's fused
attention, which is the default; inference mode; an adapter merged into the weights before its chat
and taken out again after, which on tiny-chat was 1.4 times as fast as carrying it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(folder: str, chats: str, n_tokens: str) -> None:
    """Answer all chats whenever a line comes."""
    asked = [json.loads(line) for line in Path(chats).read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = [f"chat{number}" for number in range(len(asked))]
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    model = PeftModel.from_pretrained(model, asked[0]["adapter"], adapter_name=names[0])
    for name, one in zip(names[1:], asked[1:], strict=True):
        model.load_adapter(one["adapter"], adapter_name=name)
    model.eval()
    print("ready", flush=True)
    for _ in sys.stdin:
        began, written = time.perf_counter(), 0
        for name, one in zip(names, asked, strict=True):
            written += _answer(model, tokenizer, name, one, int(n_tokens))
        print(written / (time.perf_counter() - began), flush=True)


@torch.inference_mode()
def _answer(
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    name: str,
    chat: dict[str, Any],
    n_tokens: int,
) -> int:
    """One chat's text, read at the end; gives back how many tokens it has."""
    model.set_adapter(name)
    model.merge_adapter([name])
    prompt = tokenizer.apply_chat_template(
        chat["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**prompt, max_new_tokens=n_tokens, do_sample=False)
    new = out[0][prompt["input_ids"].shape[1] :]
    tokenizer.decode(new, skip_special_tokens=True)
    model.unmerge_adapter()
    return len(new)


if __name__ == "__main__":
    main(*sys.argv[1:])
