#!/usr/bin/env python3
"""Does a data folder's tokenizer.json say what quern's tokenizer says?

usage: check_tokenizer.py DATA

Decodes the tokens of DATA's shards with Hugging Face's `tokenizers`, encodes every line
of the text again, and compares: the ids with the shards', the decoded text with the line,
the bytes of all lines with data.json. Exits with 1 on a difference. Needs `pip install tokenizers`.
"""

import array
import glob
import json
import os
import sys

from tokenizers import Tokenizer

HEADER_BYTES = 1024
SHOWN = 10


def read_shard(path):
    with open(path, "rb") as file:
        magic, _, count = array.array("i", file.read(HEADER_BYTES))[:3]
        tokens = array.array("H" if magic == 20240520 else "I", file.read())
    if len(tokens) != count:
        sys.exit(f"{path}: {len(tokens)} tokens, its header says {count}")
    return tokens


def read_lines(folder, boundary, newline):
    """Yields the ids of each line and whether a newline ends it."""
    line = []
    for split in ("train", "val"):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), split + "_*.bin"))):
            for token in read_shard(path):
                if token not in (boundary, newline):
                    line.append(token)
                    continue
                yield line, token == newline
                line = []
        yield line, False
        line = []


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folder = sys.argv[1]
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "data.json"), encoding="utf-8") as file:
        facts = json.load(file)
    boundary = facts["boundary_id"]
    newline = tokenizer.token_to_id("\n")

    lines = tokens = size = different_ids = different_text = 0
    for ids, ended in read_lines(folder, boundary, newline):
        text = tokenizer.decode(ids, skip_special_tokens=False)
        again = tokenizer.encode(text, add_special_tokens=False).ids
        lines += 1
        tokens += len(ids)
        size += len(text.encode()) + ended
        if again != ids:
            different_ids += 1
            if different_ids <= SHOWN:
                print(f"ids differ: {text!r}\n  shard {ids}\n  json  {again}")
        if tokenizer.decode(again, skip_special_tokens=False) != text:
            different_text += 1
            if different_text <= SHOWN:
                print(f"text differs: {text!r}")
    print(f"{lines} lines, {tokens} tokens: {different_ids} lines with other ids, "
          f"{different_text} with other text")
    expected = facts["train"]["bytes"] + facts["val"]["bytes"]
    print(f"{size} bytes, data.json says {expected}")
    sys.exit(1 if different_ids or different_text or size != expected else 0)


if __name__ == "__main__":
    main()
