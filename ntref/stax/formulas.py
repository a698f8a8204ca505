r"""Formulas of layers: LaTeX, which stands beside each layer, and the same in Unicode for a terminal.

A formula is a row of statements with ``,\quad`` between them. K, q, q', g, A, theta and Theta are those of the input of
a layer, and a plus marks those of its output: docs/explain-and-plot.md#symbols.
"""
import re

__all__ = ['as_unicode']

TOKEN = re.compile(r'\\[A-Za-z]+|\\.|\s+|.')
RAISED = dict(zip('0123456789+-knT', '⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵏⁿᵀ'))
LOWERED = dict(zip('0123456789+-ijklmnop', '₀₁₂₃₄₅₆₇₈₉₊₋ᵢⱼₖₗₘₙₒₚ'))
ENDS = ',', '+', '-', ')', '}'
"""What a fraction may stand before without parentheses."""

ACCENTS = {r'\dot': '\u0307', r'\tilde': '\u0303'}
FUNCTIONS = 'arcsin', 'cos', 'exp', 'log', 'max', 'min', 'sin', 'tanh'
SYMBOLS = {
    r'\Theta': 'Θ', r'\Phi': 'Φ', r'\alpha': 'α', r'\gamma': 'γ', r'\epsilon': 'ε', r'\zeta': 'ζ', r'\theta': 'θ',
    r'\kappa': 'κ', r'\lambda': 'λ', r'\phi': 'φ', r'\pi': 'π', r'\sigma': 'σ', r'\sum': 'Σ', r'\prod': 'Π',
    r'\ne': '≠', r'\langle': '⟨', r'\rangle': '⟩', r'\,': ' ', r'\quad': ' ',
    **{rf'\{name}': f'{name} ' for name in FUNCTIONS}}


def as_unicode(latex: str) -> str:
    r"""Return a formula as text of one line.

    Parameters
    ----------
    latex : str         a formula in the LaTeX that the formulas of layers use; commands beyond that stay as they are.

    Examples
    --------
    >>> print(as_unicode(r"K_+ = \frac{\sqrt{q q'}}{2 \pi} (\sin\theta + (\pi - \theta) \cos\theta)"))
    K₊ = (√(q q') / (2 π)) (sin θ + (π - θ) cos θ)
    """
    text = re.sub(' +', ' ', _written(TOKEN.findall(latex))).strip()
    return re.sub(rf'\b({"|".join(FUNCTIONS)}) \(', r'\1(', text)


def _written(tokens):
    """Return the text of tokens up to the brace that closes their group; these are taken off the list."""
    text = ''
    while tokens and tokens[0] != '}':
        text += _next(tokens)
    del tokens[:1]
    return text


def _next(tokens):
    """Return the text of the next symbol, or of the next command with its arguments, which are taken off the list."""
    token = tokens.pop(0)
    if token == '{':
        return _written(tokens)
    if token in ('^', '_'):
        return _shifted(token, _argument(tokens))
    if token == r'\frac':
        fraction = f'{_factor(_argument(tokens))} / {_factor(_argument(tokens), below=True)}'
        after = next((token for token in tokens if not token.isspace()), ',')
        return fraction if after in ENDS else f'({fraction})'
    if token == r'\sqrt':
        return f'√{_atom(_argument(tokens))}'
    if token in (r'\mathrm', r'\text'):
        return _argument(tokens)
    if token in ACCENTS:
        return _argument(tokens) + ACCENTS[token]
    return SYMBOLS.get(token, token)


def _argument(tokens):
    """Return the text of the argument of a command: a group, or one symbol."""
    while tokens and tokens[0].isspace():
        tokens.pop(0)
    return _next(tokens) if tokens else ''


def _shifted(mark, text):
    """Return an exponent or an index: raised or lowered if there are such letters, else behind ^ or _."""
    letters = RAISED if mark == '^' else LOWERED
    if all(letter in letters for letter in text):
        return ''.join(letters[letter] for letter in text)
    return mark + _atom(text)


def _atom(text):
    """Return the text, in parentheses unless it is one word."""
    return text if text.isalnum() else f'({text})'


def _factor(text, below=False):
    """Return the text, in parentheses where it is a sum, or a product below a bar."""
    outside, found = text, 1
    while found:
        outside, found = re.subn(r'\([^()]*\)', '', outside)
    is_sum = re.search(' [+-] ', outside)
    return f'({text})' if is_sum or below and ' ' in outside else text
