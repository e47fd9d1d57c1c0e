"""Where the released code and the paper differ: what each says, and the file that shows it.

"As released" is what the files do. The files may differ from what was run for the paper.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class Difference(NamedTuple):
    """One difference: its name, what the paper says, what the released code does, the file, and the function here."""

    name: str
    paper: str
    released: str
    file: str
    here: str


DIFFERENCES = (
    Difference("cuts", "eight beats, found by librosa", "seconds 1-4, 4-7 and 7-10; no beat is sought",
               "data_aug/seg_dataset.py", "cutting.cut_motion"),
    Difference("clock", "10 s of motion and of music", "the first 10 s of the music file as they are (crop)",
               "data_aug/seg_dataset.py", "cutting.cut_music"),
    Difference("acoustics", "MFCC, delta, constant-Q chromagram, tempo, onset strength",
               "40 MFCC, 40 deltas, 84 bins of constant-Q magnitude, 384 of the tempogram, onset strength; not standardised",
               "data_aug/process_music.py", "cutting.music_features"),
    Difference("lstm", "an LSTM", "8 layers that step through the 549 feature rows and read the 130 frames as inputs",
               "models/lstm.py", "encoder.MusicEncoder"),
    Difference("knee", "ST-GCN on the skeleton", "RThigh-RShin is missing: the right lower leg is cut off",
               "models/utils/graph.py", "encoder.edges"),
    Difference("hops", "ST-GCN's spatial partition", "joints more than one bone from the hip count as equally far",
               "models/utils/graph.py", "encoder.partitions"),
    Difference("mlp", "an MLP", "512 - 256 - 256 - 256 with ReLUs between", "models/mlp.py", "encoder.MLP"),
    Difference("augmentation", "data augmentation", "two of four, drawn once per file: the same two views in all epochs",
               "data_aug/seg_dataset.py", "pretraining.two_views"),
    Difference("silent music", "music is encoded", "zeros for all but the last piece of a file, in pre-training",
               "data_aug/seg_dataset.py", "pretraining.music_of_zeros"),
    Difference("temperature", "not stated", "0.07", "level_contrastive_graph.py", "pretraining.TEMPERATURE"),
    Difference("optimiser", "learning rate 3e-4, batch 16",
               "Adam, weight decay 1e-4, 100 epochs; a cosine schedule with the batches of an epoch as its period, stepped once "
               "per epoch after the tenth; the motion encoder's gradient is clipped at 0.25",
               "momu_simclr.py", "pretraining.ReleasedTraining"),
    Difference("split", "10 and 5 choreographies, not named", "named; two of five test choreographies share their music with "
               "pre-training", "data_aug/seg_dataset_text.py", "splits.assign"),
    Difference("trials", "not stated", "trials 75-89 tune and 90-99 test, in order of practice: 15 shots",
               "data_aug/seg_dataset_text.py", "splits.support_and_query"),
    Difference("text", "the content of the piece in text", "the true label in words, at test time too; no class word is in the "
               "vocabulary, so all texts are one token sequence", "data_aug/seg_dataset_text.py", "texts.label_text"),
    Difference("text tower", "a transformer", "CLIP's: width 256, 12 layers, 256 heads of one dimension, 8 tokens",
               "prompting/charmodel.py", "texts.TextTower"),
    Difference("logits", "features concatenated and used as predictions", "[z ; text] are the logits over 45 classes: 256 "
               "of them belong to no class", "test_our_text_prompt.py", "texts.logits"),
    Difference("stopping", "not stated", "200 epochs; test accuracy is printed after each",
               "test_our_text_prompt.py", "prompting.answers"),
    Difference("hit rate", "sum of joint velocities; labelled music intensity",
               "seven joints, signed sums, maxima and minima, all beats, many to one", "data_aug/seg_dataset.py", "hits.hit_rate"),
    Difference("target", "BAR of the performance", "the mean rate of its file: 15 values in all",
               "data_aug/seg_dataset.py", "hits.constant_target"),
)  # fmt: skip


def table() -> pd.DataFrame:
    """Return the differences as a table: name, paper, released, file, here."""
    return pd.DataFrame(DIFFERENCES, columns=Difference._fields)
