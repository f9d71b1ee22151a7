"""Say which models a study went on without, and why: ``missing_models.py FAILURES``. Fails, as the run did."""

import sys
from pathlib import Path

from leakscope.storage.manifests import read_manifest

if __name__ == "__main__":
    reasons = [f"  {model}: {why}" for model, why in sorted(read_manifest(Path(sys.argv[1]))["models"].items())]
    sys.exit("\n".join(["Without these models:", *reasons]))
