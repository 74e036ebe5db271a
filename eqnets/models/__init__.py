"""Networks in Flax NNX; each is called as ``model(x, *, key=None, temperature=1.0)``.

Images are ``[B, H, W, C]``, logits ``[B, K]``, of dense predictions ``[B, H, W, K]``.
"""

from .allocate import uniform_rep as uniform_rep
from .approximate import FreeHead as FreeHead
from .approximate import residual_emlp as residual_emlp
from .approximate import violations as violations
from .convert import dense_linear as dense_linear
from .convert import restrict_to_subgroup as restrict_to_subgroup
from .convert import to_dense as to_dense
from .convnext import ConvNeXt as ConvNeXt
from .convnext import convnext as convnext
from .deeplab import DeepLabV3Plus as DeepLabV3Plus
from .deeplab import deeplab_v3plus as deeplab_v3plus
from .densenet import DenseNet as DenseNet
from .densenet import densenet as densenet
from .dynamics import hamiltonian_field as hamiltonian_field
from .dynamics import integrate as integrate
from .efficientnet_lite import EfficientNetLite as EfficientNetLite
from .efficientnet_lite import efficientnet_lite as efficientnet_lite
from .emlp import EMLP as EMLP
from .emlp import emlp as emlp
from .gcnn import gcnn as gcnn
from .mixer import Mixer as Mixer
from .mixer import mixer as mixer
from .mlp import MLP as MLP
from .mlp import augmented as augmented
from .mlp import group_samples as group_samples
from .mlp import mlp as mlp
from .preprocess import Preprocess as Preprocess
from .pretrained import Pretrained as Pretrained
from .pretrained import imagenet_classes as imagenet_classes
from .pretrained import load_pretrained as load_pretrained
from .resnet import ResNet as ResNet
from .resnet import resnet as resnet
from .shifts import Conversion as Conversion
from .shifts import ShiftEquivariant as ShiftEquivariant
from .shifts import make_shift_equivariant as make_shift_equivariant
from .swin import Swin as Swin
from .swin import swin as swin
from .timm import TIMM as TIMM
from .timm import Imported as Imported
from .timm import create as create
from .timm import from_timm as from_timm
from .timm_vit import vit_from_timm as vit_from_timm
from .torch_names import efficientnet_lite_from_torch as efficientnet_lite_from_torch
from .torch_resnet import resnet_from_torch as resnet_from_torch
from .unet import UNet as UNet
from .unet import unet as unet
from .vgg import VGG as VGG
from .vgg import vgg as vgg
from .vit import VisionTransformer as VisionTransformer
from .vit import ViTShape as ViTShape
from .vit import vit as vit
from .weights import load_weights as load_weights
from .weights import save_weights as save_weights
