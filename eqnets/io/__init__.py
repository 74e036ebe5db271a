"""Files in and out: weights, photographs, whole-or-nothing writes.

Importing this package reads no file, and imports no image or weights library.
"""

from .atomic import atomic_write as atomic_write
from .atomic import atomic_write_bytes as atomic_write_bytes
from .atomic import atomic_write_text as atomic_write_text
from .images import load_image as load_image
from .images import load_images as load_images
from .images import sample_photographs as sample_photographs
from .torch_pickle import load_torch as load_torch
from .weights import flatten as flatten
from .weights import load_safetensors as load_safetensors
from .weights import load_state_dict as load_state_dict
from .weights import save_safetensors as save_safetensors
from .weights import unflatten as unflatten
