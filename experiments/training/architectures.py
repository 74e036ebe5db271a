"""Networks that a config can name, built for the data at hand."""

import abc
import dataclasses
from typing import Any, Literal

from flax import nnx

from eqnets import io, models
from experiments.training.datasets import Spec

Down = Literal["strided", "lowpass", "aps", "lps", "aps_input", "lps_input"]


@dataclasses.dataclass(frozen=True)
class Architecture(abc.ABC):
    """A network: give it the data's specification, and it is built.

    What is built is called as ``model(x, key=key, temperature=temperature)`` in
    training, and as ``model(x)`` in evaluation.
    """

    @abc.abstractmethod
    def build(self, spec: Spec, rngs: nnx.Rngs, dtype: Any = None) -> nnx.Module:
        """The network for these inputs and outputs; ``dtype`` is the computation's."""

    def _only_float32(self, dtype) -> None:
        if dtype is not None:
            raise ValueError(
                f"{type(self).__name__} computes in the precision of its input and "
                "parameters: leave precision at float32"
            )


@dataclasses.dataclass(frozen=True)
class ResNet(Architecture):
    """`eqnets.models.resnet`; the fields are its arguments."""

    depth: int = 18
    down: Down = "lps"
    antialias: str | None = None
    hidden: tuple[int, ...] | None = None
    width: int = 64
    stem: Literal["cifar", "imagenet"] = "cifar"
    padding: Literal["circular", "zeros"] = "circular"

    def build(self, spec: Spec, rngs: nnx.Rngs, dtype: Any = None) -> nnx.Module:
        """A residual network."""
        options = _options(self, dtype)
        return models.resnet(options.pop("depth"), spec.outputs, **options, rngs=rngs)


@dataclasses.dataclass(frozen=True)
class DeepLab(Architecture):
    """`eqnets.models.deeplab_v3plus`; the fields are its arguments, and one more.

    Attributes:
        backbone_weights: a file of a trained ResNet of the same options, such as the
            ``weights.safetensors`` of a run; its classifier is not used.
    """

    backbone: int = 18
    down: Down = "lps"
    up: Literal["lps", "bilinear"] = "lps"
    antialias: str | None = None
    hidden: tuple[int, ...] | None = None
    width: int = 64
    padding: Literal["circular", "zeros"] = "circular"
    backbone_weights: str | None = None

    def build(self, spec: Spec, rngs: nnx.Rngs, dtype: Any = None) -> nnx.Module:
        """A DeepLabV3+."""
        options = _options(self, dtype)
        weights = options.pop("backbone_weights")
        net = models.deeplab_v3plus(spec.outputs, **options, rngs=rngs)
        if weights is not None:
            classes = len(io.load_state_dict(weights)["fc.bias"])
            depth = options.pop("backbone")
            del options["up"]
            trained = models.resnet(
                depth, classes, stem="imagenet", **options, rngs=rngs
            )
            models.load_weights(trained, weights)
            del trained.fc
            nnx.update(net.backbone, nnx.state(trained))
        return net


@dataclasses.dataclass(frozen=True)
class UNet(Architecture):
    """`eqnets.models.unet`; the fields are its arguments."""

    down: Down = "lps"
    up: Literal["lps", "bilinear"] = "lps"
    antialias: str | None = None
    width: int = 64
    depth: int = 4
    padding: Literal["circular", "zeros"] = "circular"

    def build(self, spec: Spec, rngs: nnx.Rngs, dtype: Any = None) -> nnx.Module:
        """A U-Net."""
        return models.unet(spec.outputs, **_options(self, dtype), rngs=rngs)


def _options(architecture: Architecture, dtype: Any) -> dict[str, Any]:
    """The fields as keyword arguments."""
    names = [f.name for f in dataclasses.fields(architecture)]
    return {name: getattr(architecture, name) for name in names} | {"dtype": dtype}


@dataclasses.dataclass(frozen=True)
class GCNN(Architecture):
    """`eqnets.models.gcnn`, equivariant under rotations of the image by 90 degrees."""

    kind: Literal["p4", "p4m", "z2"] = "p4"
    widths: tuple[int, ...] = (8, 16, 16)
    pool: int = 1

    def build(self, spec: Spec, rngs: nnx.Rngs, dtype: Any = None) -> nnx.Module:
        """A group-convolutional network."""
        self._only_float32(dtype)
        return models.gcnn(
            self.kind,
            spec.outputs,
            channels=spec.shape[-1],
            widths=self.widths,
            pool=self.pool,
            rngs=rngs,
        )


@dataclasses.dataclass(frozen=True)
class EMLP(Architecture):
    """`eqnets.models.emlp` for a task of ``experiments.symmetric_tasks``.

    Attributes:
        group: the name of one of the task's symmetries; None is the first of them.
        width: of the hidden layers.
        layers: their number.
    """

    group: str | None = None
    width: int = 384
    layers: int = 3

    def build(self, spec: Spec, rngs: nnx.Rngs, dtype: Any = None) -> nnx.Module:
        """An equivariant multilayer perceptron."""
        self._only_float32(dtype)
        symmetries = getattr(spec.task, "symmetries", None)
        if symmetries is None:
            raise ValueError(
                "EMLP needs data whose symmetry is known: data = SymmetricTask(...)"
            )
        name = self.group or next(iter(symmetries))
        if name not in symmetries:
            raise ValueError(f"group must be one of {tuple(symmetries)}, got {name!r}")
        group = symmetries[name]()
        return models.emlp(
            spec.task.rep_in(group),
            spec.task.rep_out(group),
            group,
            ch=self.width,
            num_layers=self.layers,
            rngs=rngs,
        )


@dataclasses.dataclass(frozen=True)
class MLP(Architecture):
    """`eqnets.models.mlp` on vectors."""

    width: int = 384
    layers: int = 3

    def build(self, spec: Spec, rngs: nnx.Rngs, dtype: Any = None) -> nnx.Module:
        """A multilayer perceptron."""
        self._only_float32(dtype)
        return models.mlp(
            spec.shape[0],
            spec.outputs,
            ch=self.width,
            num_layers=self.layers,
            rngs=rngs,
        )
