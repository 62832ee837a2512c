"""The block of a recipe that makes further training rows out of those there are."""

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from training.recipe.block import Block, nearest

Jitter = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=1)]


class Methods(Block):
    """`methods` of those that there are."""

    known: ClassVar[tuple[str, ...]]
    methods: tuple[str, ...] = Field(min_length=1)

    @field_validator("methods")
    @classmethod
    def _check_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for method in methods:
            if method not in cls.known:
                raise ValueError(f"there is no {method!r}{nearest(method, cls.known)}")
        if len(set(methods)) < len(methods):
            raise ValueError("each may be named once")
        return methods


class TextParams(Block):
    """`synonym_ratio` of a text's words are replaced, those with synonyms as far as they go.

    Back translation goes to `target_lang` and back; where that is the texts' own language, to the one that `models`
    lead to. `models` are Marian's, by direction: `en-fr`, `fr-en`; each a folder, a name on the hub, or
    `package:<import name>/<path>`. Each method makes `copies` of each row, which `replace` the row or join it.
    """

    synonym_ratio: Annotated[float, Field(gt=0, le=1)] = 0.3
    target_lang: str = Field("en", pattern=r"^[a-z]{2,3}$")
    models: dict[Annotated[str, Field(pattern=r"^[a-z]{2,3}-[a-z]{2,3}$")], str] = Field({})
    language: str | None = Field(None, pattern=r"^[a-z]{2,3}$")  # of the texts; found out, without
    columns: tuple[str, ...] = ()  # what is rewritten; the task's inputs, without
    wordnet: str | None = None  # the folder of its database, where Debian's package is not installed
    copies: int = Field(1, ge=1, le=16)
    replace: bool = False
    beams: int = Field(4, ge=1, le=32)
    max_length: int = Field(256, ge=8)  # in tokens of a translation
    batch_size: int = Field(16, ge=1)


class ImageParams(Block):
    """`crop_size`, [224, 224] or (224, 224), is height and width, to which a smaller image is enlarged first.

    The others are Kornia's.
    The methods are done one after the other, `copies` times; the copies `replace` the row or join it.
    """

    crop_size: tuple[Size, Size] = (224, 224)
    brightness: Jitter = 0.0
    contrast: Jitter = 0.0
    saturation: Jitter = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    copies: int = Field(1, ge=1, le=16)
    replace: bool = False


class TextAugment(Methods):
    """Texts in other words."""

    known = ("synonym_replacement", "back_translation")
    params: TextParams = TextParams()


class ImageAugment(Methods):
    """Images in another frame, in another light."""

    known = ("random_crop", "color_jitter")
    params: ImageParams = ImageParams()


class Augment(Block):
    """Texts, images, or both. Of both, what the rows do not have is left out."""

    text_augment: TextAugment | None = None
    image_augment: ImageAugment | None = None
