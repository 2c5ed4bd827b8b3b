"""The public data sets: where they are published, what of them is used, who made them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cyclotrain.fetch.higgs import HIGGS_FILES, higgs_to_root
from cyclotrain.fetch.jetclass import unpack, unpacked
from cyclotrain.fetch.quark_gluon import quark_gluon_to_root
from cyclotrain.fetch.top_tagging import top_tagging_to_root

ZENODO = "https://zenodo.org/records"


@dataclass(frozen=True)
class PublicSet:
    """A data set of which each published file becomes the files `made_of(name)` in the same folder, by `convert(file, folder)`.

    `page` is for people. A set on Zenodo has a list of its files there, with sizes and checksums (`record`) and the
    licence; for others, `urls` has the address of each file.
    """

    title: str
    citation: str
    page: str
    names: tuple[str, ...]
    made_of: Callable[[str], tuple[str, ...]]
    convert: Callable[[Path, Path], None]
    record: str | None = None
    licence: str | None = None  # if it does not stand in a record of Zenodo
    urls: tuple[tuple[str, str], ...] = ()

    def is_made(self, name: str, folder: Path) -> bool:
        """Whether all that is made of the published file `name` is there; each file is whole or not there."""
        return all((folder / made).exists() for made in self.made_of(name))


def _as_root(name: str) -> tuple[str, ...]:
    return (f"{Path(name).stem}.root",)


PUBLIC_SETS = {
    "top_tagging": PublicSet(
        title="Top Quark Tagging Reference Dataset: 2 million jets, top against light, 1.7 GB",
        citation="G. Kasieczka, T. Plehn, J. Thompson, M. Russel, doi:10.5281/zenodo.2603256; A. Butter et al., arXiv:1902.09914",
        page=f"{ZENODO}/2603256",
        record="https://zenodo.org/api/records/2603256",
        names=("train.h5", "val.h5", "test.h5"),
        made_of=_as_root,
        convert=top_tagging_to_root,
    ),
    "quark_gluon": PublicSet(
        title="Pythia8 Quark and Gluon Jets for Energy Flow: 2 million jets, light quarks against gluons",
        citation="P. Komiske, E. Metodiev, J. Thaler, doi:10.5281/zenodo.3164691; the same, arXiv:1810.05165",
        page=f"{ZENODO}/3164691",
        record="https://zenodo.org/api/records/3164691",
        names=("QG_jets.npz", *(f"QG_jets_{i}.npz" for i in range(1, 20))),
        made_of=_as_root,
        convert=quark_gluon_to_root,
    ),
    "jetclass": PublicSet(
        title="JetClass: 125 million jets of ten classes; some 190 GB: begin with a part, see --files",
        citation="H. Qu, C. Li, S. Qian, doi:10.5281/zenodo.6619768; the same, arXiv:2202.03772",
        page=f"{ZENODO}/6619768",
        record="https://zenodo.org/api/records/6619768",
        names=(
            *(f"JetClass_Pythia_train_100M_part{i}.tar" for i in range(10)),
            "JetClass_Pythia_val_5M.tar",
            "JetClass_Pythia_test_20M.tar",
        ),
        made_of=unpacked,
        convert=unpack,
    ),
    "higgs": PublicSet(
        title="HIGGS: 11 million events, a Higgs boson against top pairs, 28 features, 2.6 GB",
        citation="P. Baldi, P. Sadowski, D. Whiteson, arXiv:1402.4735; UCI Machine Learning Repository, doi:10.24432/C5V312",
        licence="Creative Commons Attribution 4.0",
        page="https://archive.ics.uci.edu/dataset/280/higgs",
        names=("HIGGS.csv.gz",),
        made_of=lambda _: HIGGS_FILES,
        convert=higgs_to_root,
        urls=(("HIGGS.csv.gz", "https://archive.ics.uci.edu/ml/machine-learning-databases/00280/HIGGS.csv.gz"),),
    ),
}
