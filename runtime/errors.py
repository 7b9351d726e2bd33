"""One error tree. Every message says what was found, what was expected and how to mend it."""

from __future__ import annotations


class UgrnError(Exception):
    """Base of all errors ugrn raises on purpose."""


class InputError(UgrnError, ValueError):
    """A file or a setting given by the user cannot be used."""


class ArtifactError(InputError):
    """An artifact folder is incomplete, damaged, or of a format this version does not know."""


class PairListError(InputError):
    """A pair list cannot be read, or holds pairs that may not be scored."""


class GeneListError(InputError):
    """A gene list cannot be read, or holds nothing that can be scored."""


class ProviderError(UgrnError):
    """The asked-for onnxruntime provider cannot be had."""


class DeviceMemoryError(UgrnError):
    """The processor or the GPU has no memory left for one run of a graph."""


class MissingExtraError(UgrnError, ImportError):
    """A package of an optional extra is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs packages that are not installed; run: pip install 'ugrn[{extra}]'")
        self.extra = extra
