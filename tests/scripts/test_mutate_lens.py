"""scripts/mutate_lens.py: its mistakes have their places in the sources, and are mistakes."""
import importlib.util
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load():
    spec = importlib.util.spec_from_file_location("mutate_lens", ROOT / "scripts/mutate_lens.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


class Mistakes(unittest.TestCase):
    def test_each_has_one_place(self):
        mistakes = load().MISTAKES
        self.assertEqual(len({mistake.name for mistake in mistakes}), len(mistakes))
        for mistake in mistakes:
            with self.subTest(mistake.name):
                self.assertEqual((ROOT / mistake.file).read_text().count(mistake.right), 1)
                self.assertNotEqual(mistake.right, mistake.wrong)


if __name__ == "__main__":
    unittest.main()
