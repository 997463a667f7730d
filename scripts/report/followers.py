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


def places(path, folder):
    """Where the data folder may be that a run in `folder` names: as given, else relative to a folder
    that the run lies in."""
    given = pathlib.Path(path)
    parents = [] if given.is_absolute() else pathlib.Path(folder).resolve().parents
    return [place for place in (given, *(parent / given for parent in parents)) if place.is_dir()]


def training_text(folder):
    """{"shards", "bytes", "tokens"} of a data folder as run.json records them; what cannot be read
    has no tokens."""
    found = {"shards": 0, "bytes": 0, "tokens": 0}
    for path in sorted(pathlib.Path(folder).glob("train_*.bin")):
        try:
            found["bytes"] += path.stat().st_size
            with open(path, "rb") as file:
                found["tokens"] += struct.unpack("<3i", file.read(12))[2]
        except (OSError, struct.error):
            pass
        found["shards"] += 1
    return found


def unlike(folder, recorded):
    """What of the training text is not what run.json recorded, in words; "" where all is. A record
    without these figures fits any folder."""
    found = training_text(folder)
    return ", ".join(f"{found[name]:,} {name}, of which run.json says {recorded[name]:,}"
                     for name in found if isinstance(recorded.get(name), int)
                     and recorded[name] != found[name])


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
