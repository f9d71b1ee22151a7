"""Print the models that a study has to go on without, as ``--config without=`` takes them: ``without_failed.py FILE``.

Fails where something else than models failed. With ``--reasons``, say why each is missing, and fail in any case.
"""

import json
import sys
from pathlib import Path

from leakscope.workflow.failures import noted_failures

if __name__ == "__main__":
    noted = noted_failures(Path(sys.argv[1]))
    if sys.argv[2:] == ["--reasons"]:
        sys.exit(
            "\n".join(["Without these models, which failed:", *(f"  {model}: {why}" for model, why in noted.items())])
        )
    if not noted:
        sys.exit(1)
    sys.stdout.write(f"{json.dumps(sorted(noted))}\n")
