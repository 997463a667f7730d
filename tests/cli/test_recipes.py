"""The files of recipes/: the program takes them, and what is written elsewhere about them holds."""

import json
import re
from pathlib import Path

from program import ProgramTest, main

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.json"))


class Recipes(ProgramTest):
    def plan(self, recipe, *more):
        file = self.dir / "plan.json"
        self.succeed("plan", "--config", recipe, "--backend", "cpu", "--json", file, *more)
        return json.loads(file.read_text())

    def test_the_program_takes_each(self):
        self.assertGreater(len(RECIPES), 1)
        for recipe in RECIPES:
            with self.subTest(recipe.name):
                options = json.loads(recipe.read_text())
                plan = self.plan(recipe)
                self.assertEqual(plan["model"], options["model"])
                self.assertEqual(plan["batch_size"], options["batch-size"])
                self.assertEqual(options["backend"], "cuda")

    def test_an_unknown_key_is_refused(self):
        options = json.loads(RECIPES[0].read_text())
        file = self.dir / "recipe.json"
        file.write_text(json.dumps({**options, "batch_size": 3}))
        self.refuse(2, [file, 'unknown key "batch_size"'], "plan", "--config", file,
                    "--backend", "cpu")

    def test_the_guide_has_each_as_it_is(self):
        """Its table: name, batch, micro-steps, steps, learning rate."""
        rows = re.findall(r"^\| `(\S+)` \| (\d+) × (\d+) \| (\d+) \| ([\d,]+) \| ([\d.]+) \|",
                          (ROOT / "docs" / "recipes.md").read_text(), re.M)
        found = {name: (int(batch), int(length), int(accum), int(steps.replace(",", "")), float(lr))
                 for name, batch, length, accum, steps, lr in rows}
        expected = {}
        for recipe in RECIPES:
            o = json.loads(recipe.read_text())
            expected[recipe.stem] = (o["batch-size"], o["seq-len"], o["grad-accum"], o["steps"],
                                     o["lr"])
        self.assertEqual(found, expected)

    def test_the_quickstart_counts_right(self):
        """scripts/quickstart.sh: 11 steps for each TFLOP/s, at a tenth of it, in five minutes."""
        plan = self.plan(ROOT / "recipes" / "quickstart-gpu.json")
        tokens = plan["batch_size"] * plan["seq_len"] * plan["grad_accum"]
        self.assertEqual(tokens, 16384)
        self.assertAlmostEqual(plan["flops_per_token"], 167e6, delta=0.5e6)
        self.assertAlmostEqual(300 * 0.1 * 1e12 / plan["flops_per_token"] / tokens, 11, delta=0.1)
        steps = json.loads((ROOT / "recipes" / "quickstart-gpu.json").read_text())["steps"]
        self.assertLessEqual(steps * tokens / 250e3, 300)


if __name__ == "__main__":
    main()
