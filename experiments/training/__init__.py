"""Training: one program for every data set and network, with exact restarts."""

from experiments.training.architectures import EMLP as EMLP
from experiments.training.architectures import GCNN as GCNN
from experiments.training.architectures import MLP as MLP
from experiments.training.architectures import DeepLab as DeepLab
from experiments.training.architectures import ResNet as ResNet
from experiments.training.architectures import UNet as UNet
from experiments.training.config import Config as Config
from experiments.training.datasets import FashionMNIST as FashionMNIST
from experiments.training.datasets import SymmetricTask as SymmetricTask
from experiments.training.datasets import TuxPaint as TuxPaint
from experiments.training.loop import Interrupted as Interrupted
from experiments.training.loop import Run as Run
from experiments.training.optimisers import Optimiser as Optimiser
from experiments.training.optimisers import Temperature as Temperature
from experiments.training.reports import NotFinite as NotFinite
from experiments.training.tfds_data import VOC as VOC
from experiments.training.tfds_data import Tfds as Tfds
