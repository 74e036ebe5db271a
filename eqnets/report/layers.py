"""What an attribution to layers found, as plain data that survives JSON."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from .measurement import Guess
from .results import read, written

#: Written into every file; a reader refuses a format it does not know.
FORMAT = "eqnets-layers-1"
# Arrays in which nan, written as null, means: undefined for one image.
_MAY_LACK = ("stderr",)


@dataclasses.dataclass(frozen=True)
class Subnetworks:
    """The local equivariance error of the network cut off behind each layer.

    Attributes:
        names: of the layers.
        kinds: of what kind each is.
        lee: mean over images of the mean square over the batch-normalised output.
        stderr: its standard error over images.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    lee: Float[np.ndarray, " cuts"]
    stderr: Float[np.ndarray, " cuts"]


@dataclasses.dataclass(frozen=True)
class Convergence:
    """The stochastic estimate of the contributions to one image, probe after probe.

    Attributes:
        image: whose contributions are estimated.
        probes: numbers of probes.
        estimates: the estimated norm of each layer with that many probes.
        exact: the exact norm of each layer.
    """

    image: str
    probes: Float[np.ndarray, " counts"]
    estimates: Float[np.ndarray, "counts layers"]
    exact: Float[np.ndarray, " layers"]


@dataclasses.dataclass(frozen=True)
class Compilation:
    """What compiling cost.

    Attributes:
        seconds: of lowering and compiling, or of reading compiled programs.
        programs: how many programs were needed.
        cached: how many of them came from the folder.
        folder: where compiled programs are kept; None for nowhere.
    """

    seconds: float
    programs: int
    cached: int
    folder: str | None


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """All that a report on layers shows; `report.layer_page` needs nothing else.

    Attributes:
        model: what was measured.
        images: names of all images measured.
        size: height and width of the network's input, in pixels.
        readout: the function of the network that was measured.
        action: how the input moves.
        units: of the action's parameter t.
        stencil: that the generator was computed with; None if it needs none.
        depth: what counts as a layer.
        names: of the layers, in the order in which they act.
        kinds: of what kind each is.
        norms: root mean square over images of |C_g|, the norm over outputs of what
            layer g adds to the Lie derivative.
        stderr: their standard errors over images; nan for one image.
        per_image: |C_g| of each image.
        cumulative: |C_1 + ... + C_g| of each image.
        total: |L f| of each image, computed apart from the contributions.
        residual: distance of the sum of all C_g from L f, relative to the largest.
        top: the likeliest classes of each image, likeliest first.
        subnetworks: errors of the network cut off behind each layer, if asked for.
        convergence: of the stochastic estimator, if asked for.
        compilation: what compiling cost.
        settings: every option of the run.
        versions: of the libraries, and the device.
        command: the command line that gives these numbers.
        seed: of the random probes.
        seconds: wall time of each stage.

    >>> import numpy as np
    >>> from eqnets import report
    >>> r = report.LayerReport(
    ...     model="net", images=("a",), size=(4, 4), readout="logits",
    ...     action="rotation", units="radians", stencil="fourier_even", depth="module",
    ...     names=("conv", "pool"), kinds=("convolution", "pooling"),
    ...     norms=np.array([1.0, 3.0]), stderr=np.array([np.nan, np.nan]),
    ...     per_image=np.array([[1.0], [3.0]]), cumulative=np.array([[1.0], [4.0]]),
    ...     total=np.array([4.0]), residual=0.0, top=((report.Guess("cat", 0.9),),),
    ...     subnetworks=None, convergence=None,
    ...     compilation=report.Compilation(1.0, 2, 0, None), settings={}, versions={},
    ...     command="eqnets layerwise", seed=0, seconds={})
    >>> r.share.tolist()
    [0.25, 0.75]
    >>> print(report.layer_lines(r))
    LAYER conv 1 +- nan
    LAYER pool 3 +- nan
    TOTAL 4 residual 0
    >>> "pool" in report.layer_table(r), "<svg" in report.layer_page(r)
    (True, True)
    """

    model: str
    images: tuple[str, ...]
    size: tuple[int, int]
    readout: str
    action: str
    units: str
    stencil: str | None
    depth: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    norms: Float[np.ndarray, " layers"]
    stderr: Float[np.ndarray, " layers"]
    per_image: Float[np.ndarray, "layers images"]
    cumulative: Float[np.ndarray, "layers images"]
    total: Float[np.ndarray, " images"]
    residual: float
    top: tuple[tuple[Guess, ...], ...]
    subnetworks: Subnetworks | None
    convergence: Convergence | None
    compilation: Compilation
    settings: dict[str, Any]
    versions: dict[str, str]
    command: str
    seed: int
    seconds: dict[str, float]

    @property
    def share(self) -> Float[np.ndarray, " layers"]:
        """The norm of each layer over the sum of all norms; 0 if all are."""
        return self.norms / (self.norms.sum() or 1.0)

    def by_kind(self) -> dict[str, tuple[int, float]]:
        """For each kind how many layers it has and their share, largest share first."""
        found = {
            kind: (
                self.kinds.count(kind),
                float(sum(self.share[[k == kind for k in self.kinds]])),
            )
            for kind in dict.fromkeys(self.kinds)
        }
        return dict(sorted(found.items(), key=lambda item: -item[1][1]))

    def to_json(self) -> str:
        """Write the report as JSON; undefined standard errors are null.

        Raises:
            ValueError: another number is not finite.
        """
        return written(_encode(dataclasses.asdict(self)), FORMAT)

    @classmethod
    def from_json(cls, text: str) -> "LayerReport":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or of another format.
        """
        tree = read(text, FORMAT, "eqnets layerwise")
        return _decode(tree)


def _encode(tree: Any, name: str = "") -> Any:
    if isinstance(tree, dict):
        return {key: _encode(value, key) for key, value in tree.items()}
    if isinstance(tree, np.ndarray):
        lacking = np.isnan(tree) & (name in _MAY_LACK)
        return np.where(lacking, None, tree).tolist()
    return tree


def _decode(tree: dict[str, Any]) -> LayerReport:
    tree = _arrays(tree)
    parts = {"subnetworks": Subnetworks, "convergence": Convergence}
    for name, kind in parts.items():
        if tree[name] is not None:
            tree[name] = kind(**_arrays(tree[name]))
    tree["compilation"] = Compilation(**tree["compilation"])
    tree["top"] = tuple(tuple(Guess(**g) for g in guesses) for guesses in tree["top"])
    return LayerReport(**tree)


def _arrays(tree: dict[str, Any]) -> dict[str, Any]:
    """Lists of numbers as arrays, lists of names as tuples."""
    return {
        key: _array(key, value) if isinstance(value, list) else value
        for key, value in tree.items()
    }


def _array(name: str, value: list) -> Any:
    if name in ("images", "names", "kinds", "size", "top"):
        return tuple(value)
    return np.array(value, np.float64)  # null becomes nan
