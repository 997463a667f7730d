"""What the current token alone tells of the next one: how often the commonest follower of a token in
the training text follows it in the held-out text. A model that knows more than this reads context."""
import functools
import pathlib
import struct

import numpy as np

HEADER = 1024  # bytes of llm.c's shards; it begins with {magic, version, tokens} as int32
DTYPES = {20240520: "<u2", 20240801: "<u4"}
MOST_TRAIN, MOST_HELD_OUT = 8_000_000, 1_000_000  # tokens that are read
FEWEST = 1000


def tokens_of(folder, split, most):
    """The first tokens of a data folder's first shard, or None."""
    path = pathlib.Path(folder) / f"{split}_000000.bin"
    try:
        with open(path, "rb") as file:
            magic, _, count = struct.unpack("<3i", file.read(HEADER)[:12])
            dtype = np.dtype(DTYPES[magic])
            data = file.read(dtype.itemsize * min(max(count, 0), most))
            return np.frombuffer(data[:len(data) // dtype.itemsize * dtype.itemsize],
                                 dtype).astype(np.int64)
    except (OSError, KeyError, struct.error, ValueError):
        return None


def commonest_followers(tokens, words):
    """(words): the token that follows each most often; the commonest of all where none does."""
    pairs, counts = np.unique(tokens[:-1] * words + tokens[1:], return_counts=True)
    first = pairs // words
    order = np.lexsort((counts, first))
    first, follower = first[order], (pairs % words)[order]
    last = np.append(first[1:] != first[:-1], True)
    found = np.full(words, np.bincount(tokens).argmax())
    found[first[last]] = follower[last]
    return found


@functools.lru_cache
def accuracy(folder):
    """{"accuracy", "n"} of that guess on the held-out text of a data folder; None where the folder
    or its held-out text is not there."""
    train, held_out = (tokens_of(folder, *which) for which in (
        ("train", MOST_TRAIN), ("val", MOST_HELD_OUT)))
    if train is None or held_out is None or min(len(train), len(held_out)) < FEWEST:
        return None
    words = 1 + int(max(train.max(), held_out.max()))
    guess = commonest_followers(train, words)
    return {"accuracy": float((guess[held_out[:-1]] == held_out[1:]).mean()),
            "n": len(held_out) - 1}
