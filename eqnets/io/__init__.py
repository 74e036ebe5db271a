"""Files in and out: whole-or-nothing writes.

Importing this package reads no file and imports no image or weights library.
"""

from .atomic import atomic_write as atomic_write
from .atomic import atomic_write_bytes as atomic_write_bytes
from .atomic import atomic_write_text as atomic_write_text
from .torch_pickle import load_torch as load_torch
