#!/usr/bin/env python3
"""Writes the text of a data folder with its words in random order: a control for the lens.

    scripts/shuffle_words.py data/austen shuffled.txt
    build/quern prepare --text shuffled.txt --out data/austen-shuffled

Lines keep their number of words, and words their number of occurrences; which word follows which
means nothing any more. What the lens reports of such a run it would report of no structure at all.
"""
import argparse
import json
import os
import pathlib
import random
import re
import struct
import sys

HEADER = 1024  # bytes of llm.c's token shards: 256 int32, then tokens
TOKEN = {20240520: ("H", 2), 20240801: ("I", 4)}  # by the number that the header begins with


def fail(message):
    sys.exit(f"shuffle_words.py: {message}")


def tokens_of(shard):
    data = shard.read_bytes()
    magic, _, count = struct.unpack_from("<3i", data.ljust(12, b"\0"))
    if magic not in TOKEN:
        fail(f"{shard}: magic {magic}, expected {' or '.join(map(str, TOKEN))}; is this a token "
             "shard?")
    letter, size = TOKEN[magic]
    if len(data) < HEADER + count * size:
        fail(f"{shard}: {len(data)} bytes, expected {HEADER + count * size} for {count} tokens")
    return struct.unpack_from(f"<{count}{letter}", data, HEADER)


def pieces_of(folder):
    """The bytes of each token id."""
    try:
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        pieces = vocabulary["model"]["vocab"]
    except (OSError, ValueError, KeyError) as error:
        fail(f"{folder}/tokenizer.json: {error}; expected what quern prepare writes")
    found = {}
    for piece, number in pieces.items():
        byte = re.fullmatch("<0x([0-9A-F]{2})>", piece)
        found[number] = bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()
    for token in vocabulary.get("added_tokens", ()):
        found[token["id"]] = b"\n"
    return found


def text_of(folder):
    pieces = pieces_of(folder)
    shards = sorted(folder.glob("train_*.bin")) + sorted(folder.glob("val_*.bin"))
    if not shards:
        fail(f"{folder}: no train_*.bin; expected a data folder of quern prepare")
    unknown = b"\n"
    text = b"".join(pieces.get(token, unknown) for shard in shards for token in tokens_of(shard))
    return text.decode("utf-8", errors="replace")


def shuffled(text, seed):
    lines = [line.split() for line in text.split("\n")]
    words = [word for line in lines for word in line]
    random.Random(seed).shuffle(words)
    rest = iter(words)
    return "\n".join(" ".join(next(rest) for _ in line) for line in lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=pathlib.Path, help="data folder")
    parser.add_argument("out", metavar="FILE", type=pathlib.Path, help="text to write")
    parser.add_argument("--seed", type=int, default=1, help="of the order (default 1)")
    options = parser.parse_args()
    text = shuffled(text_of(options.data), options.seed)
    part = options.out.with_name(options.out.name + ".tmp")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, options.out)
    except OSError as error:
        fail(f"{options.out}: {error.strerror}")


if __name__ == "__main__":
    main()
