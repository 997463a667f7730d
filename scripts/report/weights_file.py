"""How many parameters the newest checkpoint of a run has, from the header of its weights."""
import json
import math
import struct

from report.figures import is_count

MOST_HEADER = 16_000_000  # bytes


def newest(folder):
    """model.safetensors of the last step among checkpoints and probes, or None."""
    found = [path for kind in ("checkpoints", "probes")
             for path in (folder / kind).glob("step-*/model.safetensors")
             if path.parent.name[len("step-"):].isdecimal()]
    return max(found, key=lambda path: int(path.parent.name[len("step-"):]), default=None)


def elements(entry):
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or not all(is_count(size) for size in shape):
        raise ValueError("no shape")
    return math.prod(shape)


def parameters(folder):
    """None where there is no file or its header cannot be read."""
    path = newest(folder)
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            length, = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= MOST_HEADER else {}
        return sum(elements(entry) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, AttributeError, RecursionError, struct.error):
        return None
