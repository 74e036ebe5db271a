"""Fashion-MNIST turned by multiples of 90 degrees, by a p4-equivariant network.

Command: python -m experiments.train --config rotated_fashion_mnist
Hardware: one CPU core.
Time: about three minutes of that core.
Expected: accuracy .728.
"""

from experiments.training import GCNN, Config, FashionMNIST, Optimiser

CONFIG = Config(
    data=FashionMNIST(images=10_000, rotated=True),
    model=GCNN("p4", widths=(8, 16, 32), pool=2),
    optimiser=Optimiser("adam", rate=3e-3, weight_decay=0.0, schedule="cosine"),
    epochs=5,
    batch=100,
    log_every=20,
    checkpoint_every=100,
)
