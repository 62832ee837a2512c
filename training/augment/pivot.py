"""By which language a text is translated there and back."""

from training.recipe.augment import TextParams
from training.recipe.block import RecipeError


def pivot(language: str, params: TextParams) -> str:
    """The language to go by. Raises RecipeError, with what to give, where no models lead there and back."""
    leads = sorted(direction.partition("-")[2] for direction in params.models if direction.startswith(f"{language}-"))
    wanted = [params.target_lang] if params.target_lang != language else [other for other in leads if other != language]
    for other in wanted:
        if {f"{language}-{other}", f"{other}-{language}"} <= params.models.keys():
            return other
    other = wanted[0] if wanted else "fr" if language == "en" else "en"
    raise RecipeError(
        f"augment.text_augment: back_translation has no models from {language} to another language and back: give a "
        f"MarianMT model for each direction, a folder or a name on the hub, in params, such as models: "
        f"{{{language}-{other}: Helsinki-NLP/opus-mt-{language}-{other}, "
        f"{other}-{language}: Helsinki-NLP/opus-mt-{other}-{language}}}"
    )
