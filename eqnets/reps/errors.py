"""What the solver raises."""


class BasisError(Exception):
    """No certified basis could be given; the message says what to change.

    Raised where a tensor is over budget, where the spectrum has no clear gap between
    null and non-null, or where the certificate fails. A partial basis is never given.

    >>> from eqnets import groups, reps
    >>> reps.equivariant_basis(reps.T(groups.SO(3), 20))
    Traceback (most recent call last):
        ...
    eqnets.reps.errors.BasisError: a tensor of size 3486784401 is over budget: ...
    """
