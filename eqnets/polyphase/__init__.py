"""Polyphase sampling: strides that commute with shifts.

Pure functions on channels-last arrays ``[..., *space, C]``: split into components,
score them, select one (or a mixture), down- and upsample, and low-pass. Scores are
exact: their order never changes under a circular shift (see ``fixed_point``).

>>> import jax
>>> from eqnets import polyphase
>>> x = jax.random.normal(jax.random.key(0), (8, 8, 3))
>>> phases = polyphase.split(x, 2)
>>> weights = polyphase.argmax_select(polyphase.norm_scores(phases))
>>> polyphase.downsample(phases, weights).shape
(4, 4, 3)
"""

from eqnets.polyphase.adaptive import adaptive_lowpass as adaptive_lowpass
from eqnets.polyphase.conv_scores import conv_scores as conv_scores
from eqnets.polyphase.conv_scores import image_conv_scores as image_conv_scores
from eqnets.polyphase.fixed_point import invariant_mean as invariant_mean
from eqnets.polyphase.ideal import alias_free as alias_free
from eqnets.polyphase.ideal import ideal_downsample as ideal_downsample
from eqnets.polyphase.ideal import ideal_resize as ideal_resize
from eqnets.polyphase.lowpass import binomial_kernel as binomial_kernel
from eqnets.polyphase.lowpass import lowpass as lowpass
from eqnets.polyphase.norm_scores import image_norm_scores as image_norm_scores
from eqnets.polyphase.norm_scores import norm_scores as norm_scores
from eqnets.polyphase.padding import pad as pad
from eqnets.polyphase.phases import merge as merge
from eqnets.polyphase.phases import phase_offsets as phase_offsets
from eqnets.polyphase.phases import split as split
from eqnets.polyphase.phases import take as take
from eqnets.polyphase.published_scores import attention_scores as attention_scores
from eqnets.polyphase.published_scores import graph_scores as graph_scores
from eqnets.polyphase.published_scores import perceptron_scores as perceptron_scores
from eqnets.polyphase.published_scores import skip_scores as skip_scores
from eqnets.polyphase.sampling import downsample as downsample
from eqnets.polyphase.sampling import upsample as upsample
from eqnets.polyphase.schedules import hold_milestones as hold_milestones
from eqnets.polyphase.schedules import linear_milestones as linear_milestones
from eqnets.polyphase.schedules import published_schedule as published_schedule
from eqnets.polyphase.schedules import step_decay as step_decay
from eqnets.polyphase.selection import argmax_select as argmax_select
from eqnets.polyphase.selection import gumbel_select as gumbel_select
from eqnets.polyphase.selection import softmax_select as softmax_select
from eqnets.polyphase.selection import (
    straight_through_select as straight_through_select,
)
