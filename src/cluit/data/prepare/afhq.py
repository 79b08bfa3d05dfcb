"""AFHQ and its second version, animal faces of 512 px (StarGAN v2, arXiv 1912.01865)."""

from cluit.core.errors import UserError
from cluit.data.prepare.archive import Files
from cluit.data.prepare.layout import Layout, Published, picture_names

SPLITS, CLASSES = ("train", "val", "test"), ("cat", "dog", "wild")
HOME = "https://github.com/clovaai/stargan-v2"


def afhq_layout(files: Files) -> Layout:
    """``<split>/<class>/<name>`` as in the archive, whatever folders that lies in.

    UserError where no picture lies in such folders.
    """
    pictures = dict[str, str]()
    for name in picture_names(files):
        *_, split, label, file = ("", "", *name.parts)
        if split in SPLITS and label in CLASSES:
            pictures.setdefault(f"{split}/{label}/{file}", str(name))
    if not pictures:
        raise UserError(
            f"that is not AFHQ: none of its {len(files)} files is a picture in train, val or test and there "
            f"in cat, dog or wild; look for the archive at {HOME}"
        )
    return Layout(pictures)


AFHQ = Published(
    layout=afhq_layout,
    counts={
        "train/cat": 5153, "train/dog": 4739, "train/wild": 4738,
        "val/cat": 500, "val/dog": 500, "val/wild": 500,
    },
    square=None,
    home=HOME,
)  # fmt: skip
AFHQ_V2 = Published(
    layout=afhq_layout,
    counts={"train": 14336, "test/cat": 493, "test/dog": 491, "test/wild": 483},
    square=None,
    home=HOME,
)
