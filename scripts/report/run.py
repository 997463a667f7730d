"""A run folder as the report reads it. What is missing or damaged is left out, and a note says
so."""
import functools
import json
import pathlib

from report import followers, pictures
from report.figures import (MAX_HEADS, MAX_LAYERS, Figures, figure_of, is_count, is_number,
                            without_gaps, without_part_of_last)

BEYOND_GAPS = "of layers or heads below which some have none"


class NoRun(Exception):
    """There is nothing to make a report of."""


def read_object(path, notes):
    """The object in a JSON file; {} where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        if isinstance(value, dict):
            return value
        notes.append(f"{path.name} is left out: expected an object")
    except FileNotFoundError:
        notes.append(f"{path.name} is missing: what it says of the run is left out")
    except OSError as error:
        notes.append(f"{path.name} is left out: {error.strerror}")
    except (ValueError, RecursionError) as error:
        notes.append(f"{path.name} is left out: {error}")
    return {}


def read_lines(path, take, notes):
    """Hands the object of each line to `take`, which returns what is wrong with it or None."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        notes.append(f"{path.name} is left out: {error.strerror}")
        return
    damaged, first = 0, ""
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            wrong = take(entry) if isinstance(entry, dict) else "expected an object"
        except (ValueError, RecursionError) as error:
            wrong = str(error)
        if wrong:
            damaged += 1
            first = first or f"line {number}: {wrong}"
    if damaged:
        notes.append(f"{path.name}: {damaged} of {len(lines)} lines left out ({first})")


class Run:
    """config, options, environment: objects; steps and evaluations: entries of log.jsonl in
    order; lens and probes: Figures of lens.jsonl and inspect.jsonl; samples: the heads of lens, or
    None; pictures: of pictures.jsonl; notes: what was left out and why. `data` is the folder of its
    data, where they are no longer where run.json says."""

    def __init__(self, folder, data=None):
        self.folder, self._data = pathlib.Path(folder), data
        self.name = self.folder.resolve().name
        self.notes = []
        if not self.folder.is_dir():
            raise NoRun(f"{folder}: no such folder; expected a run of quern train --run")
        if not any((self.folder / name).is_file()
                   for name in ("run.json", "log.jsonl", "lens.jsonl")):
            raise NoRun(f"{folder} is no run: none of run.json, log.jsonl and lens.jsonl is there")
        self.config = read_object(self.folder / "config.json", self.notes)
        self.options = read_object(self.folder / "run.json", self.notes)
        environment = self.options.pop("environment", {})
        self.environment = environment if isinstance(environment, dict) else {}
        self._read_log()
        self.layers = min(self.size("num_hidden_layers", "n_layer") or MAX_LAYERS, MAX_LAYERS)
        self.heads = min(self.size("num_attention_heads", "n_head") or MAX_HEADS, MAX_HEADS)
        self.lens = self._read_samples()
        self.samples = self.lens.heads
        self.probes = Figures(self._read_figures("inspect.jsonl"))
        self.pictures = self._read_pictures()

    def option(self, name, default=None):
        """A number among the options of training."""
        value = self.options.get(name)
        return value if is_number(value) else default

    def size(self, *names):
        """A count of config.json under any of its names, or None."""
        found = [self.config[name] for name in names if is_count(self.config.get(name), 2**31)]
        return found[0] if found else None

    def _read_log(self):
        steps, evaluations = {}, {}

        def take(entry):
            entry = {name: value for name, value in entry.items() if is_number(value)}
            if not is_count(entry.get("step")):
                return "no step"
            if "val_loss" in entry:
                evaluations[entry["step"]] = entry
            elif "loss" in entry and is_count(entry.get("tokens")):
                steps[entry["step"]] = entry
            else:
                return "neither loss with tokens nor val_loss"
            return None

        read_lines(self.folder / "log.jsonl", take, self.notes)
        self.steps = [steps[step] for step in sorted(steps)]
        self.evaluations = [evaluations[step] for step in sorted(evaluations)]

    def _read_figures(self, name):
        found = []

        def take(entry):
            figure, wrong = figure_of(entry, self.layers, self.heads)
            if figure:
                found.append(figure)
            return wrong

        read_lines(self.folder / name, take, self.notes)
        kept = without_gaps(found)
        if len(kept) < len(found):
            self.notes.append(f"{name}: {len(found) - len(kept)} figures left out: {BEYOND_GAPS}")
        return kept

    def _read_samples(self):
        found = self._read_figures("lens.jsonl")
        kept = without_part_of_last(found)
        if len(kept) < len(found):
            last = max(x.step for x in found)
            self.notes.append(f"lens.jsonl: the sample of step {last} is left out: it is not "
                              "complete")
        return Figures(kept)

    def _read_pictures(self):
        found = pictures.Pictures()
        read_lines(self.folder / "pictures.jsonl",
                   lambda entry: found.take(entry, self.layers, self.heads), self.notes)
        beyond = found.drop_beyond_gaps()
        if beyond:
            self.notes.append(f"pictures.jsonl: {beyond} pictures left out: {BEYOND_GAPS}")
        return found

    def is_rotary(self):
        """Whether positions rotate q and k, or are embedded as GPT-2's are."""
        return "n_positions" not in self.config and self.config.get("model_type") != "gpt2"

    @functools.cached_property
    def data(self):
        """(folder of the run's data or None, why there is none)."""
        given = self._data or self.options.get("data")
        if not isinstance(given, (str, pathlib.Path)) or not given:
            return None, "run.json does not say where its data are"
        recorded = self.environment.get("data")
        reasons = []
        for folder in followers.places(given, self.folder):
            wrong = followers.unlike(folder, recorded if isinstance(recorded, dict) else {})
            if not wrong:
                return folder, ""
            reasons.append(f"{folder} is not this run's data: it has {wrong}")
        return None, reasons[0] if reasons else f"{given} is not there"

    def followers(self):
        """What the current token alone tells (followers.py); None without the run's data."""
        folder, _ = self.data
        return followers.accuracy(folder) if folder else None

    def lacks_followers(self):
        """Why followers() is None."""
        folder, wrong = self.data
        return wrong or f"{folder} has too little text in train_000000.bin or val_000000.bin"

    def tokens_at(self, step):
        """Tokens that were read by the end of a step that log.jsonl may lack; or None."""
        if not self.steps:
            return None
        last = self.steps[-1]
        return last["tokens"] * step / last["step"] if last["step"] else None
