"""Models in GGUF, the format of llama.cpp: converted once into a folder that transformers loads.

transformers takes longer to read a GGUF file than most jobs run, as weights are stored in blocks of few bits. The
folder has float32 weights with the same values; precision lost in quantisation is not restored.
"""

from __future__ import annotations

import copy
import struct
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.errors import InputError
from leakscope.files.reading import check_regular, in_one_line
from leakscope.files.writing import share_weights
from leakscope.storage.manifests import model_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SUFFIX = ".gguf"
MAGIC = b"GGUF"
VERSIONS = (2, 3)
# Magic number, version, number of tensors, number of metadata entries (the specification of GGUF, "File structure").
HEADER = struct.Struct("<4sIQQ")
MOST_ENTRIES = 2**20
CHAT_TEMPLATE = "tokenizer.chat_template"
ALLOWED = "a model in GGUF, version 2 or 3, of an architecture that transformers reads"
# One file, whatever its size: it is mapped into memory.
ONE_FILE = "10TB"


def check_gguf(file: Path) -> None:
    """Check the first bytes of a GGUF file; imports nothing heavy.

    Raises:
        InputError: the file is of another format or version, cut off, or holds no weights.
    """
    check_regular(file)
    with file.open("rb") as stream:
        start = stream.read(HEADER.size)
    found = "another format"
    if len(start) == HEADER.size and start.startswith(MAGIC):
        _, version, n_tensors, n_entries = HEADER.unpack(start)
        if version in VERSIONS and 0 < n_tensors <= MOST_ENTRIES and 0 < n_entries <= MOST_ENTRIES:
            return
        found = f"version {version} with {n_tensors:,} tensors and {n_entries:,} entries"
    raise InputError(f"{file}: got {found}; allowed: {ALLOWED}.")


def has_chat_template(file: Path) -> bool:
    """Return whether a GGUF file has a chat template.

    Raises:
        InputError: the file is no GGUF file, or truncated.
    """
    check_gguf(file)
    # Imported here: reading the lists of a vocabulary takes seconds, and few ask.
    from gguf import GGUFReader

    with in_one_line(file, ALLOWED, "what cannot be read"):
        return CHAT_TEMPLATE in GGUFReader(file).fields


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model in a GGUF file as a folder of transformers: weights in float32, configuration, tokenizer.

    Args:
        file: with weights and tokenizer.
        folder: files of a model that it holds are replaced.

    Raises:
        InputError: the file is none, is cut off, lacks weights, or is of an architecture that transformers does not
            read.
    """
    check_gguf(file)
    # Imported here: it costs seconds.
    import transformers
    from transformers import AutoTokenizer

    transformers.utils.logging.disable_progress_bar()
    # Its progress goes to stderr whatever transformers is told.
    with in_one_line(file, ALLOWED, "what cannot be read"), redirect_stderr(StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
        model = _read_weights(file)
    folder.mkdir(parents=True, exist_ok=True)
    for path in model_files(folder):
        path.unlink()
    model.save_pretrained(folder, max_shard_size=ONE_FILE)
    tokenizer.save_pretrained(folder)
    share_weights(folder)


def _read_weights(file: Path) -> PreTrainedModel:
    """Return the model in a GGUF file as one that was never quantised: transformers saves no other."""
    import torch
    from transformers import AutoModelForCausalLM

    from leakscope.models.checking import check_weights, quiet

    with quiet():
        read, loading_info = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
        )
    # What a file lacks would be drawn at random: a part of several, for instance.
    check_weights(str(file), read, loading_info)
    config = copy.deepcopy(read.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # Of the file that it was made from, or nobody's business: a folder has its own name.
    config._name_or_path = ""
    with torch.device("meta"):
        model: PreTrainedModel = type(read)(config)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = read.generation_config
    return model
