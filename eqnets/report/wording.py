"""How names, symbols and numbers are written, the same in figures, tables and page."""

import math

_OUTPUTS = {
    "probs": ("p", "the class probabilities (softmax)"),
    "logits": ("z", "the logits"),
    "top1": ("p₁", "the probability of the likeliest class"),
}
_NORMS = {
    "squared": "mean over images of |L{symbol}|²",
    "mean_abs": "mean over images and outputs k of |L{symbol}ₖ|",
}


def pretty(name: str) -> str:
    """Write the name of an action in words.

    >>> pretty("hyperbolic_rotation")
    'hyperbolic rotation'
    """
    return name.replace("_", " ")


def output_symbol(readout: str) -> str:
    """The letter for a readout; f for one without a letter of its own.

    >>> output_symbol("probs"), output_symbol("mine")
    ('p', 'f')
    """
    return _OUTPUTS.get(readout, ("f", ""))[0]


def output_words(readout: str) -> str:
    """What a readout is, in words.

    >>> output_words("logits")
    'the logits'
    """
    return _OUTPUTS.get(readout, ("", f"the readout {readout!r}"))[1]


def lee_symbol(norm: str, readout: str) -> str:
    """The definition of LEE in a few signs.

    >>> lee_symbol("squared", "probs")
    'mean over images of |Lp|²'
    """
    if norm not in _NORMS:
        raise ValueError(f"unknown norm {norm!r}; known: {', '.join(_NORMS)}")
    return _NORMS[norm].format(symbol=output_symbol(readout))


def short_label(label: str, length: int) -> str:
    """The first of a class's names, cut to a number of letters.

    >>> short_label("tiger cat, Felis something", 20)
    'tiger cat'
    >>> short_label("a very long name indeed", 12)
    'a very long…'
    """
    first = label.split(",")[0].strip()
    return first if len(first) <= length else first[: length - 1].rstrip() + "…"


def number(value: float, digits: int = 3) -> str:
    """Write a number with a number of significant digits; an undefined one as a dash.

    Numbers below ten thousand are written out.

    >>> number(0.0123456), number(123456.0), number(0.0), number(math.nan)
    ('0.0123', '1.23e+05', '0', '-')
    >>> number(379.98, 2), number(4.98, 2)
    ('380', '5.0')
    """
    if math.isnan(value):
        return "-"
    if value and 1e-4 <= abs(rounded := float(f"{value:.{digits - 1}e}")) < 1e4:
        decimals = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
        return f"{rounded:.{decimals}f}"
    return f"{value:.{digits}g}"


def exact(value: float) -> str:
    """Write a number with six significant digits, for machines to read.

    >>> exact(0.0123456789), exact(math.nan)
    ('0.0123457', 'nan')
    """
    return f"{value:.6g}"


def percent(fraction: float) -> str:
    """Write a fraction as a percentage.

    >>> percent(0.98765)
    '98.8 %'
    """
    return f"{100 * fraction:.1f} %"
