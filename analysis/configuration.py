"""Configuration of an analysis: YAML with a schema; a wrong key is an error that names the nearest right one."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from analysis.engine.attempts import Policy
from analysis.errors import UserError

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
Model = TypeVar("Model", bound=BaseModel)
BLOCKS = ("processor", "training", "results", "simulation", "opendata")


class Retries(BaseModel):
    """How often what failed is tried again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: PositiveInt = Field(default=5, description="attempts at an item whose error may go away")
    first_pause: PositiveFloat = Field(
        default=0.5, description="before the second attempt; doubled for each further [s]"
    )
    longest_pause: PositiveFloat = Field(default=60.0, description="the pause grows up to this [s]")
    deaths: PositiveInt = Field(default=2, description="workers lost with an item before it is tried alone")
    smallest_item: PositiveInt = Field(default=1000, description="an item that kills is halved down to so many entries")
    longest_item: PositiveFloat = Field(default=3600.0, description="a work item may run for so long [s]")

    def policy(self, longest: float | None) -> Policy:
        """The same, as the engine takes it, for calls that may run for `longest` [s]."""
        return Policy(self.attempts, self.first_pause, self.longest_pause, self.deaths, longest)


class Configuration(BaseModel):
    """A checked configuration.

    The blocks hold the settings of the module that each names (its class `Settings`), already validated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name of the analysis; the default run directory is results/<name>")
    title: str = Field(description="heading of the report")
    datasets: str = Field(description="catalogue: a name under configs/datasets or a YAML file")
    source: str = Field(
        default="simulated", description="where the files come from: simulated, opendata, a directory, a YAML file"
    )
    complete: str | None = Field(default=None, description="a second source for the samples that the first one lacks")
    seed: int = Field(ge=0, description="every random number comes from this seed")
    chunk_size: PositiveInt = Field(default=200_000, description="entries per work item")
    luminosity: PositiveFloat | None = Field(default=None, description="integrated luminosity [1/pb]")
    retries: Retries = Field(default=Retries(), description="how often what failed is tried again")
    processor: dict[str, Any] = Field(description="module and settings of the coffea processor")
    training: dict[str, Any] | None = Field(default=None, description="module and settings of the training")
    results: dict[str, Any] | None = Field(
        default=None, description="module and settings of the figures and the report"
    )
    simulation: dict[str, Any] | None = Field(default=None, description="module and settings of the simulated source")
    opendata: dict[str, Any] | None = Field(default=None, description="module and settings of the public files")

    def module(self, block: str) -> Any:
        """The module that a block names; a UserError when there is none of that name."""
        return _import(block, self._block(block))

    def settings(self, block: str) -> Any:
        """The validated `Settings` of a block."""
        content = {key: value for key, value in self._block(block).items() if key != "module"}
        return self.module(block).Settings.model_validate(content)

    def _block(self, block: str) -> dict[str, Any]:
        content: dict[str, Any] | None = getattr(self, block)
        if content is None:
            raise UserError(f"the configuration of {self.name} has no block '{block}'")
        return content


def load_configuration(analysis: str, overrides: tuple[str, ...] = (), **options: Any) -> Configuration:
    """The configuration of `analysis`: a name under configs/analyses, or a YAML file.

    `overrides` are texts `key=value` with dotted keys, whose values are read as YAML; `options` are top-level keys set
    by options of the command line (None: not given). Raises UserError for what the user can set right.
    """
    path = find_yaml(analysis, "analyses", "analysis")
    content = _read_extended(path)
    for text in overrides:
        set_key(content, text)
    content.update({key: value for key, value in options.items() if value is not None})
    origin = f"the configuration {path.name}"
    configuration = validate(Configuration, content, origin)
    for block in BLOCKS:
        settings = content.get(block)
        if settings is not None:
            module = _import(block, settings)
            rest = {key: value for key, value in settings.items() if key != "module"}
            validate(module.Settings, rest, origin, prefix=(block,))
    _refuse_luminosity(configuration, origin)
    return _completed(configuration, origin)


def _read_extended(path: Path, before: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a YAML file over that of the analysis which its key `extends` names: a name, or a file beside it.

    Keys are taken one by one, also in blocks, and null is a value like others; only the name is not taken. What
    replaces the whole of the other's is a block that names another module, and the dotted keys in the list `replace`.
    """
    content = read_yaml(path)
    base, replaced = content.pop("extends", None), content.pop("replace", [])
    if base is None:
        if replaced:
            raise UserError(f"{path}: replace = {replaced!r}: there is nothing to replace without extends")
        return content
    if not isinstance(base, str):
        raise UserError(f"{path}: extends = {base!r}: must be the name of an analysis or a YAML file")
    is_file = base.endswith((".yaml", ".yml")) or "/" in base
    other = find_yaml(str(path.parent / base) if is_file else base, "analyses", "analysis").resolve()
    if other in (*before, path.resolve()):
        raise UserError(f"{path}: extends = {base!r}: that one extends this one; name one that does not")
    found = _read_extended(other, (*before, path.resolve()))
    found.pop("name", None)  # two analyses of one name would share a run directory
    if not isinstance(replaced, list):
        raise UserError(f"{path}: replace = {replaced!r}: must be a list of dotted keys, such as [training.models]")
    for dotted in replaced:
        _forget(found, content, str(dotted), path)
    return _over(found, content)


def _forget(base: dict[str, Any], own: dict[str, Any], dotted: str, path: Path) -> None:
    """Removes a key of the extended analysis that this one gives as a whole; UserError where this one does not."""
    *blocks, last = dotted.split(".")
    inner: Any = own
    for key in blocks:
        inner = inner.get(key) if isinstance(inner, dict) else None
        base = base.get(key, {}) if isinstance(base, dict) else {}
    if not isinstance(inner, dict) or last not in inner:
        raise UserError(f"{path}: replace: {dotted}: the file does not give this key")
    if isinstance(base, dict):
        base.pop(last, None)


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in own.items():
        below = base.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            same = value.get("module", below.get("module")) == below.get("module")
            found[key] = _over(below, value) if same else value
        else:
            found[key] = value
    return found


def _completed(configuration: Configuration, origin: str) -> Configuration:
    """The same, with what the training takes from the processor's settings where its module says so.

    Such a module has a function `completed(block, processor)`, which gives the settings of its block with those of the
    processor known, and raises ValueError where they do not fit.
    """
    block = configuration.training
    complete = None if block is None else getattr(configuration.module("training"), "completed", None)
    if block is None or complete is None:
        return configuration
    settings = {key: value for key, value in block.items() if key != "module"}
    try:
        settings = complete(settings, configuration.settings("processor"))
    except ValueError as error:
        raise UserError(f"{origin}: {error}") from error
    validate(configuration.module("training").Settings, settings, origin, prefix=("training",))
    return configuration.model_copy(update={"training": {"module": block["module"], **settings}})


def _refuse_luminosity(configuration: Configuration, origin: str) -> None:
    """A luminosity that scales nothing would still stand on every plot."""
    value = configuration.luminosity
    if value is not None and not getattr(configuration.module("processor"), "USES_LUMINOSITY", True):
        raise UserError(
            f"{origin}: luminosity = {value:g}: {configuration.name} scales nothing with a luminosity; leave it null"
        )


def find_yaml(name: str, folder: str, what: str) -> Path:
    """The YAML file that `name` means: a path, or a name under configs/<folder>."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise UserError(f"there is no {what} file {name}")
        return path
    path = CONFIGS / folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in (CONFIGS / folder).glob("*.yaml"))
        raise UserError(f"unknown {what} '{name}'{nearest(name, known)} (known: {', '.join(known)}, or a YAML file)")
    return path


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; a UserError names the line of a mistake."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values")
    return content


def set_key(content: dict[str, Any], text: str) -> None:
    """Applies one `--set key=value` to a nested mapping in place."""
    dotted, equals, value = text.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"--set {text}: expected key=value, for example --set chunk_size=50000")
    inner = content
    for depth, key in enumerate(keys[:-1]):
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            raise UserError(f"--set {text}: '{'.'.join(keys[: depth + 1])}' is a single value and has no keys below it")
    try:
        inner[keys[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text}: '{value}' is not a YAML value") from error


def validate(model: type[Model], content: dict[str, Any], origin: str, prefix: tuple[str, ...] = ()) -> Model:
    """`content` as a `model`; the first mistake becomes a UserError that names key, value and what would be right."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # A mistyped key is also a missing one: the sentence about the typed word helps more.
        mistakes = sorted(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")
        raise UserError(f"{origin}: {_sentence(model, mistakes[0], prefix)}") from error


def nearest(word: str, known: list[str]) -> str:
    """The hint ", did you mean '...'?", or nothing where no known word is near."""
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""


def _sentence(model: type[BaseModel], mistake: Any, prefix: tuple[str, ...]) -> str:
    location = tuple(str(part) for part in mistake["loc"])
    key = ".".join((*prefix, *location))
    if mistake["type"] == "extra_forbidden":
        known = sorted(_fields(model, location[:-1]))
        hint = nearest(location[-1], known)
        return f"unknown key '{key}'{hint or ' (known here: ' + ', '.join(known) + ')'}"
    if mistake["type"] == "missing":
        return f"the key '{key}' is missing"
    message = str(mistake["msg"]).removeprefix("Value error, ")
    if isinstance(mistake["input"], dict):  # a rule about a whole block: it names what it means, the block is long
        return f"{key}: {message}" if key else message
    return f"{key} = {mistake['input']!r}: {message[:1].lower()}{message[1:]}"


def _fields(model: type[BaseModel], location: tuple[str, ...]) -> set[str]:
    """The keys a model has at a location; follows models inside mappings, lists, options and unions."""
    models = [model]
    for part in location:
        inner: list[type[BaseModel]] = []
        for one in models:
            field = one.model_fields.get(part)
            # A key of a mapping or an index of a list is no field: its model was found one step before.
            inner += _models(field.annotation) if field is not None else [one]
        models = inner
    return {name for one in models for name in one.model_fields}


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _import(block: str, content: dict[str, Any]) -> Any:
    name = content.get("module")
    if not isinstance(name, str):
        raise UserError(f"the block '{block}' must name its module (key {block}.module)")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise UserError(f"{block}.module = {name!r}: there is no such Python module") from error
        raise
