"""A room of host/ includes its own headers, the public ones, and base/'s, the ground of all."""

import re
import sys
from pathlib import Path

root = Path(sys.argv[1])
strays = []
for source in sorted((root / "host").glob("*/*.[ch]*")):
    room = source.parent.name
    for number, line in enumerate(source.read_text().splitlines(), 1):
        found = re.match(r'#include "(\w+)/', line)
        allowed = {"quern", room} if room == "cli" else {"quern", "base", room}
        if found and found.group(1) not in allowed:
            strays.append(f"{source.relative_to(root)}:{number}: {line}")
print("\n".join(strays) or "every include stays in its room")
sys.exit(bool(strays))
