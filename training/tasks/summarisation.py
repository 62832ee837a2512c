"""A text in, a shorter one out."""

from training.tasks.seq2seq import Seq2Seq


class Summarisation(Seq2Seq):
    """The source is cut at the model's `max_length`."""

    name = "summarisation"
    about = "a short text that says what a long one does"
    metric = "rougeL"
