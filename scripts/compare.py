"""Compare two results: ``compare.py --a=results/x --b=card.json [--directory=FOLDER]``."""

import argparse
import os
import sys
from pathlib import Path

from leakscope.errors import InputError
from leakscope.files.tables import write_csv
from leakscope.results.comparing.differences import paired_differences
from leakscope.results.comparing.document import comparison
from leakscope.results.comparing.settings import setting_differences
from leakscope.results.comparing.sides import read_side
from leakscope.results.document import as_html
from leakscope.web.pages import write_page

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("a", "b", "directory"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args()
    if given.directory:
        os.makedirs(given.directory, exist_ok=True)
        os.chdir(given.directory)
    try:
        a, b = read_side(given.a, "A"), read_side(given.b, "B")
    except InputError as error:
        sys.exit(str(error))
    settings, differences = setting_differences(a, b), paired_differences(a, b)
    folder = Path("results/compare", f"{a.name}--{b.name}")
    write_csv(settings, folder / "settings.csv")
    write_csv(differences, folder / "differences.csv")
    document = comparison(a, b, settings, differences)
    write_page(folder / "index.html", as_html(document))
    sys.stdout.write(
        "\n".join([*document.headline, f"Open {Path(given.directory, folder)}/index.html in a browser."]) + "\n"
    )
