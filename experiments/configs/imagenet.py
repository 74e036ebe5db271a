"""ImageNet with the published recipe (Rojas-Gomez et al., 2022, Sec. 5.2).

Command: python -m experiments.train --config imagenet
Hardware: a host with eight accelerators, or a pod slice.
Time: not measured.
Expected: the paper's Table 2 has 67 to 69 % top-1 for ResNet-18, and 100 % circular
consistency for LPS; this config has not been run to the end.
"""

from experiments.training import Config, Optimiser, ResNet, Temperature, Tfds

CONFIG = Config(
    data=Tfds(
        "imagenet2012", outputs=1000, size=224, crop="area", test_split="validation"
    ),
    model=ResNet(18, down="lps", stem="imagenet"),
    optimiser=Optimiser(
        "sgd", rate=0.1, weight_decay=1e-4, schedule="steps", factor=0.1, every=30
    ),
    temperature=Temperature("linear", (62, 82, 90), (0.5, 0.05, 0.01)),
    epochs=90,
    batch=256,
    augment=("flip",),
    log_every=100,
    checkpoint_every=2000,
    threads=16,
)
