"""Write the frozen tables of the grammar parts from what a person edits: ``make grammar``.

``leak``, ``sentences``, ``languages`` and ``languages_across`` from prompt sets and facts (how answers of ``sentences``
are worded is written by hand),
``conditions`` from the lexicons and templates in data/ground/conditions/, and with it the world that disagrees with it,
``taxonomy`` from the items and prompt forms in data/validate/, and the subjects of ``occupations`` from the occupations
and names in data/features/gender/.

Not a rule: an edited prompt must not retrain every organism. Run it when the prompt sets themselves change for good.
"""

from pathlib import Path

from leakscope.features.freezing import freeze_subjects
from leakscope.ground.freezing import freeze_world
from leakscope.leak.freezing import expand_facts, freeze
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.validate.freezing import freeze_taxonomy

# grammar part → its prompt sets
PROMPT_SETS = {
    "leak": ("colors", "associations"),
    "sentences": ("sentences",),
    "languages": ("basic_colors", "colors_id"),
    "languages_across": ("colors_en_id", "colors_id_en"),
}
LEXICONS = Path("data/lexicons")
GRAMMAR = Path("data/grammar")
CONDITIONS = Path("data/ground/conditions")
VALIDATE = Path("data/validate")
GENDER = Path("data/features/gender")

if __name__ == "__main__":
    for part, names in PROMPT_SETS.items():
        built = {
            name: build_prompts(template_files(Path("data/prompt_sets") / name, [LEXICONS]), name) for name in names
        }
        freeze(built, expand_facts(GRAMMAR / part / "facts.yaml", LEXICONS), GRAMMAR / part)
    freeze_world(CONDITIONS, GRAMMAR / "conditions")
    freeze_taxonomy(VALIDATE / "hypernymy/items.csv", VALIDATE / "forms/taxonomy.yaml", GRAMMAR / "taxonomy")
    freeze_subjects(GENDER / "occupations.csv", GENDER / "names.csv", GRAMMAR / "occupations")
