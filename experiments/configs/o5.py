"""An O(5)-invariant function of two vectors (Finzi et al., 2021), by an EMLP.

Command: python -m experiments.train --config o5
Hardware: one CPU core.
Time: about two minutes.
Expected: a test error of 0.024; the paper reports 0.034 for 1000 examples.
"""

from experiments.training import EMLP, Config, Optimiser, SymmetricTask

CONFIG = Config(
    data=SymmetricTask("O5", examples=1000),
    model=EMLP("O(5)", width=384),
    optimiser=Optimiser("adam", rate=3e-3, weight_decay=0.0, schedule="constant"),
    epochs=900,
    batch=500,
    log_every=100,
    evaluate_every=300,
    checkpoint_every=600,
)
