"""PASCAL VOC 2012 segmentation with the published recipe (Rojas-Gomez et al., 2022).

Command: python -m experiments.train --config voc --data.folder VOCdevkit/VOC2012
Hardware: one GPU of 40 GB or more.
Time: not measured.
Expected: the paper's Table 5 has 72.37 % mIoU and 100 % mASCC for DeepLabV3+ with
ResNet-18 LPS and Adapt-3, from a pretrained backbone, on crops of 513 (here 512, which
the strides divide); this config has not been run to the end.
"""

from experiments.training import VOC, Config, DeepLab, Optimiser

CONFIG = Config(
    data=VOC(size=512),
    model=DeepLab(18, down="lps", up="lps"),
    optimiser=Optimiser(
        "sgd", rate=0.01, weight_decay=1e-4, schedule="poly", power=0.9, backbone=0.1
    ),
    epochs=328,  # 30,000 steps of 16 of the 1,464 training images
    batch=16,
    augment=("flip",),
    evaluate_every=20,
    measured=16,
)
