"""YAML as people mean it: `1e-4` is a number, `(224, 224)` are two; a key that stands twice, or has nothing behind it,
is an error.
"""

import re
from typing import Any, Final

import yaml


class _Loader(yaml.SafeLoader):
    """Goes on after a key that is wrong, for all of them to be told: the last of two is taken, and none for nothing."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.wrong: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        kept = []
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen and key_node.value != "<<":
                self._complain(f"the key {key!r} stands twice", key_node)
            # YAML takes it for null: a block whose lines are commented out would be turned off without a word.
            if value_node.tag == "tag:yaml.org,2002:null" and value_node.value == "":
                hint = "write {} for a block's defaults, null for none"
                if str(key).endswith(")"):  # of (224, 224) between braces, which YAML cuts at the comma
                    hint = "write a list as [224, 224]"
                self._complain(f"the key {key!r} has nothing behind it: {hint}", key_node)
                continue
            seen.add(key)
            kept.append((key_node, value_node))
        node.value = kept
        return super().construct_mapping(node, deep)

    def _complain(self, what: str, node: yaml.Node) -> None:
        self.wrong.append(f"line {node.start_mark.line + 1}: {what}")


class _Dumper(yaml.SafeDumper):
    """Sets in quotes what the loader would read as something else than a text."""


# YAML 1.1, which PyYAML reads, wants a dot and the exponent's sign in such a number, and takes it for a text without.
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )


# As Python writes a list of numbers, which YAML takes for a text.
_NUMBERS: Final = "!numbers"
_NUMBER: Final = r"[-+]?[0-9]+(\.[0-9]*)?"
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(_NUMBERS, re.compile(rf"\(\s*{_NUMBER}(\s*,\s*{_NUMBER})+\s*\)$"), ["("])
_Loader.add_constructor(_NUMBERS, lambda loader, node: yaml.safe_load(f"[{node.value[1:-1]}]"))


def load(text: str) -> tuple[Any, list[str]]:
    """What the text says, and what is wrong with its keys, with the line. Raises yaml.YAMLError where it is no YAML."""
    loader = _Loader(text)
    try:
        return loader.get_single_data(), loader.wrong
    finally:
        loader.dispose()


def dump(value: Any) -> str:
    """A text that `load` reads as this value, its keys in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
