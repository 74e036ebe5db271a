"""What the solver raises."""


class BasisError(Exception):
    """No certified basis could be given; the message says what to change.

    Raised where a tensor is over budget, where the spectrum has no clear gap between
    null and non-null, or where the certificate fails. A partial basis is never given.
    """
