"""The block of a recipe that has training profiled, and what is suggested tried."""

from pydantic import Field

from training.recipe.block import Block


class Profile(Block):
    """Find what takes the time of training, and time each suggestion against the recipe as it is.

    A trial goes over the rows of `steps` batches twice, and the second pass is timed. The recipe and a suggestion are
    tried by turns, `rounds` times each, so that a machine that slows down slows both.
    """

    steps: int = Field(20, ge=2)
    rounds: int = Field(3, ge=2)
