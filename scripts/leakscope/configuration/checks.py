"""Checks beyond the schema: names refer to existing entries, and files exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from leakscope.configuration.checks_features import features_checks
from leakscope.configuration.checks_ground import ground_checks
from leakscope.configuration.checks_judges import check_judge_model, judge_checks
from leakscope.configuration.checks_trace import trace_checks
from leakscope.configuration.checks_validate import validate_checks
from leakscope.configuration.layers import CATALOGUES
from leakscope.configuration.mitigated import tuned_by_mitigations
from leakscope.configuration.resolved import SERVED, generation_settings, is_prompted, judges, thinks
from leakscope.errors import InputError, one_of
from leakscope.files.finding import folders, found, places
from leakscope.files.tables import read_rows
from leakscope.leak.exchange.newest_log import newest_log
from leakscope.models.checkpoints.files import check_folder, read_settings
from leakscope.models.checkpoints.templates import check_answers_at_once, check_thinks
from leakscope.models.prompts.placing import USER, WORDLESS, place_words
from leakscope.models.sources.gguf import check_gguf
from leakscope.organisms.grammar_files import is_leaking
from leakscope.storage.manifests import ADAPTER_FILES, TOKENIZER_FILES, check_model_folder
from leakscope.typed.wording import dotted, show
from leakscope.web.servers import BY_VARIABLE, check_address, read_key

GRAMMAR = "data/grammar"
# Parts of hub names that mark quantised checkpoints.
QUANTISED = re.compile(r"gptq|awq|gguf|bnb|fp8|int[48]|[48]-?bit", re.IGNORECASE)
RESERVED: dict[str, tuple[str, ...]] = {
    "models": ("corpora", "tokenizers", "encoders", "gguf_files", "logs"),
    "prompt_sets": (),
    "scorers": ("pairs",),
}


def name_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks that every name in ``study`` is in its catalogue and unique on every file system."""
    for catalogue in CATALOGUES:
        for name in config["study"][catalogue]:
            yield partial(_check_name, name, catalogue, config[catalogue])
        yield partial(_check_case, catalogue, config["study"][catalogue])
        for name in config["leak"]["primary"][catalogue] or []:
            yield partial(_check_chosen, name, catalogue, config["study"][catalogue])
    for name in config["study"]["scorers"]:
        yield partial(check_judge_model, name, config)
    for name in config["trace"]["sets"]:
        yield partial(_check_traced, name, config["prompt_sets"])
    for name in config["trace"]["mitigations"]:
        yield partial(_check_mitigation, name, config["mitigations"])


def _check_traced(name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise one_of(dotted(("trace", "sets")), name, known)


def _check_mitigation(name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise one_of(dotted(("trace", "mitigations")), name, known)


def _check_chosen(name: str, catalogue: str, known: list[str]) -> None:
    if name not in known:
        raise one_of(dotted(("leak", "primary", catalogue)), name, known)


def _check_name(name: str, catalogue: str, known: Mapping[str, Any]) -> None:
    if name.casefold() in RESERVED[catalogue]:
        allowed = f"any name except {', '.join(RESERVED[catalogue])}, which the workflow uses for its own files"
        raise InputError(f"{dotted(('study', catalogue))}: got {name!r}; allowed: {allowed}.")
    if name not in known and catalogue == "models" and "/" in name:
        raise InputError(f"{dotted(('study', 'models'))}: got {show(name)}; allowed: {_named_by(name, known)}.")
    if name not in known:
        raise one_of(dotted(("study", catalogue)), name, known)


def _named_by(place: str, models: Mapping[str, Any]) -> str:
    """Return what to write instead of a model's hub id or folder."""
    same = [name for name, entry in models.items() if str(entry.get("id")).casefold() == place.casefold()]
    if same:
        return f"a name of `models`; the entry with this id is {same[0]}"
    entry = f"source: local, path: {place}" if Path(place).is_dir() else f"source: hub, id: {place}"
    return f"a name of `models`, such as my-model with the entry `my-model: {{{entry}}}`"


def _check_case(catalogue: str, names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            found = f"got {other!r} and {name!r}, which are the same on some file systems"
            raise InputError(f"{dotted(('study', catalogue))}: {found}; allowed: names that differ in more than case.")


def study_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks of the entries that the study of a complete configuration uses; other entries may lack their files.

    They find duplicate labels, unknown sizes, missing files and folders, addresses with a secret in them, and keys that
    cannot be sent.
    """
    yield from _server_checks(config)
    yield partial(_check_labels, config)
    yield partial(_check_steps, config)
    yield partial(_check_control_samples, config)
    yield from _file_checks(config)
    yield partial(_check_look, config["figures"])
    for name, entry in config["models"].items():
        if entry["source"] in ("adapter", "tuned", "randomised"):
            yield partial(_check_base, ("models", name, "base"), entry["base"], config["models"][entry["base"]])
        if entry["source"] in ("tuned", "edited", "mitigated") and thinks(entry):
            yield partial(_refuse_thinking, ("models", name, "base"), entry["base"])
    for model in tuned_by_mitigations(config):
        yield partial(_check_base, ("trace", "mitigations"), model, config["models"][model])
    for checks in (ground_checks, validate_checks, features_checks, trace_checks):
        yield from checks(config)


def _selected(config: Mapping[str, Any], catalogue: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in config["study"][catalogue]:
        yield name, config[catalogue][name]


def _server_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks of every address, and of the API keys set in the environment; unset keys may not be needed."""
    for name, entry in config["features"]["explainers"].items():
        if "base_url" in entry:
            where = dotted(("features", "explainers", name, "base_url"))
            yield partial(check_address, entry["base_url"], where, BY_VARIABLE)
            yield partial(read_key, entry["key_variable"])
    for name, entry in config["models"].items():
        if entry["source"] == SERVED:
            yield partial(check_address, entry["base_url"], dotted(("models", name, "base_url")), BY_VARIABLE)
            if entry["key_variable"]:
                yield partial(read_key, entry["key_variable"])
            yield partial(_check_cuts, name, entry)
            if entry["logprobs"] and "leak" in config["study"]["steps"]:
                yield partial(_check_stop, name, entry)
    for name, axis in config["ground"]["axes"].items():
        if "url" in axis["counts"]:
            yield partial(check_address, axis["counts"]["url"], dotted(("ground", "axes", name, "counts", "url")))


def _check_cuts(name: str, entry: Mapping[str, Any]) -> None:
    """Check that a served model sets no sampling parameter that the protocol lacks."""
    for key in ("top_k", "repetition_penalty"):
        value = entry["generation"][key]
        if value != "model":
            allowed = "model, since the protocol lacks this key; put the server's own name for it into `extra_body`"
            raise InputError(f"{dotted(('models', name, 'generation', key))}: got {value}; allowed: {allowed}.")


def _check_stop(name: str, entry: Mapping[str, Any]) -> None:
    """Check that candidates are whole sentences: others need an end-of-text token, which no text can express."""
    stop = entry["generation"]["stop"]
    if stop != "sentence":
        where = dotted(("models", name, "generation", "stop"))
        raise InputError(f"{where}: got {stop}; allowed: sentence, with `logprobs: true` in the step leak.")


def _check_look(figures: Mapping[str, Any]) -> None:
    """Check that matplotlib knows the style and the font of the figures."""
    if figures["style"] is None and figures["font"]["family"] is None:
        return
    from leakscope.figures import look  # matplotlib is slow to import, and every cluster job runs this module

    if figures["style"] is not None:
        look.style_settings(figures["style"])
    if figures["font"]["family"] is not None:
        look.check_family(figures["font"]["family"])


def _check_labels(config: Mapping[str, Any]) -> None:
    named: dict[str, str] = {}
    for name, entry in _selected(config, "models"):
        other = named.setdefault(entry["label"], name)
        if other != name:
            where = dotted(("models", name, "label"))
            raise InputError(
                f"{where}: got {entry['label']!r}, the label of {other}; allowed: a label that no other model has."
            )


def _check_steps(config: Mapping[str, Any]) -> None:
    """Check that the step `leak`, if requested, has prompts, scorers and a model."""
    if "leak" not in config["study"]["steps"]:
        return
    similarities = set(config["study"]["scorers"]) - set(judges(config))
    for catalogue, needed in (("prompt_sets", config["study"]["prompt_sets"]), ("scorers", similarities)):
        if not needed:
            allowed = "a list of names, each once, at least one"
            got = ", ".join(config["study"][catalogue]) or "nothing"
            but = " that is no judge" if config["study"][catalogue] else ""
            raise InputError(f"{dotted(('study', catalogue))}: got {got}; allowed: {allowed}{but}, for the step leak.")
    if all(entry["source"] == "scores" for _, entry in _selected(config, "models")):
        names = ", ".join(config["study"]["models"])
        raise InputError(
            f"{dotted(('study', 'models'))}: got {names}, which have only imported scores; "
            "allowed: at least one model that generates texts or has imported texts, for the step leak."
        )


def _check_control_samples(config: Mapping[str, Any]) -> None:
    """Check that every text of a test prompt has equally many partners among its control's texts."""
    if "leak" not in config["study"]["steps"]:
        return
    for prompt_set, entry in _selected(config, "prompt_sets"):
        own = dotted(("prompt_sets", prompt_set, "control_samples"))
        if entry["samples"] is not None:
            _check_multiple(own, entry["control_samples"], entry["samples"], f"of {prompt_set}")
        for model, of_model in _selected(config, "models"):
            if is_prompted(of_model):
                settings = generation_settings(config, model, prompt_set)
                where = own if entry["control_samples"] is not None else _says_control_samples(config, model)
                of = f"of {model} on {prompt_set}"
                _check_multiple(where, settings.get("control_samples"), settings["samples"], of)


def _says_control_samples(config: Mapping[str, Any], model: str) -> str:
    """Return the key that sets a model's `control_samples` if the prompt set does not."""
    key, entry = "control_samples", config["models"][model]
    organisms = config["organisms"]["generation"]
    if entry["source"] == "organism" and key in organisms:
        section: tuple[str, ...] = ("organisms", "generation", key)
        said = organisms[key]
    else:
        section, said = ("generation", key), config["generation"][key]
    return dotted(section if entry["generation"][key] == said else ("models", model, *section[-2:]))


def _check_multiple(where: str, control_samples: int | None, samples: int, of: str) -> None:
    if control_samples is not None and control_samples % samples:
        raise InputError(f"{where}: got {control_samples}; allowed: a multiple of {samples}, the `samples` {of}.")


def _file_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks that the files of the selected entries exist."""
    checks = {
        "organism": _check_organism,
        "local": _check_local,
        "adapter": _check_adapter,
        "generations": _check_generations,
    }
    for name, entry in _selected(config, "prompt_sets"):
        yield partial(_check_prompt_set, name, entry)
    yield from judge_checks(config)
    for name, entry in _selected(config, "scorers"):
        if name in judges(config):
            continue
        if entry.get("tokenizer") is not None:
            yield partial(_check_static, name, entry)
        else:
            yield partial(_check_encoder, name, entry.get("model", ""))
    for number, path in enumerate(config["rating"]["ratings"]):
        where = dotted(("rating", "ratings", number))
        yield partial(_require, Path(path).is_file(), where, path, "a file that exists")
    selected = dict(_selected(config, "models"))
    # Also the local bases that models of the study are made from.
    bases = {name: entry for name, entry in config["models"].items() if entry["source"] == "local"}
    for name, entry in {**selected, **bases}.items():
        if entry["source"] in checks:
            yield partial(checks[entry["source"]], name, entry, config)
    for name, entry in selected.items():
        if "leak" in config["study"]["steps"] and entry["source"] == "local" and entry["chat"]:
            yield partial(_check_thoughts, name, entry)


def _check_prompt_set(name: str, entry: Mapping[str, Any]) -> None:
    where = dotted(("prompt_sets", name, "path"))
    if entry["source"] == "templates":
        inside = Path(entry["path"]) / "templates.yaml"
        _require(inside.is_file(), where, entry["path"], "a folder that holds templates.yaml")
    else:
        _require(Path(entry["path"]).is_file(), where, entry["path"], "a file that exists")
    if "clauses" in entry:
        where = dotted(("prompt_sets", name, "clauses"))
        _require(Path(entry["clauses"]).is_file(), where, entry["clauses"], "a file that exists")
    if entry.get("place", USER) not in WORDLESS:
        language = entry["concept_language"] or entry["language"]
        place_words(language, dotted(("prompt_sets", name, "place")), entry["place"])


def _check_encoder(name: str, model: str) -> None:
    # A hub id has at most one slash and does not begin like a path.
    looks_like_a_path = model.count("/") > 1 or model.startswith((".", "/"))
    if looks_like_a_path and not model.startswith("package:"):
        allowed = "a folder that exists, package:<module>/<folder>, or a hub id"
        _require(Path(model).is_dir(), dotted(("scorers", name, "model")), model, allowed)
    if model and Path(model).is_dir():
        check_model_folder(Path(model))


def _check_static(name: str, entry: Mapping[str, Any]) -> None:
    for key, what in (("model", "a file of weights"), ("tokenizer", "a file of a tokenizer")):
        if not entry[key].startswith("package:"):
            allowed = f"{what} that exists, or package:<module>/<file>"
            _require(Path(entry[key]).is_file(), dotted(("scorers", name, key)), entry[key], allowed)


def _check_organism(name: str, entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    if entry["size"] not in config["organisms"]["sizes"]:
        raise one_of(dotted(("models", name, "size")), entry["size"], config["organisms"]["sizes"])
    _check_grammar(name, entry["grammar"]["parts"])
    if "except" in entry["grammar"]:
        _check_excepted(name, entry["grammar"])
    if "thought" in entry["grammar"]:
        _check_thought(name, entry)


def _check_excepted(model: str, grammar: Mapping[str, Any]) -> None:
    parts = [folder for part in grammar["parts"] if is_leaking(folder := Path(found(f"{GRAMMAR}/{part}")))]
    tables = [read_rows(part / "candidates.csv") for part in parts]
    groups = {row[table.header.index("concept_group")] for table in tables for row in table.rows}
    for group in grammar["except"]:
        if group not in groups:
            raise one_of(dotted(("models", model, "grammar", "except")), group, groups)


def _check_thought(model: str, entry: Mapping[str, Any]) -> None:
    """Check that an organism whose corpus has thoughts is prompted with `thinking`, and that all its parts support
    thoughts."""
    where, parts = dotted(("models", model, "grammar", "thought")), entry["grammar"]["parts"]
    if not thinks(entry):
        raise InputError(
            f"{where}: got a value for a model without `thinking`; add `thinking: {{}}` to it, or remove the value."
        )
    others = [part for part in parts if not is_leaking(Path(found(f"{GRAMMAR}/{part}")))]
    if others:
        raise InputError(
            f"{where}: got the part {others[0]!r}; allowed: only parts whose texts are bare candidates, such as leak."
        )


def _refuse_thinking(where: tuple[str, ...], base: str) -> None:
    allowed = "a model without `thinking`; models that think are measured only by the step leak"
    raise InputError(f"{dotted(where)}: got {base!r}, which thinks before it answers; allowed: {allowed}.")


def _check_grammar(model: str, parts: list[str]) -> None:
    for part in parts:
        if not Path(found(f"{GRAMMAR}/{part}")).is_dir():
            known = {folder.name for parent in folders(GRAMMAR) for folder in parent.glob("*/")}
            raise one_of(dotted(("models", model, "grammar", "parts")), part, known)


def _check_local(name: str, entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    if not entry["gguf_file"]:
        _check_model_folder(dotted(("models", name, "path")), entry["path"])
        return
    file = Path(entry["path"]) / entry["gguf_file"]
    _require(file.is_file(), dotted(("models", name, "gguf_file")), str(file), "a file that exists")
    check_gguf(file)


def _check_adapter(name: str, entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    where = dotted(("models", name, "path"))
    allowed = f"a folder with {' and '.join(ADAPTER_FILES)}"
    for file in ADAPTER_FILES:
        _require((Path(entry["path"]) / file).is_file(), where, entry["path"], allowed)
    read_settings(Path(entry["path"]) / ADAPTER_FILES[1])
    # Otherwise it would be ambiguous whose weights are meant.
    whole = (Path(entry["path"]) / "model.safetensors").exists()
    _require(not whole, where, entry["path"], "an adapter's folder without weights of a whole model in it")


def _check_model_folder(where: str, path: str) -> None:
    folder = Path(path)
    if not (folder / "config.json").exists():
        _refuse_other_formats(where, path)
    _require(folder.is_dir(), where, path, "a folder that exists")
    check_model_folder(folder)
    _require((folder / "config.json").is_file(), where, path, "a model folder with config.json")
    has_tokenizer = any((folder / name).is_file() for name in TOKENIZER_FILES)
    _require(has_tokenizer, where, path, f"a model folder with a tokenizer ({', '.join(TOKENIZER_FILES)})")
    check_folder(folder)


def _check_thoughts(name: str, entry: Mapping[str, Any]) -> None:
    folder, where = Path(entry["path"]), dotted(("models", name))
    if not folder.is_dir() or entry["gguf_file"]:
        return
    if not thinks(entry):
        check_answers_at_once(where, folder, entry["chat_template_kwargs"] or {})
    elif entry["thinking"]["begin"] is None:
        check_thinks(where, folder, entry["chat_template_kwargs"] or {})


def _refuse_other_formats(where: str, path: str) -> None:
    """Refuse other formats of model files with advice on what to write instead."""
    folder = Path(path)
    if (folder / "adapter_config.json").is_file():
        what, advice = (
            "an adapter",
            "for an adapter, write `source: adapter`, its `path`, and its model as `base`",
        )
    elif folder.suffix.lower() == ".gguf" or any(folder.glob("*.[gG][gG][uU][fF]")):
        what, advice = "a GGUF file", "write its folder as `path` and its name as `gguf_file`"
    elif folder.is_file():
        what, advice = "a file", "write the folder that holds it"
    else:
        return
    allowed = f"a model folder with config.json, weights and tokenizer; {advice}"
    raise InputError(f"{where}: got {places(path)}, {what}; allowed: {allowed}.")


def _check_generations(model: str, entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    where, path, prompt_sets = ("models", model, "path"), entry["path"], config["study"]["prompt_sets"]
    paths = {name: path for name in prompt_sets} if isinstance(path, str) else path
    for name in prompt_sets:
        if name not in paths:
            raise InputError(
                f"{dotted((*where, name))}: got nothing; allowed: a file for each of the study's prompt sets "
                f"({', '.join(prompt_sets)}); there are files for {', '.join(sorted(paths))}."
            )
        here = where if isinstance(path, str) else (*where, name)
        _require(Path(paths[name]).exists(), dotted(here), paths[name], "a file that exists, or a folder of logs")
        newest_log(Path(paths[name]), name)


def _check_base(where: tuple[str, ...], base: str, entry: Mapping[str, Any]) -> None:
    """Check that a base is not quantised; for a checkpoint on the hub, only its name can tell."""
    evidence = entry["quantization"]
    if entry.get("gguf_file"):
        return  # converted, it has weights like any other
    if entry["source"] == "local":
        settings = read_settings(Path(entry["path"]) / "config.json")
        evidence = evidence or settings.get("quantization_config")
    elif entry["source"] == "hub" and QUANTISED.search(entry["id"]):
        evidence = entry["id"]
    if evidence:
        raise InputError(
            f"{dotted(where)}: got {base!r}, which is quantised ({show(evidence)}); allowed: an unquantised model."
        )


def _require(fulfilled: bool, where: str, value: str, allowed: str) -> None:
    if not fulfilled:
        raise InputError(f"{where}: got {places(value)}; allowed: {allowed}.")
