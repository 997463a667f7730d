"""What the programs that compare records share: reading them, numbers, tables."""
import json
import math
import pathlib
import sys


def fail(message):
    print(f"{pathlib.Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    sys.exit(2)


def read_record(path, takers, expected):
    """Hands a record to the taker of its "bench"; `expected` says what files may be."""
    try:
        record = json.loads(pathlib.Path(path).read_text())
        record = record.get("result", record)
        takers[record["bench"]](record)
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fail(f"{path}: expected {expected}: {type(error).__name__} {error}")


def is_time(value):
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


def is_amount(value):
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0


def number(value, form):
    return "-" if value is None else format(value, form)


def text_table(head, rows):
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths))
                     for row in (head, *rows))


def markdown_table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
