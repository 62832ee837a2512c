"""A text in, the same in another language out."""

from training.tasks.seq2seq import Seq2Seq


class Translation(Seq2Seq):
    """What is to be told to the model beside the text, such as T5's prefix, is a part of `source`."""

    name = "translation"
    about = "a text in another language"
    metric = "chrf"
